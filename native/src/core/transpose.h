// Transposing a square of values in registers.
#pragma once
#include <cstdint>
#include <utility>

#include "core/simd.h"

namespace striate {
namespace STRIATE_ISA_NS {

// Exchanges, between two rows that stand `Step` apart, the lanes that do so too. I: all lanes.
template <int Step, int... I>
inline __attribute__((always_inline)) void exchange(Vec& a, Vec& b, std::integer_sequence<int, I...>) {
#if defined(__clang__)
    const Vec low = __builtin_shufflevector(a, b, (I & Step ? kLanes + I - Step : I)...);
    b = __builtin_shufflevector(a, b, (I & Step ? kLanes + I : I + Step)...);
#else
    const Vec low = __builtin_shuffle(a, b, IVec{(I & Step ? kLanes + I - Step : I)...});
    b = __builtin_shuffle(a, b, IVec{(I & Step ? kLanes + I : I + Step)...});
#endif
    a = low;
}

template <int Step>
inline __attribute__((always_inline)) void exchange_rows(Vec* rows) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i)
        if (!(i & Step)) exchange<Step>(rows[i], rows[i + Step], std::make_integer_sequence<int, kLanes>{});
    if constexpr (2 * Step < kLanes) exchange_rows<2 * Step>(rows);
}

// to[j][i] = from[i][j] for a square of kLanes; rows stand `from_step` and `to_step` floats apart.
inline void transpose_square(const float* from, std::int64_t from_step, float* to, std::int64_t to_step) {
    Vec rows[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) rows[i] = load(from + i * from_step);
    exchange_rows<1>(rows);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) store(to + i * to_step, rows[i]);
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
