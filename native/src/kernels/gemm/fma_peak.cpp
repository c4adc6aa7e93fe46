// What this machine can multiply and add, measured: the yardstick of benchmarks/kernels.py.
#include "core/kernel.h"
#include "core/simd.h"
#include "core/thread_pool.h"
#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int kChains = kRows >= 12 ? 24 : 12;

float multiply_add(std::int64_t iterations) {
    float seed[kLanes];  // lanes that differ, so that no compiler computes one for all
    for (int i = 0; i < kLanes; ++i) seed[i] = static_cast<float>(iterations % (i + 2));
    Vec acc[kChains];
#pragma GCC unroll 24
    for (int i = 0; i < kChains; ++i) acc[i] = load(seed) + broadcast(0.1f * static_cast<float>(i));
    Vec x = broadcast(0.999f);
    const Vec y = broadcast(0.001f);
    for (std::int64_t k = 0; k < iterations; ++k) {
#pragma GCC unroll 24
        for (int i = 0; i < kChains; ++i) acc[i] = acc[i] * x + y;
    }
    Vec sum = {};
#pragma GCC unroll 24
    for (int i = 0; i < kChains; ++i) sum += acc[i];
    float total = 0.0f;
    for (int i = 0; i < kLanes; ++i) total += sum[i];
    return total;
}

// ints: pieces of work, iterations of each. out[0]: floating-point operations done, in millions; out[1]: keeps the
// sums.
void fma_peak(const Step& s) {
    const std::int64_t pieces = s.ints[0], iterations = s.ints[1];
    float* out = s.out[0].f32();
    out[0] =
        static_cast<float>(2e-6 * kChains * kLanes * static_cast<double>(pieces) * static_cast<double>(iterations));
    parallel_for(*s.pool, pieces, true, [&](std::int64_t i, int) {
        const float value = multiply_add(iterations);
        if (i == 0 || value < 0.0f) out[1] = value;  // never negative, but the compiler must compute it to know
    });
}

const char* check(const Step& s) {
    const bool fits = s.n_out == 1 && s.n_ints == 2 && s.out[0].size() == 2 && s.out[0].dtype == DType::f32;
    return fits ? nullptr : "expected two ints and an output of two float32 values";
}

constexpr Kernel kKernels[] = {{"fma_peak", &fma_peak, nullptr, &check}};

}  // namespace

extern const KernelTable fma_peak_table;
const KernelTable fma_peak_table = {kKernels, 1};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
