// The gradient of 3x3 kernels with stride 1 by Winograd's algorithm: the adjoint of the forward one, step by step.
//
// Per tile V = B' d B of the input and Z = A dY A' of the output's gradient; per point dU = sum over the tiles of V' Z;
// at the end dg = G' dU G. The work is cut into squares of channels and parts of the tiles, by the shape alone. One
// thread has such an item from its first tile to its last, and all that it touches fits in its own cache; parts are
// added in order.
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
constexpr int64_t kSide = 64;                   // channels, of both sides, of one item
constexpr int64_t kTiles = 40;                  // tiles that are transformed and multiplied at a time
constexpr int64_t kItems = 8;                   // at least so many, if there are tiles for them

// The output's gradient, whole: it may be there as that of its 2x2 maxima, with their positions as a third input.
Tensor full_gradient(const Step& s) { return flags_of(s) & kHasUnpool ? unpooled(s, s.in[0], s.in[1]) : s.in[1]; }

struct Shape {
    static constexpr int64_t kVStep = kSide * kTiles + kPointPad, kZStep = kSide * kTiles + kPointPad;
    static constexpr int64_t kUStep = kSide * kSide + kPointPad;
    Conv c;
    TileGrid grid;
    int64_t tiles, across, down, parts;  // squares of channels along both sides; parts of the tiles

    explicit Shape(const Step& s) : c(read_conv(s, s.in[0], full_gradient(s))), grid(c.y[1], c.y[2], kOut) {
        tiles = c.batch * grid.rows * grid.columns;
        down = (c.cin + kSide - 1) / kSide;
        across = (c.cout + kSide - 1) / kSide;
        const int64_t wanted = (kItems + down * across - 1) / (down * across);
        parts = std::clamp<int64_t>(tiles / (2 * kTiles), 1, std::max<int64_t>(wanted, 1));
    }
    int64_t items() const { return parts * down * across; }
    int64_t zeros() const { return (std::max(c.cin, c.cout) + 15) / 16 * 16; }
    int64_t thread_floats() const { return kPoints * (kVStep + kZStep); }
    int64_t item_floats() const { return kPoints * kUStep; }
};

// u[r][32 columns] (+)= sum over the tiles of v[tile][r] * z[tile].
template <int R>
inline void accumulate(const float* v, const float* z, int64_t tiles, float* u, bool first) {
    Vec acc[R][2] = {};
    if (!first)
        for (int r = 0; r < R; ++r)
            for (int i = 0; i < kTileCols; i += 16) __builtin_prefetch(u + r * kPanel + i, 1);
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
        u_ = zeros_ + h.zeros();
        threads_ = u_ + h.items() * h.item_floats();
        std::memset(zeros_, 0, sizeof(float) * h.zeros());
        unpool_ = flags_of(s) & kHasUnpool;
        if (unpool_)
            pooled_ = {h.c.y[1] / 2, h.c.y[2] / 2, h.c.cout, s.in[1].f32(),
                       static_cast<const std::uint8_t*>(s.in[2].data)};
    }

    void run() {
        parallel_for(*s_.pool, h_.items(), true, [&](int64_t i, int thread) { item(i, thread); });
        const int64_t blocks = h_.c.cin / kBlock, panels = (h_.c.cout + kPanel - 1) / kPanel;
        parallel_for(*s_.pool, blocks * panels, true, [&](int64_t i, int) { finish(i % panels, i / panels); });
    }

private:
    // A square of channels and a part of the tiles; items that follow each other read the same tiles.
    struct Square {
        int64_t first_in, in, first_out, out;  // channels
        float *v, *z, *u;
    };

    float* sums(int64_t part, int64_t down, int64_t across) const {
        return u_ + ((part * h_.down + down) * h_.across + across) * h_.item_floats();
    }

    void item(int64_t i, int thread) const {
        const int64_t across = i % h_.across, down = i / h_.across % h_.down, part = i / h_.across / h_.down;
        const int64_t first_in = down * kSide, first_out = across * kSide;
        float* v = threads_ + thread * h_.thread_floats();
        const Square q{first_in,
                       std::min(kSide, h_.c.cin - first_in),
                       first_out,
                       std::min(kSide, h_.c.cout - first_out),
                       v,
                       v + kPoints * Shape::kVStep,
                       sums(part, down, across)};
        const int64_t begin = h_.tiles * part / h_.parts, end = h_.tiles * (part + 1) / h_.parts;
        for (int64_t first = begin; first < end; first += kTiles) {
            const int64_t count = std::min(kTiles, end - first);
            for (int64_t t = 0; t < count; ++t) transform_input(q, first + t, t);
            for (int64_t t = 0; t < count; ++t) transform_gradient(q, first + t, t);
            multiply(q, count, first == begin);
        }
    }

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
    Cells<kOut> gradient_cells(int64_t tile) const {
        return {pooled_, h_.grid.image(tile), h_.grid.top(tile), h_.grid.left(tile), zeros_};
    }
    int64_t next(int64_t tile) const { return std::min(tile + 1, h_.tiles - 1); }

    void transform_input(const Square& q, int64_t tile, int64_t at) const {
        const float *from[kPoints], *ahead[kPoints];
        input_patch(tile, from);
        input_patch(next(tile), ahead);
        for (int64_t k = 0; k < q.in; k += kLanes) {
            if (k % kBlock == 0) fetch_columns<kIn, kOut>(ahead, q.first_in + k);
            transform_patch<kIn, kIn>(from, q.first_in + k, q.v + (k / kBlock * kTiles + at) * kBlock + k % kBlock,
                                      Shape::kVStep, S::input);
        }
    }

    float* gradient_at(const Square& q, int64_t channel, int64_t at) const {
        return q.z + (channel / kPanel * kTiles + at) * kPanel + channel % kPanel;
    }

    void transform_gradient(const Square& q, int64_t tile, int64_t at) const {
        for (int64_t k = q.out; k % kPanel; k += kLanes)
            for (int p = 0; p < kPoints; ++p) store(gradient_at(q, k, at) + p * Shape::kZStep, Vec{});
        if (unpool_) return transform_spread(q, tile, at);
        const float *from[kOut * kOut], *ahead[kOut * kOut];
        gradient_patch(tile, from);
        gradient_patch(next(tile), ahead);
        for (int64_t k = 0; k < q.out; k += kLanes) {
            if (k % kBlock == 0) fetch_columns<kOut, kOut>(ahead, q.first_out + k);
            transform_patch<kOut, kIn>(from, q.first_out + k, gradient_at(q, k, at), Shape::kZStep, S::output_adjoint);
        }
    }

    void transform_spread(const Square& q, int64_t tile, int64_t at) const {
        float values[kOut * kOut * kLanes];
        const float* from[kOut * kOut];
        for (int i = 0; i < kOut * kOut; ++i) from[i] = values + i * kLanes;
        const Cells<kOut> cells = gradient_cells(tile), ahead = gradient_cells(next(tile));
        for (int64_t k = 0; k < q.out; k += kLanes) {
            if (k % kBlock == 0) ahead.fetch(q.first_out + k);
            cells.spread(q.first_out + k, values);
            transform_patch<kOut, kIn>(from, 0, gradient_at(q, k, at), Shape::kZStep, S::output_adjoint);
        }
    }

    // Sums: [point][panel of 32 target channels][source channel][32].
    void multiply(const Square& q, int64_t count, bool first) const {
        for (int point = 0; point < kPoints; ++point)
            for (int64_t column = 0; column < q.out; column += kTileCols) {
                const int64_t panel = column / kPanel, rest = column % kPanel;
                const float* z = q.z + point * Shape::kZStep + panel * kTiles * kPanel + rest;
                float* u = q.u + point * Shape::kUStep + panel * kSide * kPanel + rest;
                for (int64_t k = 0; k < q.in; k += kTogether)
                    accumulate<kTogether>(q.v + point * Shape::kVStep + k / kBlock * kTiles * kBlock + k % kBlock, z,
                                          count, u + k * kPanel, first);
            }
    }

    // dg = G' dU G for 16 source channels and the target channels of a panel.
    void finish(int64_t panel, int64_t block) const {
        const Conv& c = h_.c;
        const int64_t columns = std::min<int64_t>(kPanel, c.cout - panel * kPanel);
        const int64_t across = panel * kPanel / kSide, panel_in = panel % (kSide / kPanel);
        for (int64_t k = block * kBlock; k < (block + 1) * kBlock; ++k)
            for (int64_t column = 0; column < columns; column += kLanes) {
                const int64_t at = (panel_in * kSide + k % kSide) * kPanel + column;
                Vec half[3 * kIn], g[9];
                for (int j = 0; j < kIn; ++j) {
                    Vec d[kIn];
                    for (int i = 0; i < kIn; ++i) d[i] = total(k / kSide, across, (i * kIn + j) * Shape::kUStep + at);
                    S::kernel_adjoint(d, 1, half + j, kIn);
                }
                for (int i = 0; i < 3; ++i) S::kernel_adjoint(half + i * kIn, 1, g + i * 3, 1);
                for (int tap = 0; tap < 9; ++tap)
                    store(s_.out[0].f32() + (tap * c.cin + k) * c.cout + panel * kPanel + column, g[tap]);
            }
    }

    Vec total(int64_t down, int64_t across, int64_t at) const {
        Vec sum = load(sums(0, down, across) + at);
        for (int64_t part = 1; part < h_.parts; ++part) sum += load(sums(part, down, across) + at);
        return sum;
    }

    const Step& s_;
    const Shape& h_;
    float *zeros_, *u_, *threads_;
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

std::size_t kernel_grad_scratch(const Step& s, int threads) {
    const Shape h(s);
    return sizeof(float) * (h.zeros() + h.items() * h.item_floats() + threads * h.thread_floats());
}

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
