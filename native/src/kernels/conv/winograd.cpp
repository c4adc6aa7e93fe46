// 3x3 convolutions with stride 1, and their input gradients, by Winograd's minimal filtering (winograd.h).
//
// Transformed weights: [panel of 32 target channels][point][source channel][32]. Transformed input: per point
// [block of 16 source channels][tile][16], so that a row of the product stands at a constant distance from the next.
#include <cstring>
#include <utility>

#include "core/thread_pool.h"
#include "kernels/conv/check.h"
#include "kernels/conv/finish.h"
#include "kernels/conv/winograd.h"
#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int kBlock = kWinogradBlock;
constexpr int kParts = kBlock / kLanes;    // vectors of them
constexpr int64_t kNearFloats = 80 << 10;  // transformed input that one thread keeps near

// The convolution that is computed: source correlated with a 3x3 kernel, whichever pass it is.
struct Image {
    const float* source;
    float* target;
    int64_t batch, height, width, depth;      // of the source
    int64_t out_height, out_width, channels;  // of the target
    int64_t top, left;                        // padding
    Finish finish;
    bool pool, unpool;        // 2x2 maxima are the target; the source
    std::uint8_t* positions;  // of the maxima that are the target, or null
    Pooled pooled;            // the source, if it is one of maxima
};

// The forward convolution's input and output, whichever pass is computed.
Conv read_full(const Step& s, bool forward) {
    const Tensor &x = forward ? s.in[0] : s.out[0], &y = forward ? s.out[0] : s.in[0];
    return flags_of(s) & (kHasPool | kHasUnpool) ? read_conv(s, x, unpooled(s, x, y)) : read_conv(s, x, y);
}

Image read_image(const Step& s, bool forward) {
    const Conv c = read_full(s, forward);
    Image g{};
    g.source = s.in[0].f32(), g.target = s.out[0].f32(), g.batch = c.batch;
    const int64_t *from = forward ? c.x : c.y, *to = forward ? c.y : c.x;
    g.height = from[1], g.width = from[2], g.out_height = to[1], g.out_width = to[2];
    g.depth = forward ? c.cin : c.cout;
    g.channels = forward ? c.cout : c.cin;
    g.top = forward ? c.lo[1] : 2 - c.lo[1];
    g.left = forward ? c.lo[2] : 2 - c.lo[2];
    g.finish = read_finish(s, c.activation, c.flags);
    g.pool = c.flags & kHasPool, g.unpool = c.flags & kHasUnpool;
    if (c.flags & kHasPositions) g.positions = static_cast<std::uint8_t*>(s.out[1].data);
    const auto* places = static_cast<const std::uint8_t*>(s.in[s.n_in - 1].data);
    if (g.unpool) g.pooled = {g.height / 2, g.width / 2, g.depth, g.source, places};
    return g;
}

// How the tiles are cut; from the shape alone. Where there are many, each thread transforms the input of its own tiles
// and multiplies them by all panels. Where there are few, all threads transform, meet, and share the panels.
template <int Pairs>
struct Cut {
    static constexpr int kOut = Scheme<Pairs>::kOut, kIn = Scheme<Pairs>::kIn, kPoints = kIn * kIn;
    TileGrid grid;
    int64_t tiles, panels, blocks;
    int64_t together;  // tiles of one item
    bool shared;

    explicit Cut(const Image& g) : grid(g.out_height, g.out_width, kOut) {
        tiles = g.batch * grid.rows * grid.columns;
        panels = (g.channels + kPanel - 1) / kPanel;
        blocks = g.depth / kBlock;
        const int64_t fit = kNearFloats / (kPoints * g.depth) / kRows;
        together = std::clamp<int64_t>(fit, 1, 112 / kRows) * kRows;
        shared = tiles < 8 * together;
        if (shared) together = std::min<int64_t>(tiles, 4 * kRows);
    }
    int64_t held() const { return shared ? tiles : together; }  // tiles of one transformed input
    int64_t point_step() const { return blocks * held() * kBlock + kPointPad; }
    int64_t input_floats() const { return kPoints * point_step(); }
    int64_t product_floats() const { return kPoints * together * kPanel; }
    int64_t items() const { return (tiles + together - 1) / together; }
};

struct Layout {
    std::size_t zeros, inputs, products, total;
};

template <int Pairs>
Layout layout_of(const Image& g, int threads) {
    const Cut<Pairs> c(g);
    const auto bytes = [](int64_t floats) { return (static_cast<std::size_t>(floats) * sizeof(float) + 63) / 64 * 64; };
    Layout l;
    l.zeros = bytes(g.depth);
    l.inputs = bytes(c.input_floats());
    l.products = bytes(c.product_floats());
    l.total = l.zeros + l.inputs * (c.shared ? 1 : threads) + l.products * threads;
    return l;
}

// Rows r of the product: sum over k of v[k / 16][r][k % 16] * u[k][32 columns].
template <int R, int NV>
__attribute__((noinline)) void multiply(const float* v, int64_t blocks, int64_t block_step, const float* u,
                                        float* out) {
    Vec acc[R][NV] = {};
    for (int64_t b = 0; b < blocks; ++b) {
        const float* row = v + b * block_step;
        __builtin_prefetch(row + block_step);
        for (int k = 0; k < kBlock; ++k) {
            Vec uv[NV];
#pragma GCC unroll 2
            for (int i = 0; i < NV; ++i) {
                uv[i] = load(u + i * kLanes);
                __builtin_prefetch(u + kPrefetch + i * kLanes);
            }
            u += kPanel;
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
                const Vec a = broadcast(row[r * kBlock + k]);
#pragma GCC unroll 2
                for (int i = 0; i < NV; ++i) acc[r][i] += a * uv[i];
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
        for (int i = 0; i < NV; ++i) store(out + r * kPanel + i * kLanes, acc[r][i]);
}

using MultiplyFn = void (*)(const float*, int64_t, int64_t, const float*, float*);

template <int... R>
constexpr std::array<MultiplyFn, sizeof...(R)> multiply_table(std::integer_sequence<int, R...>) {
    return {{&multiply<R + 1, 2>...}};
}

template <int Pairs>
class Winograd {
    using S = Scheme<Pairs>;
    static constexpr int kOut = S::kOut, kIn = S::kIn, kPoints = kIn * kIn;

public:
    Winograd(const Image& g, const Step& s)
        : g_(g), c_(g), l_(layout_of<Pairs>(g, s.pool->threads())), scratch_(static_cast<char*>(s.scratch)) {
        std::memset(scratch_, 0, l_.zeros);
        weights_ = s.in[1].f32();
        threads_inputs_ = c_.shared ? 1 : s.pool->threads();
    }

    void run(ThreadPool& pool) {
        if (c_.shared) {
            parallel_for(pool, c_.tiles, c_.tiles > 1, [&](int64_t tile, int) { transform(tile, tile, input(0)); });
            // Few tiles: the panels are what there is to share, and each panel's weights are read once.
            parallel_for(pool, c_.items() * c_.panels, c_.items() * c_.panels > 1,
                         [&](int64_t i, int thread) { block(i % c_.items(), i / c_.items(), input(0), true, thread); });
        } else {
            parallel_for(pool, c_.items(), true, [&](int64_t i, int thread) {
                const int64_t first = i * c_.together, last = std::min(c_.tiles, first + c_.together);
                for (int64_t tile = first; tile < last; ++tile) transform(tile, tile - first, input(thread));
                for (int64_t p = 0; p < c_.panels; ++p) block(i, p, input(thread), false, thread);
            });
        }
    }

private:
    float* input(int which) const { return reinterpret_cast<float*>(scratch_ + l_.zeros + l_.inputs * which); }
    float* products(int thread) const {
        return reinterpret_cast<float*>(scratch_ + l_.zeros + l_.inputs * threads_inputs_ + l_.products * thread);
    }

    // Pointers to the pixels that a tile reads.
    void source_patch(int64_t tile, const float** to) const {
        const float* image = g_.source + c_.grid.image(tile) * g_.height * g_.width * g_.depth;
        patch(image, g_.height, g_.width, g_.depth, c_.grid.top(tile) - g_.top, c_.grid.left(tile) - g_.left, kIn,
              reinterpret_cast<const float*>(scratch_), to);
    }

    // V = B' d B of one tile, all channels, to place `at` of the transformed input.
    void transform(int64_t tile, int64_t at, float* to) const {
        if (g_.unpool) return transform_spread(tile, at, to);
        const float *from[kPoints], *next[kPoints];
        source_patch(tile, from);
        source_patch(std::min(tile + 1, c_.tiles - 1), next);
        const int64_t block_step = c_.held() * kBlock;
        for (int64_t b = 0; b < c_.blocks; ++b) {
            fetch_columns<kIn, kOut>(next, b * kBlock);
            for (int part = 0; part < kParts; ++part)
                transform_patch<kIn, kIn>(from, b * kBlock + part * kLanes,
                                          to + b * block_step + at * kBlock + part * kLanes, c_.point_step(), S::input);
        }
    }

    Cells<kIn> source_cells(int64_t tile) const {
        return {g_.pooled, c_.grid.image(tile), c_.grid.top(tile) - g_.top, c_.grid.left(tile) - g_.left,
                reinterpret_cast<const float*>(scratch_)};
    }

    void transform_spread(int64_t tile, int64_t at, float* to) const {
        float values[kPoints * kLanes];
        const float* from[kPoints];
        for (int i = 0; i < kPoints; ++i) from[i] = values + i * kLanes;
        const Cells<kIn> cells = source_cells(tile), next = source_cells(std::min(tile + 1, c_.tiles - 1));
        for (int64_t k = 0; k < g_.depth; k += kLanes) {
            if (k % kBlock == 0) next.fetch(k);
            cells.spread(k, values);
            transform_patch<kIn, kIn>(from, 0, to + k / kBlock * c_.held() * kBlock + at * kBlock + k % kBlock,
                                      c_.point_step(), S::input);
        }
    }

    // One item's tiles times one panel of weights, and back.
    void block(int64_t item, int64_t panel, const float* from, bool shared, int thread) const {
        static constexpr auto table = multiply_table(std::make_integer_sequence<int, kRows>{});
        const int64_t first = item * c_.together, count = std::min(c_.tiles, first + c_.together) - first;
        const int64_t groups = (count + kRows - 1) / kRows, block_step = c_.held() * kBlock;
        const float* u = weights_ + panel * kPoints * g_.depth * kPanel;
        float* out = products(thread);
        const float* base = from + (shared ? first * kBlock : 0);
        for (int point = 0; point < kPoints; ++point)
            for (int64_t q = 0; q < groups; ++q) {
                const int64_t r0 = count * q / groups, r1 = count * (q + 1) / groups;
                for (int half = 0; half < kPanel; half += kTileCols)
                    table[r1 - r0 - 1](base + point * c_.point_step() + r0 * kBlock, c_.blocks, block_step,
                                       u + point * g_.depth * kPanel + half,
                                       out + (point * c_.together + r0) * kPanel + half);
            }
        const int64_t columns = std::min<int64_t>(kPanel, g_.channels - panel * kPanel);
        for (int64_t t = 0; t < count; ++t) finish(first + t, out + t * kPanel, panel * kPanel, columns);
    }

    // Y = A' M A of one tile, bias, residual, activation, and out.
    void finish(int64_t tile, const float* m, int64_t channel, int64_t columns) const {
        const int64_t top = c_.grid.top(tile), left = c_.grid.left(tile);
        const int64_t height = std::min<int64_t>(kOut, g_.out_height - top);
        const int64_t width = std::min<int64_t>(kOut, g_.out_width - left);
        const int64_t start =
            ((c_.grid.image(tile) * g_.out_height + top) * g_.out_width + left) * g_.channels + channel;
        fetch_target(std::min(tile + 1, c_.tiles - 1), channel, columns);
        for (int64_t c = 0; c < columns; c += kLanes) {
            Vec half[kOut * kIn], y[kOut * kOut];
            for (int j = 0; j < kIn; ++j) {
                Vec v[kIn];
#pragma GCC unroll 8
                for (int i = 0; i < kIn; ++i) v[i] = load(m + (i * kIn + j) * c_.together * kPanel + c);
                S::output(v, 1, half + j, kIn);
            }
            for (int i = 0; i < kOut; ++i) S::output(half + i * kIn, 1, y + i * kOut, 1);
            if (g_.pool)
                put_maxima(y, tile, start + c, channel + c);
            else
                put(y, start + c, channel + c, height, width);
        }
        if (g_.pool) return;
        if (g_.finish.activation.id == kLinear || g_.finish.activation.id == kRelu) return;
        for (int64_t i = 0; i < height; ++i)
            for (int64_t j = 0; j < width; ++j)
                activate(g_.finish.activation, g_.target + start + (i * g_.out_width + j) * g_.channels,
                         static_cast<int>(columns));
    }

    // Fetches where a tile's results go, and its part of the mask.
    void fetch_target(int64_t tile, int64_t channel, int64_t columns) const {
        const int64_t window = g_.pool ? 2 : 1, height = g_.out_height / window, width = g_.out_width / window;
        const int64_t top = c_.grid.top(tile) / window, left = c_.grid.left(tile) / window;
        const int64_t start = ((c_.grid.image(tile) * height + top) * width + left) * g_.channels + channel;
        const int64_t rows = std::min(kOut / window, height - top), across = std::min(kOut / window, width - left);
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < across; ++j)
                for (int64_t c = 0; c < columns; c += kBlock) {
                    const int64_t at = start + (i * width + j) * g_.channels + c;
                    __builtin_prefetch(g_.target + at, 1);
                    if (g_.finish.mask) __builtin_prefetch(g_.finish.mask + at);
                }
    }

    // What a sum becomes: `at` is its place in the target before pooling.
    Vec finished(Vec v, Vec bias, int64_t at) const {
        v += bias;
        if (g_.finish.residual) v += load(g_.finish.residual + at);
        if (g_.finish.mask) v = load(g_.finish.mask + at) > Vec{} ? v : Vec{};
        return g_.finish.activation.id == kRelu ? at_least(v, Vec{}) : v;
    }

    // The maxima of the tile's 2x2 windows, the first of equal ones, a NaN before all.
    void put_maxima(const Vec* y, int64_t tile, int64_t start, int64_t channel) const {
        typedef std::uint8_t Bytes __attribute__((vector_size(kLanes)));
        const Vec bias = g_.finish.bias ? load(g_.finish.bias + channel) : Vec{};
        const int64_t height = g_.out_height / 2, width = g_.out_width / 2;
        const int64_t top = c_.grid.top(tile) / 2, left = c_.grid.left(tile) / 2;
        for (int64_t i = 0; i < std::min<int64_t>(kOut / 2, height - top); ++i)
            for (int64_t j = 0; j < std::min<int64_t>(kOut / 2, width - left); ++j) {
                Vec best = {};
                IVec where = {};
                for (int q = 0; q < 4; ++q) {
                    const int64_t row = 2 * i + q / 2, column = 2 * j + q % 2;
                    const Vec v =
                        finished(y[row * kOut + column], bias, start + (row * g_.out_width + column) * g_.channels);
                    const IVec better = (v > best) | ((v != v) & (best == best));
                    best = q == 0 ? v : better ? v : best;
                    where = q == 0 ? IVec{} : better ? IVec{} + q : where;
                }
                const int64_t at =
                    ((c_.grid.image(tile) * height + top + i) * width + left + j) * g_.channels + channel;
                store(g_.target + at, best);
                if (!g_.positions) continue;
                const Bytes places = __builtin_convertvector(where, Bytes);
                std::memcpy(g_.positions + at, &places, kLanes);
            }
    }

    void put(const Vec* y, int64_t start, int64_t channel, int64_t height, int64_t width) const {
        const Vec bias = g_.finish.bias ? load(g_.finish.bias + channel) : Vec{};
        for (int64_t i = 0; i < height; ++i)
            for (int64_t j = 0; j < width; ++j) {
                const int64_t at = start + (i * g_.out_width + j) * g_.channels;
                store(g_.target + at, finished(y[i * kOut + j], bias, at));
            }
    }

    const Image& g_;
    const Cut<Pairs> c_;
    const Layout l_;
    char* scratch_;
    const float* weights_;
    int threads_inputs_;
};

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

// The kernels of 16 source channels and one panel of target channels, [tap][source channel][target channel]; the input
// gradient's are turned round. Each line of the raw kernel is read once.
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
            for (int64_t c = 0; c < here; ++c)
                for (int64_t k = 0; k < kBlock; ++k)
                    block[k * kPanel + c] = from[(panel * kPanel + c) * cout + first + k];
        }
    }
}

// U = G g G'.
template <int Pairs, bool Forward>
void pack_winograd(const Step& s) {
    constexpr int kIn = Scheme<Pairs>::kIn, kPoints = kIn * kIn;
    const Tensor& w = s.in[0];
    if (s.out[0].size() == 0) return;
    const int64_t cin = w.shape[w.rank - 2], cout = w.shape[w.rank - 1];
    const int64_t depth = Forward ? cin : cout, channels = Forward ? cout : cin;
    const int64_t panels = (channels + kPanel - 1) / kPanel;
    parallel_for(*s.pool, panels * (depth / kBlock), true, [&](int64_t i, int) {
        const int64_t panel = i % panels, first = i / panels * kBlock;
        float raw[9 * kBlock * kPanel] = {}, made[kPoints * kBlock * kPanel];
        gather_kernels<Forward>(w.f32(), cin, cout, first, panel, raw);
        for (int64_t at = 0; at < kBlock * kPanel; at += kLanes) {
            Vec half[kIn * 3], u[kPoints];
            for (int t = 0; t < 3; ++t) {
                Vec g[3];
                for (int r = 0; r < 3; ++r) g[r] = load(raw + (r * 3 + t) * kBlock * kPanel + at);
                Scheme<Pairs>::kernel(g, 1, half + t, 3);
            }
            for (int p = 0; p < kIn; ++p) Scheme<Pairs>::kernel(half + p * 3, 1, u + p * kIn, 1);
            for (int p = 0; p < kPoints; ++p) store(made + p * kBlock * kPanel + at, u[p]);
        }
        float* to = s.out[0].f32() + (panel * kPoints * depth + first) * kPanel;
        for (int p = 0; p < kPoints; ++p)
            std::memcpy(to + p * depth * kPanel, made + p * kBlock * kPanel, sizeof(float) * kBlock * kPanel);
    });
}

const char* check_pooling(const Step& s, const Conv& c, bool forward) {
    const int64_t flags = flags_of(s);
    if (flags & (kHasPool | kHasUnpool)) {
        const Tensor& y = forward ? s.out[0] : s.in[0];
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
    if (x.rank != 4) return "expected (batch, height, width, channels)";
    const Conv c = read_full(s, Forward);
    if (const char* problem = check_winograd_shape(c, kBlock)) return problem;
    if (const char* problem = check_pooling(s, c, Forward)) return problem;
    const int64_t depth = Forward ? c.cin : c.cout, channels = Forward ? c.cout : c.cin;
    constexpr int64_t points = Cut<Pairs>::kPoints;
    if (s.in[1].size() != points * depth * padded(channels, kPanel)) return "the packed kernel has another size";
    return check_finish(s, s.ints + kConvInts - 2, channels, Forward ? unpooled(s, x, y).size() : x.size(),
                        kHasBias | kHasResidual | kHasMask | (Forward ? kHasPool | kHasPositions : kHasUnpool));
}

template <int Pairs, bool Forward>
const char* check_pack_winograd(const Step& s) {
    if (s.n_in != 1 || s.n_out != 1 || !are_floats(s)) return "expected one float32 input and output";
    const Tensor& w = s.in[0];
    if (w.rank != 4 || w.shape[0] != 3 || w.shape[1] != 3) return "expected a kernel (3, 3, channels in, channels out)";
    const int64_t depth = w.shape[Forward ? 2 : 3], channels = w.shape[Forward ? 3 : 2];
    if (depth % kBlock || channels % kBlock) return "expected channels in sixteens";
    constexpr int64_t points = Cut<Pairs>::kPoints;
    return s.out[0].size() == points * depth * padded(channels, kPanel) ? nullptr : "the output has another size";
}

#define STRIATE_WINOGRAD(pairs, name, forward)                                                                         \
    {"conv_" name, &run_winograd<pairs, forward>, &winograd_scratch<pairs, forward>, &check_winograd<pairs, forward>}, \
    {                                                                                                                  \
        "conv_" name "_pack", &pack_winograd<pairs, forward>, nullptr, &check_pack_winograd<pairs, forward>            \
    }

constexpr Kernel kKernels[] = {
    STRIATE_WINOGRAD(1, "winograd2", true), STRIATE_WINOGRAD(1, "winograd2_input_grad", false),
    STRIATE_WINOGRAD(2, "winograd4", true), STRIATE_WINOGRAD(2, "winograd4_input_grad", false),
    STRIATE_WINOGRAD(3, "winograd6", true), STRIATE_WINOGRAD(3, "winograd6_input_grad", false),
};

}  // namespace

extern const KernelTable conv_winograd_table;
const KernelTable conv_winograd_table = {kKernels, 12};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
