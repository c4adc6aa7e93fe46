// Runs the steps of a plan: frozen data, checked when it is made, safe to run from several threads at once.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "core/kernel.h"

namespace striate {

struct Operand {
    int slot = 0;
    Tensor tensor;  // shape and dtype; its data comes with each run
};

struct ProgramStep {
    int kernel = 0;
    std::vector<Operand> in, out;
    std::vector<std::int64_t> ints;
    std::vector<double> floats;
};

class Program {
public:
    // Throws std::invalid_argument for operands out of range.
    Program(std::vector<ProgramStep> steps, int n_slots);

    int size() const { return static_cast<int>(steps_.size()); }
    int slots() const { return n_slots_; }
    // Scratch memory that a run needs with the threads and the instruction set in force.
    std::size_t scratch_bytes() const;
    // The first slot that steps [begin, end) use but that has no address, or -1.
    int missing_slot(int begin, int end, const std::int64_t* addresses) const;
    // `stop`, if given, is asked between steps; true ends the run early. Returns whether it ended early.
    // `nanoseconds`, if given, receives how long each step took.
    bool run(int begin, int end, const std::int64_t* addresses, bool (*stop)() = nullptr,
             std::int64_t* nanoseconds = nullptr) const;

private:
    std::size_t scratch_bytes(int level, int threads) const;

    std::vector<ProgramStep> steps_;
    int n_slots_;
    mutable std::atomic<std::uint64_t> known_scratch_{0};
};

DType parse_dtype(const std::string& name);  // throws std::invalid_argument
const char* dtype_name(DType dtype);
std::size_t dtype_size(DType dtype);

}  // namespace striate
