// Depthwise convolution and its input gradient: one vector of channels at a time, several columns in registers.
#pragma once
#include <algorithm>

#include "core/kernel.h"
#include "core/thread_pool.h"
#include "kernels/conv/geometry.h"
#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {

constexpr int kChannelBlock = 16;  // packed weights are padded to this many channels, whatever the instruction set

inline int64_t padded_channels(int64_t channels) { return (channels + kChannelBlock - 1) / kChannelBlock * kChannelBlock; }
inline int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// Where a vector of target channels finds its sources. Forward with multiplier m: target c reads source c / m. Input
// gradient: target c reads sources c * m + j for each j. With m = 1 both are plain vectors.
struct Depthwise {
    const float* source;
    float* target;
    const float* weights;  // [tap][inner][padded target channels]
    int64_t batch, source_dims[kAxes], target_dims[kAxes], kernel[kAxes];
    int64_t source_channels, target_channels, multiplier;
    int64_t inner;  // sources per target channel and tap: 1 forward, m for the gradient
    Finish finish;
};

// The pixels [j, j + T) of one line, one vector of channels.
struct DepthwiseSpan {
    const float* source;  // first channel of the first pixel's first tap
    const float* weights;
    int64_t pixel_step, tap_step[kAxes], weight_step[kAxes], taps[kAxes];  // floats; number of taps
    int64_t inner, weight_inner;
    int lanes;         // wanted
    const int* where;  // per lane and inner index, offset of its source; null: neighbours
};

inline Vec load_some(const float* p, int lanes) {
    Vec v = {};
    std::memcpy(&v, p, sizeof(float) * static_cast<std::size_t>(lanes));
    return v;
}

enum class Fetch { whole, some, gathered };

template <Fetch F>
inline Vec fetch(const DepthwiseSpan& s, const float* p, int64_t j) {
    if constexpr (F == Fetch::whole) return load(p);
    if constexpr (F == Fetch::some) return load_some(p, s.lanes);
    Vec v = {};
    for (int i = 0; i < s.lanes; ++i) v[i] = p[s.where[i] + j];
    return v;
}

template <int T, Fetch F>
inline void depthwise_span(const DepthwiseSpan& s, Vec* acc) {
    Vec sum[T] = {};
    for (int64_t a = 0; a < s.taps[0]; ++a)
        for (int64_t b = 0; b < s.taps[1]; ++b)
            for (int64_t c = 0; c < s.taps[2]; ++c) {
                const float* p = s.source + a * s.tap_step[0] + b * s.tap_step[1] + c * s.tap_step[2];
                const float* w = s.weights + a * s.weight_step[0] + b * s.weight_step[1] + c * s.weight_step[2];
                for (int64_t j = 0; j < s.inner; ++j) {
                    const Vec weight = load(w + j * s.weight_inner);
#pragma GCC unroll 8
                    for (int t = 0; t < T; ++t) sum[t] += fetch<F>(s, p + t * s.pixel_step, j) * weight;
                }
            }
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) acc[t] = sum[t];
}

// Part of one line of targets, the pixels j2 of a phase's (image, j0, j1).
class DepthwiseLine {
public:
    DepthwiseLine(const Depthwise& d, const Axis* axis, int64_t image, int64_t j0, int64_t j1) : d_(d), axis_(axis) {
        const int64_t j[2] = {j0, j1};
        int64_t source = image, target = image, weight = 0;
        for (int i = 0; i < 2; ++i) {
            int64_t first, last;
            clip(axis[i], j[i], first, last);
            taps_[i] = last - first;
            source = source * d.source_dims[i] + j[i] * axis[i].source_step + axis[i].offset + first * axis[i].offset_step;
            target = target * d.target_dims[i] + axis[i].start + j[i] * axis[i].step;
            weight = weight * d.kernel[i] + axis[i].first_tap + first * axis[i].tap_step;
        }
        source_ = d.source + source * d.source_dims[2] * d.source_channels;
        target_ = d.target + (target * d.target_dims[2] + axis[2].start) * d.target_channels;
        weights_ = weight * d.kernel[2];
    }

    // The pixels [begin, end) of the line.
    void run(int64_t begin, int64_t end) {
        const Axis& a = axis_[2];
        int64_t lo, hi;
        interior(a, lo, hi);
        begin_ = begin;
        end_ = end;
        lo = std::clamp(lo, begin, end);
        hi = std::clamp(hi, lo, end);
        const int64_t whole = d_.multiplier == 1 ? d_.target_channels / kLanes * kLanes : 0;
        for (int64_t c = 0; c < d_.target_channels; c += kLanes) {
            if (c < whole)
                channels<Fetch::whole>(c, kLanes, lo, hi);
            else if (d_.multiplier == 1)
                channels<Fetch::some>(c, static_cast<int>(d_.target_channels - c), lo, hi);
            else
                channels<Fetch::gathered>(c, static_cast<int>(std::min<int64_t>(kLanes, d_.target_channels - c)), lo, hi);
        }
    }

private:
    // The taps [first, last) that pixel j has inside the source.
    static void clip(const Axis& a, int64_t j, int64_t& first, int64_t& last) {
        const int64_t at = j * a.source_step + a.offset;
        first = 0;
        last = a.taps;
        while (first < last && !within(a, at + first * a.offset_step)) ++first;
        while (last > first && !within(a, at + (last - 1) * a.offset_step)) --last;
    }
    static bool within(const Axis& a, int64_t at) { return at >= 0 && at < a.source; }

    // Pixels [lo, hi) have all their taps inside.
    static void interior(const Axis& a, int64_t& lo, int64_t& hi) {
        const int64_t end = a.offset + (a.taps - 1) * a.offset_step;
        const int64_t low = std::min(a.offset, end), high = std::max(a.offset, end);
        lo = std::clamp<int64_t>(-floor_div(low, a.source_step), 0, a.count);
        hi = std::clamp<int64_t>(floor_div(a.source - 1 - high, a.source_step) + 1, lo, a.count);
        if (a.taps == 0) lo = hi = 0;
    }

    template <Fetch F>
    void channels(int64_t c, int lanes, int64_t lo, int64_t hi) {
        const int64_t m = d_.multiplier, channels = d_.source_channels, padded = padded_channels(d_.target_channels);
        int where[kLanes];
        const bool forward = d_.inner == 1;
        for (int i = 0; i < lanes; ++i)
            where[i] = static_cast<int>(forward ? (c + i) / m - c / m : i * m);
        source_channel_ = forward ? c / m : c * m;
        channel_ = c;
        span_.where = where;
        span_.lanes = lanes;
        span_.inner = d_.inner;
        span_.weight_inner = padded;
        span_.pixel_step = axis_[2].source_step * channels;
        int64_t tap = d_.inner * padded, pixel = channels;
        for (int i = 2; i >= 0; --i) {
            span_.tap_step[i] = axis_[i].offset_step * pixel;
            span_.weight_step[i] = axis_[i].tap_step * tap;
            pixel *= d_.source_dims[i];
            tap *= d_.kernel[i];
            if (i < 2) span_.taps[i] = taps_[i];
        }
        for (int64_t j = begin_; j < lo; ++j) one<F>(j);
        span_.taps[2] = axis_[2].taps;
        int64_t j = lo;
        for (; j + 8 <= hi; j += 8) several<8, F>(j, 0);
        for (; j + 4 <= hi; j += 4) several<4, F>(j, 0);
        for (; j < hi; ++j) several<1, F>(j, 0);
        for (; j < end_; ++j) one<F>(j);
    }

    template <Fetch F>
    void one(int64_t j) {
        int64_t first, last;
        clip(axis_[2], j, first, last);
        span_.taps[2] = last - first;
        several<1, F>(j, first);
    }

    template <int T, Fetch F>
    void several(int64_t j, int64_t first) {
        const Axis& a = axis_[2];
        const int64_t at = j * a.source_step + a.offset + first * a.offset_step;
        const int64_t tap = weights_ + a.first_tap + first * a.tap_step;
        span_.source = source_ + at * d_.source_channels + source_channel_;
        span_.weights = d_.weights + tap * d_.inner * span_.weight_inner + channel_;
        Vec acc[T];
        depthwise_span<T, F>(span_, acc);
        for (int t = 0; t < T; ++t) finish(acc[t], target_ + (j + t) * a.step * d_.target_channels + channel_);
    }

    void finish(Vec v, float* to) {
        const Finish& f = d_.finish;
        const int n = span_.lanes;
        if (n == kLanes) {
            if (f.bias) v += load(f.bias + channel_);
            if (f.residual) v += load(f.residual + (to - f.out));
        } else {
            if (f.bias) v += load_some(f.bias + channel_, n);
            if (f.residual) v += load_some(f.residual + (to - f.out), n);
        }
        if (f.activation.id == kRelu) v = at_least(v, Vec{});
        if (n == kLanes)
            store(to, v);
        else
            std::memcpy(to, &v, sizeof(float) * static_cast<std::size_t>(n));
        if (f.activation.id != kLinear && f.activation.id != kRelu) activate(f.activation, to, n);
    }

    const Depthwise& d_;
    const Axis* axis_;
    const float* source_;
    float* target_;
    int64_t weights_, taps_[2], source_channel_ = 0, channel_ = 0, begin_ = 0, end_ = 0;
    DepthwiseSpan span_;
};

// One phase; items are runs of pieces of lines, cut from the shape alone.
inline void depthwise_phase(const Depthwise& d, const Axis* axis, const Step& s) {
    constexpr int64_t kPiece = 256, kItems = 64, kMinWork = 1 << 16;
    const int64_t per_line = (axis[2].count + kPiece - 1) / kPiece;
    const int64_t pieces = d.batch * axis[0].count * axis[1].count * per_line;
    if (pieces == 0) return;
    const int64_t taps = axis[0].taps * axis[1].taps * axis[2].taps * d.inner;
    const int64_t work = pieces * std::min(axis[2].count, kPiece) * d.target_channels * std::max<int64_t>(taps, 1);
    const int64_t items = std::clamp<int64_t>(work / kMinWork, 1, std::min(pieces, kItems));
    parallel_for(*s.pool, items, items > 2, [&](int64_t item, int) {
        for (int64_t i = pieces * item / items; i < pieces * (item + 1) / items; ++i) {
            const int64_t begin = i % per_line * kPiece, line = i / per_line;
            const int64_t j1 = line % axis[1].count, rest = line / axis[1].count;
            DepthwiseLine(d, axis, rest / axis[0].count, rest % axis[0].count, j1)
                .run(begin, std::min(begin + kPiece, axis[2].count));
        }
    });
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
