// The direct convolution and its input gradient (the transposed convolution): one gathered matrix product.
#include "kernels/conv/check.h"
#include "kernels/conv/direct_unit.h"
#include "kernels/conv/finish.h"
#include "kernels/conv/gather.h"
#include "kernels/gemm/pack.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int64_t kMergeChannels = 16;  // below, a run of one tap is too short for the inner loop

void copy_dims(const int64_t* from, int64_t* to) { std::copy(from, from + kAxes, to); }

Gather forward_gather(const Step& s, const Conv& c) {
    Gather g;
    g.source = s.in[0].f32();
    g.panels = s.in[1].f32();
    g.target = s.out[0].f32();
    g.batch = c.batch;
    copy_dims(c.x, g.source_dims);
    copy_dims(c.y, g.target_dims);
    copy_dims(c.kernel, g.kernel);
    g.source_channels = c.cin;
    g.target_channels = c.cout;
    g.groups = c.groups;
    g.depth = c.group_in();
    g.width = c.group_out();
    g.merge = c.groups == 1 && c.cin <= kMergeChannels && c.dilation[2] == 1 && c.kernel[2] > 1;
    return g;
}

// Whether the taps of one line are one run in the input gradient: they are packed the other way round then.
bool merges_backward(const Conv& c) {
    return c.groups == 1 && c.cout <= kMergeChannels && c.stride[2] == 1 && c.dilation[2] == 1 && c.kernel[2] > 1;
}

// The last axis of an input gradient whose taps are merged.
Axis merged_axis(Axis a) {
    a.offset += (a.taps - 1) * a.offset_step;
    a.offset_step = -a.offset_step;
    return a;
}

Gather backward_gather(const Step& s, const Conv& c) {
    Gather g;
    g.source = s.in[0].f32();
    g.panels = s.in[1].f32();
    g.target = s.out[0].f32();
    g.batch = c.batch;
    copy_dims(c.y, g.source_dims);
    copy_dims(c.x, g.target_dims);
    copy_dims(c.kernel, g.kernel);
    g.source_channels = c.cout;
    g.target_channels = c.cin;
    g.groups = c.groups;
    g.depth = c.group_out();
    g.width = c.group_in();
    g.merge = merges_backward(c);
    return g;
}

Phase forward_phase(const Conv& c) { return {{forward_axis(c, 0), forward_axis(c, 1), forward_axis(c, 2)}}; }

// Of an input gradient without strides.
Phase backward_phase(const Conv& c) {
    return {{backward_axis(c, 0, 0), backward_axis(c, 1, 0), backward_axis(c, 2, 0)}};
}
bool has_strides(const Conv& c) { return c.stride[0] * c.stride[1] * c.stride[2] != 1; }

void conv_direct(const Step& s) {
    const Conv c = flattened(read_conv(s, s.in[0], s.out[0]));
    if (s.out[0].size() == 0) return;
    Gather g = forward_gather(s, c);
    g.finish = read_finish(s, c.activation, c.flags);
    if (run_on_unit(g, forward_phase(c), s)) return;
    gather_run(g, 1, s, [&](int64_t) { return forward_phase(c); });
}

std::size_t conv_direct_scratch(const Step& s, int threads) {
    const Conv c = flattened(read_conv(s, s.in[0], s.out[0]));
    const Gather g = forward_gather(s, c);
    const std::size_t on_unit = unit_scratch(g, forward_phase(c), threads);
    return on_unit ? on_unit : gather_scratch(g, threads).total;
}

void conv_input_grad(const Step& s) {
    const Conv c = read_conv(s, s.out[0], s.in[0]);
    if (s.out[0].size() == 0) return;
    Gather g = backward_gather(s, c);
    g.finish = read_finish(s, c.activation, c.flags);
    if (!has_strides(c) && run_on_unit(g, backward_phase(c), s)) return;
    gather_run(g, c.stride[0] * c.stride[1] * c.stride[2], s, [&](int64_t i) {
        const Axis last = backward_axis(c, 2, i % c.stride[2]);
        return Phase{{backward_axis(c, 0, i / c.stride[2] / c.stride[1]),
                      backward_axis(c, 1, i / c.stride[2] % c.stride[1]), g.merge ? merged_axis(last) : last}};
    });
}

std::size_t conv_input_grad_scratch(const Step& s, int threads) {
    const Conv c = read_conv(s, s.out[0], s.in[0]);
    const Gather g = backward_gather(s, c);
    const std::size_t on_unit = has_strides(c) ? 0 : unit_scratch(g, backward_phase(c), threads);
    return on_unit ? on_unit : gather_scratch(g, threads).total;
}

// Packed weights: [group][panel of target channels][tap][source channel][kPanel]. The raw kernel is
// [tap][cin / groups][cout]; forward packs the last axis, the input gradient the one before. With a second integer, the
// taps of each line come the other way round.
template <bool Forward>
void pack_weights(const Step& s) {
    const Tensor& w = s.in[0];
    const int64_t groups = s.ints[0], cin = w.shape[w.rank - 2], all = w.shape[w.rank - 1];
    if (s.out[0].size() == 0) return;
    const int64_t cout = all / groups, taps = w.size() / (cin * all);
    const int64_t depth = Forward ? cin : cout, width = Forward ? cout : cin;
    const int64_t panels = (width + kPanel - 1) / kPanel, line = w.shape[w.rank - 3];
    const bool turned = s.n_ints > 1 && s.ints[1];
    parallel_for(*s.pool, groups * panels * taps, w.size() > 1 << 16, [&](int64_t i, int) {
        const int64_t tap = i % taps, panel = i / taps % panels, group = i / taps / panels;
        const int64_t from_tap = turned ? tap / line * line + line - 1 - tap % line : tap;
        const float* from = w.f32() + from_tap * cin * all + group * cout;
        const int64_t columns = std::min<int64_t>(kPanel, width - panel * kPanel);
        float* to = s.out[0].f32() + i * depth * kPanel;
        if (Forward)
            pack_panel(from + panel * kPanel, all, 1, depth, columns, to);
        else
            pack_panel(from + panel * kPanel * all, 1, all, depth, columns, to);
    });
}

template <bool Forward>
const char* check(const Step& s) {
    return check_conv(s, Forward, kPanel, true, kHasBias | kHasResidual | kHasMask);
}

template <bool Forward>
const char* check_packing(const Step& s) {
    return check_pack(s, Forward, kPanel, true);
}

constexpr Kernel kKernels[] = {
    {"conv_pack", &pack_weights<true>, nullptr, &check_packing<true>},
    {"conv_direct", &conv_direct, &conv_direct_scratch, &check<true>},
    {"conv_input_grad_pack", &pack_weights<false>, nullptr, &check_packing<false>},
    {"conv_input_grad", &conv_input_grad, &conv_input_grad_scratch, &check<false>},
};

}  // namespace

extern const KernelTable conv_direct_table;
const KernelTable conv_direct_table = {kKernels, 4};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
