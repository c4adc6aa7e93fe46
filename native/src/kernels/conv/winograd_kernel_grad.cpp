// The gradient of 3x3 kernels with stride 1 by Winograd's algorithm: the adjoint of the forward one, step by step.
//
// Per tile V = B' d B of the input and Z = A dY A' of the output's gradient; per point dU = sum over the tiles of V' Z;
// at the end dg = G' dU G. Tiles are transformed a block at a time by all threads; then the points' products are handed
// out, so that each sum grows in one order whatever the threads do.
#include <cstring>

#include "core/thread_pool.h"
#include "kernels/conv/check.h"
#include "kernels/conv/winograd.h"
#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

using S = Scheme<2>;
constexpr int kOut = S::kOut, kIn = S::kIn, kPoints = kIn * kIn;
constexpr int kBlock = kWinogradBlock;
constexpr int kTogether = kRows >= 12 ? 8 : 4;  // rows of one product: so many times two vectors stay in registers
constexpr int64_t kHeldFloats = 2 << 20;        // transformed values of one block of tiles

// The output's gradient, whole: it may be there as that of its 2x2 maxima, with their positions as a third input.
Tensor full_gradient(const Step& s) { return flags_of(s) & kHasUnpool ? unpooled(s, s.in[0], s.in[1]) : s.in[1]; }

struct Shape {
    Conv c;
    TileGrid grid;
    int64_t tiles, held, blocks, panels;

    explicit Shape(const Step& s) : c(read_conv(s, s.in[0], full_gradient(s))), grid(c.y[1], c.y[2], kOut) {
        tiles = c.batch * grid.rows * grid.columns;
        blocks = c.cin / kBlock;
        panels = (c.cout + kPanel - 1) / kPanel;
        held = std::clamp<int64_t>(kHeldFloats / (kPoints * (c.cin + c.cout)), 64, 512);
        held = std::min(held, std::max<int64_t>(tiles, 1));
    }
    int64_t v_step() const { return blocks * held * kBlock + kPointPad; }
    int64_t z_step() const { return panels * held * kPanel + kPointPad; }
    int64_t u_step() const { return panels * c.cin * kPanel + kPointPad; }
    int64_t zeros() const { return (std::max(c.cin, c.cout) + 15) / 16 * 16; }
    int64_t floats() const { return zeros() + kPoints * (v_step() + z_step() + u_step()); }
};

// u[r][32 columns] (+)= sum over the tiles of v[tile][r] * z[tile].
template <int R>
inline void accumulate(const float* v, const float* z, int64_t tiles, float* u, bool first) {
    Vec acc[R][2] = {};
    for (int64_t t = 0; t < tiles; ++t, v += kBlock, z += kPanel) {
        const Vec z0 = load(z), z1 = load(z + kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const Vec a = broadcast(v[r]);
            acc[r][0] += a * z0;
            acc[r][1] += a * z1;
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
        float* to = u + r * kPanel;
        store(to, first ? acc[r][0] : load(to) + acc[r][0]);
        store(to + kLanes, first ? acc[r][1] : load(to + kLanes) + acc[r][1]);
    }
}

class KernelGrad {
public:
    KernelGrad(const Step& s, const Shape& h) : s_(s), h_(h) {
        zeros_ = static_cast<float*>(s.scratch);
        v_ = zeros_ + h.zeros();
        z_ = v_ + kPoints * h.v_step();
        u_ = z_ + kPoints * h.z_step();
        std::memset(zeros_, 0, sizeof(float) * h.zeros());
        unpool_ = flags_of(s) & kHasUnpool;
        if (unpool_)
            pooled_ = {h.c.y[1] / 2, h.c.y[2] / 2, h.c.cout, s.in[1].f32(),
                       static_cast<const std::uint8_t*>(s.in[2].data)};
    }

    void run() {
        for (int64_t first = 0; first < h_.tiles; first += h_.held) {
            const int64_t count = std::min(h_.held, h_.tiles - first);
            parallel_for(*s_.pool, count, true, [&](int64_t i, int) { transform(first + i, i); });
            parallel_for(*s_.pool, kPoints * h_.panels, true,
                         [&](int64_t i, int) { multiply(i / h_.panels, i % h_.panels, count, first == 0); });
        }
        parallel_for(*s_.pool, h_.panels * h_.blocks, true,
                     [&](int64_t i, int) { finish(i % h_.panels, i / h_.panels); });
    }

private:
    void input_patch(int64_t tile, const float** to) const {
        const Conv& c = h_.c;
        patch(s_.in[0].f32() + h_.grid.image(tile) * c.x_pixels() * c.cin, c.x[1], c.x[2], c.cin,
              h_.grid.top(tile) - c.lo[1], h_.grid.left(tile) - c.lo[2], kIn, zeros_, to);
    }
    void gradient_patch(int64_t tile, const float** to) const {
        const Conv& c = h_.c;
        patch(s_.in[1].f32() + h_.grid.image(tile) * c.y_pixels() * c.cout, c.y[1], c.y[2], c.cout, h_.grid.top(tile),
              h_.grid.left(tile), kOut, zeros_, to);
    }

    void transform(int64_t tile, int64_t at) const {
        const float *from[kPoints], *next[kPoints];
        input_patch(tile, from);
        input_patch(std::min(tile + 1, h_.tiles - 1), next);
        for (int64_t k = 0; k < h_.c.cin; k += kLanes) {
            if (k % kBlock == 0) fetch_columns<kIn, kOut>(next, k);
            transform_patch<kIn, kIn>(from, k, v_ + k / kBlock * h_.held * kBlock + at * kBlock + k % kBlock,
                                      h_.v_step(), S::input);
        }
        for (int64_t k = h_.c.cout; k < h_.panels * kPanel; k += kLanes)
            for (int p = 0; p < kPoints; ++p) store(gradient_at(k, at) + p * h_.z_step(), Vec{});
        if (unpool_) return transform_spread(tile, at);
        gradient_patch(tile, from);
        gradient_patch(std::min(tile + 1, h_.tiles - 1), next);
        for (int64_t k = 0; k < h_.c.cout; k += kLanes) {
            if (k % kBlock == 0) fetch_columns<kOut, kOut>(next, k);
            transform_patch<kOut, kIn>(from, k, gradient_at(k, at), h_.z_step(), S::output_adjoint);
        }
    }

    float* gradient_at(int64_t channel, int64_t tile) const {
        return z_ + channel / kPanel * h_.held * kPanel + tile * kPanel + channel % kPanel;
    }

    Cells<kOut> gradient_cells(int64_t tile) const {
        return {pooled_, h_.grid.image(tile), h_.grid.top(tile), h_.grid.left(tile), zeros_};
    }

    void transform_spread(int64_t tile, int64_t at) const {
        float values[kOut * kOut * kLanes];
        const float* from[kOut * kOut];
        for (int i = 0; i < kOut * kOut; ++i) from[i] = values + i * kLanes;
        const Cells<kOut> cells = gradient_cells(tile), next = gradient_cells(std::min(tile + 1, h_.tiles - 1));
        for (int64_t k = 0; k < h_.c.cout; k += kLanes) {
            if (k % kBlock == 0) next.fetch(k);
            cells.spread(k, values);
            transform_patch<kOut, kIn>(from, 0, gradient_at(k, at), h_.z_step(), S::output_adjoint);
        }
    }

    void multiply(int64_t point, int64_t panel, int64_t count, bool first) const {
        const float* z = z_ + point * h_.z_step() + panel * h_.held * kPanel;
        float* u = u_ + point * h_.u_step() + panel * h_.c.cin * kPanel;
        for (int64_t k = 0; k < h_.c.cin; k += kTogether) {
            const float* v = v_ + point * h_.v_step() + k / kBlock * h_.held * kBlock + k % kBlock;
            for (int c = 0; c < kPanel; c += kTileCols)
                accumulate<kTogether>(v, z + c, count, u + k * kPanel + c, first);
        }
    }

    // dg = G' dU G for 16 source channels and the target channels of a panel.
    void finish(int64_t panel, int64_t block) const {
        const Conv& c = h_.c;
        const int64_t columns = std::min<int64_t>(kPanel, c.cout - panel * kPanel);
        for (int64_t k = block * kBlock; k < (block + 1) * kBlock; ++k)
            for (int64_t column = 0; column < columns; column += kLanes) {
                const float* u = u_ + (panel * c.cin + k) * kPanel + column;
                Vec half[3 * kIn], g[9];
                for (int j = 0; j < kIn; ++j) {
                    Vec d[kIn];
                    for (int i = 0; i < kIn; ++i) d[i] = load(u + (i * kIn + j) * h_.u_step());
                    S::kernel_adjoint(d, 1, half + j, kIn);
                }
                for (int i = 0; i < 3; ++i) S::kernel_adjoint(half + i * kIn, 1, g + i * 3, 1);
                for (int tap = 0; tap < 9; ++tap)
                    store(s_.out[0].f32() + (tap * c.cin + k) * c.cout + panel * kPanel + column, g[tap]);
            }
    }

    const Step& s_;
    const Shape& h_;
    float *zeros_, *v_, *z_, *u_;
    bool unpool_;
    Pooled pooled_{};
};

void run_kernel_grad(const Step& s) {
    const Shape h(s);
    if (s.out[0].size() == 0) return;
    if (h.tiles == 0)
        std::memset(s.out[0].data, 0, sizeof(float) * s.out[0].size());
    else
        KernelGrad(s, h).run();
}

std::size_t kernel_grad_scratch(const Step& s, int) { return sizeof(float) * Shape(s).floats(); }

const char* check(const Step& s) {
    if (s.n_in < 2 || s.n_out != 1 || s.n_ints != kConvInts || s.in[0].rank != 4 || s.in[1].rank != 4)
        return "expected the input, the output's gradient, and one output";
    const bool spread = flags_of(s) & kHasUnpool;
    if (s.n_in != 2 + spread || (spread && !has_bytes(s.in[2], s.in[1]))) return "expected a byte for each maximum";
    const Tensor full = full_gradient(s);
    for (int i = 1; i < 3; ++i)
        if (spread && s.in[1].shape[i] != full.shape[i] / 2) return "expected the gradient of 2x2 maxima";
    if (const char* problem = check_kernel_grad_of(s, full)) return problem;
    return check_winograd_shape(read_conv(s, s.in[0], full), kBlock);
}

constexpr Kernel kKernels[] = {{"conv_winograd4_kernel_grad", &run_kernel_grad, &kernel_grad_scratch, &check}};

}  // namespace

extern const KernelTable conv_winograd_kernel_grad_table;
const KernelTable conv_winograd_kernel_grad_table = {kKernels, 1};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
