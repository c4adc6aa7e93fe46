// The kernel gradient where the output has few channels: input and output gradient as planes, so that a vector holds
// neighbouring pixels; a weight's lanes are added up at the very end.
#include "core/kernel.h"
#include "core/thread_pool.h"
#include "kernels/conv/check.h"
#include "kernels/conv/planes.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

#if STRIATE_VEC_BYTES == 64 || defined(__aarch64__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = 16;
#endif

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct SumTile {
    const int64_t* offsets;  // of the rows' planes
    const float *x, *dy;
    int64_t plane, pixels;  // of dy: from one channel to the next; whole vectors
    float* sums;            // [row][channel of all `channels`][lane]
    int64_t channels;
    bool add;
};

// R weights of each of C output channels.
template <int C, int R>
__attribute__((noinline)) void sum_tile(const SumTile& t) {
    Vec acc[R][C] = {};
    const float *dy = t.dy, *x[R];
    const int64_t plane = t.plane;
    for (int r = 0; r < R; ++r) x[r] = t.x + t.offsets[r];
    for (int64_t i = 0; i < t.pixels; i += kLanes) {
        Vec g[C];
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) g[c] = load(dy + c * plane + i);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            const Vec v = load(x[r] + i);
#pragma GCC unroll 8
            for (int c = 0; c < C; ++c) acc[r][c] += v * g[c];
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
            float* p = t.sums + (r * t.channels + c) * kLanes;
            store(p, t.add ? load(p) + acc[r][c] : acc[r][c]);
        }
}

using SumFn = void (*)(const SumTile&);
constexpr int kMostTogether = kRegisters == 32 ? 8 : 4;
constexpr int most_rows(int channels) { return std::min(12, (kRegisters - 2 - channels) / channels); }

template <int C, int... R>
constexpr std::array<SumFn, 12> sum_row(std::integer_sequence<int, R...>) {
    return {{&sum_tile<C, R + 1>...}};
}

template <int... C>
SumFn sum_for(int channels, int rows, std::integer_sequence<int, C...>) {
    static constexpr std::array<SumFn, 12> table[] = {
        sum_row<C + 1>(std::make_integer_sequence<int, most_rows(C + 1)>{})...};
    return table[channels - 1][static_cast<std::size_t>(rows - 1)];
}

// From the shape alone. A segment sums some of the items, which are bands of rows of lines of images.
struct SumCut {
    Conv c;
    Phase phase, beside;  // of the input's planes, and of the output gradient's
    PlaneSource x, dy;
    int64_t rows, bands, items, segments, weights, sum_floats, x_floats, dy_floats, spare_floats;

    SumCut(const Step& s, const Conv& conv) : c(conv) {
        constexpr int64_t kItems = 32;
        phase = {{forward_axis(c, 0), forward_axis(c, 1), forward_axis(c, 2)}};
        for (int i = 0; i < kAxes; ++i) beside.axis[i] = {c.y[i], 0, 1, c.y[i], 1, 1, 0, 1, 0, 0};
        x = source(s.in[0], c.x, c.cin);
        dy = source(s.in[1], c.y, c.cout);
        dy.pooled = c.flags & kHasUnpool;
        if (dy.pooled) dy.positions = static_cast<const std::uint8_t*>(s.in[2].data);
        rows = band_rows(x, phase, c.cout, c.batch * c.y[0], kItems);
        bands = ceil_div(c.y[1], rows);
        items = c.y[2] ? c.batch * c.y[0] * bands : 0;
        segments = std::clamp<int64_t>(items, 1, kItems);
        weights = c.taps() * c.cin;
        sum_floats = weights * c.cout * kLanes;
        const Planes input(x, phase, rows), gradient(dy, beside, rows, input.pitch());
        x_floats = round_to_line(input.floats());
        dy_floats = round_to_line(gradient.floats());
        spare_floats = round_to_line(gradient.spare_floats());
    }
    std::size_t offset_bytes() const { return (sizeof(int64_t) * static_cast<std::size_t>(weights) + 63) / 64 * 64; }
    std::size_t sum_bytes() const { return sizeof(float) * static_cast<std::size_t>(segments * sum_floats); }
    std::size_t thread_bytes() const {
        return sizeof(float) * static_cast<std::size_t>(x_floats + dy_floats + spare_floats);
    }

private:
    static PlaneSource source(const Tensor& t, const int64_t* dims, int64_t channels) {
        return {t.f32(), nullptr, {dims[0], dims[1], dims[2]}, channels, false};
    }
};

class SumItem {
public:
    SumItem(const SumCut& cut, const int64_t* offsets, float* memory)
        : cut_(cut),
          x_planes_(cut.x, cut.phase, cut.rows),
          dy_planes_(cut.dy, cut.beside, cut.rows, x_planes_.pitch()),
          offsets_(offsets),
          x_(memory),
          dy_(memory + cut.x_floats),
          spare_(dy_ + cut.dy_floats) {}

    void segment(int64_t index, float* sums) {
        const int64_t first = cut_.items * index / cut_.segments, last = cut_.items * (index + 1) / cut_.segments;
        for (int64_t item = first; item < last; ++item) add(item, sums, item > first);
        if (first == last) std::memset(sums, 0, sizeof(float) * static_cast<std::size_t>(cut_.sum_floats));
    }

private:
    void add(int64_t item, float* sums, bool add) {
        const Conv& c = cut_.c;
        const int64_t band = item % cut_.bands, line = item / cut_.bands, image = line / c.y[0], j0 = line % c.y[0];
        const int64_t first = band * cut_.rows, rows = std::min(cut_.rows, c.y[1] - first);
        x_planes_.fill(x_, image, j0, first, rows, spare_);
        dy_planes_.fill(dy_, image, j0, first, rows, spare_);
        const int64_t pixels = (rows - 1) * x_planes_.pitch() + c.y[2];
        for (int64_t o = 0; o < c.cout;) {
            const int64_t left = c.cout - o;
            const auto now = static_cast<int>(left <= kMostTogether ? left : (left + 1) / 2);
            const int64_t most = most_rows(now), tiles = ceil_div(cut_.weights, most);
            for (int64_t i = 0; i < tiles; ++i) {
                const int64_t row = cut_.weights * i / tiles, end = cut_.weights * (i + 1) / tiles;
                sum_for(now, static_cast<int>(end - row), std::make_integer_sequence<int, kMostTogether>{})(
                    {offsets_ + row, x_, dy_ + o * dy_planes_.plane(), dy_planes_.plane(), pixels,
                     sums + (row * c.cout + o) * kLanes, c.cout, add});
            }
            o += now;
        }
    }

    const SumCut& cut_;
    const Planes x_planes_, dy_planes_;
    const int64_t* offsets_;
    float *x_, *dy_, *spare_;
};

void list_offsets(const SumCut& cut, int64_t* to) {
    const Planes planes(cut.x, cut.phase, cut.rows);
    const int64_t* kernel = cut.c.kernel;
    for (int64_t tap = 0; tap < cut.c.taps(); ++tap)
        for (int64_t i = 0; i < cut.c.cin; ++i)
            *to++ = planes.offset(tap / kernel[2] / kernel[1], tap / kernel[2] % kernel[1], tap % kernel[2], i);
}

// The segments' sums, in order, then those of the lanes.
void add_up(const SumCut& cut, const float* sums, float* dw) {
    for (int64_t i = 0; i < cut.weights * cut.c.cout; ++i) {
        Vec sum = load(sums + i * kLanes);
        for (int64_t k = 1; k < cut.segments; ++k) sum += load(sums + k * cut.sum_floats + i * kLanes);
        float total = 0;
        for (int lane = 0; lane < kLanes; ++lane) total += sum[lane];
        dw[i] = total;
    }
}

Conv read_full(const Step& s) {
    Conv c = read_conv(s, s.in[0], s.in[1]);
    for (int i = 0; i < kAxes && (c.flags & kHasUnpool); ++i) c.y[i] = unpooled_size(c, i);
    return c;
}

void conv_few_kernel_grad(const Step& s) {
    if (s.out[0].size() == 0) return;
    const SumCut cut(s, read_full(s));
    char* base = static_cast<char*>(s.scratch);
    auto* offsets = reinterpret_cast<int64_t*>(base);
    auto* sums = reinterpret_cast<float*>(base + cut.offset_bytes());
    list_offsets(cut, offsets);
    parallel_for(*s.pool, cut.segments, cut.c.work() > 1 << 19, [&](int64_t i, int thread) {
        char* own = base + cut.offset_bytes() + cut.sum_bytes() + cut.thread_bytes() * static_cast<std::size_t>(thread);
        SumItem(cut, offsets, reinterpret_cast<float*>(own)).segment(i, sums + i * cut.sum_floats);
    });
    add_up(cut, sums, s.out[0].f32());
}

std::size_t conv_few_kernel_grad_scratch(const Step& s, int threads) {
    const SumCut cut(s, read_full(s));
    return cut.offset_bytes() + cut.sum_bytes() + cut.thread_bytes() * static_cast<std::size_t>(threads);
}

const char* check(const Step& s) {
    if (s.n_in < 2 || s.n_ints != kConvInts) return "expected the input, the output's gradient, and 18 ints";
    if (s.n_in != 2 + ((flags_of(s) & kHasUnpool) != 0)) return "expected the input, the output's gradient, positions";
    if (const char* problem = check_geometry(s, s.in[0], s.in[1])) return problem;
    const Conv c = read_full(s);
    if (const char* problem = check_maxima(s, s.in[1], c)) return problem;
    if (c.groups != 1 || c.cout > kMostFew) return "expected one group, and few channels";
    return s.out[0].size() == c.taps() * c.cin * c.cout ? nullptr : "the output must have the kernel's shape";
}

constexpr Kernel kKernels[] = {{"conv_few_kernel_grad", &conv_few_kernel_grad, &conv_few_kernel_grad_scratch, &check}};

}  // namespace

extern const KernelTable conv_few_kernel_grad_table;
const KernelTable conv_few_kernel_grad_table = {kKernels, 1};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
