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
    int64_t pixel;              // floats from one source pixel to the next, where the tile does not say it
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

// `count` tiles beside each other. K x K taps, stride S; P: floats from one source pixel to the next, 0 where only the
// run knows.
template <int K, int S, int P, int R, int T>
__attribute__((noinline)) void depthwise_tile(const DepthwiseTile& d, int64_t count) {
    constexpr int kSources = (R - 1) * S + K;
    const int64_t pixel = P ? P : d.pixel, line = d.out_line, step = d.out_pixel;
    const Vec bias = d.bias ? load(d.bias) : Vec{}, low = splat(d.clamp.low), high = splat(d.clamp.high);
    Vec w[K * K];
#pragma GCC unroll 32
    for (int i = 0; i < K * K; ++i) w[i] = load(d.weights + i * d.tap);
    const float* source[kSources];
    for (int i = 0; i < kSources; ++i) source[i] = d.lines[i] + d.at;
    const bool clamped = d.clamp.on;
    float* out = d.out;
    for (; count > 0; --count, out += T * step) {
        Vec acc[R][T];
#pragma GCC unroll 2
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
            for (int t = 0; t < T; ++t) acc[r][t] = bias;
#pragma GCC unroll 8
        for (int i = 0; i < kSources; ++i) {
            const float* p = source[i];
#pragma GCC unroll 20
            for (int column = 0; column < (T - 1) * S + K; ++column) {
                const Vec x = load(p + column * pixel);
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
            source[i] = p + T * S * pixel;
#pragma GCC unroll 2
            for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
                for (int t = 0; t < T; ++t) settle(acc[r][t]);
        }
#pragma GCC unroll 2
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
            for (int t = 0; t < T; ++t)
                store(out + r * line + t * step, clamped ? at_most(at_least(acc[r][t], low), high) : acc[r][t]);
    }
}

using DepthwiseTileFn = void (*)(const DepthwiseTile&, int64_t);
using DepthwiseTiles = std::array<DepthwiseTileFn, kTileColumns>;  // by columns - 1

template <int K, int S, int P, int R, int... T>
constexpr DepthwiseTiles depthwise_tiles(std::integer_sequence<int, T...>) {
    return {{&depthwise_tile<K, S, P, R, T + 1>...}};
}

// Of one or, with a stride of 1, kTileLines lines.
template <int K, int P>
inline const DepthwiseTiles& depthwise_tiles_for(int64_t stride, int64_t lines) {
    using Columns = std::make_integer_sequence<int, kTileColumns>;
    static constexpr DepthwiseTiles several = depthwise_tiles<K, 1, P, kTileLines>(Columns{});
    static constexpr DepthwiseTiles one = depthwise_tiles<K, 1, P, 1>(Columns{});
    static constexpr DepthwiseTiles strided = depthwise_tiles<K, 2, P, 1>(Columns{});
    return stride == 2 ? strided : lines == 1 ? one : several;
}

// `width` columns from d.at and d.out on, in tiles of nearly equal size.
inline void depthwise_line(DepthwiseTile& d, const DepthwiseTiles& tiles, int64_t width, int64_t source_step) {
    const int64_t count = (width + kTileColumns - 1) / kTileColumns;
    if (count == 0) return;
    const int64_t small = width / count, larger = width % count;
    if (larger) {
        tiles[static_cast<std::size_t>(small)](d, larger);
        d.at += larger * (small + 1) * source_step;
        d.out += larger * (small + 1) * d.out_pixel;
    }
    tiles[static_cast<std::size_t>(small - 1)](d, count - larger);
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
