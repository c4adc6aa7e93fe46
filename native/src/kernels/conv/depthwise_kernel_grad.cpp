// The kernel gradient of a depthwise convolution or one with small groups: one vector of output channels and one line
// of taps at a time; sums per group of pieces of lines, then per segment, then over segments, always in the same order.
// Where a group has one output channel and several inputs, vectors hold input channels instead (`turned`).
#include <algorithm>
#include <array>

#include "core/kernel.h"
#include "core/thread_pool.h"
#include "kernels/conv/check.h"
#include "kernels/conv/depthwise.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int64_t kPiece = 32;     // pixels of a line
constexpr int64_t kTogether = 16;  // pieces whose sums stay in registers
constexpr int kTaps = 8;           // taps of one line that stand in registers together

// How the gradient is cut into items, from the shape alone: blocks of vectors of channels, which are neighbours in
// memory, times segments of the pieces.
struct DepthwiseCut {
    int64_t per_line, pieces, vectors, blocks, segments, inner;
    bool turned;

    explicit DepthwiseCut(const Conv& c) {
        constexpr int64_t kItems = 32, kVectors = 4;
        per_line = (c.y[2] + kPiece - 1) / kPiece;
        pieces = c.batch * c.y[0] * c.y[1] * per_line;
        turned = c.group_out() == 1 && c.group_in() > 1;
        inner = turned ? 1 : c.group_in();
        vectors = ((turned ? c.cin : c.cout) + kLanes - 1) / kLanes;
        blocks = std::max<int64_t>((vectors + kVectors - 1) / kVectors, 1);
        const int64_t groups = (pieces + kTogether - 1) / kTogether;
        segments = std::clamp<int64_t>(kItems / blocks, 1, std::max<int64_t>(groups, 1));
    }
    int64_t row() const { return vectors * kLanes; }
    int64_t segment_floats(const Conv& c) const { return c.taps() * inner * row(); }
};

// One line of taps over pixels that have all of them inside.
struct TapLine {
    const float *x, *dy;
    int64_t x_step, tap_step, dy_step, count, input;  // `input`: which of a group's
    int lanes, reach;
    int where[kLanes];
};

template <Fetch F, bool Turned, int N>
void sum_taps(const TapLine& t, Vec* sums) {
    constexpr int kChains = N == 1 ? 4 : N < 4 ? 2 : 1;  // sums beside each other, so that none waits for itself
    Vec acc[kChains][N] = {};
    const float *x = t.x, *dy = t.dy;
    const auto pixel = [&](int chain) {
        constexpr bool kWhole = F == Fetch::whole || F == Fetch::shuffled;
        const auto plain = [&](const float* p) { return kWhole ? load(p) : load_some(p, t.lanes); };
        const Vec g = Turned ? fetch<F>(t, dy, 0) : plain(dy);
#pragma GCC unroll 8
        for (int i = 0; i < N; ++i) {
            const float* p = x + i * t.tap_step;
            acc[chain][i] += (Turned ? plain(p) : fetch<F>(t, p, t.input)) * g;
        }
        x += t.x_step;
        dy += t.dy_step;
    };
    int64_t j = 0;
    for (; j + kChains <= t.count; j += kChains) {
#pragma GCC unroll 4
        for (int chain = 0; chain < kChains; ++chain) pixel(chain);
    }
    for (; j < t.count; ++j) pixel(0);
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i)
#pragma GCC unroll 4
        for (int chain = 0; chain < kChains; ++chain) sums[i] += acc[chain][i];
}

using SumFn = void (*)(const TapLine&, Vec*);

template <Fetch F, bool Turned, int... N>
constexpr std::array<SumFn, sizeof...(N)> sum_table(std::integer_sequence<int, N...>) {
    return {{&sum_taps<F, Turned, N + 1>...}};
}

template <Fetch F>
SumFn sum_for(int taps, bool turned = false) {
    using Taps = std::make_integer_sequence<int, kTaps>;
    static constexpr auto as_it_is = sum_table<F, false>(Taps{}), other = sum_table<F, true>(Taps{});
    return (turned ? other : as_it_is)[static_cast<std::size_t>(taps - 1)];
}

class DepthwiseKernelGrad {
public:
    DepthwiseKernelGrad(const Conv& c, const Step& s, const DepthwiseCut& cut)
        : c_(c), cut_(cut), x_(s.in[0].f32()), dy_(s.in[1].f32()) {
        t_.x_step = c.stride[2] * c.cin;
        t_.tap_step = c.dilation[2] * c.cin;
        t_.dy_step = c.cout;
        end_ = cut.turned ? dy_ + c.batch * c.y_pixels() * c.cout : x_ + c.batch * c.x_pixels() * c.cin;
    }

    // Sums over the pieces [first, last) for the vectors [v, end), to sums[tap][row].
    void run(int64_t first, int64_t last, int64_t v, int64_t end, float* sums) {
        for (int64_t i = 0; i < c_.taps() * cut_.inner; ++i)
            std::fill(sums + i * cut_.row() + v * kLanes, sums + i * cut_.row() + end * kLanes, 0.0f);
        for (; first < last; first += kTogether)
            for (int64_t i = v; i < end; ++i) {
                vector(i);
                for (int64_t line = 0; line < c_.kernel[0] * c_.kernel[1]; ++line)
                    for (int64_t k = 0; k < c_.kernel[2]; k += kTaps)
                        for (t_.input = 0; t_.input < cut_.inner; ++t_.input)
                            taps(first, std::min(first + kTogether, last), line, k,
                                 sums + ((line * c_.kernel[2] + k) * cut_.inner + t_.input) * cut_.row() + i * kLanes);
            }
    }

private:
    void vector(int64_t index) {
        const int64_t first = index * kLanes, outer = cut_.turned ? c_.group_in() : c_.group_out();
        const int64_t other = first / outer * cut_.inner;
        channel_ = cut_.turned ? other : first;
        source_ = cut_.turned ? first : other;
        t_.lanes = static_cast<int>(std::min<int64_t>(kLanes, (cut_.turned ? c_.cin : c_.cout) - first));
        for (int i = 0; i < kLanes; ++i)
            t_.where[i] = static_cast<int>((first + std::min(i, t_.lanes - 1)) / outer * cut_.inner - other);
        t_.reach = t_.where[kLanes - 1] + static_cast<int>(cut_.inner);
    }

    void taps(int64_t first, int64_t last, int64_t tap_line, int64_t k, float* sums) {
        const int n = static_cast<int>(std::min<int64_t>(kTaps, c_.kernel[2] - k));
        const int64_t s = c_.stride[2], offset = k * c_.dilation[2] - c_.lo[2];  // pixel j reads j * s + offset first
        const int64_t lo = -floor_div(offset, s);
        const int64_t hi = floor_div(c_.x[2] - 1 - (n - 1) * c_.dilation[2] - offset, s) + 1;
        Vec acc[kTaps];
        const int64_t step = cut_.inner * cut_.row();
        for (int i = 0; i < n; ++i) acc[i] = load(sums + i * step);
        for (; first < last; ++first) {
            const int64_t line = first / cut_.per_line, part = first % cut_.per_line;
            const float* x = input_line(line, tap_line / c_.kernel[1], tap_line % c_.kernel[1]);
            if (!x) continue;
            const int64_t begin = c_.y[2] * part / cut_.per_line, end = c_.y[2] * (part + 1) / cut_.per_line;
            const int64_t from = std::clamp(lo, begin, end), to = std::clamp(hi, from, end);
            const float* dy = dy_ + line * c_.y[2] * c_.cout + channel_;
            for (int64_t j = begin; j < from; ++j) border(x, dy, j, offset, n, acc);
            t_.x = x + (from * s + offset) * c_.cin + source_;
            t_.dy = dy + from * c_.cout;
            t_.count = to - from;
            if (to > from) sum(n, acc);
            for (int64_t j = to; j < end; ++j) border(x, dy, j, offset, n, acc);
        }
        for (int i = 0; i < n; ++i) store(sums + i * step, acc[i]);
    }

    // A pixel with taps outside: those inside, one by one.
    void border(const float* x, const float* dy, int64_t j, int64_t offset, int n, Vec* acc) {
        t_.count = 1;
        t_.dy = dy + j * c_.cout;
        for (int i = 0; i < n; ++i) {
            const int64_t at = j * c_.stride[2] + offset + i * c_.dilation[2];
            if (at < 0 || at >= c_.x[2]) continue;
            t_.x = x + at * c_.cin + source_;
            sum(1, acc + i);
        }
    }

    void sum(int n, Vec* acc) {
        const bool whole = t_.lanes == kLanes, turned = cut_.turned;
        if (c_.cin == c_.cout && cut_.inner == 1)
            return (whole ? sum_for<Fetch::whole>(n) : sum_for<Fetch::some>(n))(t_, acc);
        if (!kShuffles || t_.reach > kLanes) return sum_for<Fetch::gathered>(n, turned)(t_, acc);
        const float* furthest =
            turned ? t_.dy + (t_.count - 1) * t_.dy_step : t_.x + (t_.count - 1) * t_.x_step + (n - 1) * t_.tap_step;
        const bool room = end_ - furthest >= kLanes;
        (whole && room ? sum_for<Fetch::shuffled>(n, turned) : sum_for<Fetch::spread>(n, turned))(t_, acc);
    }

    // Start of the input line that the tap line (kd, kh) of an output line reads, or null outside.
    const float* input_line(int64_t line, int64_t kd, int64_t kh) const {
        const int64_t j1 = line % c_.y[1], j0 = line / c_.y[1] % c_.y[0], image = line / c_.y[1] / c_.y[0];
        const int64_t z = j0 * c_.stride[0] - c_.lo[0] + kd * c_.dilation[0];
        const int64_t y = j1 * c_.stride[1] - c_.lo[1] + kh * c_.dilation[1];
        if (z < 0 || z >= c_.x[0] || y < 0 || y >= c_.x[1]) return nullptr;
        return x_ + ((image * c_.x[0] + z) * c_.x[1] + y) * c_.x[2] * c_.cin;
    }

    const Conv& c_;
    const DepthwiseCut& cut_;
    const float *x_, *dy_, *end_;
    int64_t channel_ = 0, source_ = 0;  // of the output and of the input
    TapLine t_ = {};
};

void conv_depthwise_kernel_grad(const Step& s) {
    if (s.out[0].size() == 0) return;
    const Conv c = read_conv(s, s.in[0], s.in[1]);
    const DepthwiseCut cut(c);
    float* scratch = static_cast<float*>(s.scratch);
    const int64_t row = cut.row(), segment_floats = cut.segment_floats(c);
    const int64_t groups = (cut.pieces + kTogether - 1) / kTogether;
    parallel_for(*s.pool, cut.segments * cut.blocks, c.work() > 1 << 17, [&](int64_t i, int) {
        const int64_t block = i % cut.blocks, segment = i / cut.blocks;
        DepthwiseKernelGrad(c, s, cut).run(groups * segment / cut.segments * kTogether,
                                           std::min(groups * (segment + 1) / cut.segments * kTogether, cut.pieces),
                                           cut.vectors * block / cut.blocks, cut.vectors * (block + 1) / cut.blocks,
                                           scratch + segment * segment_floats);
    });
    const int64_t each = cut.turned ? c.group_in() : 1, width = cut.turned ? c.cin : c.cout;
    parallel_for(*s.pool, c.taps() * cut.inner, cut.segments * segment_floats > 1 << 17, [&](int64_t r, int) {
        const float* from = scratch + r * row;
        float* to = s.out[0].f32() + r * width;
        for (int64_t channel = 0; channel < width; ++channel) {
            float sum = from[channel];
            for (int64_t i = 1; i < cut.segments; ++i) sum += from[i * segment_floats + channel];
            to[channel % each * c.cout + channel / each] = sum;
        }
    });
}

std::size_t conv_depthwise_kernel_grad_scratch(const Step& s, int) {
    const Conv c = read_conv(s, s.in[0], s.in[1]);
    const DepthwiseCut cut(c);
    return sizeof(float) * static_cast<std::size_t>(cut.segments * cut.segment_floats(c));
}

const char* check(const Step& s) {
    if (const char* problem = check_kernel_grad(s)) return problem;
    const Conv c = read_conv(s, s.in[0], s.in[1]);
    const bool small = c.group_in() <= kChannelBlock && c.group_out() <= kChannelBlock;
    return c.group_in() <= 1 || small ? nullptr : "groups must have one input channel, or at most 16 channels";
}

constexpr Kernel kKernels[] = {
    {"conv_depthwise_kernel_grad", &conv_depthwise_kernel_grad, &conv_depthwise_kernel_grad_scratch, &check}};

}  // namespace

extern const KernelTable conv_depthwise_kernel_grad_table;
const KernelTable conv_depthwise_kernel_grad_table = {kKernels, 1};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
