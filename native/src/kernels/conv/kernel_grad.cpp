// The kernel gradient: for each tap, dw = x' dy summed over pixels. A tile is a block of input channels (rows) x two
// vectors of output channels, held in registers over a part of the pixels. Output channels are packed into panels, part
// by part; parts are added in order, and segments of parts (cut from the shape alone) in order at the end.
#include "core/kernel.h"
#include "core/thread_pool.h"
#include "kernels/conv/check.h"
#include "kernels/conv/geometry.h"
#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int64_t kPartPixels = 256;
constexpr int64_t kGatherChannels = 16;  // below, the pixels' windows are copied together: rows are taps x channels

// Neighbouring pixels of one line, as one tap sees them.
struct Stretch {
    const float* x;
    const float* dy;
    int64_t count;
};

struct GradTile {
    const Stretch* stretches;
    int64_t count, x_step;
    int64_t x_offset;  // first channel
    int64_t column;    // in the panel
    float* sums;       // [R][sum_step]: set by the first part, added to by the others
    int64_t sum_step;
    bool add;
};

template <int R, int NV>
__attribute__((noinline)) void grad_tile(const GradTile& t) {
    Vec acc[R][NV] = {};
    const int64_t step = t.x_step, ahead = 8 * step + R - 1;
    for (int64_t i = 0; i < t.count; ++i) {
        const Stretch& s = t.stretches[i];
        const float *x = s.x + t.x_offset, *b = s.dy + t.column;
        for (int64_t k = 0; k < s.count; ++k, x += step, b += kPanel) {
            Vec bv[NV];
            __builtin_prefetch(x + ahead);
#pragma GCC unroll 2
            for (int v = 0; v < NV; ++v) bv[v] = load(b + v * kLanes);
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
                const Vec a = broadcast(x[r]);
#pragma GCC unroll 2
                for (int v = 0; v < NV; ++v) acc[r][v] += a * bv[v];
            }
        }
    }
    float* to = t.sums + t.column;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) {
            float* p = to + r * t.sum_step + v * kLanes;
            store(p, t.add ? load(p) + acc[r][v] : acc[r][v]);
        }
}

using GradFn = void (*)(const GradTile&);

template <int NV, int... R>
constexpr std::array<GradFn, sizeof...(R)> grad_table(std::integer_sequence<int, R...>) {
    return {{&grad_tile<R + 1, NV>...}};
}

GradFn grad_for(int rows, int vectors) {
    static constexpr auto one = grad_table<1>(std::make_integer_sequence<int, kRows>{});
    static constexpr auto two = grad_table<2>(std::make_integer_sequence<int, kRows>{});
    return vectors == 1 ? one[rows - 1] : two[rows - 1];
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How the gradient is cut into items; from the shape alone. An item sums the parts of one segment of the pixels, for
// one block of channels and one block of panels (of one group) of output channels.
struct GradCut {
    int64_t pixels, parts, segments, blocks, panels, per_group, panel_blocks, rows;
    bool gather;
    bool in_place;  // sums stand in dw itself

    explicit GradCut(const Conv& c) {
        constexpr int64_t kItems = 32, kCacheFloats = 256 * 1024 / 4, kSumFloats = 8 << 20;
        gather = c.group_in() < kGatherChannels;
        pixels = c.batch * c.y_pixels();
        parts = std::max<int64_t>(ceil_div(pixels, kPartPixels), 1);
        per_group = ceil_div(c.group_out(), kPanel);
        panels = c.groups * per_group;
        rows = c.taps() * c.group_in();
        const int64_t together = std::clamp<int64_t>(kCacheFloats / std::max<int64_t>(panel_floats(), 1), 1, 8);
        panel_blocks = ceil_div(per_group, together);
        const int64_t all = std::max<int64_t>(c.groups * panel_blocks, 1);
        blocks = gather ? 1 : std::clamp<int64_t>(kItems / all, 1, std::max<int64_t>(c.group_in() / (8 * kRows), 1));
        const int64_t most = std::clamp<int64_t>(kSumFloats / std::max<int64_t>(segment_floats(), 1), 1, parts);
        segments = std::clamp<int64_t>(kItems / (all * blocks), 1, most);
        in_place = segments == 1 && c.group_out() % kPanel == 0;
    }
    int64_t panel_floats() const { return rows * kPanel; }
    int64_t segment_floats() const { return panels * panel_floats(); }
    std::size_t sum_bytes() const { return in_place ? 0 : round64(sizeof(float) * segments * segment_floats()); }
    std::size_t dy_bytes() const { return sizeof(float) * kPartPixels * kPanel; }
    std::size_t x_bytes() const { return gather ? round64(sizeof(float) * kPartPixels * rows) : 0; }
    std::size_t thread_bytes() const { return dy_bytes() + x_bytes() + round64(sizeof(Stretch) * kPartPixels); }

private:
    static std::size_t round64(std::size_t bytes) { return (bytes + 63) / 64 * 64; }
};

class KernelGrad {
public:
    KernelGrad(const Conv& c, const GradCut& cut, const Step& s, int thread)
        : c_(c), cut_(cut), x_(s.in[0].f32()), dy_(s.in[1].f32()), dw_(s.out[0].f32()) {
        char* base = static_cast<char*>(s.scratch);
        sums_ = reinterpret_cast<float*>(base);
        char* own = base + cut.sum_bytes() + cut.thread_bytes() * thread;
        dy_panel_ = reinterpret_cast<float*>(own);
        x_rows_ = reinterpret_cast<float*>(own + cut.dy_bytes());
        stretches_ = reinterpret_cast<Stretch*>(own + cut.dy_bytes() + cut.x_bytes());
    }

    void item(int64_t index) {
        const int64_t block = index % cut_.blocks, panels = index / cut_.blocks % (c_.groups * cut_.panel_blocks);
        const int64_t segment = index / cut_.blocks / (c_.groups * cut_.panel_blocks);
        group_ = panels / cut_.panel_blocks;
        const int64_t begin = cut_.per_group * (panels % cut_.panel_blocks) / cut_.panel_blocks;
        const int64_t end = cut_.per_group * (panels % cut_.panel_blocks + 1) / cut_.panel_blocks;
        const int64_t channels = cut_.gather ? cut_.rows : c_.group_in();
        lo_ = channels * block / cut_.blocks;
        hi_ = channels * (block + 1) / cut_.blocks;
        segment_ = segment;
        first_part_ = cut_.parts * segment / cut_.segments;
        for (int64_t p = first_part_; p < cut_.parts * (segment + 1) / cut_.segments; ++p) {
            pixel0_ = p * kPartPixels;
            pixel1_ = std::min(pixel0_ + kPartPixels, cut_.pixels);
            if (cut_.gather) gather_rows();
            if (pixel1_ < cut_.pixels) fetch_ahead();
            for (int64_t panel = begin; panel < end; ++panel) part(panel);
        }
    }

private:
    // The next part's input, roughly: the lines that lie at the same fraction of it.
    void fetch_ahead() const {
        constexpr int64_t kMostFloats = 64 << 10;
        const int64_t x_pixels = c_.batch * c_.x_pixels();
        const float* from = x_ + x_pixels * pixel1_ / cut_.pixels * c_.cin;
        const int64_t floats = std::min(x_pixels * kPartPixels / cut_.pixels * c_.cin, kMostFloats);
        for (int64_t i = 0; i < floats; i += 16) __builtin_prefetch(from + i, 0, 2);
    }

    void part(int64_t panel) {
        first_out_ = group_ * c_.group_out() + panel * kPanel;
        columns_ = static_cast<int>(std::min<int64_t>(kPanel, c_.group_out() - panel * kPanel));
        to_ = cut_.in_place
                  ? dw_ + first_out_
                  : sums_ + segment_ * cut_.segment_floats() + (group_ * cut_.per_group + panel) * cut_.panel_floats();
        sum_step_ = cut_.in_place ? c_.cout : kPanel;
        const bool first = pixel0_ == first_part_ * kPartPixels;
        pack_dy();
        if (cut_.gather) {
            stretches_[0] = {x_rows_, dy_panel_, pixel1_ - pixel0_};
            return tiles(1, cut_.rows, 0, 0, !first);
        }
        for (int64_t tap = 0; tap < c_.taps(); ++tap) {
            const int64_t count = find_stretches(tap);
            if (count || first)
                tiles(count, c_.stride[2] * c_.cin, group_ * c_.group_in(), tap * c_.group_in(), !first);
        }
    }

    void pack_dy() {
        const float* from = dy_ + pixel0_ * c_.cout + first_out_;
        float* to = dy_panel_;
        for (int64_t i = pixel1_ - pixel0_; i > 0; --i, from += c_.cout, to += kPanel) {
            __builtin_prefetch(from + kPartPixels * c_.cout, 0, 2);  // the next part's
            __builtin_prefetch(from + kPartPixels * c_.cout + kPanel / 2, 0, 2);
            if (columns_ == kPanel) {
                std::memcpy(to, from, sizeof(float) * kPanel);
            } else {
                std::copy(from, from + columns_, to);
                std::fill(to + columns_, to + kPanel, 0.0f);
            }
        }
    }

    // Start of the input line that tap (kd, kh) of the output line reads, or null outside.
    const float* input_line(int64_t line, int64_t kd, int64_t kh) const {
        const int64_t j1 = line % c_.y[1], j0 = line / c_.y[1] % c_.y[0], image = line / c_.y[1] / c_.y[0];
        const int64_t z = j0 * c_.stride[0] - c_.lo[0] + kd * c_.dilation[0];
        const int64_t y = j1 * c_.stride[1] - c_.lo[1] + kh * c_.dilation[1];
        if (z < 0 || z >= c_.x[0] || y < 0 || y >= c_.x[1]) return nullptr;
        return x_ + ((image * c_.x[0] + z) * c_.x[1] + y) * c_.x[2] * c_.cin;
    }

    int64_t find_stretches(int64_t tap) {
        const int64_t kw = tap % c_.kernel[2], kh = tap / c_.kernel[2] % c_.kernel[1];
        const int64_t kd = tap / c_.kernel[2] / c_.kernel[1], s = c_.stride[2];
        const int64_t offset = kw * c_.dilation[2] - c_.lo[2];  // pixel j reads j * s + offset
        const int64_t first = offset >= 0 ? 0 : ceil_div(-offset, s);
        const int64_t last = c_.x[2] > offset ? std::min(ceil_div(c_.x[2] - offset, s), c_.y[2]) : 0;
        int64_t count = 0;
        if (first >= last) return 0;
        for (int64_t pixel = pixel0_, next; pixel < pixel1_; pixel = next) {
            const int64_t line = pixel / c_.y[2], start = line * c_.y[2];
            next = std::min(start + c_.y[2], pixel1_);
            const int64_t lo = std::max(first, pixel - start), hi = std::min(last, next - start);
            const float* x = input_line(line, kd, kh);
            if (!x || lo >= hi) continue;
            const float* dy = dy_panel_ + (start + lo - pixel0_) * kPanel;
            stretches_[count++] = {x + (lo * s + offset) * c_.cin, dy, hi - lo};
        }
        return count;
    }

    // Copies the window of each pixel of the part: [pixel][tap][channel of the group].
    void gather_rows() {
        const int64_t depth = c_.group_in();
        for (int64_t pixel = pixel0_, next; pixel < pixel1_; pixel = next) {
            const int64_t line = pixel / c_.y[2], start = line * c_.y[2];
            next = std::min(start + c_.y[2], pixel1_);
            for (int64_t k = 0; k < c_.kernel[0] * c_.kernel[1]; ++k) {
                const float* x = input_line(line, k / c_.kernel[1], k % c_.kernel[1]);
                float* to = x_rows_ + (pixel - pixel0_) * cut_.rows + k * c_.kernel[2] * depth;
                for (int64_t j = pixel - start; j < next - start; ++j, to += cut_.rows) gather_pixel(x, j, depth, to);
            }
        }
    }

    void gather_pixel(const float* line, int64_t j, int64_t depth, float* to) const {
        const int64_t start = j * c_.stride[2] - c_.lo[2], span = c_.kernel[2];
        const bool one_run = c_.dilation[2] == 1 && c_.groups == 1;
        if (line && one_run && start >= 0 && start + span <= c_.x[2])
            return copy(line + start * depth, span * depth, to);
        for (int64_t kw = 0; kw < span; ++kw, to += depth) {
            const int64_t at = start + kw * c_.dilation[2];
            if (line && at >= 0 && at < c_.x[2])
                copy(line + at * c_.cin + group_ * depth, depth, to);
            else
                std::fill(to, to + depth, 0.0f);
        }
    }

    static void copy(const float* from, int64_t n, float* to) {  // short: a call of memcpy costs more than the loop
        int64_t i = 0;
        for (; i + 4 <= n; i += 4) __builtin_memcpy(to + i, from + i, 16);
        for (; i < n; ++i) to[i] = from[i];
    }

    // The channels [lo, hi) of one tap, whose first row of sums is `row`: set, or added to.
    void tiles(int64_t count, int64_t x_step, int64_t x_offset, int64_t row, bool add) {
        const int64_t n = ceil_div(hi_ - lo_, kRows);
        GradTile t = {stretches_, count, x_step, 0, 0, nullptr, sum_step_, add};
        for (int64_t i = 0; i < n; ++i) {
            const int64_t first = lo_ + (hi_ - lo_) * i / n, rows = lo_ + (hi_ - lo_) * (i + 1) / n - first;
            t.x_offset = x_offset + first;
            t.sums = to_ + (row + first) * sum_step_;
            for (int column = 0; column < columns_; column += kTileCols) {
                t.column = column;
                grad_for(static_cast<int>(rows), columns_ - column > kLanes ? 2 : 1)(t);
            }
        }
    }

    const Conv& c_;
    const GradCut& cut_;
    const float *x_, *dy_;
    float *dw_, *sums_, *dy_panel_, *x_rows_, *to_ = nullptr;
    Stretch* stretches_;
    int64_t group_ = 0, first_out_ = 0, sum_step_ = 0, first_part_ = 0, segment_ = 0, lo_ = 0, hi_ = 0, pixel0_ = 0,
            pixel1_ = 0;
    int columns_ = 0;
};

// dw row [tap][channel] of every group: the segments' sums, in order.
void collect(const Conv& c, const GradCut& cut, const float* sums, int64_t row, float* dw) {
    for (int64_t panel = 0; panel < cut.panels; ++panel) {
        const int64_t group = panel / cut.per_group, first = panel % cut.per_group * kPanel;
        const int64_t columns = std::min<int64_t>(kPanel, c.group_out() - first);
        float* to = dw + row * c.cout + group * c.group_out() + first;
        const float* from = sums + panel * cut.panel_floats() + row * kPanel;
        for (int64_t j = 0; j < columns; ++j) {
            float sum = from[j];
            for (int64_t i = 1; i < cut.segments; ++i) sum += from[i * cut.segment_floats() + j];
            to[j] = sum;
        }
    }
}

void conv_kernel_grad(const Step& s) {
    const Tensor& dw = s.out[0];
    if (dw.size() == 0) return;
    const Conv c = read_conv(s, s.in[0], s.in[1]);
    const GradCut cut(c);
    const bool large = c.work() > 1 << 19;
    parallel_for(*s.pool, cut.segments * c.groups * cut.panel_blocks * cut.blocks, large,
                 [&](int64_t i, int thread) { KernelGrad(c, cut, s, thread).item(i); });
    if (cut.in_place) return;
    constexpr int64_t kRowsTogether = 64;
    parallel_for(*s.pool, ceil_div(cut.rows, kRowsTogether), dw.size() > 1 << 17, [&](int64_t i, int) {
        const int64_t end = std::min((i + 1) * kRowsTogether, cut.rows);
        for (int64_t row = i * kRowsTogether; row < end; ++row)
            collect(c, cut, static_cast<const float*>(s.scratch), row, dw.f32());
    });
}

std::size_t conv_kernel_grad_scratch(const Step& s, int threads) {
    const Conv c = read_conv(s, s.in[0], s.in[1]);
    const GradCut cut(c);
    return cut.sum_bytes() + cut.thread_bytes() * threads;
}

constexpr Kernel kKernels[] = {{"conv_kernel_grad", &conv_kernel_grad, &conv_kernel_grad_scratch, &check_kernel_grad}};

}  // namespace

extern const KernelTable conv_kernel_grad_table;
const KernelTable conv_kernel_grad_table = {kKernels, 1};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
