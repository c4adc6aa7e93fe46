// Copies between arrays of any strides: what transposing, slicing, joining and broadcasting have in common.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/kernel.h"
#include "core/simd.h"
#include "core/thread_pool.h"
#include "core/transpose.h"

namespace striate {
namespace STRIATE_ISA_NS {

using std::int64_t;

constexpr int64_t kParallelBytes = 1 << 17;
constexpr int64_t kSquare = 32;  // side of a block that is transposed at once

inline int64_t item_size(DType dtype) {
    if (dtype == DType::f64 || dtype == DType::i64) return 8;
    return dtype == DType::u8 || dtype == DType::b8 ? 1 : 4;
}

// Element strides of a dense tensor.
inline void dense_strides(const Tensor& t, int64_t* strides) {
    int64_t step = 1;
    for (int i = t.rank - 1; i >= 0; --i) {
        strides[i] = step;
        step *= t.shape[i];
    }
}

struct Axis {
    int64_t size, from, to;  // strides in elements
};

struct Copy {
    const void* from = nullptr;
    void* to = nullptr;
    int rank = 0;
    Axis axis[kMaxRank + 1] = {};

    void add(int64_t size, int64_t from_stride, int64_t to_stride) { axis[rank++] = {size, from_stride, to_stride}; }
    int64_t count() const {
        int64_t n = 1;
        for (int i = 0; i < rank; ++i) n *= axis[i].size;
        return n;
    }

    // Drops axes of size 1, and joins neighbours that both sides walk as one.
    void simplify() {
        int kept = 0;
        for (int i = 0; i < rank; ++i) {
            if (axis[i].size == 1) continue;
            const Axis a = axis[i];
            if (kept > 0 && axis[kept - 1].from == a.from * a.size && axis[kept - 1].to == a.to * a.size) {
                axis[kept - 1] = {axis[kept - 1].size * a.size, a.from, a.to};
            } else {
                axis[kept++] = a;
            }
        }
        rank = kept;
        if (rank == 0) add(1, 1, 1);
    }

    // Puts the axis that lies dense in the source next to the last one, if it is another: those two are transposed in
    // blocks.
    bool pair_up() {
        if (axis[rank - 1].to != 1 || axis[rank - 1].from == 1) return false;
        for (int i = 0; i + 1 < rank; ++i)
            if (axis[i].from == 1) {
                std::rotate(axis + i, axis + i + 1, axis + rank - 1);
                return true;
            }
        return false;
    }
};

// Where the walk over the outer axes stands after `index` steps.
struct Offsets {
    int64_t from = 0, to = 0;
};

inline Offsets outer_offsets(const Copy& c, int axes, int64_t index) {
    Offsets o;
    for (int i = axes - 1; i >= 0; --i) {
        const int64_t at = index % c.axis[i].size;
        index /= c.axis[i].size;
        o.from += at * c.axis[i].from;
        o.to += at * c.axis[i].to;
    }
    return o;
}

template <class T>
inline void copy_line(const T* from, T* to, const Axis& a) {
    if (a.from == 1 && a.to == 1) {
        std::memcpy(to, from, static_cast<std::size_t>(a.size) * sizeof(T));
    } else if (a.from == 0 && a.to == 1) {
        const T value = *from;
        for (int64_t i = 0; i < a.size; ++i) to[i] = value;
    } else {
        for (int64_t i = 0; i < a.size; ++i) to[i * a.to] = from[i * a.from];
    }
}

template <class T>
void copy_lines(const Copy& c, ThreadPool& pool, bool parallel) {
    const int outer = c.rank - 1;
    const int64_t line = c.axis[outer].size, lines = c.count() / line;
    const int64_t grain = std::max<int64_t>(1, 8192 / line);
    parallel_for(pool, (lines + grain - 1) / grain, parallel, [&](int64_t t, int) {
        for (int64_t i = t * grain; i < std::min(lines, (t + 1) * grain); ++i) {
            const Offsets o = outer_offsets(c, outer, i);
            copy_line(static_cast<const T*>(c.from) + o.from, static_cast<T*>(c.to) + o.to, c.axis[outer]);
        }
    });
}

// to[r * to_step + k] = from[r + k * from_step] in [r0, r1) x [c0, c1): squares in registers, what is left one by one.
template <class T>
inline void copy_block(const T* from, int64_t from_step, T* to, int64_t to_step, int64_t r0, int64_t r1, int64_t c0,
                       int64_t c1) {
    int64_t whole_r = r0, whole_c = c0;
    if constexpr (sizeof(T) == sizeof(float)) {
        whole_r += (r1 - r0) / kLanes * kLanes;
        whole_c += (c1 - c0) / kLanes * kLanes;
        for (int64_t r = r0; r < whole_r; r += kLanes)
            for (int64_t k = c0; k < whole_c; k += kLanes)
                transpose_square(reinterpret_cast<const float*>(from + r + k * from_step), from_step,
                                 reinterpret_cast<float*>(to + r * to_step + k), to_step);
    }
    for (int64_t r = r0; r < r1; ++r)
        for (int64_t k = r < whole_r ? whole_c : c0; k < c1; ++k) to[r * to_step + k] = from[r + k * from_step];
}

template <class T>
void copy_squares(const Copy& c, ThreadPool& pool, bool parallel) {
    const Axis rows = c.axis[c.rank - 2], columns = c.axis[c.rank - 1];  // dense in the source; dense in the target
    const int64_t bands = (rows.size + kSquare - 1) / kSquare;
    const int64_t outer = c.count() / (rows.size * columns.size);
    parallel_for(pool, outer * bands, parallel, [&](int64_t t, int) {
        const Offsets o = outer_offsets(c, c.rank - 2, t / bands);
        const int64_t r0 = t % bands * kSquare, r1 = std::min(rows.size, r0 + kSquare);
        const T* from = static_cast<const T*>(c.from) + o.from;
        T* to = static_cast<T*>(c.to) + o.to;
        for (int64_t c0 = 0; c0 < columns.size; c0 += kSquare) {
            const int64_t c1 = std::min(columns.size, c0 + kSquare);
            copy_block(from, columns.from, to, rows.to, r0, r1, c0, c1);
        }
    });
}

template <class T>
void run_copy(Copy& c, ThreadPool& pool) {
    if (c.count() == 0) return;
    c.simplify();
    const bool parallel = c.count() * static_cast<int64_t>(sizeof(T)) >= kParallelBytes;
    if (c.pair_up())
        copy_squares<T>(c, pool, parallel);
    else
        copy_lines<T>(c, pool, parallel);
}

// Offsets `from`/`to` are in elements.
inline void copy_strided(const Tensor& from, int64_t from_offset, const Tensor& to, int64_t to_offset, Copy c,
                         ThreadPool& pool) {
    const int64_t item = item_size(from.dtype);
    c.from = static_cast<const char*>(from.data) + from_offset * item;
    c.to = static_cast<char*>(to.data) + to_offset * item;
    if (item == 1) return run_copy<std::uint8_t>(c, pool);
    if (item == 4) return run_copy<std::uint32_t>(c, pool);
    return run_copy<std::uint64_t>(c, pool);
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
