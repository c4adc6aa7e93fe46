// The kernel gradient of a depthwise convolution: one vector of output channels and one line of taps at a time; sums
// per piece of a line, then per segment of lines, then over segments, always in the same order.
#include <algorithm>

#include "core/kernel.h"
#include "core/thread_pool.h"
#include "kernels/conv/check.h"
#include "kernels/conv/geometry.h"
#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int64_t kPiece = 256;  // pixels of a line that are summed by themselves
constexpr int kTaps = 8;         // taps of one line that stand in registers together

struct DepthwiseCut {
    int64_t pieces_per_line, pieces, vectors, tap_lines, segments;

    explicit DepthwiseCut(const Conv& c) {
        constexpr int64_t kItems = 32;
        pieces_per_line = (c.y[2] + kPiece - 1) / kPiece;
        pieces = c.batch * c.y[0] * c.y[1] * pieces_per_line;
        vectors = (c.cout + kLanes - 1) / kLanes;
        tap_lines = c.kernel[0] * c.kernel[1];
        const int64_t items = std::max<int64_t>(vectors * tap_lines, 1);
        segments = std::clamp<int64_t>(kItems / items, 1, std::max<int64_t>(pieces, 1));
    }
    int64_t row() const { return vectors * kLanes; }
};

class DepthwiseKernelGrad {
public:
    DepthwiseKernelGrad(const Conv& c, const Step& s, int64_t vector)
        : c_(c), x_(s.in[0].f32()), dy_(s.in[1].f32()), channel_(vector * kLanes), multiplier_(c.cout / c.cin) {
        lanes_ = static_cast<int>(std::min<int64_t>(kLanes, c.cout - channel_));
        plain_ = multiplier_ == 1 && lanes_ == kLanes;
        for (int i = 0; i < lanes_; ++i) where_[i] = (channel_ + i) / multiplier_;
    }

    // Sums of the taps of line (kd, kh) over the pieces [first, last) of output lines, to sums[kw][row].
    void run(int64_t kd, int64_t kh, int64_t first, int64_t last, int64_t per_line, float* sums, int64_t row) {
        for (int64_t k = 0; k < c_.kernel[2]; ++k) store(sums + k * row, Vec{});
        for (int64_t piece = first; piece < last; ++piece) {
            const int64_t line = piece / per_line;
            begin_ = piece % per_line * kPiece;
            end_ = std::min(begin_ + kPiece, c_.y[2]);
            const int64_t j1 = line % c_.y[1], j0 = line / c_.y[1] % c_.y[0], image = line / c_.y[1] / c_.y[0];
            const int64_t z = j0 * c_.stride[0] - c_.lo[0] + kd * c_.dilation[0];
            const int64_t y = j1 * c_.stride[1] - c_.lo[1] + kh * c_.dilation[1];
            if (z < 0 || z >= c_.x[0] || y < 0 || y >= c_.x[1]) continue;
            const float* x = x_ + ((image * c_.x[0] + z) * c_.x[1] + y) * c_.x[2] * c_.cin;
            const float* dy = dy_ + line * c_.y[2] * c_.cout;
            for (int64_t k = 0; k < c_.kernel[2]; k += kTaps)
                taps(x, dy, k, static_cast<int>(std::min<int64_t>(kTaps, c_.kernel[2] - k)), sums + k * row, row);
        }
    }

private:
    void taps(const float* x, const float* dy, int64_t k0, int n, float* sums, int64_t row) {
        Vec acc[kTaps] = {};
        const int64_t low = c_.lo[2] - k0 * c_.dilation[2], span = (n - 1) * c_.dilation[2], s = c_.stride[2];
        for (int64_t j = begin_; j < end_; ++j) {
            const Vec g = dy_at(dy + j * c_.cout);
            const int64_t at = j * s - low;
            if (plain_ && n == 3 && at >= 0 && at + span < c_.x[2]) {
                const float* p = x + at * c_.cin + channel_;
#pragma GCC unroll 3
                for (int i = 0; i < 3; ++i) acc[i] += load(p + i * c_.dilation[2] * c_.cin) * g;
                continue;
            }
            for (int i = 0; i < n; ++i) {
                const int64_t here = at + i * c_.dilation[2];
                if (here >= 0 && here < c_.x[2]) acc[i] += x_at(x + here * c_.cin) * g;
            }
        }
        for (int i = 0; i < n; ++i) store(sums + i * row, load(sums + i * row) + acc[i]);
    }

    Vec dy_at(const float* p) const {
        if (lanes_ == kLanes) return load(p + channel_);
        Vec v = {};
        std::memcpy(&v, p + channel_, sizeof(float) * static_cast<std::size_t>(lanes_));
        return v;
    }

    Vec x_at(const float* p) const {
        if (plain_) return load(p + channel_);
        Vec v = {};
        for (int i = 0; i < lanes_; ++i) v[i] = p[where_[i]];
        return v;
    }

    const Conv& c_;
    const float *x_, *dy_;
    int64_t channel_, multiplier_, where_[kLanes], begin_ = 0, end_ = 0;
    int lanes_;
    bool plain_;
};

void conv_depthwise_kernel_grad(const Step& s) {
    if (s.out[0].size() == 0) return;
    const Conv c = read_conv(s, s.in[0], s.in[1]);
    const DepthwiseCut cut(c);
    float* scratch = static_cast<float*>(s.scratch);
    const int64_t row = cut.row(), segment_floats = c.taps() * row;
    parallel_for(*s.pool, cut.segments * cut.tap_lines * cut.vectors, c.work() > 1 << 17, [&](int64_t i, int) {
        const int64_t vector = i % cut.vectors, tap_line = i / cut.vectors % cut.tap_lines;
        const int64_t segment = i / cut.vectors / cut.tap_lines;
        float* sums = scratch + segment * segment_floats + tap_line * c.kernel[2] * row + vector * kLanes;
        DepthwiseKernelGrad(c, s, vector)
            .run(tap_line / c.kernel[1], tap_line % c.kernel[1], cut.pieces * segment / cut.segments,
                 cut.pieces * (segment + 1) / cut.segments, cut.pieces_per_line, sums, row);
    });
    for (int64_t tap = 0; tap < c.taps(); ++tap)
        for (int64_t channel = 0; channel < c.cout; ++channel) {
            float sum = 0.0f;
            for (int64_t i = 0; i < cut.segments; ++i) sum += scratch[i * segment_floats + tap * row + channel];
            s.out[0].f32()[tap * c.cout + channel] = sum;
        }
}

std::size_t conv_depthwise_kernel_grad_scratch(const Step& s, int) {
    const Conv c = read_conv(s, s.in[0], s.in[1]);
    const DepthwiseCut cut(c);
    return sizeof(float) * static_cast<std::size_t>(cut.segments * c.taps() * cut.row());
}

const char* check(const Step& s) {
    if (const char* problem = check_kernel_grad(s)) return problem;
    return read_conv(s, s.in[0], s.in[1]).group_in() <= 1 ? nullptr : "every group must have one input channel";
}

constexpr Kernel kKernels[] = {
    {"conv_depthwise_kernel_grad", &conv_depthwise_kernel_grad, &conv_depthwise_kernel_grad_scratch, &check}};

}  // namespace

extern const KernelTable conv_depthwise_kernel_grad_table;
const KernelTable conv_depthwise_kernel_grad_table = {kKernels, 1};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
