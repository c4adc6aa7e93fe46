// How one operand of an elementwise chain is read along the output: as it lies there, as one value, as a row that
// repeats, or by strides.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/kernel.h"
#include "core/simd.h"

namespace striate {
namespace STRIATE_ISA_NS {

using std::int64_t;

constexpr int64_t kBlock = 256;        // values that one operation handles at once: all blocks of a chain stay in L1
constexpr int64_t kLongestRow = 8192;  // longer repeating rows are read by strides

enum class Reading { same, scalar, row, strided };

struct Source {
    Reading reading = Reading::same;
    bool is_bool = false;
    const void* data = nullptr;
    int64_t row = 0;               // length of the row that repeats
    const float* tiled = nullptr;  // the row, repeated far enough for any block
    int rank = 0;
    int64_t size[kMaxRank] = {}, stride[kMaxRank] = {};
};

// Axes of the output with the operand's strides; neighbours that are walked as one become one.
inline void collapse(const Tensor& x, const Tensor& out, Source& s) {
    int64_t stride = 1;
    int64_t strides[kMaxRank] = {};
    for (int i = out.rank - 1, j = x.rank - 1; i >= 0; --i, --j) {
        const int64_t n = j >= 0 ? x.shape[j] : 1;
        strides[i] = n == 1 ? 0 : stride;
        stride *= n;
    }
    s.rank = 0;
    for (int i = 0; i < out.rank; ++i) {
        if (out.shape[i] == 1) continue;
        const int last = s.rank - 1;
        if (last >= 0 && s.stride[last] == strides[i] * out.shape[i]) {
            s.size[last] *= out.shape[i];
            s.stride[last] = strides[i];
        } else {
            s.size[s.rank] = out.shape[i];
            s.stride[s.rank++] = strides[i];
        }
    }
}

inline Source plan_source(const Tensor& x, const Tensor& out) {
    Source s;
    s.is_bool = x.dtype == DType::b8;
    s.data = x.data;
    collapse(x, out, s);
    const bool dense = s.rank == 0 || (s.rank == 1 && s.stride[0] == 1);
    if (x.size() == 1)
        s.reading = Reading::scalar;
    else if (dense)
        s.reading = s.is_bool ? Reading::strided : Reading::same;
    else if (s.rank == 2 && s.stride[0] == 0 && s.stride[1] == 1 && s.size[1] <= kLongestRow)
        s.reading = Reading::row;
    else
        s.reading = Reading::strided;
    s.row = s.reading == Reading::row ? s.size[1] : 0;
    return s;
}

inline float value_at(const Source& s, int64_t i) {
    if (s.is_bool) return static_cast<const std::uint8_t*>(s.data)[i] ? 1.0f : 0.0f;
    return static_cast<const float*>(s.data)[i];
}

inline void fill(float* to, float value, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] = value;
}

// n values from `from` on, `stride` apart.
inline void copy_run(const Source& s, int64_t from, int64_t stride, float* to, int64_t n) {
    if (stride == 0) {
        fill(to, value_at(s, from), n);
    } else if (s.is_bool) {
        const auto* p = static_cast<const std::uint8_t*>(s.data) + from;
        for (int64_t i = 0; i < n; ++i) to[i] = p[i * stride] ? 1.0f : 0.0f;
    } else if (stride == 1) {
        std::memcpy(to, static_cast<const float*>(s.data) + from, static_cast<std::size_t>(n) * sizeof(float));
    } else {
        const auto* p = static_cast<const float*>(s.data) + from;
        for (int64_t i = 0; i < n; ++i) to[i] = p[i * stride];
    }
}

// The operand's values at the output's elements [start, start + n).
inline void fetch(const Source& s, int64_t start, float* to, int64_t n) {
    int64_t at[kMaxRank] = {}, offset = 0, rest = start;
    for (int d = s.rank - 1; d >= 0; --d) {
        at[d] = rest % s.size[d];
        rest /= s.size[d];
        offset += at[d] * s.stride[d];
    }
    const int inner = s.rank - 1;
    while (n > 0) {
        const int64_t run = std::min(n, s.size[inner] - at[inner]);
        copy_run(s, offset, s.stride[inner], to, run);
        to += run;
        n -= run;
        at[inner] += run;
        offset += run * s.stride[inner];
        for (int d = inner; d > 0 && at[d] == s.size[d]; --d) {
            offset += s.stride[d - 1] - s.size[d] * s.stride[d];
            at[d] = 0;
            ++at[d - 1];
        }
    }
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
