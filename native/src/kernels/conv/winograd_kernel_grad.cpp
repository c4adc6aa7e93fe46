// The gradient of 3x3 kernels with stride 1 by Winograd's algorithm: the adjoint of the forward one, step by step.
//
// Per tile V = B' d B of the input and Z = A dY A' of the output's gradient; per point dU = sum over the tiles of V' Z;
// at the end dg = G' dU G. The work is cut into squares of channels and parts of the tiles, by the shape alone. One
// thread has such an item from its first tile to its last, and all that it touches fits in its own cache; parts are
// added in order.
#include <cstring>

#include "core/thread_pool.h"
#include "kernels/conv/winograd_adjoint.h"
#include "kernels/conv/winograd_adjoint_unit.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

using namespace adjoint;

constexpr int kTogether = kRows >= 12 ? 8 : 4;  // rows of one product: so many times two vectors stay in registers
constexpr int64_t kSide = 64;                   // channels, of both sides, of one item
constexpr int64_t kTiles = 40;                  // tiles that are transformed and multiplied at a time
constexpr int64_t kItems = 8;                   // at least so many, if there are tiles for them

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
    KernelGrad(const Step& s, const Shape& h)
        : s_(s), h_(h), transforms_(s, h.c, h.grid, h.tiles, static_cast<float*>(s.scratch)) {
        u_ = static_cast<float*>(s.scratch) + h.zeros();
        threads_ = u_ + h.items() * h.item_floats();
        std::memset(s.scratch, 0, sizeof(float) * h.zeros());
    }

    void run() {
        parallel_for(*s_.pool, h_.items(), true, [&](int64_t i, int thread) { item(i, thread); });
        const int64_t blocks = h_.c.cin / kBlock, panels = (h_.c.cout + kPanel - 1) / kPanel;
        parallel_for(*s_.pool, blocks * panels, true, [&](int64_t i, int) { finish(i % panels, i / panels); });
    }

private:
    // A square of channels and a part of the tiles; items that follow each other read the same tiles.
    struct Square : Room {
        float* u;
    };

    float* sums(int64_t part, int64_t down, int64_t across) const {
        return u_ + ((part * h_.down + down) * h_.across + across) * h_.item_floats();
    }

    void item(int64_t i, int thread) const {
        const int64_t across = i % h_.across, down = i / h_.across % h_.down, part = i / h_.across / h_.down;
        const int64_t first_in = down * kSide, first_out = across * kSide;
        float* v = threads_ + thread * h_.thread_floats();
        const Room room{first_in,
                        std::min(kSide, h_.c.cin - first_in),
                        first_out,
                        std::min(kSide, h_.c.cout - first_out),
                        kTiles,
                        Shape::kVStep,
                        Shape::kZStep,
                        v,
                        v + kPoints * Shape::kVStep};
        const Square q{room, sums(part, down, across)};
        const int64_t begin = h_.tiles * part / h_.parts, end = h_.tiles * (part + 1) / h_.parts;
        for (int64_t first = begin; first < end; first += kTiles) {
            const int64_t count = std::min(kTiles, end - first);
            for (int64_t t = 0; t < count; ++t) transforms_.transform_input(q, first + t, t);
            for (int64_t t = 0; t < count; ++t) transforms_.transform_gradient(q, first + t, t);
            multiply(q, count, first == begin);
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
                put_kernels(s_, c, k, panel * kPanel + column,
                            [&](int point) { return total(k / kSide, across, point * Shape::kUStep + at); });
            }
    }

    Vec total(int64_t down, int64_t across, int64_t at) const {
        Vec sum = load(sums(0, down, across) + at);
        for (int64_t part = 1; part < h_.parts; ++part) sum += load(sums(part, down, across) + at);
        return sum;
    }

    const Step& s_;
    const Shape& h_;
    const Transforms transforms_;
    float *u_, *threads_;
};

void run_kernel_grad(const Step& s) {
    const Shape h(s);
    if (s.out[0].size() == 0) return;
    if (h.tiles == 0)
        std::memset(s.out[0].data, 0, sizeof(float) * s.out[0].size());
    else if (!kernels_on_unit(s, h.c, h.grid, h.tiles))
        KernelGrad(s, h).run();
}

std::size_t kernel_grad_scratch(const Step& s, int threads) {
    const Shape h(s);
    const std::size_t on_unit = kernels_unit_scratch(h.c, h.tiles, threads);
    if (on_unit) return on_unit;
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
