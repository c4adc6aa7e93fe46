// What can be wrong with the operands and attributes of a convolution or product; said once, when a program is made.
#pragma once
#include <algorithm>

#include "core/activation.h"
#include "kernels/conv/geometry.h"

namespace striate {
namespace STRIATE_ISA_NS {

constexpr int kConvInts = 18;

inline int64_t padded(int64_t channels, int64_t block) { return (channels + block - 1) / block * block; }

inline bool has_bytes(const Tensor& t, const Tensor& like) { return t.dtype == DType::u8 && t.size() == like.size(); }

inline bool are_floats(const Step& s) {
    const auto is_float = [](const Tensor& t) { return t.dtype == DType::f32; };
    return std::all_of(s.in, s.in + s.n_in, is_float) && std::all_of(s.out, s.out + s.n_out, is_float);
}

// What stands behind the first two inputs, as `activation` and `flags` (two ints) ask for it. `size`: of the result
// before pooling. A kernel takes the flags in `allowed`.
inline const char* check_finish(const Step& s, const int64_t* ints, int64_t channels, int64_t size,
                                int64_t allowed = kHasBias | kHasResidual) {
    if (ints[0] < 0 || ints[0] >= kActivationCount) return "unknown activation";
    if (ints[1] < 0 || (ints[1] & ~allowed)) return "flags that this kernel does not know";
    const bool bias = ints[1] & kHasBias, residual = ints[1] & kHasResidual, mask = ints[1] & kHasMask;
    if (s.n_in != 2 + bias + residual + mask + ((ints[1] & kHasUnpool) != 0))
        return "expected two inputs, and those that the flags name";
    if (bias && s.in[2].size() != channels) return "the bias must have one value for each output channel";
    for (int i = 2 + bias; i < 2 + bias + residual + mask; ++i)
        if (s.in[i].size() != size) return "residual and mask must have the shape of the output";
    return nullptr;
}

// `x` and `y`: the forward convolution's input and output.
inline const char* check_geometry(const Step& s, const Tensor& x, const Tensor& y) {
    if (s.n_ints != kConvInts) return "expected the 18 ints of striate.kernels.conv.encode";
    if (x.rank < 3 || x.rank > kAxes + 2 || y.rank != x.rank) return "expected (batch, one to three sizes, channels)";
    const Conv c = read_conv(s, x, y);
    for (int i = 0; i < kAxes; ++i)
        if (c.stride[i] < 1 || c.dilation[i] < 1 || c.kernel[i] < 0) return "strides and dilation start at 1";
    if (x.shape[0] != y.shape[0]) return "input and output must have one batch size";
    if (c.groups < 1 || c.cin % c.groups || c.cout % c.groups) return "the groups must divide the channels";
    return nullptr;
}

// `block`: the channels that stand together in the packed operand; `forward` is false for the input gradient.
inline const char* check_conv(const Step& s, bool forward, int64_t block, bool per_group,
                              int64_t allowed = kHasBias | kHasResidual) {
    if (s.n_in < 2 || s.n_out != 1) return "expected at least two inputs and one output";
    const Tensor &x = forward ? s.in[0] : s.out[0], &y = forward ? s.out[0] : s.in[0];
    if (!are_floats(s)) return "all arrays must be float32";
    if (const char* problem = check_geometry(s, x, y)) return problem;
    const Conv c = read_conv(s, x, y);
    const int64_t inner = forward ? c.group_in() : c.group_out(), outer = forward ? c.group_out() : c.group_in();
    const int64_t channels = per_group ? c.groups * padded(outer, block) : padded(c.groups * outer, block);
    if (s.in[1].size() != c.taps() * inner * channels) return "the packed kernel has another size than it must have";
    return check_finish(s, s.ints + kConvInts - 2, forward ? c.cout : c.cin, s.out[0].size(), allowed);
}

// `dy`: the output's gradient, whole.
inline const char* check_kernel_grad_of(const Step& s, const Tensor& dy) {
    if (s.in[0].dtype != DType::f32 || s.in[1].dtype != DType::f32 || s.out[0].dtype != DType::f32)
        return "all arrays must be float32";
    if (const char* problem = check_geometry(s, s.in[0], dy)) return problem;
    const Conv c = read_conv(s, s.in[0], dy);
    return s.out[0].size() == c.taps() * c.group_in() * c.cout ? nullptr : "the output must have the kernel's shape";
}

inline const char* check_kernel_grad(const Step& s) {
    if (s.n_in != 2 || s.n_out != 1) return "expected the input, the output's gradient, and one output";
    return check_kernel_grad_of(s, s.in[1]);
}

// A 3x3 convolution's output with stride 1, where the tensor at hand holds its 2x2 maxima.
inline Tensor unpooled(const Step& s, const Tensor& x, const Tensor& y) {
    Tensor full = y;
    for (int i = 1; i < 3; ++i) full.shape[i] = x.shape[i] + s.ints[3 + 2 * i] + s.ints[4 + 2 * i] - 2;
    return full;
}

inline int64_t flags_of(const Step& s) { return s.ints[kConvInts - 1]; }

// The output's size along one axis, where the tensor at hand holds its 2x2 maxima.
inline int64_t unpooled_size(const Conv& c, int i) {
    const int64_t room = c.x[i] + c.lo[i] + c.hi[i] - (c.kernel[i] - 1) * c.dilation[i] - 1;
    return room < 0 ? 0 : room / c.stride[i] + 1;
}

// `y`: what holds maxima of the output, of size `full`, where the flags say so.
inline const char* check_maxima(const Step& s, const Tensor& y, const Conv& full) {
    const bool places = flags_of(s) & kHasPositions, spread = flags_of(s) & kHasUnpool;
    if (flags_of(s) & (kHasPool | kHasUnpool))
        for (int i = 1; i < kAxes; ++i)
            if (y.rank != 4 || y.shape[i] != full.y[i] / 2)
                return "expected the 2x2 maxima of the convolution's output";
    if (s.n_out != 1 + places) return "expected one output, and the positions where the flags say so";
    if (places && (!(flags_of(s) & kHasPool) || !has_bytes(s.out[1], s.out[0])))
        return "expected a byte for each maximum";
    if (spread && !has_bytes(s.in[s.n_in - 1], y)) return "expected a byte for each maximum";
    for (int i = 0; i < s.n_in - spread; ++i)
        if (s.in[i].dtype != DType::f32) return "all arrays but positions must be float32";
    return s.out[0].dtype == DType::f32 ? nullptr : "all arrays but positions must be float32";
}

// A convolution of one group whose target has at most `most` channels; weights as they are.
inline const char* check_few_conv(const Step& s, bool forward, int64_t most) {
    if (s.n_in < 2 || s.n_out < 1) return "expected at least two inputs and one output";
    const Tensor &x = forward ? s.in[0] : s.out[0], &y = forward ? s.out[0] : s.in[0];
    if (const char* problem = check_geometry(s, x, y)) return problem;
    Conv c = read_conv(s, x, y);
    if (flags_of(s) & (kHasPool | kHasUnpool))
        for (int i = 0; i < kAxes; ++i) c.y[i] = unpooled_size(c, i);
    if (const char* problem = check_maxima(s, y, c)) return problem;
    const int64_t channels = forward ? c.cout : c.cin;
    if (c.groups != 1 || channels > most) return "expected one group, and few channels";
    if (s.in[1].size() != c.taps() * c.cin * c.cout) return "the kernel has another size than it must have";
    const int64_t pixels = forward ? c.y_pixels() : c.x_pixels();
    return check_finish(s, s.ints + kConvInts - 2, channels, c.batch * pixels * channels,
                        kHasBias | kHasResidual | kHasMask | (forward ? kHasPool | kHasPositions : kHasUnpool));
}

// What Winograd's algorithm takes: 3x3 along the last two axes, stride 1, channels in blocks.
inline const char* check_winograd_shape(const Conv& c, int64_t block) {
    for (int i = 0; i < kAxes; ++i) {
        const int64_t kernel = i == 0 ? c.kernel[0] : 3;
        if (c.kernel[i] != kernel || c.stride[i] != 1 || c.dilation[i] != 1) return "expected 3x3 with stride 1";
        if (c.lo[i] < 0 || c.lo[i] >= kernel || c.hi[i] < 0 || c.hi[i] >= kernel) return "expected pads of 0 to 2";
    }
    return c.groups == 1 && c.cin % block == 0 && c.cout % block == 0 ? nullptr
                                                                      : "expected one group, channels in sixteens";
}

inline const char* check_pack(const Step& s, bool forward, int64_t block, bool per_group) {
    if (s.n_in != 1 || s.n_out != 1 || !are_floats(s)) return "expected one float32 input and output";
    const Tensor& w = s.in[0];
    if (w.rank < 3 || s.n_ints < 1 || s.n_ints > 2)
        return "expected a kernel (sizes, channels in, channels out) and the groups";
    const int64_t groups = s.ints[0], cin = w.shape[w.rank - 2], cout = w.shape[w.rank - 1];
    if (groups < 1 || cout % groups) return "the groups must divide the output channels";
    int64_t taps = 1;
    for (int i = 0; i < w.rank - 2; ++i) taps *= w.shape[i];
    const int64_t inner = forward ? cin : cout / groups, outer = forward ? cout / groups : cin;
    const int64_t channels = per_group ? groups * padded(outer, block) : padded(groups * outer, block);
    return s.out[0].size() == taps * inner * channels ? nullptr
                                                      : "the output has another size than packed it must have";
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
