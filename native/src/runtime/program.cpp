#include "runtime/program.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "core/arena.h"
#include "core/denormals.h"
#include "core/pool.h"
#include "runtime/registry.h"

namespace striate {
namespace {

struct DTypeEntry {
    DType dtype;
    const char* name;
    std::size_t size;
};

constexpr DTypeEntry kDTypes[] = {{DType::f32, "float32", 4}, {DType::f64, "float64", 8}, {DType::i32, "int32", 4},
                                  {DType::i64, "int64", 8},   {DType::u8, "uint8", 1},    {DType::b8, "bool", 1}};

constexpr std::size_t kUnit = 64;

// The tensors of one step and what points to them.
struct Frame {
    std::vector<Tensor> in, out;
    Step step;

    void bind(const ProgramStep& s, const std::int64_t* addresses) {
        fill(in, s.in, addresses);
        fill(out, s.out, addresses);
        step.in = in.data();
        step.n_in = static_cast<int>(in.size());
        step.out = out.data();
        step.n_out = static_cast<int>(out.size());
        step.ints = s.ints.data();
        step.n_ints = static_cast<int>(s.ints.size());
        step.floats = s.floats.data();
        step.n_floats = static_cast<int>(s.floats.size());
    }

    static void fill(std::vector<Tensor>& tensors, const std::vector<Operand>& operands,
                     const std::int64_t* addresses) {
        tensors.resize(operands.size());
        for (std::size_t i = 0; i < operands.size(); ++i) {
            tensors[i] = operands[i].tensor;
            if (addresses) tensors[i].data = reinterpret_cast<void*>(addresses[operands[i].slot]);
        }
    }
};

void check(const std::vector<Operand>& operands, int n_slots) {
    for (const Operand& o : operands)
        if (o.slot < 0 || o.slot >= n_slots)
            throw std::invalid_argument("slot " + std::to_string(o.slot) + " is not one of the " +
                                        std::to_string(n_slots) + " slots of the program");
}

}  // namespace

DType parse_dtype(const std::string& name) {
    for (const auto& entry : kDTypes)
        if (name == entry.name) return entry.dtype;
    throw std::invalid_argument("kernels take float32, float64, int32, int64, uint8 and bool, not '" + name + "'");
}

const char* dtype_name(DType dtype) { return kDTypes[static_cast<int>(dtype)].name; }
std::size_t dtype_size(DType dtype) { return kDTypes[static_cast<int>(dtype)].size; }

Program::Program(std::vector<ProgramStep> steps, int n_slots) : steps_(std::move(steps)), n_slots_(n_slots) {
    for (const ProgramStep& s : steps_) {
        check(s.in, n_slots);
        check(s.out, n_slots);
    }
}

std::size_t Program::scratch_bytes() const { return scratch_bytes(isa_level(), get_threads()); }

std::size_t Program::scratch_bytes(int level, int threads) const {
    // One word holds level, threads and size, so that runs in several threads need no lock.
    const std::uint64_t key = static_cast<std::uint64_t>(level + 1) << 60 | static_cast<std::uint64_t>(threads) << 44;
    const std::uint64_t known = known_scratch_.load(std::memory_order_relaxed);
    constexpr std::uint64_t kSize = (std::uint64_t{1} << 44) - 1;
    if ((known & ~kSize) == key) return static_cast<std::size_t>(known & kSize) * kUnit;
    std::size_t most = 0;
    Frame frame;
    for (const ProgramStep& s : steps_) {
        const Kernel& kernel = kernel_at(s.kernel, level);
        if (!kernel.scratch_bytes) continue;
        frame.bind(s, nullptr);
        most = std::max(most, kernel.scratch_bytes(frame.step, threads));
    }
    const std::size_t units = (most + kUnit - 1) / kUnit;
    known_scratch_.store(key | units, std::memory_order_relaxed);
    return units * kUnit;
}

int Program::missing_slot(int begin, int end, const std::int64_t* addresses) const {
    for (int i = begin; i < end; ++i)
        for (const auto* operands : {&steps_[static_cast<std::size_t>(i)].in, &steps_[static_cast<std::size_t>(i)].out})
            for (const Operand& o : *operands)
                if (addresses[o.slot] == 0 && o.tensor.size() > 0) return o.slot;
    return -1;
}

bool Program::run(int begin, int end, const std::int64_t* addresses, bool (*stop)(), std::int64_t* nanoseconds) const {
    using Clock = std::chrono::steady_clock;
    const int level = isa_level();
    const auto threads = pool();
    const std::size_t nbytes = scratch_bytes(level, threads->threads());
    const auto scratch = nbytes ? acquire_block(nbytes) : nullptr;
    FlushDenormals flush;
    Frame frame;
    frame.step.pool = threads.get();
    frame.step.scratch = scratch ? scratch->data : nullptr;
    for (int i = begin; i < end; ++i) {
        if (stop && i > begin && stop()) return true;
        const ProgramStep& s = steps_[static_cast<std::size_t>(i)];
        const auto start = nanoseconds ? Clock::now() : Clock::time_point();
        frame.bind(s, addresses);
        kernel_at(s.kernel, level).run(frame.step);
        if (nanoseconds)
            nanoseconds[i - begin] = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
    }
    return false;
}

}  // namespace striate
