// Convolutions of lines (one spatial axis) with stride 1, and their input gradients, by F(4, 4): four outputs from
// seven products for each four taps (Winograd 1980, Toom 1963, Cook 1966; points 0.5, 1, 2, their opposites, and
// infinity). Longer kernels are segments of four taps. As a tile is as long as a segment, segment s of tile j reads
// what segment 0 of tile j + s reads: each tile is transformed once, and segments are summed as if they were source
// channels.
//
// Transformed input: per point [block of 16 source channels][tile][16]. Transformed weights: [panel of 32 target
// channels][point][segment][source channel][32].
#include <cstring>
#include <utility>

#include "core/thread_pool.h"
#include "core/transpose.h"
#include "kernels/conv/check.h"
#include "kernels/conv/finish.h"
#include "kernels/conv/multiply.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int kOut = 4, kTaps = 4, kPoints = kOut + kTaps - 1, kPairs = kPoints / 2;
constexpr float kPoint[kPairs] = {0.5f, 1.0f, 2.0f};
constexpr int64_t kNearFloats = 80 << 10;  // transformed input that one thread keeps near

// The coefficients of 1, x^2, x^4 in the product of (x^2 - p^2) over the other pairs of points.
constexpr std::array<float, kPairs> others(int q) {
    const float a = kPoint[(q + 1) % kPairs] * kPoint[(q + 1) % kPairs];
    const float b = kPoint[(q + 2) % kPairs] * kPoint[(q + 2) % kPairs];
    return {a * b, -(a + b), 1};
}
// Those of 1, x^2, x^4, x^6 in the product over all.
constexpr std::array<float, kPairs + 1> all() {
    const auto c = others(0);
    const float p = kPoint[0] * kPoint[0];
    return {-p * c[0], c[0] - p * c[1], c[1] - p * c[2], c[2]};
}
// The product of the distances of a point to all others.
constexpr float distances(int q) {
    const float p = kPoint[q] * kPoint[q];
    const auto c = others(q);
    return 2 * kPoint[q] * (c[0] + c[1] * p + c[2] * p * p);
}

template <int Q>
inline __attribute__((always_inline)) void pair_in(const Vec* d, Vec* t) {
    constexpr auto c = others(Q);
    const Vec odd = c[0] * d[1] + c[1] * d[3] + c[2] * d[5];
    const Vec even = kPoint[Q] * (c[0] * d[0] + c[1] * d[2] + c[2] * d[4]);
    t[2 * Q] = odd + even;
    t[2 * Q + 1] = odd - even;
}

// t = B' d.
inline __attribute__((always_inline)) void transform_in(const Vec* d, Vec* t) {
    constexpr auto c = all();
    pair_in<0>(d, t);
    pair_in<1>(d, t);
    pair_in<2>(d, t);
    t[kPoints - 1] = c[0] * d[0] + c[1] * d[2] + c[2] * d[4] + c[3] * d[6];
}

// y = A' m.
inline __attribute__((always_inline)) void transform_out(const Vec* m, Vec* y) {
    Vec power[kPairs];
    for (int q = 0; q < kPairs; ++q) power[q] = splat(1.0f);
    y[0] = y[1] = y[2] = Vec{};
    y[3] = m[kPoints - 1];
#pragma GCC unroll 4
    for (int i = 0; i < kOut; ++i)
#pragma GCC unroll 4
        for (int q = 0; q < kPairs; ++q) {
            y[i] += power[q] * (i % 2 ? m[2 * q] - m[2 * q + 1] : m[2 * q] + m[2 * q + 1]);
            power[q] *= kPoint[q];
        }
}

// u = G g, values `step` apart.
inline void transform_kernel(const float* g, int64_t g_step, float* u, int64_t u_step) {
    Vec tap[kTaps];
    for (int k = 0; k < kTaps; ++k) tap[k] = load(g + k * g_step);
    for (int q = 0; q < kPairs; ++q) {
        const float p = kPoint[q], f = 1 / distances(q);
        const Vec even = f * tap[0] + f * p * p * tap[2], odd = f * p * tap[1] + f * p * p * p * tap[3];
        store(u + 2 * q * u_step, even + odd);
        store(u + (2 * q + 1) * u_step, odd - even);
    }
    store(u + (kPoints - 1) * u_step, tap[3]);
}

// The convolution that is computed: source correlated with a kernel, whichever pass it is.
struct Line {
    const float* source;
    float* target;
    int64_t batch, length, depth, out_length, channels, before, segments;
    Finish finish;

    Line(const Step& s, bool forward) {
        const Conv c = forward ? read_conv(s, s.in[0], s.out[0]) : read_conv(s, s.out[0], s.in[0]);
        source = s.in[0].f32(), target = s.out[0].f32(), batch = c.batch;
        length = forward ? c.x[2] : c.y[2], out_length = forward ? c.y[2] : c.x[2];
        depth = forward ? c.cin : c.cout, channels = forward ? c.cout : c.cin;
        before = forward ? c.lo[2] : c.kernel[2] - 1 - c.lo[2];
        segments = (c.kernel[2] + kTaps - 1) / kTaps;
        finish = read_finish(s, c.activation, c.flags);
    }
};

// Items: some tiles of a line through all stages. From the shape alone.
struct Cut {
    int64_t tiles, together, parts, panels, blocks, rows;

    explicit Cut(const Line& g) : tiles((g.out_length + kOut - 1) / kOut) {
        panels = (g.channels + kPanel - 1) / kPanel;
        blocks = g.depth / kWinogradBlock;
        const int64_t fit = kNearFloats / (kPoints * g.depth) / kRows;
        constexpr int64_t kItems = 8;  // at least, where lines are long enough
        const int64_t share = std::max<int64_t>(tiles * std::max<int64_t>(g.batch, 1) / kItems, kRows);
        together = std::min({std::clamp<int64_t>(fit, 1, 112 / kRows) * kRows, share, tiles});
        parts = (tiles + together - 1) / together;
        together = (tiles + parts - 1) / parts;
        rows = together + g.segments - 1;
    }
    int64_t input_floats() const { return kPoints * point_step(); }
    int64_t point_step() const { return blocks * rows * kWinogradBlock + 16; }
    int64_t product_step() const { return together * kPanel + 16; }
    int64_t thread_floats() const { return input_floats() + kPoints * product_step(); }
};

class WinogradLine {
public:
    WinogradLine(const Line& g, const Step& s) : g_(g), c_(g), zeros_(static_cast<float*>(s.scratch)) {
        weights_ = s.in[1].f32();
        std::memset(s.scratch, 0, zero_bytes(g));
    }
    static std::size_t zero_bytes(const Line& g) {
        return (static_cast<std::size_t>(g.depth) * sizeof(float) + 63) / 64 * 64;
    }

    void run(ThreadPool& pool) const {
        parallel_for(pool, g_.batch * c_.parts, true, [&](int64_t i, int thread) {
            float* own = zeros_ + zero_bytes(g_) / sizeof(float) + thread * c_.thread_floats();
            item(i / c_.parts, i % c_.parts * c_.together, own, own + c_.input_floats());
        });
    }

private:
    void item(int64_t image, int64_t first, float* v, float* m) const {
        const int64_t count = std::min(c_.together, c_.tiles - first);
        for (int64_t t = 0; t < count + g_.segments - 1; ++t) transform(image, (first + t) * kOut - g_.before, t, v);
        for (int64_t panel = 0; panel < c_.panels; ++panel) {
            for (int64_t point = 0; point < kPoints; ++point) product(point, panel, count, v, m);
            const int64_t columns = std::min<int64_t>(kPanel, g_.channels - panel * kPanel);
            for (int64_t t = 0; t < count; ++t)
                finish(image, (first + t) * kOut, m + t * kPanel, panel * kPanel, columns);
        }
    }

    // V = B' d of the pixels from x on, to place `at`.
    void transform(int64_t image, int64_t x, int64_t at, float* v) const {
        const float* from[kPoints];
        for (int64_t i = 0; i < kPoints; ++i)
            from[i] = x + i >= 0 && x + i < g_.length ? g_.source + (image * g_.length + x + i) * g_.depth : zeros_;
        for (int64_t k = 0; k < g_.depth; k += kLanes) {
            Vec d[kPoints], t[kPoints];
#pragma GCC unroll 8
            for (int i = 0; i < kPoints; ++i) d[i] = load(from[i] + k);
            transform_in(d, t);
            float* to = v + (k / kWinogradBlock * c_.rows + at) * kWinogradBlock + k % kWinogradBlock;
#pragma GCC unroll 8
            for (int i = 0; i < kPoints; ++i) store(to + i * c_.point_step(), t[i]);
        }
    }

    void product(int64_t point, int64_t panel, int64_t count, const float* v, float* m) const {
        const int64_t terms = g_.segments * g_.depth, groups = (count + kRows - 1) / kRows;
        const float* u = weights_ + (panel * kPoints + point) * terms * kPanel;
        const Terms sum{c_.blocks, c_.rows * kWinogradBlock, g_.segments, kWinogradBlock};
        const int64_t bytes = kPanel * sizeof(float) / groups;
        for (int64_t q = 0; q < groups; ++q) {
            const int64_t r0 = count * q / groups, r1 = count * (q + 1) / groups;
            const Ahead ahead{reinterpret_cast<const char*>(u + terms * kPanel) + q * bytes * terms, bytes};
            multiply_rows(r1 - r0, v + point * c_.point_step() + r0 * kWinogradBlock, sum, u,
                          m + point * c_.product_step() + r0 * kPanel, ahead);
        }
    }

    // Y = A' M of one tile, bias, residual, mask, activation, and out.
    void finish(int64_t image, int64_t x, const float* m, int64_t channel, int64_t columns) const {
        const int64_t start = (image * g_.out_length + x) * g_.channels + channel;
        const int64_t width = std::min<int64_t>(kOut, g_.out_length - x);
        for (int64_t c = 0; c < columns; c += kLanes) {
            Vec values[kPoints], y[kOut];
#pragma GCC unroll 8
            for (int i = 0; i < kPoints; ++i) values[i] = load(m + i * c_.product_step() + c);
            transform_out(values, y);
            const Vec bias = g_.finish.bias ? load(g_.finish.bias + channel + c) : Vec{};
            for (int64_t i = 0; i < width; ++i) {
                const int64_t at = start + i * g_.channels + c;
                store(g_.target + at, finished(y[i] + bias, at));
            }
        }
        if (g_.finish.activation.id == kLinear || g_.finish.activation.id == kRelu) return;
        for (int64_t i = 0; i < width; ++i)
            activate(g_.finish.activation, g_.target + start + i * g_.channels, static_cast<int>(columns));
    }

    Vec finished(Vec v, int64_t at) const {
        if (g_.finish.residual) v += load(g_.finish.residual + at);
        if (g_.finish.mask) v = load(g_.finish.mask + at) > Vec{} ? v : Vec{};
        return g_.finish.activation.id == kRelu ? at_least(v, Vec{}) : v;
    }

    const Line& g_;
    const Cut c_;
    float* zeros_;
    const float* weights_;
};

template <bool Forward>
void run_line(const Step& s) {
    if (s.out[0].size() == 0) return;
    const Line g(s, Forward);
    WinogradLine(g, s).run(*s.pool);
}

template <bool Forward>
std::size_t line_scratch(const Step& s, int threads) {
    const Line g(s, Forward);
    const auto each = static_cast<std::size_t>(Cut(g).thread_floats()) * sizeof(float);
    return WinogradLine::zero_bytes(g) + each * static_cast<std::size_t>(threads);
}

// The four taps of one segment of 16 source channels and a panel of target channels, [tap][source channel][target
// channel], zeros behind the last one; the input gradient's in the opposite order.
template <bool Forward>
void gather_taps(const Tensor& w, int64_t segment, int64_t first, int64_t panel, float* to) {
    const int64_t kernel = w.shape[0], cin = w.shape[1], cout = w.shape[2];
    const int64_t here = std::min<int64_t>(kPanel, (Forward ? cout : cin) - panel * kPanel);
    for (int64_t i = 0; i < kTaps && segment * kTaps + i < kernel; ++i) {
        const int64_t tap = segment * kTaps + i;
        const float* from = w.f32() + (Forward ? tap : kernel - 1 - tap) * cin * cout;
        float* block = to + i * kWinogradBlock * kPanel;
        for (int64_t k = 0; Forward && k < kWinogradBlock; ++k)
            std::memcpy(block + k * kPanel, from + (first + k) * cout + panel * kPanel, sizeof(float) * here);
        for (int64_t c = 0; !Forward && c < here; c += kLanes)
            for (int64_t k = 0; k < kWinogradBlock; k += kLanes)
                transpose_square(from + (panel * kPanel + c) * cout + first + k, cout, block + k * kPanel + c, kPanel);
    }
}

template <bool Forward>
void pack_line(const Step& s) {
    const Tensor& w = s.in[0];
    if (s.out[0].size() == 0) return;
    const int64_t depth = w.shape[Forward ? 1 : 2], channels = w.shape[Forward ? 2 : 1];
    const int64_t segments = (w.shape[0] + kTaps - 1) / kTaps, terms = segments * depth;
    const int64_t panels = (channels + kPanel - 1) / kPanel, blocks = depth / kWinogradBlock;
    parallel_for(*s.pool, panels * segments * blocks, true, [&](int64_t i, int) {
        constexpr int64_t kBlock = kWinogradBlock * kPanel;
        const int64_t panel = i / blocks / segments, segment = i / blocks % segments;
        const int64_t first = i % blocks * kWinogradBlock;
        float raw[kTaps * kBlock] = {}, made[kPoints * kBlock];
        gather_taps<Forward>(w, segment, first, panel, raw);
        for (int64_t at = 0; at < kBlock; at += kLanes) transform_kernel(raw + at, kBlock, made + at, kBlock);
        for (int64_t p = 0; p < kPoints; ++p)
            std::memcpy(s.out[0].f32() + ((panel * kPoints + p) * terms + segment * depth + first) * kPanel,
                        made + p * kBlock, sizeof(float) * kBlock);
    });
}

int64_t packed_size(int64_t kernel, int64_t depth, int64_t channels) {
    return (kernel + kTaps - 1) / kTaps * kPoints * depth * padded(channels, kPanel);
}

template <bool Forward>
const char* check_line(const Step& s) {
    if (s.n_in < 2 || s.n_out != 1 || !are_floats(s)) return "expected float32 inputs and one output";
    const Tensor &x = Forward ? s.in[0] : s.out[0], &y = Forward ? s.out[0] : s.in[0];
    if (const char* problem = check_geometry(s, x, y)) return problem;
    if (x.rank != 3) return "expected (batch, length, channels)";
    const Conv c = read_conv(s, x, y);
    if (c.stride[2] != 1 || c.dilation[2] != 1) return "expected stride 1";
    if (c.lo[2] < 0 || c.lo[2] >= c.kernel[2] || c.hi[2] < 0 || c.hi[2] >= c.kernel[2])
        return "expected pads smaller than the kernel";
    if (c.groups != 1 || c.cin % kWinogradBlock || c.cout % kWinogradBlock)
        return "expected one group, channels in sixteens";
    const int64_t depth = Forward ? c.cin : c.cout, channels = Forward ? c.cout : c.cin;
    if (s.in[1].size() != packed_size(c.kernel[2], depth, channels)) return "the packed kernel has another size";
    return check_finish(s, s.ints + kConvInts - 2, channels, s.out[0].size(), kHasBias | kHasResidual | kHasMask);
}

template <bool Forward>
const char* check_pack_line(const Step& s) {
    if (s.n_in != 1 || s.n_out != 1 || !are_floats(s)) return "expected one float32 input and output";
    const Tensor& w = s.in[0];
    if (w.rank != 3 || w.shape[0] < 1) return "expected a kernel (taps, channels in, channels out)";
    const int64_t depth = w.shape[Forward ? 1 : 2], channels = w.shape[Forward ? 2 : 1];
    if (depth % kWinogradBlock || channels % kWinogradBlock) return "expected channels in sixteens";
    return s.out[0].size() == packed_size(w.shape[0], depth, channels) ? nullptr : "the output has another size";
}

constexpr Kernel kKernels[] = {
    {"conv_winograd_line", &run_line<true>, &line_scratch<true>, &check_line<true>},
    {"conv_winograd_line_input_grad", &run_line<false>, &line_scratch<false>, &check_line<false>},
    {"conv_winograd_line_pack", &pack_line<true>, nullptr, &check_pack_line<true>},
    {"conv_winograd_line_input_grad_pack", &pack_line<false>, nullptr, &check_pack_line<false>},
};

}  // namespace

extern const KernelTable conv_winograd_line_table;
const KernelTable conv_winograd_line_table = {kKernels, 4};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
