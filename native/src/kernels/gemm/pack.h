// Packing the right operand of a product into panels of kPanel columns, tails filled with zeros.
#pragma once
#include <algorithm>
#include <cstdint>

#include "core/transpose.h"
#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {

// Element (k, column) stands at from[k * k_stride + column * column_stride]; `columns` <= kPanel of them are real.
inline void pack_panel(const float* from, int64_t k_stride, int64_t column_stride, int64_t k, int64_t columns,
                       float* to) {
    constexpr int64_t kTogether = 8;  // columns that lie a power of two apart share few lines of the cache
    if (column_stride == 1) {
        for (int64_t i = 0; i < k; ++i) std::copy(from + i * k_stride, from + i * k_stride + columns, to + i * kPanel);
    } else {
        const int64_t whole = k_stride == 1 && columns == kPanel ? k / kLanes * kLanes : 0;
        for (int64_t i = 0; i < whole; i += kLanes)
            for (int64_t j = 0; j < kPanel; j += kLanes)
                transpose_square(from + i + j * column_stride, column_stride, to + i * kPanel + j, kPanel);
        for (int64_t j0 = 0; j0 < columns; j0 += kTogether) {
            const int64_t j1 = std::min(j0 + kTogether, columns);
            for (int64_t i = whole; i < k; ++i)
                for (int64_t j = j0; j < j1; ++j) to[i * kPanel + j] = from[i * k_stride + j * column_stride];
        }
    }
    if (columns == kPanel) return;
    for (int64_t i = 0; i < k; ++i) std::fill(to + i * kPanel + columns, to + (i + 1) * kPanel, 0.0f);
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
