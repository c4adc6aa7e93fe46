// Packing the right operand of a product into panels of kPanel columns, tails filled with zeros.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {

// Element (k, column) stands at from[k * k_stride + column * column_stride]; `columns` <= kPanel of them are real.
inline void pack_panel(const float* from, int64_t k_stride, int64_t column_stride, int64_t k, int64_t columns,
                       float* to) {
    for (int64_t i = 0; i < k; ++i, from += k_stride, to += kPanel) {
        if (column_stride == 1)
            std::copy(from, from + columns, to);
        else
            for (int64_t j = 0; j < columns; ++j) to[j] = from[j * column_stride];
        std::fill(to + columns, to + kPanel, 0.0f);
    }
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
