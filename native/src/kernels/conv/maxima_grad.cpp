// Gradients of a convolution of which only the 2x2 maxima were kept: three of four values of the output's gradient are
// zero, and each kept one is multiplied alone, where its position says. For small images with few input channels: the
// taps of a line, which lie side by side, fill vectors.
#include <algorithm>
#include <array>
#include <cstring>

#include "core/kernel.h"
#include "core/math.h"
#include "core/thread_pool.h"
#include "kernels/conv/check.h"
#include "kernels/conv/finish.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int64_t kParallel = 1 << 18;  // multiplications

int64_t whole_lines(int64_t floats) { return (floats + 15) / 16 * 16; }
int64_t vectors_of(int64_t floats) { return (floats + kLanes - 1) / kLanes; }

// Shapes of both gradients. `pitch`: from one line of the input, with the zeros around it, to the next.
struct Maxima {
    Conv c;
    const float* values;
    const std::uint8_t* places;
    int64_t height, width, pixels, lines, pitch, run;  // pixels: of the maxima; run: the taps of a line

    Maxima(const Step& s, const Conv& conv, const Tensor& pooled) : c(conv) {
        values = pooled.f32();
        places = static_cast<const std::uint8_t*>(s.in[s.n_in - 1].data);
        height = c.y[1] / 2;
        width = c.y[2] / 2;
        pixels = height * width;
        lines = (std::max<int64_t>(c.y[1], 1) - 1) * c.stride[1] + (c.kernel[1] - 1) * c.dilation[1] + 1;
        pitch = ((std::max<int64_t>(c.y[2], 1) - 1) * c.stride[2] + c.kernel[2]) * c.cin;
        run = c.kernel[2] * c.cin;
    }
    int64_t image_floats() const { return whole_lines(lines * pitch + kLanes); }
    int64_t work() const { return c.batch * pixels * c.taps() * c.cin * c.cout; }

    // Calls f(line of the input, its place among the zeros, floats) for all lines that are not cut off.
    template <class F>
    void each_line(F&& f) const {
        const int64_t begin = std::max<int64_t>(-c.lo[2], 0), end = std::min(c.x[2], pitch / c.cin - c.lo[2]);
        for (int64_t y = std::max<int64_t>(-c.lo[1], 0); y < std::min(c.x[1], lines - c.lo[1]) && begin < end; ++y)
            f((y * c.x[2] + begin) * c.cin, (y + c.lo[1]) * pitch + (begin + c.lo[2]) * c.cin, (end - begin) * c.cin);
    }
};

Conv read_full(const Step& s, const Tensor& x, const Tensor& y) {
    Conv c = read_conv(s, x, y);
    for (int i = 0; i < kAxes; ++i) c.y[i] = unpooled_size(c, i);
    return c;
}

// The kernel's gradient
// ------------------------------------------------------------------------------------------------

#if STRIATE_VEC_BYTES == 64 || defined(__aarch64__)
constexpr int kLinesTogether = 5, kVectorsTogether = 4;
#else
constexpr int kLinesTogether = 5, kVectorsTogether = 2;
#endif

struct TapSums {
    const float *x, *values;  // the input from the first of these taps on
    const std::uint8_t* places;
    int64_t cells[4];  // how far a maximum's taps lie from those of its window's first value
    int64_t height, width, row, column, tap_line, channels;
    float* sums;  // [line of taps][vector]
    int64_t sums_line;
};

// The taps of R lines, V vectors of each, of one output channel and image.
template <int R, int V>
__attribute__((noinline)) void sum_taps(const TapSums& t) {
    Vec acc[R][V];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) acc[r][v] = load(t.sums + r * t.sums_line + v * kLanes);
    const float* g = t.values;
    const std::uint8_t* place = t.places;
    const int64_t tap_line = t.tap_line, channels = t.channels, column = t.column;
    for (int64_t y = 0; y < t.height; ++y) {
        const float* x = t.x + y * t.row;
        for (int64_t i = 0; i < t.width; ++i, x += column, g += channels, place += channels) {
            const float* from = x + t.cells[*place & 3];
            const Vec gradient = broadcast(*g);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) acc[r][v] += gradient * load(from + r * tap_line + v * kLanes);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store(t.sums + r * t.sums_line + v * kLanes, acc[r][v]);
}

using TapFn = void (*)(const TapSums&);

template <int R, int... V>
constexpr std::array<TapFn, sizeof...(V)> tap_row(std::integer_sequence<int, V...>) {
    return {{&sum_taps<R, V + 1>...}};
}

template <int... R>
TapFn taps_for(int64_t rows, int64_t vectors, std::integer_sequence<int, R...>) {
    static constexpr std::array<TapFn, kVectorsTogether> table[] = {
        tap_row<R + 1>(std::make_integer_sequence<int, kVectorsTogether>{})...};
    return table[rows - 1][static_cast<std::size_t>(vectors - 1)];
}

// Segments of images are summed apart, as the shape alone says, and added up in their order.
struct KernelCut : Maxima {
    int64_t vectors, segments, sums;

    explicit KernelCut(const Step& s) : Maxima(s, read_full(s, s.in[0], s.in[1]), s.in[1]) {
        constexpr int64_t kMostSegments = 16, kSumFloats = 1 << 17;
        vectors = vectors_of(run);
        sums = c.cout * c.kernel[1] * vectors * kLanes;
        segments = std::clamp<int64_t>(kSumFloats / std::max<int64_t>(sums, 1), 1, kMostSegments);
        segments = std::clamp<int64_t>(c.batch, 1, segments);
    }
    std::size_t bytes(int threads) const {
        return sizeof(float) * static_cast<std::size_t>(segments * sums + threads * image_floats());
    }
};

void add_image(const KernelCut& cut, int64_t image, const float* x, float* sums) {
    const Conv& c = cut.c;
    const int64_t at = image * cut.pixels * c.cout, down = c.stride[1] * cut.pitch, right = c.stride[2] * c.cin;
    for (int64_t o = 0; o < c.cout; ++o)
        for (int64_t r = 0; r < c.kernel[1]; r += kLinesTogether)
            for (int64_t v = 0; v < cut.vectors; v += kVectorsTogether) {
                const int64_t line = c.dilation[1] * cut.pitch, rows = c.kernel[1];
                float* to = sums + ((o * rows + r) * cut.vectors + v) * kLanes;
                const TapSums taps = {x + r * line + v * kLanes,
                                      cut.values + at + o,
                                      cut.places + at + o,
                                      {0, right, down, down + right},
                                      cut.height,
                                      cut.width,
                                      2 * down,
                                      2 * right,
                                      line,
                                      c.cout,
                                      to,
                                      cut.vectors * kLanes};
                taps_for(std::min<int64_t>(kLinesTogether, rows - r),
                         std::min<int64_t>(kVectorsTogether, cut.vectors - v),
                         std::make_integer_sequence<int, kLinesTogether>{})(taps);
            }
}

void add_segment(const KernelCut& cut, const float* x, int64_t segment, float* padded, float* sums) {
    const int64_t first = cut.c.batch * segment / cut.segments, last = cut.c.batch * (segment + 1) / cut.segments;
    std::fill(padded, padded + cut.image_floats(), 0.0f);
    std::fill(sums, sums + cut.sums, 0.0f);
    for (int64_t image = first; image < last; ++image) {
        const float* from = x + image * cut.c.x_pixels() * cut.c.cin;
        cut.each_line([&](int64_t line, int64_t at, int64_t floats) {
            std::memcpy(padded + at, from + line, sizeof(float) * static_cast<std::size_t>(floats));
        });
        add_image(cut, image, padded, sums);
    }
}

void add_up(const KernelCut& cut, float* sums, float* dw) {
    for (int64_t k = 1; k < cut.segments; ++k)
        for (int64_t i = 0; i < cut.sums; i += kLanes) store(sums + i, load(sums + i) + load(sums + k * cut.sums + i));
    for (int64_t r = 0; r < cut.c.kernel[1]; ++r)
        for (int64_t i = 0; i < cut.run; ++i)
            for (int64_t o = 0; o < cut.c.cout; ++o) *dw++ = sums[(o * cut.c.kernel[1] + r) * cut.vectors * kLanes + i];
}

void conv_maxima_kernel_grad(const Step& s) {
    if (s.out[0].size() == 0) return;
    const KernelCut cut(s);
    auto* sums = static_cast<float*>(s.scratch);
    parallel_for(*s.pool, cut.segments, cut.work() > kParallel, [&](int64_t i, int thread) {
        float* padded = sums + cut.segments * cut.sums + thread * cut.image_floats();
        add_segment(cut, s.in[0].f32(), i, padded, sums + i * cut.sums);
    });
    add_up(cut, sums, s.out[0].f32());
}

std::size_t conv_maxima_kernel_grad_scratch(const Step& s, int threads) { return KernelCut(s).bytes(threads); }

// The input's gradient
// -------------------------------------------------------------------------------------------------

// The inputs that the four values of a window reach stand in registers as one piece: lines of kernel + 1 taps each. A
// channel's weights are written as such a piece, with zeros around them, for each place of a maximum: read from one
// piece at four places, most vectors would lie across two lines of the cache, which takes twice as long. (A gradient
// that is not finite reaches all of its window.)
constexpr int kPieces = 14;  // vectors

struct Spread {
    const float *values, *weights;
    const std::uint8_t* places;
    int64_t channels, piece;
    float* to;
};

template <int N>
__attribute__((noinline)) void spread_window(const Spread& t) {
    Vec acc[N] = {};
    const float* weights = t.weights;
    for (int64_t o = 0; o < t.channels; ++o, weights += 4 * t.piece) {
        const float* w = weights + (t.places[o] & 3) * t.piece;
        const Vec gradient = broadcast(t.values[o]);
#pragma GCC unroll 16
        for (int i = 0; i < N; ++i) acc[i] += gradient * load(w + i * kLanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) store(t.to + i * kLanes, acc[i]);
}

using SpreadFn = void (*)(const Spread&);

template <int... N>
SpreadFn spread_for(int64_t pieces, std::integer_sequence<int, N...>) {
    static constexpr SpreadFn table[] = {&spread_window<N + 1>...};
    return table[pieces - 1];
}

struct InputCut : Maxima {
    int64_t line, vectors, piece;  // line: of a window

    explicit InputCut(const Step& s) : Maxima(s, read_full(s, s.out[0], s.in[0]), s.in[0]) {
        line = run + c.cin;
        vectors = vectors_of(line * (c.kernel[1] + 1));
        piece = whole_lines(vectors * kLanes);
    }
    int64_t weights_floats() const { return c.cout * 4 * piece; }
    int64_t window_floats() const { return whole_lines((vectors + 1) * kLanes); }
    int64_t thread_floats() const { return image_floats() + window_floats(); }
    std::size_t bytes(int threads) const {
        return sizeof(float) * static_cast<std::size_t>(weights_floats() + threads * thread_floats());
    }
};

void list_weights(const InputCut& cut, const float* w, float* to) {
    const Conv& c = cut.c;
    std::fill(to, to + cut.weights_floats(), 0.0f);
    for (int64_t o = 0; o < c.cout; ++o, to += 4 * cut.piece)
        for (int64_t r = 0; r < c.kernel[1]; ++r) {
            const float* from = w + r * cut.run * c.cout + o;
            float *first = to + r * cut.line, *second = first + cut.piece + c.cin;
            float *third = first + 2 * cut.piece + cut.line, *last = third + cut.piece + c.cin;
            for (int64_t i = 0; i < cut.run; ++i, from += c.cout) first[i] = second[i] = third[i] = last[i] = *from;
        }
}

void spread_pixel(const InputCut& cut, const Spread& first, float* image) {
    Spread t = first;
    const int64_t parts = (cut.vectors + kPieces - 1) / kPieces;
    for (int64_t i = 0; i < parts; ++i) {
        const int64_t begin = cut.vectors * i / parts, end = cut.vectors * (i + 1) / parts;
        t.weights = first.weights + begin * kLanes;
        t.to = first.to + begin * kLanes;
        spread_for(end - begin, std::make_integer_sequence<int, kPieces>{})(t);
    }
    const float* from = first.to;
    for (int64_t r = 0; r <= cut.c.kernel[1]; ++r, from += cut.line, image += cut.pitch)
        for (int64_t i = 0; i < cut.line; i += kLanes) {
            const auto lanes = static_cast<int>(std::min<int64_t>(kLanes, cut.line - i));
            store_some(image + i, load_some(image + i, lanes) + load(from + i), lanes);
        }
}

void spread_image(const InputCut& cut, int64_t image, const float* weights, float* padded) {
    const Conv& c = cut.c;
    std::fill(padded, padded + cut.image_floats(), 0.0f);
    const int64_t at = image * cut.pixels * c.cout;
    Spread t = {cut.values + at, weights, cut.places + at, c.cout, cut.piece, padded + cut.image_floats()};
    for (int64_t y = 0; y < cut.height; ++y)
        for (int64_t x = 0; x < cut.width; ++x, t.values += c.cout, t.places += c.cout)
            spread_pixel(cut, t, padded + 2 * (y * cut.pitch + x * c.cin));
}

void write_image(const InputCut& cut, const float* padded, const float* mask, float* to) {
    const int64_t size = cut.c.x_pixels() * cut.c.cin;
    std::fill(to, to + size, 0.0f);
    cut.each_line([&](int64_t line, int64_t at, int64_t floats) {
        for (int64_t i = 0; i < floats; i += kLanes) {
            const auto lanes = static_cast<int>(std::min<int64_t>(kLanes, floats - i));
            Vec v = load(padded + at + i);
            if (mask) v = load_some(mask + line + i, lanes) > Vec{} ? v : Vec{};
            store_some(to + line + i, v, lanes);
        }
    });
}

void conv_maxima_input_grad(const Step& s) {
    if (s.out[0].size() == 0) return;
    const InputCut cut(s);
    const int64_t size = cut.c.x_pixels() * cut.c.cin;
    const float* mask = flags_of(s) & kHasMask ? s.in[2].f32() : nullptr;
    auto* weights = static_cast<float*>(s.scratch);
    list_weights(cut, s.in[1].f32(), weights);
    parallel_for(*s.pool, cut.c.batch, cut.work() > kParallel, [&](int64_t i, int thread) {
        float* padded = weights + cut.weights_floats() + thread * cut.thread_floats();
        spread_image(cut, i, weights, padded);
        write_image(cut, padded, mask ? mask + i * size : nullptr, s.out[0].f32() + i * size);
    });
}

std::size_t conv_maxima_input_grad_scratch(const Step& s, int threads) { return InputCut(s).bytes(threads); }

const char* check_shape(const Step& s, const Tensor& x, const Tensor& pooled) {
    if (const char* problem = check_geometry(s, x, pooled)) return problem;
    const Conv c = read_full(s, x, pooled);
    if (!(flags_of(s) & kHasUnpool)) return "expected the gradient of maxima, and their positions";
    if (const char* problem = check_maxima(s, pooled, c)) return problem;
    return c.groups == 1 && c.dilation[2] == 1 ? nullptr : "expected one group, and no dilation along lines";
}

const char* check_kernel(const Step& s) {
    if (s.n_in != 3 || s.n_ints != kConvInts) return "expected the input, maxima's gradient, positions, and 18 ints";
    if (const char* problem = check_shape(s, s.in[0], s.in[1])) return problem;
    const Conv c = read_conv(s, s.in[0], s.in[1]);
    return s.out[0].size() == c.taps() * c.cin * c.cout ? nullptr : "the output must have the kernel's shape";
}

const char* check_input(const Step& s) {
    if (s.n_in < 3 || s.n_out != 1 || s.n_ints != kConvInts) return "expected three inputs, and 18 ints";
    if (const char* problem = check_shape(s, s.out[0], s.in[0])) return problem;
    const Conv c = read_conv(s, s.out[0], s.in[0]);
    if (c.stride[1] != 1 || c.stride[2] != 1 || c.dilation[1] != 1) return "expected neither strides nor dilation";
    if (s.in[1].size() != c.taps() * c.cin * c.cout) return "the kernel has another size than it must have";
    if (c.activation != kLinear) return "expected no activation";
    return check_finish(s, s.ints + kConvInts - 2, c.cin, s.out[0].size(), kHasMask | kHasUnpool);
}

constexpr Kernel kKernels[] = {
    {"conv_maxima_kernel_grad", &conv_maxima_kernel_grad, &conv_maxima_kernel_grad_scratch, &check_kernel},
    {"conv_maxima_input_grad", &conv_maxima_input_grad, &conv_maxima_input_grad_scratch, &check_input},
};

}  // namespace

extern const KernelTable conv_maxima_grad_table;
const KernelTable conv_maxima_grad_table = {kKernels, 2};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
