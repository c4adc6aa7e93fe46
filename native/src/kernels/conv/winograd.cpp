// The kernels of winograd_tiles.h: what they take and what they refuse.
#include "kernels/conv/winograd_tiles.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

template <int Pairs, bool Forward>
void run_winograd(const Step& s) {
    if (s.out[0].size() == 0) return;
    const Image g = read_image(s, Forward);
    Winograd<Pairs>(g, s).run(*s.pool);
}

template <int Pairs, bool Forward>
std::size_t winograd_scratch(const Step& s, int threads) {
    return layout_of<Pairs>(read_image(s, Forward), threads).total;
}

const char* check_pooling(const Step& s, const Conv& c, bool forward) {
    const int64_t flags = flags_of(s);
    if (flags & (kHasPool | kHasUnpool)) {
        const Tensor& y = forward ? s.out[0] : s.in[0];
        if (y.rank != 4) return "expected (batch, height, width, channels)";
        for (int i = 1; i < 3; ++i)
            if (y.shape[i] != c.y[i] / 2) return "expected the 2x2 maxima of the convolution's output";
        if (forward && c.activation != kLinear && c.activation != kRelu) return "only a rectifier stands before maxima";
    }
    const bool places = flags & kHasPositions, spread = flags & kHasUnpool;
    if (s.n_out != 1 + places) return "expected one output, and the positions where the flags say so";
    if (places && (!(flags & kHasPool) || !has_bytes(s.out[1], s.out[0]))) return "expected a byte for each maximum";
    if (spread && !has_bytes(s.in[s.n_in - 1], s.in[0])) return "expected a byte for each maximum";
    for (int i = 0; i < s.n_in - spread; ++i)
        if (s.in[i].dtype != DType::f32) return "all arrays but positions must be float32";
    return s.out[0].dtype == DType::f32 ? nullptr : "all arrays but positions must be float32";
}

template <int Pairs, bool Forward>
const char* check_winograd(const Step& s) {
    if (s.n_in < 2 || s.n_out < 1) return "expected at least two inputs and one output";
    const Tensor &x = Forward ? s.in[0] : s.out[0], &y = Forward ? s.out[0] : s.in[0];
    if (const char* problem = check_geometry(s, x, y)) return problem;
    if (x.rank != 4 && x.rank != 5) return "expected (batch, slices where there are some, height, width, channels)";
    const Conv c = read_full(s, Forward);
    if (const char* problem = check_winograd_shape(c, kBlock)) return problem;
    if (const char* problem = check_pooling(s, c, Forward)) return problem;
    const int64_t depth = Forward ? c.cin : c.cout, channels = Forward ? c.cout : c.cin;
    constexpr int64_t values = Cut<Pairs>::kPoints;
    if (s.in[1].size() != c.kernel[0] * values * depth * padded(channels, kPanel))
        return "the packed kernel has another size";
    return check_finish(s, s.ints + kConvInts - 2, channels, Forward ? c.batch * c.y_pixels() * c.cout : x.size(),
                        kHasBias | kHasResidual | kHasMask | (Forward ? kHasPool | kHasPositions : kHasUnpool));
}

#define STRIATE_WINOGRAD(pairs, name, forward) \
    {"conv_" name, &run_winograd<pairs, forward>, &winograd_scratch<pairs, forward>, &check_winograd<pairs, forward>}

constexpr Kernel kKernels[] = {
    STRIATE_WINOGRAD(1, "winograd2", true),
    STRIATE_WINOGRAD(2, "winograd4", true),
    STRIATE_WINOGRAD(3, "winograd6", true),
    STRIATE_WINOGRAD(1, "winograd2_input_grad", false),
    STRIATE_WINOGRAD(2, "winograd4_input_grad", false),
    STRIATE_WINOGRAD(3, "winograd6_input_grad", false),
};

}  // namespace

extern const KernelTable conv_winograd_table;
const KernelTable conv_winograd_table = {kKernels, 6};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
