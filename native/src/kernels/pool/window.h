// The windows of a pooling as loops see them: three spatial axes, missing ones in front of size 1.
#pragma once
#include <algorithm>
#include <cstdint>

#include "core/kernel.h"

namespace striate {
namespace STRIATE_ISA_NS {

using std::int64_t;

struct Window {
    int64_t n = 0, c = 0;
    int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1};
    int64_t size[3] = {1, 1, 1}, stride[3] = {1, 1, 1}, low[3] = {0, 0, 0}, dilation[3] = {1, 1, 1};
    bool count_pad = false;

    int64_t cells() const { return size[0] * size[1] * size[2]; }
    int64_t in_pixels() const { return in[0] * in[1] * in[2]; }
    int64_t out_pixels() const { return out[0] * out[1] * out[2]; }
};

// The cells [first, last) of a window that lie inside the input along one axis, and where its first cell lies.
struct Span {
    int64_t base, first, last;
};

inline Span span(const Window& w, int axis, int64_t o) {
    const int64_t base = o * w.stride[axis] - w.low[axis], d = w.dilation[axis];
    const int64_t first = base < 0 ? (-base + d - 1) / d : 0;
    const int64_t rest = w.in[axis] - base;
    const int64_t last = rest <= 0 ? 0 : d == 1 ? rest : (rest + d - 1) / d;  // a division takes as long as a window
    return {base, std::min(first, w.size[axis]), std::max(std::min(first, w.size[axis]), std::min(last, w.size[axis]))};
}

// All cells of one output's window that lie inside: calls f(offset of the cell's pixel, number of the cell in the
// window).
struct Cells {
    Span a, b, c;
    const Window& w;

    Cells(const Window& window, int64_t o0, int64_t o1, int64_t o2)
        : a(span(window, 0, o0)), b(span(window, 1, o1)), c(span(window, 2, o2)), w(window) {}

    int64_t count() const { return (a.last - a.first) * (b.last - b.first) * (c.last - c.first); }

    template <class F>
    void each(F&& f) const {
        for (int64_t i = a.first; i < a.last; ++i)
            for (int64_t j = b.first; j < b.last; ++j) {
                const int64_t row =
                    ((a.base + i * w.dilation[0]) * w.in[1] + b.base + j * w.dilation[1]) * w.in[2] + c.base;
                const int64_t number = (i * w.size[1] + j) * w.size[2];
                for (int64_t k = c.first; k < c.last; ++k) f((row + k * w.dilation[2]) * w.c, number + k);
            }
    }
};

// Attributes: see striate.kernels.attributes.pool. `x` has the unpooled shape, `y` the pooled one.
inline Window read_window(const Step& s, const Tensor& x, const Tensor& y) {
    Window w;
    const int r = static_cast<int>(s.ints[0]);
    w.n = x.shape[0];
    w.c = x.shape[x.rank - 1];
    for (int i = 0; i < r; ++i) {
        const int axis = 3 - r + i;
        w.in[axis] = x.shape[1 + i];
        w.out[axis] = y.shape[1 + i];
        w.size[axis] = s.ints[1 + i];
        w.stride[axis] = s.ints[1 + r + i];
        w.low[axis] = s.ints[1 + 2 * r + i];
        w.dilation[axis] = s.ints[1 + 4 * r + i];
    }
    w.count_pad = s.ints[1 + 5 * r] != 0;
    return w;
}

inline const char* check_window(const Step& s, const Tensor& x, const Tensor& y) {
    const int64_t r = s.n_ints > 0 ? s.ints[0] : 0;
    if (r < 1 || r > 3 || s.n_ints != 2 + 5 * r) return "expected 1 to 3 spatial axes and 2 + 5 of them ints";
    if (x.rank != r + 2 || y.rank != r + 2 || x.shape[0] != y.shape[0] || x.shape[r + 1] != y.shape[r + 1])
        return "expected (batch, *spatial, channels), with the batch and channels of the other array";
    for (int i = 0; i < r; ++i) {
        const int64_t k = s.ints[1 + i], stride = s.ints[1 + r + i], lo = s.ints[1 + 2 * r + i];
        const int64_t hi = s.ints[1 + 3 * r + i], d = s.ints[1 + 4 * r + i];
        if (k < 1 || stride < 1 || lo < 0 || hi < 0 || d < 1)
            return "window, strides and dilation start at 1, padding at 0";
        const int64_t room = x.shape[1 + i] + lo + hi - (k - 1) * d - 1;
        if (y.shape[1 + i] != (room < 0 ? 0 : room / stride + 1))
            return "a spatial size does not follow from the window";
    }
    return nullptr;
}

inline bool all_floats(const Step& s) {
    for (int i = 0; i < s.n_in; ++i)
        if (s.in[i].dtype != DType::f32) return false;
    return s.out[0].dtype == DType::f32;
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
