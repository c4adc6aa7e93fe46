// Products of float32 values on a matrix unit that multiplies bfloat16 (AMX). Each value is the sum of three such
// pieces, exactly; of the nine products of two values' pieces the six largest are taken: what is left out
// is at most 2^-23 of a product, with either sign. Within a step 16 even and 16 odd terms are added up before they join
// the sum, so results are nearer to the exact ones than those of a chain of multiply-adds (docs/design/0011).
#pragma once
#if defined(__AMX_BF16__)
#include <immintrin.h>

#include <algorithm>
#include <cstdint>

namespace striate {
namespace STRIATE_ISA_NS {

using std::int64_t;
using Piece = std::uint16_t;  // the upper half of a float32

constexpr int kPieces = 3;
constexpr int kUnitRows = 16, kUnitCols = 16;            // the most that one tile of the unit holds
constexpr int kStep = 32;                                // terms of a sum in one tile
constexpr int kHalfStep = kStep / 2;                     // values of a row that are split together
constexpr int64_t kUnitTile = kUnitRows * kStep;         // pieces, 1 KB
constexpr int64_t kLeftStep = kPieces * kUnitTile;       // left operand: [step][piece][row][term]
constexpr int64_t kRightStep = 2 * kPieces * kUnitTile;  // right: [step][piece][half of a panel][pair][column][2]

inline int64_t steps_of(int64_t terms) { return (terms + kStep - 1) / kStep; }

// How many rows stand in a block where `count` are cut into as few blocks as possible, and where block `q` begins. The
// last one reaches back over rows of the one before, instead of beyond the end.
inline int64_t block_rows(int64_t count) {
    const int64_t blocks = (count + kUnitRows - 1) / kUnitRows;
    return blocks ? (count + blocks - 1) / blocks : 0;
}
inline int64_t block_start(int64_t q, int64_t rows, int64_t count) { return std::min(q * rows, count - rows); }

// The pieces of 16 values, in the upper halves of the lanes: the nearest bfloat16, away from zero in the middle, of the
// value and of what is left. A value that is not finite is its own first piece.
inline void split(__m512 x, __m512i (&to)[kPieces]) {
    constexpr int kNotFinite = 0x99;
    const __m512i half = _mm512_set1_epi32(0x8000), mask = _mm512_set1_epi32(static_cast<int>(0xffff0000));
    const __mmask16 finite = _knot_mask16(_mm512_fpclass_ps_mask(x, kNotFinite));
    const __m512i bits = _mm512_castps_si512(x);
    to[0] = _mm512_and_si512(_mm512_mask_add_epi32(bits, finite, bits, half), mask);
    const __m512 rest = _mm512_maskz_sub_ps(finite, x, _mm512_castsi512_ps(to[0]));
    to[1] = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(rest), half), mask);
    to[2] = _mm512_castps_si512(_mm512_sub_ps(rest, _mm512_castsi512_ps(to[1])));
}

// One row of a step of the left operand, its two halves; without a second one there are zeros.
inline void split_row(const float* first, const float* second, Piece* to) {
    alignas(64) static constexpr Piece kUpper[kStep] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                                                        33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
    const __m512i order = _mm512_load_si512(kUpper);
    __m512i a[kPieces], b[kPieces];
    split(_mm512_loadu_ps(first), a);
    split(second ? _mm512_loadu_ps(second) : _mm512_setzero_ps(), b);
    for (int p = 0; p < kPieces; ++p)
        _mm512_storeu_si512(to + p * kUnitTile, _mm512_permutex2var_epi16(a[p], order, b[p]));
}

// Two terms of the right operand, of 32 columns, which stand side by side there.
inline void split_pair(const float* first, const float* second, Piece* to) {
    typedef unsigned UVec __attribute__((vector_size(64)));
    const UVec mask = UVec{} + 0xffff0000u;
    for (int half = 0; half < 2; ++half) {
        __m512i a[kPieces], b[kPieces];
        split(_mm512_loadu_ps(first + half * kUnitCols), a);
        split(_mm512_loadu_ps(second + half * kUnitCols), b);
        for (int p = 0; p < kPieces; ++p)
            _mm512_storeu_si512(to + (2 * p + half) * kUnitTile, (__m512i)(((UVec)a[p] >> 16) | ((UVec)b[p] & mask)));
    }
}

// Where sums go: floats from one row to the next, and from a panel's column 0 to its column 16.
struct Sums {
    float* at;
    int64_t row, half;

    Sums from(int64_t r) const { return {at + r * row, row, half}; }
};

// A thread's hold on the unit, for tiles of `rows` rows. A block of the left operand has room for kUnitRows in any
// case.
class Unit {
public:
    Unit(const Unit&) = delete;
    Unit& operator=(const Unit&) = delete;

    explicit Unit(int64_t rows) {
        struct {
            std::uint8_t palette = 1, start = 0, reserved[14] = {};
            std::uint16_t bytes[16] = {};
            std::uint8_t rows[16] = {};
        } config;
        for (int i = 0; i < 8; ++i) {
            config.bytes[i] = 2 * kStep;
            config.rows[i] = static_cast<std::uint8_t>(i < 6 ? rows : kUnitRows);
        }
        _tile_loadconfig(&config);
    }
    ~Unit() { _tile_release(); }

    // Two blocks of rows of the left operand times a panel of 32 columns. `c`, `d`: of the first and the second block.
    template <class Beside>
    void two(const Piece* a, int64_t steps, const Piece* b, Sums c, Sums d, Beside&& beside) const {
        asm volatile("" ::: "memory");  // the loads do not say that they read it
        const Piece* a1 = a + steps * kLeftStep;
        // clang-format off
        _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
        for (int64_t s = 0; s < steps; ++s, a += kLeftStep, a1 += kLeftStep, b += kRightStep) {
            beside(s);
            _tile_loadd(4, a, 64); _tile_loadd(6, b + 4 * kUnitTile, 64); _tile_loadd(7, b + 5 * kUnitTile, 64);
            _tile_loadd(5, a1, 64);
            _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(2, 5, 6);
            _tile_loadd(6, b + 2 * kUnitTile, 64);
            _tile_dpbf16ps(1, 4, 7); _tile_dpbf16ps(3, 5, 7);
            _tile_loadd(7, b + 3 * kUnitTile, 64);
            _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(4, a + kUnitTile, 64);
            _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
            _tile_loadd(5, a1 + kUnitTile, 64);
            _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(2, 5, 6);
            _tile_loadd(6, b, 64);
            _tile_dpbf16ps(1, 4, 7); _tile_dpbf16ps(3, 5, 7);
            _tile_loadd(7, b + kUnitTile, 64);
            _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(4, a + 2 * kUnitTile, 64);
            _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
            _tile_loadd(5, a1 + 2 * kUnitTile, 64);
            _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(4, a, 64);
            _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
            _tile_loadd(5, a1, 64);
            _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7); _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(0, c.at, 4 * c.row); _tile_stored(1, c.at + c.half, 4 * c.row);
        _tile_stored(2, d.at, 4 * d.row); _tile_stored(3, d.at + d.half, 4 * d.row);
        // clang-format on
    }

    // One block of rows.
    template <class Beside>
    void one(const Piece* a, int64_t steps, const Piece* b, Sums c, Beside&& beside) const {
        asm volatile("" ::: "memory");
        // clang-format off
        _tile_zero(0); _tile_zero(1);
        for (int64_t s = 0; s < steps; ++s, a += kLeftStep, b += kRightStep) {
            beside(s);
            _tile_loadd(4, a, 64); _tile_loadd(6, b + 4 * kUnitTile, 64); _tile_loadd(7, b + 5 * kUnitTile, 64);
            _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(6, b + 2 * kUnitTile, 64); _tile_loadd(7, b + 3 * kUnitTile, 64);
            _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(5, a + kUnitTile, 64);
            _tile_dpbf16ps(0, 5, 6); _tile_dpbf16ps(1, 5, 7);
            _tile_loadd(6, b, 64); _tile_loadd(7, b + kUnitTile, 64);
            _tile_dpbf16ps(0, 5, 6); _tile_dpbf16ps(1, 5, 7);
            _tile_loadd(5, a + 2 * kUnitTile, 64);
            _tile_dpbf16ps(0, 5, 6); _tile_dpbf16ps(1, 5, 7);
            _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
        }
        _tile_stored(0, c.at, 4 * c.row); _tile_stored(1, c.at + c.half, 4 * c.row);
        // clang-format on
    }

    // `count` rows, cut into blocks of block_rows(count), which the left operand holds one after the other, times one
    // panel. `beside(step)` is done meanwhile, once for each step: the unit works by itself.
    template <class Beside>
    void rows(const Piece* a, int64_t count, int64_t steps, const Piece* b, Sums c, Beside&& beside) const {
        const int64_t rows = block_rows(count), blocks = (count + kUnitRows - 1) / kUnitRows, pairs = (blocks + 1) / 2;
        for (int64_t q = 0; q < blocks; q += 2) {
            const Sums first = c.from(block_start(q, rows, count));
            const Piece* left = a + q * steps * kLeftStep;
            const auto some = [&](int64_t s) {
                if ((s + q / 2) % pairs == 0) beside(s);
            };
            if (q + 1 == blocks)
                one(left, steps, b, first, some);
            else
                two(left, steps, b, first, c.from(block_start(q + 1, rows, count)), some);
        }
    }
};

// Splits `count` rows for `Unit::rows`. `half_of(half)(row)`: 16 values of a row; `halves`: how many such there are.
template <class HalfOf>
inline void split_rows(int64_t count, int64_t halves, Piece* to, HalfOf&& half_of) {
    const int64_t rows = block_rows(count), blocks = (count + kUnitRows - 1) / kUnitRows;
    const int64_t steps = steps_of(halves * kHalfStep);
    for (int64_t q = 0; q < blocks; ++q) {
        const int64_t start = block_start(q, rows, count);
        for (int64_t s = 0; s < steps; ++s) {
            const bool whole = 2 * s + 1 < halves;
            const auto first = half_of(2 * s), second = half_of(whole ? 2 * s + 1 : 2 * s);
            for (int64_t r = 0; r < rows; ++r)
                split_row(first(start + r), whole ? second(start + r) : nullptr,
                          to + (q * steps + s) * kLeftStep + r * kStep);
        }
    }
}

// Splits one step of a panel of `terms` rows of 32 columns, an even number; behind them there are zeros.
inline void split_panel(const float* panel, int64_t terms, int64_t step, Piece* to) {
    constexpr int64_t kCols = 2 * kUnitCols;
    const float zeros[2 * kCols] = {};
    for (int64_t k = step * kStep, i = 0; i < kStep / 2; k += 2, ++i) {
        const float* from = k < terms ? panel + k * kCols : zeros;
        split_pair(from, from + kCols, to + step * kRightStep + i * kStep);
    }
}

// Bytes of the operands of `Unit::rows`.
inline std::size_t left_bytes(int64_t rows, int64_t terms) {
    return static_cast<std::size_t>((rows + kUnitRows - 1) / kUnitRows * steps_of(terms) * kLeftStep) * sizeof(Piece);
}
inline std::size_t right_bytes(int64_t terms) {
    return static_cast<std::size_t>(steps_of(terms) * kRightStep) * sizeof(Piece);
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
#endif
