// The one multiply-add loop of striate: a block of output rows x two vectors of output channels, accumulators in
// registers across all of K. Its left operand is a table of row pointers (so padding, strides, dilation and plain
// matrices look the same), its right operand a panel of kPanel columns.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "core/activation.h"
#include "core/math.h"
#include "core/simd.h"

namespace striate {
namespace STRIATE_ISA_NS {

using std::int64_t;

constexpr int kPanel = 32;  // columns of a packed panel; the same for every instruction set, so packed data is portable
#if STRIATE_VEC_BYTES == 64
constexpr int kRows = 14;  // 28 accumulators of 32 registers
#elif STRIATE_VEC_BYTES == 32
constexpr int kRows = 6;  // 12 of 16
#elif defined(__aarch64__)
constexpr int kRows = 12;  // 24 of 32
#else
constexpr int kRows = 4;  // 8 of 16, and without fused multiply-add a product needs a register too
#endif
constexpr int kTileCols = 2 * kLanes;
constexpr int kPrefetch = 1024;  // floats ahead in the panel
constexpr int64_t kPart = 256;   // products that are added up before their sum is: fewer digits are lost

// x - 0 is x for every x (x + 0 is not, for -0), so this compiles to a bare broadcast.
inline Vec broadcast(float x) { return x - Vec{}; }
inline Vec at_least(Vec x, Vec low) { return low > x ? low : x; }    // a NaN in x stays
inline Vec at_most(Vec x, Vec high) { return high < x ? high : x; }  // so it does here

// Sums of parts of K: `acc` is added to `total` and starts anew.
template <int N>
inline void close_part(Vec (&acc)[N], Vec (&total)[N], bool& closed) {
#pragma GCC unroll 32
    for (int i = 0; i < N; ++i) {
        total[i] = closed ? total[i] + acc[i] : acc[i];
        acc[i] = Vec{};
    }
    closed = true;
}

template <int N>
inline void add_parts(Vec (&acc)[N], const Vec (&total)[N], bool closed) {
    if (!closed) return;
#pragma GCC unroll 32
    for (int i = 0; i < N; ++i) acc[i] += total[i];
}

// The left operand of one tile: `count` runs of `length` consecutive values for each row.
struct Runs {
    const float* const* rows;  // [count][kRows]
    const int64_t* b_offset;   // [count], in floats from the start of the panel
    int64_t count;
    int64_t length;
};

// What happens to a sum before it is stored: + bias, + residual, zero where the mask is not positive, activation.
struct Finish {
    const float* bias = nullptr;      // indexed by output channel
    const float* residual = nullptr;  // laid out as the output is
    const float* mask = nullptr;      // so is this
    const float* out = nullptr;       // start of the output, to find a row's residual and mask
    Activation activation;
};

struct TileArgs {
    Runs runs = {};
    const float* panel = nullptr;            // first column of the tile
    int64_t a_offset = 0;                    // added to every row pointer (the group's first channel)
    int64_t ldb = kPanel;                    // floats from one K to the next in the panel
    float* const* out = nullptr;             // [kRows]
    const float* bias = nullptr;             // kTileCols values or null
    const float* const* residual = nullptr;  // [kRows] or null
    const float* const* mask = nullptr;      // [kRows] or null
    int64_t col = 0;                         // added to every output, residual and mask pointer
    Clamp clamp;
    const char* ahead = nullptr;  // what the next tile needs: fetched while this one is computed,
    int64_t ahead_step = 0;       // so many bytes further at each K
};

// Four K at a time where a tile is one vector wide: there are more row pointers than registers, and one that has to be
// read anew for every product costs as much as the product.
template <int R>
inline void several(Vec (&acc)[R], const float* const (&rows)[R], const float*& b, int64_t ldb, int64_t& k,
                    int64_t end) {
    for (; k + 4 <= end; k += 4, b += 4 * ldb) {
        const Vec b0 = load(b), b1 = load(b + ldb), b2 = load(b + 2 * ldb), b3 = load(b + 3 * ldb);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            const float* a = rows[r] + k;
            acc[r] += broadcast(a[0]) * b0;
            acc[r] += broadcast(a[1]) * b1;
            acc[r] += broadcast(a[2]) * b2;
            acc[r] += broadcast(a[3]) * b3;
        }
    }
}

// Ahead: fetch what the next tile needs. It costs some percent where the caches would have had it anyway.
template <int R, int NV, bool Ahead>
__attribute__((noinline)) void tile(const TileArgs& t) {
    Vec acc[R * NV], total[R * NV];
    bool closed = false;
    __asm__("" : "=m"(total));  // written before it is read, which compilers do not see
    for (int v = 0; v < NV; ++v) {
        const Vec bias = t.bias ? load(t.bias + v * kLanes) : Vec{};
        for (int r = 0; r < R; ++r) acc[r * NV + v] = bias;
    }
    const int64_t length = t.runs.length, ldb = t.ldb;
    [[maybe_unused]] const int64_t ahead_step = t.ahead_step;
    [[maybe_unused]] const char* ahead = t.ahead;
    int64_t left = kPart;
    for (int64_t q = 0; q < t.runs.count; ++q) {
        const float* p[R];
        for (int r = 0; r < R; ++r) p[r] = t.runs.rows[q * kRows + r] + t.a_offset;
        const float* b = t.panel + t.runs.b_offset[q];
        for (int64_t k = 0; k < length;) {
            if (left == 0) {
                close_part(acc, total, closed);
                left = kPart;
            }
            const int64_t end = std::min(length, k + left);
            left -= end - k;
            if constexpr (NV == 1) several(acc, p, b, ldb, k, end);
            for (; k < end; ++k) {
                Vec bv[NV];
#pragma GCC unroll 2
                for (int v = 0; v < NV; ++v) {
                    bv[v] = load(b + v * kLanes);
                    if constexpr (NV > 1) __builtin_prefetch(b + kPrefetch + v * kLanes);
                }
                b += ldb;
                if constexpr (Ahead) {
                    __builtin_prefetch(ahead, 0, 2);
                    ahead += ahead_step;
                }
#pragma GCC unroll 16
                for (int r = 0; r < R; ++r) {
                    const Vec a = broadcast(p[r][k]);
#pragma GCC unroll 2
                    for (int v = 0; v < NV; ++v) acc[r * NV + v] += a * bv[v];
                }
            }
        }
    }
    add_parts(acc, total, closed);
    // What does not change is read before the first store, which might change it as far as the compiler knows.
    float* const* const out = t.out;
    const float *const *const residual = t.residual, *const *const mask = t.mask;
    const int64_t col = t.col;
    const bool clamped = t.clamp.on;
    const Vec low = splat(t.clamp.low), high = splat(t.clamp.high);
    if (!residual && !mask) {
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
            for (int v = 0; v < NV; ++v) {
                const Vec y = acc[r * NV + v];
                store(out[r] + col + v * kLanes, clamped ? at_most(at_least(y, low), high) : y);
            }
        return;
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) {
            Vec y = acc[r * NV + v];
            if (residual) y += load(residual[r] + col + v * kLanes);
            if (mask) y = load(mask[r] + col + v * kLanes) > Vec{} ? y : Vec{};
            if (clamped) y = at_most(at_least(y, low), high);
            store(out[r] + col + v * kLanes, y);
        }
}

using TileFn = void (*)(const TileArgs&);

template <int NV, bool Ahead, int... R>
constexpr std::array<TileFn, sizeof...(R)> tile_table(std::integer_sequence<int, R...>) {
    return {{&tile<R + 1, NV, Ahead>...}};
}

inline TileFn tile_for(int rows, int vectors, bool ahead) {
    using Rows = std::make_integer_sequence<int, kRows>;
    static constexpr auto one = tile_table<1, false>(Rows{});
    static constexpr auto two = tile_table<2, false>(Rows{});
    static constexpr auto two_ahead = tile_table<2, true>(Rows{});
    if (vectors == 1) return one[rows - 1];
    return ahead ? two_ahead[rows - 1] : two[rows - 1];
}

#if defined(__AVX512F__)
// One and a half vectors of columns: the halves of two rows share a vector, so that three multiplications do for two
// rows what four do otherwise.
constexpr int kHalfCols = kLanes + kLanes / 2;

inline Vec twice(const float* p) {
    return (Vec)_mm512_castpd_ps(
        _mm512_maskz_broadcast_f64x4(0xff, _mm256_loadu_pd(reinterpret_cast<const double*>(p))));
}
inline Vec halves(Vec low, Vec high) { return (Vec)_mm512_mask_blend_ps(0xff00, (__m512)low, (__m512)high); }

template <int R>
__attribute__((noinline)) void half_tile(const TileArgs& t) {
    constexpr int kPairs = (R + 1) / 2;
    Vec acc[R], pair[kPairs], total[R], pair_total[kPairs];
    bool closed = false, pair_closed = false;
    __asm__("" : "=m"(total), "=m"(pair_total));
    for (int r = 0; r < R; ++r) acc[r] = t.bias ? load(t.bias) : Vec{};
    for (int i = 0; i < kPairs; ++i) pair[i] = t.bias ? twice(t.bias + kLanes) : Vec{};
    const int64_t length = t.runs.length, ldb = t.ldb;
    int64_t left = kPart;
    for (int64_t q = 0; q < t.runs.count; ++q) {
        const float* p[R];
        for (int r = 0; r < R; ++r) p[r] = t.runs.rows[q * kRows + r] + t.a_offset;
        const float* b = t.panel + t.runs.b_offset[q];
        for (int64_t k = 0; k < length;) {
            if (left == 0) {
                close_part(acc, total, closed);
                close_part(pair, pair_total, pair_closed);
                left = kPart;
            }
            const int64_t end = std::min(length, k + left);
            left -= end - k;
            for (; k < end; ++k, b += ldb) {
                const Vec whole = load(b), half = twice(b + kLanes);
#pragma GCC unroll 8
                for (int i = 0; i < kPairs; ++i) {
                    const int r = 2 * i;
                    const Vec even = broadcast(p[r][k]);
                    acc[r] += even * whole;
                    if (r + 1 < R) {
                        const Vec odd = broadcast(p[r + 1][k]);
                        acc[r + 1] += odd * whole;
                        pair[i] += halves(even, odd) * half;
                    } else {
                        pair[i] += even * half;
                    }
                }
            }
        }
    }
    add_parts(acc, total, closed);
    add_parts(pair, pair_total, pair_closed);
    float* const* const out = t.out;
    const float* const* const residual = t.residual;
    const int64_t col = t.col;
    const bool clamped = t.clamp.on;
    const Vec low = splat(t.clamp.low), high = splat(t.clamp.high);
    const auto finish = [&](Vec y) { return clamped ? at_most(at_least(y, low), high) : y; };
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
        Vec y = acc[r];
        if (residual) y += load(residual[r] + col);
        store(out[r] + col, finish(y));
    }
#pragma GCC unroll 8
    for (int i = 0; i < kPairs; ++i) {
        const int64_t at = col + kLanes;
        const int even = 2 * i, odd = std::min(even + 1, R - 1);
        Vec y = pair[i];
        if (residual) y += halves(twice(residual[even] + at), twice(residual[odd] + at));
        const __m512d bits = _mm512_castps_pd((__m512)finish(y));
        _mm256_storeu_pd(reinterpret_cast<double*>(out[even] + at), _mm512_maskz_extractf64x4_pd(0xf, bits, 0));
        if (odd != even)
            _mm256_storeu_pd(reinterpret_cast<double*>(out[odd] + at), _mm512_maskz_extractf64x4_pd(0xf, bits, 1));
    }
}

template <int... R>
constexpr std::array<TileFn, sizeof...(R)> half_tile_table(std::integer_sequence<int, R...>) {
    return {{&half_tile<R + 1>...}};
}

inline bool fits_half_tile(const TileArgs& t, int cols) { return cols == kHalfCols && !t.mask && !t.ahead; }
inline void run_half_tile(const TileArgs& t, int rows) {
    static constexpr auto table = half_tile_table(std::make_integer_sequence<int, kRows>{});
    table[rows - 1](t);
}
#else
inline bool fits_half_tile(const TileArgs&, int) { return false; }
inline void run_half_tile(const TileArgs&, int) {}
#endif

// A tile whose last vector is only partly wanted: computed beside, then the wanted columns are copied.
inline void tail_tile(TileArgs t, int rows, int cols, int vectors) {
    float values[kRows * kTileCols], bias[kTileCols], residual[kRows * kTileCols], mask[kRows * kTileCols];
    float* out[kRows];
    const float *res[kRows], *masks[kRows];
    const int whole = (vectors - 1) * kLanes, last = cols - whole;
    const auto copy = [&](const float* from, float* to) {
        if (whole) store(to, load(from));
        store(to + whole, load_some(from + whole, last));
    };
    for (int r = 0; r < rows; ++r) {
        out[r] = values + r * kTileCols - t.col;
        res[r] = residual + r * kTileCols - t.col;
        masks[r] = mask + r * kTileCols - t.col;
        if (t.residual) copy(t.residual[r] + t.col, residual + r * kTileCols);
        if (t.mask) copy(t.mask[r] + t.col, mask + r * kTileCols);
    }
    float* const* wanted = t.out;
    if (t.bias) copy(t.bias, bias);
    t.bias = t.bias ? bias : nullptr;
    t.residual = t.residual ? res : nullptr;
    t.mask = t.mask ? masks : nullptr;
    t.out = out;
    tile_for(rows, vectors, t.ahead != nullptr)(t);
    for (int r = 0; r < rows; ++r) {
        const float* from = values + r * kTileCols;
        float* to = wanted[r] + t.col;
        if (whole) store(to, load(from));
        store_some(to + whole, load(from + whole), last);
    }
}

// All `cols` <= kPanel wanted columns of one panel for one block of rows. `panel` must have readable columns up to the
// next multiple of a vector. `t` is changed, not copied: a copy right after its fields were written stalls.
inline void panel_tile(TileArgs& t, int rows, int cols, const Finish& finish) {
    const float *residual[kRows], *mask[kRows];
    if (finish.residual)
        for (int r = 0; r < rows; ++r) residual[r] = finish.residual + (t.out[r] - finish.out);
    if (finish.mask)
        for (int r = 0; r < rows; ++r) mask[r] = finish.mask + (t.out[r] - finish.out);
    t.residual = finish.residual ? residual : nullptr;
    t.mask = finish.mask ? mask : nullptr;
    const int64_t first = t.col;
    const float* panel = t.panel;
    t.clamp = clamp_of(finish.activation);
    for (int c = 0; c < cols; c += kTileCols) {
        const int here = std::min(cols - c, kTileCols), vectors = here > kLanes ? 2 : 1;
        t.panel = panel + c;
        t.col = first + c;
        t.bias = finish.bias ? finish.bias + t.col : nullptr;
        if (here == vectors * kLanes)
            tile_for(rows, vectors, t.ahead != nullptr)(t);
        else if (fits_half_tile(t, here))
            run_half_tile(t, rows);
        else
            tail_tile(t, rows, here, vectors);
    }
    if (finish.activation.id != kLinear && !t.clamp.on)
        for (int r = 0; r < rows; ++r) activate(finish.activation, t.out[r] + first, cols);
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
