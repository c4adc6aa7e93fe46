// Chains of elementwise operations over operands that broadcast, a block at a time, so that only operands and the
// result touch memory. Attributes: see striate.kernels.attributes.elementwise.
#include "kernels/elementwise/chain.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int64_t kTaskBlocks = 32;
constexpr int64_t kParallel = 4 * kTaskBlocks * kBlock;

// The last result; those before it are exits of the chain.
const Tensor& last_output(const Step& s) { return s.out[s.n_out - 1]; }
int exit_of(const Step& s, int i) { return static_cast<int>(s.ints[instructions(s) * kFields + i]); }

std::size_t scratch_bytes(const Step& s, int threads) { return chain_bytes(s, last_output(s), threads); }

void run_bools(const Tensor& to, Registers& registers, int64_t start, int64_t n) {
    const float* result = registers.compute(n, nullptr);
    auto* out = static_cast<std::uint8_t*>(to.data) + start;
    for (int64_t i = 0; i < n; ++i) out[i] = result[i] != 0.0f;
}

void run_block(const Step& s, Registers& registers, int64_t start, int64_t n) {
    registers.read(start, n);
    const Tensor& to = last_output(s);
    if (to.dtype == DType::b8) return run_bools(to, registers, start, n);
    const bool whole = n % kLanes == 0;
    float* out = to.f32() + start;
    for (int i = 0; i + 1 < s.n_out; ++i) {
        const int at = exit_of(s, i);
        registers.write_to(at, whole ? s.out[i].f32() + start : registers.block(registers.chain.n_in + at));
    }
    const float* result = registers.compute(n, whole ? out : nullptr);
    if (whole) return;
    const auto bytes = static_cast<std::size_t>(n) * sizeof(float);
    std::memcpy(out, result, bytes);
    for (int i = 0; i + 1 < s.n_out; ++i) std::memcpy(s.out[i].f32() + start, registers.result[exit_of(s, i)], bytes);
}

void elementwise(const Step& s) {
    if (last_output(s).size() == 0) return;
    Chain chain;
    const int64_t per_thread = registers_bytes(s);
    auto* memory = static_cast<char*>(s.scratch);
    read_chain(s, last_output(s), chain, memory);
    const int64_t task = kTaskBlocks * kBlock, tasks = (chain.size + task - 1) / task;
    parallel_for(*s.pool, tasks, chain.size >= kParallel, [&](int64_t t, int thread) {
        Registers registers(chain, reinterpret_cast<float*>(memory + thread * per_thread));
        const int64_t end = std::min(chain.size, (t + 1) * task);
        for (int64_t i = t * task; i < end; i += kBlock) run_block(s, registers, i, std::min(kBlock, end - i));
    });
}

const char* check(const Step& s) {
    if (s.n_out < 1) return "expected an output";
    const Tensor& last = last_output(s);
    if (last.dtype != DType::f32 && (last.dtype != DType::b8 || s.n_out > 1))
        return "the output must be float32 or, alone, bool";
    if (const char* problem = check_chain(s, last)) return problem;
    for (int i = 0; i + 1 < s.n_out; ++i) {
        if (s.out[i].dtype != DType::f32 || s.out[i].size() != last.size()) return "outputs must be of one shape";
        const int64_t at = s.ints[instructions(s) * kFields + i];
        if (at < 0 || at + 1 >= instructions(s) || s.ints[at * kFields] == kConstantOp)
            return "an exit must be an instruction before the last, and no constant";
    }
    return nullptr;
}

constexpr Kernel kKernels[] = {{"elementwise", &elementwise, &scratch_bytes, &check}};

}  // namespace

extern const KernelTable elementwise_table;
const KernelTable elementwise_table = {kKernels, 1};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
