// The product between Winograd's transforms: rows of transformed input, [block of 16 channels][row][16], times a panel
// of transformed weights.
#pragma once
#include <array>
#include <cstdint>
#include <utility>

#include "kernels/conv/geometry.h"
#include "kernels/conv/winograd.h"
#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {

// The weights that come next, fetched evenly while the present ones are used by one block of rows after the other: the
// first of them would wait for memory and the others leave it idle.
struct Ahead {
    const char* at;
    int64_t step;  // bytes at each source channel
};

// The rows that a product sums over: blocks of 16 source channels, for each tap along the slices.
struct Terms {
    int64_t blocks, block_step, taps, tap_step;
};

// Rows r of the product: sum over k of v[k / 16][r][k % 16] * u[k][32 columns].
template <int R, int NV>
__attribute__((noinline)) void multiply(const float* v, const Terms& terms, const float* u, float* out, Ahead ahead) {
    Vec acc[R][NV] = {};
    const int64_t count = terms.blocks * terms.taps, block_step = terms.block_step;
    const int64_t back = terms.tap_step - terms.blocks * block_step;
    const float* row = v;
    for (int64_t b = 0, left = terms.blocks; b < count; ++b, row += block_step) {
        if (left-- == 0) {
            row += back;
            left = terms.blocks - 1;
        }
        __builtin_prefetch(row + block_step);
        for (int k = 0; k < kWinogradBlock; ++k) {
            Vec uv[NV];
#pragma GCC unroll 2
            for (int i = 0; i < NV; ++i) uv[i] = load(u + i * kLanes);
            __builtin_prefetch(ahead.at);
            __builtin_prefetch(ahead.at + 64);
            ahead.at += ahead.step;
            u += kPanel;
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
                const Vec a = broadcast(row[r * kWinogradBlock + k]);
#pragma GCC unroll 2
                for (int i = 0; i < NV; ++i) acc[r][i] += a * uv[i];
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
        for (int i = 0; i < NV; ++i) store(out + r * kPanel + i * kLanes, acc[r][i]);
}

using MultiplyFn = void (*)(const float*, const Terms&, const float*, float*, Ahead);

template <int... R>
constexpr std::array<MultiplyFn, sizeof...(R)> multiply_table(std::integer_sequence<int, R...>) {
    return {{&multiply<R + 1, 2>...}};
}

// `rows` of at most kRows, all columns of the panel.
inline void multiply_rows(int64_t rows, const float* v, const Terms& terms, const float* u, float* out, Ahead ahead) {
    static constexpr auto table = multiply_table(std::make_integer_sequence<int, kRows>{});
    for (int half = 0; half < kPanel; half += kTileCols) table[rows - 1](v, terms, u + half, out + half, ahead);
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
