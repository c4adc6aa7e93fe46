// The native part of a plan: steps over numbered slots of memory, run one after the other.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/kernel.h"

namespace striate {

struct Operand {
    int slot = 0;
    Tensor tensor;  // data is filled in for each run
};

struct ProgramStep {
    std::string name;
    RunFn run = nullptr;
    ScratchFn scratch = nullptr;
    std::vector<Operand> in, out;
    std::vector<std::int64_t> ints;
    std::vector<double> floats;
};

class Program {
public:
    explicit Program(std::vector<ProgramStep> steps) : steps_(std::move(steps)) {}

    // Runs all steps; pointers[slot] is the address of a slot's memory. Safe from several threads at once.
    void run(const std::int64_t* pointers) const;
    std::size_t scratch_bytes(int threads) const;

private:
    std::vector<ProgramStep> steps_;
};

}  // namespace striate
