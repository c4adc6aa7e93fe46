// Depthwise convolution in registers: R lines x T columns of outputs, one vector of channels. Each source value is
// loaded once and meets every tap that it belongs to.
#pragma once
#include <array>
#include <utility>

#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {

struct DepthwiseTile {
    const float* const* lines;  // the source lines that the taps read, the uppermost first
    int64_t at;                 // floats from a line's start to the first column's first tap
    int64_t pixel;              // floats from one source pixel to the next
    const float* weights;
    int64_t tap;  // floats from one tap's weights to the next
    const float* bias;
    Clamp clamp;
    float* out;
    int64_t out_line, out_pixel;
};

constexpr int kTileColumns = 7;
#if STRIATE_VEC_BYTES == 64 || defined(__aarch64__)
constexpr int kTileLines = 2;  // of 32 registers 14 hold sums and nine the taps
#else
constexpr int kTileLines = 1;
#endif

// K x K taps, stride S.
template <int K, int S, int R, int T>
__attribute__((noinline)) void depthwise_tile(const DepthwiseTile& d) {
    Vec acc[R][T] = {};
    Vec w[K * K];
#pragma GCC unroll 32
    for (int i = 0; i < K * K; ++i) w[i] = load(d.weights + i * d.tap);
#pragma GCC unroll 8
    for (int i = 0; i < (R - 1) * S + K; ++i) {
        const float* p = d.lines[i] + d.at;
#pragma GCC unroll 20
        for (int column = 0; column < (T - 1) * S + K; ++column) {
            const Vec x = load(p + column * d.pixel);
#pragma GCC unroll 2
            for (int r = 0; r < R; ++r) {
                const int a = i - r * S;
#pragma GCC unroll 8
                for (int c = 0; c < K; ++c) {
                    const int j = column - c;
                    if (a >= 0 && a < K && j >= 0 && j % S == 0 && j / S < T) acc[r][j / S] += x * w[a * K + c];
                }
            }
        }
    }
    const Vec bias = d.bias ? load(d.bias) : Vec{}, low = splat(d.clamp.low), high = splat(d.clamp.high);
#pragma GCC unroll 2
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int t = 0; t < T; ++t) {
            Vec y = acc[r][t] + bias;
            if (d.clamp.on) y = at_most(at_least(y, low), high);
            store(d.out + r * d.out_line + t * d.out_pixel, y);
        }
}

using DepthwiseTileFn = void (*)(const DepthwiseTile&);
using DepthwiseTiles = std::array<DepthwiseTileFn, kTileColumns>;  // by columns - 1

template <int K, int S, int R, int... T>
constexpr DepthwiseTiles depthwise_tiles(std::integer_sequence<int, T...>) {
    return {{&depthwise_tile<K, S, R, T + 1>...}};
}

// Of one or, with a stride of 1, kTileLines lines.
template <int K>
inline const DepthwiseTiles& depthwise_tiles_for(int64_t stride, int64_t lines) {
    using Columns = std::make_integer_sequence<int, kTileColumns>;
    static constexpr DepthwiseTiles several = depthwise_tiles<K, 1, kTileLines>(Columns{});
    static constexpr DepthwiseTiles one = depthwise_tiles<K, 1, 1>(Columns{});
    static constexpr DepthwiseTiles strided = depthwise_tiles<K, 2, 1>(Columns{});
    return stride == 2 ? strided : lines == 1 ? one : several;
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
