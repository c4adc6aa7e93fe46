// A convolution as the kernels see it: always three spatial axes (shorter ranks get leading ones), channels last.
#pragma once
#include <cstdint>

#include "core/kernel.h"
#include "core/simd.h"

namespace striate {
namespace STRIATE_ISA_NS {

using std::int64_t;

constexpr int kAxes = 3;
// What is fused with a convolution. Mask: the result is kept where this tensor is positive (a rectifier's gradient).
// Pool: 2x2 maxima are stored instead of the result, with kHasPositions also where in its window each stood. Unpool:
// the source is a gradient of such maxima, to be read at their positions.
enum ConvFlags : int {
    kHasBias = 1,
    kHasResidual = 2,
    kHasMask = 4,
    kHasPool = 8,
    kHasPositions = 16,
    kHasUnpool = 32
};

// The forward convolution: `x` and `y` are its input and output whichever of the three passes is computed.
struct Conv {
    int64_t batch = 1, cin = 1, cout = 1, groups = 1;
    int64_t x[kAxes] = {1, 1, 1}, y[kAxes] = {1, 1, 1};
    int64_t kernel[kAxes], stride[kAxes], lo[kAxes], hi[kAxes], dilation[kAxes];
    int activation = 0, flags = 0;

    int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
    int64_t group_in() const { return groups ? cin / groups : 0; }
    int64_t group_out() const { return groups ? cout / groups : 0; }
    int64_t x_pixels() const { return x[0] * x[1] * x[2]; }
    int64_t y_pixels() const { return y[0] * y[1] * y[2]; }
    int64_t work() const { return batch * y_pixels() * taps() * group_in() * cout; }
};

inline void read_spatial(const Tensor& t, int64_t* spatial, int64_t& batch, int64_t& channels) {
    const int axes = t.rank - 2;
    batch = t.shape[0];
    channels = t.shape[t.rank - 1];
    for (int i = 0; i < kAxes; ++i) spatial[i] = i < kAxes - axes ? 1 : t.shape[1 + i - (kAxes - axes)];
}

// Integers as src/striate/kernels/conv.py encodes them: strides, (lo, hi) pads, dilation, kernel (three each), groups,
// activation, flags.
inline Conv read_conv(const Step& s, const Tensor& x, const Tensor& y) {
    Conv c;
    int64_t batch;
    read_spatial(x, c.x, c.batch, c.cin);
    read_spatial(y, c.y, batch, c.cout);
    for (int i = 0; i < kAxes; ++i) {
        c.stride[i] = s.ints[i];
        c.lo[i] = s.ints[3 + 2 * i];
        c.hi[i] = s.ints[4 + 2 * i];
        c.dilation[i] = s.ints[9 + i];
        c.kernel[i] = s.ints[12 + i];
    }
    c.groups = s.ints[15];
    c.activation = static_cast<int>(s.ints[16]);
    c.flags = static_cast<int>(s.ints[17]);
    return c;
}

// A 1x1 convolution without strides or padding is one long line of pixels.
inline bool pointwise(const Conv& c) {
    for (int i = 0; i < kAxes; ++i)
        if (c.kernel[i] != 1 || c.stride[i] != 1 || c.x[i] != c.y[i] || c.lo[i] != 0) return false;
    return true;
}

inline Conv flattened(Conv c) {
    if (!pointwise(c)) return c;
    const int64_t pixels = c.batch * c.x_pixels();
    c.batch = c.x[0] = c.x[1] = c.y[0] = c.y[1] = 1;
    c.x[2] = c.y[2] = pixels;
    return c;
}

// Along one axis, the outputs of one phase and the taps that reach them. Output j of `count` stands at
// start + j * step; tap t of `taps` is number first_tap + t * tap_step in the kernel and reads the source at
// j * source_step + offset + t * offset_step, if that lies inside [0, source).
struct Axis {
    int64_t count, start, step;
    int64_t source, source_step;
    int64_t taps, first_tap, tap_step, offset, offset_step;
};

// The outputs that share their taps.
struct Phase {
    Axis axis[kAxes];
    int64_t pixels(int64_t batch) const { return batch * axis[0].count * axis[1].count * axis[2].count; }
};

inline Axis forward_axis(const Conv& c, int i) {
    return {c.y[i], 0, 1, c.x[i], c.stride[i], c.kernel[i], 0, 1, -c.lo[i], c.dilation[i]};
}

// Input gradient (transposed convolution): input i gets output o through tap k where i + lo = o * stride + k *
// dilation. The inputs with the same remainder `phase` of the stride share their taps, so no zero is ever multiplied.
inline Axis backward_axis(const Conv& c, int i, int64_t phase) {
    const int64_t s = c.stride[i], d = c.dilation[i];
    Axis a = {phase < c.x[i] ? (c.x[i] - phase + s - 1) / s : 0, phase, s, c.y[i], 1, 0, 0, 1, 0, 0};
    int64_t first = -1, second = -1;
    for (int64_t k = 0; k < c.kernel[i] && second < 0; ++k) {
        if ((phase + c.lo[i] - k * d) % s != 0) continue;
        (first < 0 ? first : second) = k;
    }
    if (first < 0) return a;
    a.first_tap = first;
    a.tap_step = second < 0 ? 1 : second - first;
    a.taps = second < 0 ? 1 : (c.kernel[i] - 1 - first) / a.tap_step + 1;
    a.offset = (phase + c.lo[i] - first * d) / s;
    a.offset_step = -(a.tap_step * d) / s;
    return a;
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
