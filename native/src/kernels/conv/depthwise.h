// Depthwise convolutions, those with small groups, and their input gradients: one vector of channels at a time, several
// columns in registers.
#pragma once
#include <algorithm>

#include "core/kernel.h"
#include "core/thread_pool.h"
#include "kernels/conv/geometry.h"
#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {

#if defined(__GNUC__) && !defined(__clang__)
constexpr bool kShuffles = true;
#else
constexpr bool kShuffles = false;
#endif
constexpr int kChannelBlock = 16;  // packed weights are padded to this many channels, whatever the instruction set

inline int64_t padded_channels(int64_t channels) {
    return (channels + kChannelBlock - 1) / kChannelBlock * kChannelBlock;
}
inline int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// A target channel c reads the `inner` source channels (c / outer) * inner + j. Forward, `outer` and `inner` are the
// channels per group of the output and the input; in the gradient they change places. With one of each (the usual
// depthwise convolution) a vector of targets reads a vector of sources.
//
// Where one target sums several sources (`wide`), vectors hold sources instead and their lanes are summed at the end.
constexpr int64_t kMostWide = 8;
inline bool is_wide(int64_t outer, int64_t inner) { return outer == 1 && inner > 1 && inner <= kMostWide; }

struct Depthwise {
    const float* source;
    float* target;
    const float* weights;  // [tap][inner][padded target channels]; wide: [tap][padded source channels]
    int64_t batch, source_dims[kAxes], target_dims[kAxes], kernel[kAxes];
    int64_t source_channels, target_channels, outer, inner;
    Finish finish;
};

// The pixels [j, j + T) of one line, `vectors` vectors of channels: one, unless their sources are vectors too, or are
// all the same.
struct DepthwiseSpan {
    const float* source;  // first channel of the first pixel's first tap
    const float* weights;
    int64_t pixel_step, tap_step[kAxes], weight_step[kAxes], taps[kAxes];  // floats; number of taps
    int64_t inner, weight_inner;
    int64_t vectors;
    int lanes;          // wanted
    int where[kLanes];  // per lane, offset of its first source
    // Of shuffled lanes: their places in vector number `channel` / kLanes + i of targets, which repeat.
    const int* patterns;
    int64_t period, channel, outer;
    int reach;  // so many sources from the first on belong to the vector
    float* to;  // kLanes values per pixel
    int64_t to_step;
    const float* bias;  // a vector's worth for each vector, or null
    Clamp clamp;
};

inline IVec load_lanes(const int* p) { return *reinterpret_cast<const IVec*>(p); }

// A vector; the first lanes of one; one value for all lanes; lanes from a vector, or from the first values of one;
// lanes from anywhere.
enum class Fetch { whole, some, same, shuffled, spread, gathered };

// S: has `lanes`, `reach` and `where`.
template <Fetch F, class S>
inline Vec fetch(const S& s, const float* p, int64_t j) {
    if constexpr (F == Fetch::whole) return load(p);
    if constexpr (F == Fetch::some) return load_some(p, s.lanes);
    if constexpr (F == Fetch::same) return broadcast(p[j]);
#if defined(__GNUC__) && !defined(__clang__)
    const IVec where = load_lanes(s.where) + static_cast<int>(j);
    if constexpr (F == Fetch::shuffled) return __builtin_shuffle(load(p), where);
    if constexpr (F == Fetch::spread) return __builtin_shuffle(load_some(p, s.reach), where);
#endif
    Vec v = {};
    for (int i = 0; i < s.lanes; ++i) v[i] = p[s.where[i] + j];
    return v;
}

// As `fetch`, where shuffled lanes stand at `where`.
template <Fetch F>
inline Vec taken(const DepthwiseSpan& s, const float* p, int64_t j, [[maybe_unused]] IVec where) {
#if defined(__GNUC__) && !defined(__clang__)
    if constexpr (F == Fetch::shuffled) return __builtin_shuffle(load(p), where + static_cast<int>(j));
#endif
    return fetch<F>(s, p, j);
}

// T neighbouring pixels, vectors [first, s.vectors) of channels, V at a time as long as there are as many. K: the taps
// along the line, when known at compile time; 0 otherwise. Returns the first vector left.
template <int T, int V, Fetch F, int K>
inline int64_t depthwise_vectors(const DepthwiseSpan& s, int64_t first) {
    // Read once: as far as the compiler knows, a store may change what `s` says.
    const int64_t taps = K ? K : s.taps[2], pixel = s.pixel_step, step = s.to_step, vectors = s.vectors;
    const int64_t inner = s.inner, weight_inner = s.weight_inner;
    const float *const source = s.source, *const weights = s.weights, *const bias = s.bias;
    float* const to = s.to;
    const bool clamped = s.clamp.on;
    const Vec low = splat(s.clamp.low), high = splat(s.clamp.high);
    for (; first + V <= vectors; first += V) {
        const int64_t at = first * kLanes;
        int64_t source_at = F == Fetch::same ? 0 : at;
        [[maybe_unused]] IVec where = {};
        if constexpr (F == Fetch::shuffled) {
            where = load_lanes(s.patterns + (s.channel / kLanes + first) % s.period * kLanes);
            source_at = ((s.channel + at) / s.outer - s.channel / s.outer) * inner;
        }
        Vec acc[T][V] = {};
        for (int64_t a = 0; a < s.taps[0]; ++a)
            for (int64_t b = 0; b < s.taps[1]; ++b) {
                const float* p = source + source_at + a * s.tap_step[0] + b * s.tap_step[1];
                const float* w = weights + at + a * s.weight_step[0] + b * s.weight_step[1];
#pragma GCC unroll 5
                for (int64_t c = 0; c < taps; ++c, p += s.tap_step[2], w += s.weight_step[2])
                    for (int64_t j = 0; j < (K ? 1 : inner); ++j)
#pragma GCC unroll 4
                        for (int v = 0; v < V; ++v) {
                            const Vec weight = load(w + j * weight_inner + v * kLanes);
#pragma GCC unroll 8
                            for (int t = 0; t < T; ++t)
                                acc[t][v] +=
                                    taken<F>(s, p + t * pixel + (F == Fetch::same ? 0 : v * kLanes), j, where) * weight;
                        }
            }
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
            const Vec added = bias ? load(bias + at + v * kLanes) : Vec{};
#pragma GCC unroll 8
            for (int t = 0; t < T; ++t) {
                const Vec y = acc[t][v] + added;
                store(to + at + t * step + v * kLanes, clamped ? at_most(at_least(y, low), high) : y);
            }
        }
    }
    return first;
}

// Of few pixels several vectors together: one sum after the other would wait for itself.
template <int T, Fetch F, int K>
inline void depthwise_span(const DepthwiseSpan& s) {
    constexpr int V = F != Fetch::whole && F != Fetch::same ? 1 : T <= 2 ? 4 : T <= 4 ? 2 : 1;
    int64_t first = 0;
    if constexpr (V > 1) first = depthwise_vectors<T, V, F, K>(s, first);
    depthwise_vectors<T, 1, F, K>(s, first);
}

using DepthwiseFn = void (*)(const DepthwiseSpan&);
constexpr int kColumns = 8;  // pixels in registers

template <Fetch F, int K, int... T>
constexpr std::array<DepthwiseFn, sizeof...(T)> depthwise_table(std::integer_sequence<int, T...>) {
    return {{&depthwise_span<T + 1, F, K>...}};
}

template <Fetch F>
inline DepthwiseFn depthwise_for(int pixels, int64_t taps) {
    using Pixels = std::make_integer_sequence<int, kColumns>;
    static constexpr auto any = depthwise_table<F, 0>(Pixels{});
    static constexpr auto three = depthwise_table<F, F == Fetch::whole ? 3 : 0>(Pixels{});
    static constexpr auto five = depthwise_table<F, F == Fetch::whole ? 5 : 0>(Pixels{});
    return (taps == 3 ? three : taps == 5 ? five : any)[pixels - 1];
}

// Pixels [begin, end) of one line of targets: of a phase's (image, j0, j1).
struct DepthwiseLine {
    const float* source;
    float* target;
    int64_t weights, taps[2], begin, end;
    bool room;  // a whole vector may be read from each source pixel: more of the source follows
};

// One phase: lines are laid out first, then vector after vector of channels runs over several of them, so that a source
// line is fetched once for all the target lines that read it.
class DepthwisePhase {
public:
    DepthwisePhase(const Depthwise& d, const Axis* axis) : d_(d), axis_(axis) {
        interior(axis[2], lo_, hi_);
        int64_t tap = d_.inner * padded_channels(d.target_channels), pixel = d.source_channels;
        span_.weight_inner = padded_channels(d.target_channels);
        span_.inner = d.inner;
        if (is_wide(d.outer, d.inner)) {
            tap = padded_channels(d.source_channels);
            span_.inner = 1;
            order_lanes();
        }
        list_patterns();
        span_.pixel_step = axis[2].source_step * pixel;
        for (int i = 2; i >= 0; --i) {
            span_.tap_step[i] = axis[i].offset_step * pixel;
            span_.weight_step[i] = axis[i].tap_step * tap;
            pixel *= d.source_dims[i];
            tap *= d.kernel[i];
        }
    }

    DepthwiseLine line(int64_t index, int64_t begin, int64_t end) const {
        const int64_t j[2] = {index / axis_[1].count % axis_[0].count, index % axis_[1].count};
        const int64_t image = index / axis_[1].count / axis_[0].count;
        int64_t source = image, target = image, weight = 0, furthest = image;
        DepthwiseLine l;
        for (int i = 0; i < 2; ++i) {
            int64_t first, last;
            const Axis& a = axis_[i];
            clip(a, j[i], first, last);
            l.taps[i] = last - first;
            source = source * d_.source_dims[i] + j[i] * a.source_step + a.offset + first * a.offset_step;
            furthest = furthest * d_.source_dims[i] + j[i] * a.source_step + a.offset +
                       (a.offset_step > 0 ? last - 1 : first) * a.offset_step;
            target = target * d_.target_dims[i] + a.start + j[i] * a.step;
            weight = weight * d_.kernel[i] + a.first_tap + first * a.tap_step;
        }
        l.source = d_.source + source * d_.source_dims[2] * d_.source_channels;
        l.target = d_.target + (target * d_.target_dims[2] + axis_[2].start) * d_.target_channels;
        l.weights = weight * d_.kernel[2];
        const int64_t after = d_.batch * d_.source_dims[0] * d_.source_dims[1] - 1 - furthest;
        l.room = after * d_.source_dims[2] * d_.source_channels >= kLanes;
        l.begin = begin;
        l.end = end;
        return l;
    }

    // As many channels after each other as the sources of a few pixels stay in the first cache for: neighbours in
    // memory are read together then.
    int64_t together() const {
        constexpr int64_t kCacheFloats = 32 * 1024 / 4, kLeast = 4;
        const int64_t reads = axis_[0].taps * axis_[1].taps * (kColumns * axis_[2].source_step + 2 * axis_[2].taps);
        return std::max(kCacheFloats / (std::max<int64_t>(reads, 1) * kLanes), kLeast) * kLanes;
    }

    void run(const DepthwiseLine* lines, int count) {
        const int64_t step = together();
        for (int64_t c = 0; c < d_.target_channels; c += step)
            for (int i = 0; i < count; ++i) run(lines[i], c, std::min(c + step, d_.target_channels));
    }

private:
    // Channels [c, end). A last vector that is not whole begins further left, where that is possible: the same values
    // are stored twice.
    void run(const DepthwiseLine& line, int64_t c, int64_t end) {
        if (d_.outer == 1 && d_.inner == 1 && !d_.finish.residual && d_.target_channels >= kLanes) {
            if (end - c >= kLanes) channels<Fetch::whole>(line, c, kLanes, (end - c) / kLanes);
            if ((end - c) % kLanes) channels<Fetch::whole>(line, end - kLanes, kLanes);
            return;
        }
        if (period_ && line.room && end - c >= kLanes) {
            channels<Fetch::shuffled>(line, c, kLanes, (end - c) / kLanes);
            c += (end - c) / kLanes * kLanes;
        }
        while (d_.outer % kLanes == 0 && !d_.finish.residual && c < end) {
            const int64_t last = std::min(end, (c / d_.outer + 1) * d_.outer);
            channels<Fetch::same>(line, c, kLanes, (last - c) / kLanes);
            c = last;
        }
        for (; c < end; c += kLanes) run(line, c);
    }

    // The vector of channels from c on.
    void run(const DepthwiseLine& line, int64_t c) {
        const int lanes = static_cast<int>(std::min<int64_t>(kLanes, d_.target_channels - c));
        const bool whole = lanes == kLanes, room = line.room;
        if (d_.outer == 1 && d_.inner == 1)
            whole || room ? channels<Fetch::whole>(line, c, lanes) : channels<Fetch::some>(line, c, lanes);
        else if (is_wide(d_.outer, d_.inner))
            channels<Fetch::whole, true>(line, c, lanes);
        else if (whole && d_.outer % kLanes == 0)
            channels<Fetch::same>(line, c, lanes);
        else if (kShuffles && reach_of(c, lanes) <= kLanes)
            room ? channels<Fetch::shuffled>(line, c, lanes) : channels<Fetch::spread>(line, c, lanes);
        else
            channels<Fetch::gathered>(line, c, lanes);
    }

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
        if (a.taps == 0) {
            lo = 0;
            hi = a.count;
        }
    }

    // How many sources the targets [c, c + lanes) read, from the first one's group on.
    int64_t reach_of(int64_t c, int lanes) const { return ((c + lanes - 1) / d_.outer - c / d_.outer + 1) * d_.inner; }

    template <Fetch F, bool Wide = false>
    void channels(const DepthwiseLine& line, int64_t c, int lanes, int64_t vectors = 1) {
        line_ = &line;
        channel_ = c;
        source_channel_ = d_.outer == 1 ? c * d_.inner : c / d_.outer * d_.inner;
        span_.lanes = lanes;
        span_.vectors = vectors;
        if constexpr (F == Fetch::shuffled || F == Fetch::spread || F == Fetch::gathered) place_lanes(c, lanes);
        if constexpr (F == Fetch::shuffled) {
            const bool several = vectors > 1 && period_;
            span_.patterns = several ? patterns_ : span_.where;
            span_.period = several ? period_ : 1;
            span_.channel = c;
            span_.outer = d_.outer;
        }
        span_.taps[0] = line.taps[0];
        span_.taps[1] = line.taps[1];
        const Finish& f = d_.finish;
        span_.bias = f.bias ? f.bias + c : nullptr;
        if (f.bias && lanes < kLanes) {
            std::fill(bias_, bias_ + kLanes, 0.0f);
            std::copy(f.bias + c, f.bias + c + lanes, bias_);
            span_.bias = bias_;
        }
        span_.clamp = f.residual ? Clamp{} : clamp_of(f.activation);
        const int64_t lo = std::clamp(lo_, line.begin, line.end), hi = std::clamp(hi_, lo, line.end);
        for (int64_t j = line.begin; j < lo; ++j) border<F, Wide>(j);
        span_.taps[2] = axis_[2].taps;
        const int64_t spans = (hi - lo + kColumns - 1) / kColumns;
        for (int64_t i = 0; i < spans; ++i) {
            const int64_t first = lo + (hi - lo) * i / spans, last = lo + (hi - lo) * (i + 1) / spans;
            pixels<F, Wide>(first, static_cast<int>(last - first), 0);
        }
        for (int64_t j = hi; j < line.end; ++j) border<F, Wide>(j);
    }

    // Where the lanes of whole vectors stand, if that repeats soon and one vector of sources always does.
    void list_patterns() {
        int64_t period = 1;
        while (period <= kMostPatterns && period * kLanes % d_.outer) ++period;
        const int64_t reach = ((kLanes + d_.outer - 2) / d_.outer + 1) * d_.inner;
        const bool grouped = d_.outer > 1 && d_.outer % kLanes && !is_wide(d_.outer, d_.inner);
        period_ = 0;
        if (!kShuffles || !grouped || period > kMostPatterns || reach > kLanes || d_.finish.residual) return;
        period_ = period;
        for (int64_t i = 0; i < period; ++i) {
            place_lanes(i * kLanes, kLanes);
            std::copy(span_.where, span_.where + kLanes, patterns_ + i * kLanes);
        }
    }

    void place_lanes(int64_t c, int lanes) {
        int64_t inside = c % d_.outer;
        for (int i = 0, at = 0; i < lanes; ++i) {
            span_.where[i] = at;
            if (++inside < d_.outer) continue;
            inside = 0;
            at += static_cast<int>(d_.inner);
        }
        span_.reach = span_.where[lanes - 1] + static_cast<int>(d_.inner);
    }

    template <Fetch F, bool Wide>
    void border(int64_t j) {
        int64_t first, last;
        clip(axis_[2], j, first, last);
        span_.taps[2] = last - first;
        pixels<F, Wide>(j, 1, first);
    }

    template <Fetch F, bool Wide>
    void pixels(int64_t j, int count, int64_t first) {
        const Axis& a = axis_[2];
        const int64_t at = j * a.source_step + a.offset + first * a.offset_step;
        const int64_t tap = line_->weights + a.first_tap + first * a.tap_step;
        span_.source = line_->source + at * d_.source_channels + source_channel_;
        span_.weights = Wide ? d_.weights + tap * padded_channels(d_.source_channels) + source_channel_
                             : d_.weights + tap * d_.inner * span_.weight_inner + channel_;
        float* to = line_->target + j * a.step * d_.target_channels + channel_;
        const int64_t step = a.step * d_.target_channels;
        const bool plain = span_.lanes == kLanes && !d_.finish.residual;
        float sums[kColumns * kLanes];
        span_.to = plain ? to : sums;
        span_.to_step = plain ? step : kLanes;
        if constexpr (Wide)
            wide_pixels(count);
        else
            depthwise_for<F>(count, span_.taps[2])(span_);
        if (!plain) finish(sums, count, to, step);
        if (d_.finish.activation.id != kLinear && !span_.clamp.on)
            for (int t = 0; t < count; ++t) activate(d_.finish.activation, to + t * step, span_.lanes * span_.vectors);
    }

    // Lane i of term number j of the sums is lane i * inner + j of the vectors beside each other.
    void order_lanes() {
        for (int64_t j = 0; j < d_.inner; ++j)
            for (int64_t v = 1; v < d_.inner; ++v)
                for (int64_t i = 0; i < kLanes; ++i) {
                    const int64_t lane = i * d_.inner + j, taken = lane / kLanes == v ? lane - (v - 1) * kLanes : i;
                    order_[j][v][i] = static_cast<int>(v == 1 && lane < kLanes ? lane : taken);
                }
    }

    // The vectors of sources, then the sums of neighbouring lanes.
    void wide_pixels(int count) {
        float products[kColumns * kMostWide * kLanes];
        const int64_t n = d_.inner, sources = span_.lanes * n;
        DepthwiseSpan wide = span_;
        wide.bias = nullptr;
        wide.clamp = {};
        wide.to_step = n * kLanes;
        for (int64_t v = 0; v < n; ++v, wide.source += kLanes, wide.weights += kLanes) {
            wide.to = products + v * kLanes;
            wide.lanes = static_cast<int>(std::clamp<int64_t>(sources - v * kLanes, 0, kLanes));
            if (wide.lanes == kLanes)
                depthwise_for<Fetch::whole>(count, wide.taps[2])(wide);
            else if (wide.lanes > 0)
                depthwise_for<Fetch::some>(count, 0)(wide);
            else
                for (int t = 0; t < count; ++t) store(wide.to + t * wide.to_step, Vec{});
        }
        const Vec bias = span_.bias ? load(span_.bias) : Vec{}, low = splat(span_.clamp.low),
                  high = splat(span_.clamp.high);
        for (int t = 0; t < count; ++t) {
            Vec y = bias;
            for (int64_t j = 0; j < n; ++j) y += term(products + t * n * kLanes, j);
            store(span_.to + t * span_.to_step, span_.clamp.on ? at_most(at_least(y, low), high) : y);
        }
    }

    Vec term(const float* products, int64_t j) const {
#if defined(__GNUC__) && !defined(__clang__)
        Vec y = load(products);
        for (int64_t v = 1; v < d_.inner; ++v)
            y = __builtin_shuffle(y, load(products + v * kLanes), load_lanes(order_[j][v]));
#else
        Vec y = {};
        for (int i = 0; i < kLanes; ++i) y[i] = products[i * d_.inner + j];
#endif
        return y;
    }

    void finish(const float* sums, int count, float* to, int64_t step) {
        const Finish& f = d_.finish;
        if (!f.residual) {
            for (int t = 0; t < count; ++t) store_some(to + t * step, load(sums + t * kLanes), span_.lanes);
            return;
        }
        for (int t = 0; t < count; ++t, sums += kLanes, to += step)
            for (int i = 0; i < span_.lanes; ++i) to[i] = sums[i] + f.residual[to - f.out + i];
    }

    const Depthwise& d_;
    const Axis* axis_;
    const DepthwiseLine* line_ = nullptr;
    int64_t lo_, hi_, source_channel_ = 0, channel_ = 0;
    int order_[kMostWide][kMostWide][kLanes];
    static constexpr int64_t kMostPatterns = 4;
    int64_t period_ = 0;  // of vectors of targets, 0: taken one by one
    int patterns_[kMostPatterns * kLanes];
    float bias_[kLanes];  // where a vector of channels is not whole
    DepthwiseSpan span_;
};

// One phase; items are runs of pieces of lines, cut from the shape alone.
inline void depthwise_phase(const Depthwise& d, const Axis* axis, const Step& s) {
    constexpr int64_t kItems = 64, kMinWork = 1 << 16, kTogether = 16, kPieceFloats = 2048, kLeast = 32;
    const int64_t piece = std::max(kPieceFloats / std::max<int64_t>(d.target_channels, 1), kLeast);
    const int64_t per_line = (axis[2].count + piece - 1) / piece;
    const int64_t pieces = d.batch * axis[0].count * axis[1].count * per_line;
    if (pieces == 0) return;
    const int64_t taps = axis[0].taps * axis[1].taps * axis[2].taps * d.inner;
    const int64_t work = pieces * std::min(axis[2].count, piece) * d.target_channels * std::max<int64_t>(taps, 1);
    const int64_t items = std::clamp<int64_t>(work / kMinWork, 1, std::min(pieces, kItems));
    parallel_for(*s.pool, items, items > 2, [&](int64_t item, int) {
        DepthwisePhase phase(d, axis);
        DepthwiseLine lines[kTogether];
        const int64_t last = pieces * (item + 1) / items;
        for (int64_t i = pieces * item / items; i < last;) {
            int count = 0;
            for (; count < kTogether && i < last; ++count, ++i) {
                const int64_t j = i % per_line, width = axis[2].count;
                lines[count] = phase.line(i / per_line, width * j / per_line, width * (j + 1) / per_line);
            }
            phase.run(lines, count);
        }
    });
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
