// Chains of elementwise operations over operands that broadcast, a block at a time, so that only operands and the
// result touch memory. Attributes: see striate.kernels.attributes.elementwise.
#include "kernels/elementwise/chain.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int64_t kTaskBlocks = 32;
constexpr int64_t kParallel = 4 * kTaskBlocks * kBlock;

std::size_t scratch_bytes(const Step& s, int threads) { return chain_bytes(s, s.out[0], threads); }

void run_block(const Tensor& to, Registers& registers, int64_t start, int64_t n) {
    registers.read(start, n);
    if (to.dtype == DType::b8) {
        const float* result = registers.compute(n, nullptr);
        auto* out = static_cast<std::uint8_t*>(to.data) + start;
        for (int64_t i = 0; i < n; ++i) out[i] = result[i] != 0.0f;
        return;
    }
    float* out = to.f32() + start;
    const bool whole = n % kLanes == 0;
    const float* result = registers.compute(n, whole ? out : nullptr);
    if (!whole) std::memcpy(out, result, static_cast<std::size_t>(n) * sizeof(float));
}

void elementwise(const Step& s) {
    if (s.out[0].size() == 0) return;
    Chain chain;
    const int64_t per_thread = registers_bytes(s);
    auto* memory = static_cast<char*>(s.scratch);
    read_chain(s, s.out[0], chain, memory);
    const int64_t task = kTaskBlocks * kBlock, tasks = (chain.size + task - 1) / task;
    parallel_for(*s.pool, tasks, chain.size >= kParallel, [&](int64_t t, int thread) {
        Registers registers(chain, reinterpret_cast<float*>(memory + thread * per_thread));
        const int64_t end = std::min(chain.size, (t + 1) * task);
        for (int64_t i = t * task; i < end; i += kBlock) run_block(s.out[0], registers, i, std::min(kBlock, end - i));
    });
}

const char* check(const Step& s) {
    if (s.n_out == 1 && s.out[0].dtype != DType::f32 && s.out[0].dtype != DType::b8)
        return "the output must be float32 or bool";
    return check_chain(s, s.out[0]);
}

constexpr Kernel kKernels[] = {{"elementwise", &elementwise, &scratch_bytes, &check}};

}  // namespace

extern const KernelTable elementwise_table;
const KernelTable elementwise_table = {kKernels, 1};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
