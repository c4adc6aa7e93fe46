// Depthwise convolutions and those with small groups, forward and input gradient.
#include "kernels/conv/depthwise.h"

#include "kernels/conv/check.h"
#include "kernels/conv/finish.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

void copy_dims(const int64_t* from, int64_t* to) { std::copy(from, from + kAxes, to); }

Depthwise read_depthwise(const Step& s, const Conv& c, bool forward) {
    Depthwise d;
    d.source = s.in[0].f32();
    d.weights = s.in[1].f32();
    d.target = s.out[0].f32();
    d.batch = c.batch;
    copy_dims(forward ? c.x : c.y, d.source_dims);
    copy_dims(forward ? c.y : c.x, d.target_dims);
    copy_dims(c.kernel, d.kernel);
    d.source_channels = forward ? c.cin : c.cout;
    d.target_channels = forward ? c.cout : c.cin;
    d.outer = forward ? c.group_out() : c.group_in();
    d.inner = forward ? c.group_in() : c.group_out();
    d.finish = read_finish(s, c.activation, c.flags);
    return d;
}

void conv_depthwise(const Step& s) {
    if (s.out[0].size() == 0) return;
    const Conv c = flattened(read_conv(s, s.in[0], s.out[0]));
    const Depthwise d = read_depthwise(s, c, true);
    const Axis axis[kAxes] = {forward_axis(c, 0), forward_axis(c, 1), forward_axis(c, 2)};
    depthwise_phase(d, axis, s);
}

void conv_depthwise_input_grad(const Step& s) {
    if (s.out[0].size() == 0) return;
    const Conv c = flattened(read_conv(s, s.out[0], s.in[0]));
    const Depthwise d = read_depthwise(s, c, false);
    for (int64_t i = 0; i < c.stride[0] * c.stride[1] * c.stride[2]; ++i) {
        const Axis axis[kAxes] = {backward_axis(c, 0, i / c.stride[2] / c.stride[1]),
                                  backward_axis(c, 1, i / c.stride[2] % c.stride[1]),
                                  backward_axis(c, 2, i % c.stride[2])};
        depthwise_phase(d, axis, s);
    }
}

// Several sources to one target: [tap][padded source channels], zeros behind.
template <bool Forward>
void pack_wide(const Step& s, int64_t taps, int64_t targets, int64_t inner) {
    const int64_t sources = targets * inner, padded = padded_channels(sources);
    const float* from = s.in[0].f32();
    float* to = s.out[0].f32();
    std::fill(to, to + s.out[0].size(), 0.0f);
    for (int64_t tap = 0; tap < taps; ++tap, from += sources, to += padded)
        for (int64_t c = 0; c < sources; ++c) to[c] = Forward ? from[c % inner * targets + c / inner] : from[c];
}

// The raw kernel is [tap][cin / groups][cout]; packed, [tap][source channel of the group][padded target channels].
template <bool Forward>
void pack_weights(const Step& s) {
    const Tensor& w = s.in[0];
    if (s.out[0].size() == 0) return;
    const int64_t groups = s.ints[0], group_in = w.shape[w.rank - 2], cout = w.shape[w.rank - 1];
    const int64_t group_out = cout / groups, taps = w.size() / (group_in * cout);
    const int64_t inner = Forward ? group_in : group_out, outer = Forward ? group_out : group_in;
    const int64_t channels = groups * outer, padded = padded_channels(channels);
    float* to = s.out[0].f32();
    if (is_wide(outer, inner)) return pack_wide<Forward>(s, taps, channels, inner);
    for (int64_t row = 0; row < taps * inner; ++row, to += padded) {
        const float* from = w.f32() + row / inner * group_in * cout;
        const int64_t j = row % inner;
        for (int64_t c = 0; c < channels; ++c)
            to[c] = Forward ? from[j * cout + c] : from[c % outer * cout + c / outer * group_out + j];
        std::fill(to + channels, to + padded, 0.0f);
    }
}

template <bool Forward>
const char* check(const Step& s) {
    if (const char* problem = check_conv(s, Forward, kChannelBlock, false)) return problem;
    const Conv c = Forward ? read_conv(s, s.in[0], s.out[0]) : read_conv(s, s.out[0], s.in[0]);
    const bool small = c.group_in() <= kChannelBlock && c.group_out() <= kChannelBlock;
    return c.group_in() <= 1 || small ? nullptr : "groups must have one input channel, or at most 16 channels";
}

template <bool Forward>
const char* check_packing(const Step& s) {
    return check_pack(s, Forward, kChannelBlock, false);
}

constexpr Kernel kKernels[] = {
    {"conv_depthwise_pack", &pack_weights<true>, nullptr, &check_packing<true>},
    {"conv_depthwise", &conv_depthwise, nullptr, &check<true>},
    {"conv_depthwise_input_grad_pack", &pack_weights<false>, nullptr, &check_packing<false>},
    {"conv_depthwise_input_grad", &conv_depthwise_input_grad, nullptr, &check<false>},
};

}  // namespace

extern const KernelTable conv_depthwise_table;
const KernelTable conv_depthwise_table = {kKernels, 4};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
