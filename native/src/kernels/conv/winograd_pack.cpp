// Weights transformed for Winograd's algorithm.
#include <cstring>

#include "core/thread_pool.h"
#include "core/transpose.h"
#include "kernels/conv/check.h"
#include "kernels/conv/winograd.h"
#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int kBlock = kWinogradBlock;

// The 3x3 kernels of 16 source channels and one panel of target channels, [tap][source channel][target channel]; the
// input gradient's are turned round. Each line of the raw kernel is read once.
template <bool Forward>
void gather_kernels(const float* w, int64_t cin, int64_t cout, int64_t first, int64_t panel, float* to) {
    const int64_t here = std::min<int64_t>(kPanel, (Forward ? cout : cin) - panel * kPanel);
    for (int tap = 0; tap < 9; ++tap) {
        const float* from = w + (Forward ? tap : 8 - tap) * cin * cout;
        float* block = to + tap * kBlock * kPanel;
        if (Forward) {
            for (int64_t k = 0; k < kBlock; ++k)
                std::memcpy(block + k * kPanel, from + (first + k) * cout + panel * kPanel, sizeof(float) * here);
        } else {
            for (int64_t c = 0; c < here; ++c) __builtin_prefetch(from + (panel * kPanel + c) * cout + first + kBlock);
            for (int64_t c = 0; c < here; c += kLanes)
                for (int64_t k = 0; k < kBlock; k += kLanes)
                    transpose_square(from + (panel * kPanel + c) * cout + first + k, cout, block + k * kPanel + c,
                                     kPanel);
        }
    }
}

// U = G g G'. Kernels along a first axis stand behind one another, as further source channels; the input gradient's
// in the opposite order.
template <int Pairs, bool Forward>
void pack_winograd(const Step& s) {
    constexpr int kIn = Scheme<Pairs>::kIn, kPoints = kIn * kIn;
    const Tensor& w = s.in[0];
    if (s.out[0].size() == 0) return;
    const int64_t cin = w.shape[w.rank - 2], cout = w.shape[w.rank - 1];
    const int64_t depth = Forward ? cin : cout, channels = Forward ? cout : cin;
    const int64_t panels = (channels + kPanel - 1) / kPanel, blocks = depth / kBlock, each = panels * blocks;
    const int64_t taps = w.rank == 5 ? w.shape[0] : 1, terms = taps * depth;
    parallel_for(*s.pool, taps * each, true, [&](int64_t item, int) {
        // In the order in which the kernel lies in memory.
        const int64_t tap = item / each, i = item % each, panel = Forward ? i % panels : i / blocks;
        const int64_t first = (Forward ? i / panels : i % blocks) * kBlock;
        float raw[9 * kBlock * kPanel] = {}, made[kPoints * kBlock * kPanel];
        gather_kernels<Forward>(w.f32() + tap * 9 * cin * cout, cin, cout, first, panel, raw);
        for (int64_t at = 0; at < kBlock * kPanel; at += kLanes)
            transform_kernel<Pairs>(raw + at, kBlock * kPanel, made + at, kBlock * kPanel);
        const int64_t before = (Forward ? tap : taps - 1 - tap) * depth + first;
        float* to = s.out[0].f32() + (panel * kPoints * terms + before) * kPanel;
        for (int p = 0; p < kPoints; ++p)
            std::memcpy(to + p * terms * kPanel, made + p * kBlock * kPanel, sizeof(float) * kBlock * kPanel);
    });
}

// `values`: what stands for the nine taps of one kernel.
template <int Values, bool Forward>
const char* check_pack(const Step& s) {
    if (s.n_in != 1 || s.n_out != 1 || !are_floats(s)) return "expected one float32 input and output";
    const Tensor& w = s.in[0];
    const bool planar = (w.rank == 4 || w.rank == 5) && w.shape[w.rank - 4] == 3 && w.shape[w.rank - 3] == 3;
    if (!planar) return "expected a kernel (3, 3, channels in, channels out), or such ones along a first axis";
    const int64_t depth = w.shape[w.rank - (Forward ? 2 : 1)], channels = w.shape[w.rank - (Forward ? 1 : 2)];
    if (depth % kBlock || channels % kBlock) return "expected channels in sixteens";
    const int64_t taps = w.rank == 5 ? w.shape[0] : 1;
    return s.out[0].size() == taps * Values * depth * padded(channels, kPanel) ? nullptr
                                                                               : "the output has another size";
}

constexpr Kernel kKernels[] = {
    {"conv_winograd2_pack", &pack_winograd<1, true>, nullptr, &check_pack<16, true>},
    {"conv_winograd4_pack", &pack_winograd<2, true>, nullptr, &check_pack<36, true>},
    {"conv_winograd6_pack", &pack_winograd<3, true>, nullptr, &check_pack<64, true>},
    {"conv_winograd2_input_grad_pack", &pack_winograd<1, false>, nullptr, &check_pack<16, false>},
    {"conv_winograd4_input_grad_pack", &pack_winograd<2, false>, nullptr, &check_pack<36, false>},
    {"conv_winograd6_input_grad_pack", &pack_winograd<3, false>, nullptr, &check_pack<64, false>},
};

}  // namespace

extern const KernelTable conv_winograd_pack_table;
const KernelTable conv_winograd_pack_table = {kKernels, 6};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
