// Images as planes: for few channels a vector holds neighbouring pixels of one channel. A band of rows is copied with
// the zeros around it, so that a tap is a fixed distance in memory and rows can be counted through as one line.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "core/kernel.h"
#include "core/math.h"
#include "core/transpose.h"
#include "kernels/conv/geometry.h"

namespace striate {
namespace STRIATE_ISA_NS {

constexpr int64_t kMostFew = 8;         // target channels; src/striate/kernels/conv.py asks for no more
constexpr int64_t kSlack = 2 * kLanes;  // behind each plane: vectors may reach over its end

// What planes are filled from. Where it is pooled, `x` holds gradients of the 2x2 maxima of an image of these sizes,
// and `positions` says where each stood.
struct PlaneSource {
    const float* x = nullptr;
    const std::uint8_t* positions = nullptr;
    int64_t dims[kAxes], channels;
    bool pooled = false;  // data is not there yet while sizes are asked for
};

// v[channel * plane + i] = from[i * step + channel]; up to kLanes - 1 zeros are written behind the n values of each.
inline void split_channels(const float* from, int64_t step, int64_t n, int64_t channels, float* to, int64_t plane) {
    if (channels <= 4 || n <= 2) {
        for (int64_t c = 0; c < channels; ++c)
            for (int64_t i = 0; i < n; ++i) to[c * plane + i] = from[i * step + c];
        return;
    }
    for (int64_t i = 0; i < n; i += kLanes)
        for (int64_t c = 0; c < channels; c += kLanes) {
            const int lanes = static_cast<int>(std::min<int64_t>(kLanes, channels - c));
            const int64_t rows = n - i;
            Vec v[kLanes];
#pragma GCC unroll 16
            for (int r = 0; r < kLanes; ++r) v[r] = r < rows ? load_some(from + (i + r) * step + c, lanes) : Vec{};
            exchange_rows<1>(v);
#pragma GCC unroll 16
            for (int r = 0; r < kLanes; ++r)
                if (r < lanes) store(to + (c + r) * plane + i, v[r]);
        }
}

// The other way round, for each pixel: put(i, first channel, its values, lanes).
template <class Put>
inline void join_channels(const float* from, int64_t plane, int64_t n, int64_t channels, Put&& put) {
    for (int64_t i = 0; i < n; i += kLanes)
        for (int64_t c = 0; c < channels; c += kLanes) {
            const int lanes = static_cast<int>(std::min<int64_t>(kLanes, channels - c));
            const int64_t rows = n - i;
            Vec v[kLanes];
#pragma GCC unroll 16
            for (int r = 0; r < kLanes; ++r) v[r] = r < lanes ? load(from + (c + r) * plane + i) : Vec{};
            exchange_rows<1>(v);
#pragma GCC unroll 16
            for (int r = 0; r < kLanes; ++r)
                if (r < rows) put(i + r, c, v[r], lanes);
        }
}

template <int... I>
inline void zip(Vec a, Vec b, Vec& low, Vec& high, std::integer_sequence<int, I...>) {
#if defined(__clang__)
    low = __builtin_shufflevector(a, b, (I / 2 + I % 2 * kLanes)...);
    high = __builtin_shufflevector(a, b, (kLanes / 2 + I / 2 + I % 2 * kLanes)...);
#else
    low = __builtin_shuffle(a, b, IVec{(I / 2 + I % 2 * kLanes)...});
    high = __builtin_shuffle(a, b, IVec{(kLanes / 2 + I / 2 + I % 2 * kLanes)...});
#endif
}

template <int... I>
inline void unzip(Vec low, Vec high, Vec& even, Vec& odd, std::integer_sequence<int, I...>) {
#if defined(__clang__)
    even = __builtin_shufflevector(low, high, (2 * I)...);
    odd = __builtin_shufflevector(low, high, (2 * I + 1)...);
#else
    even = __builtin_shuffle(low, high, IVec{(2 * I)...});
    odd = __builtin_shuffle(low, high, IVec{(2 * I + 1)...});
#endif
}
using AllLanes = std::make_integer_sequence<int, kLanes>;

typedef std::uint8_t PlaneBytes __attribute__((vector_size(kLanes)));

inline void widen_bytes(const std::uint8_t* from, int64_t n, float* to) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        PlaneBytes bytes;
        std::memcpy(&bytes, from + i, kLanes);
        store(to + i, bits_to_float(__builtin_convertvector(bytes, IVec)));
    }
    for (; i < n; ++i) {
        const int value = from[i];
        std::memcpy(to + i, &value, sizeof value);
    }
}

inline void narrow_bytes(const float* from, int64_t n, std::uint8_t* to) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        const PlaneBytes bytes = __builtin_convertvector(float_to_bits(load(from + i)), PlaneBytes);
        std::memcpy(to + i, &bytes, kLanes);
    }
    for (; i < n; ++i) {
        int value;
        std::memcpy(&value, from + i, sizeof value);
        to[i] = static_cast<std::uint8_t>(value);
    }
}

// The planes that one phase of a convolution reads for `rows` rows of its outputs: [tap of axis 0][remainder of axis 1
// by the stride][of axis 2][channel][row][pitch].
class Planes {
public:
    Planes(const PlaneSource& source, const Phase& phase, int64_t rows) : source_(source), phase_(phase) {
        for (int i = 1; i < kAxes; ++i) {
            const Axis& a = phase.axis[i];
            const int64_t last = a.offset + std::max<int64_t>(a.taps - 1, 0) * a.offset_step;
            low_[i] = std::min(a.offset, last);
            shift_[i] = (std::max(a.offset, last) - low_[i]) / a.source_step;
        }
        pitch_ = phase.axis[2].count + shift_[2];
        size_for(rows);
    }
    // The gradient beside such planes: as many rows, as long ones.
    Planes(const PlaneSource& source, const Phase& phase, int64_t rows, int64_t pitch) : Planes(source, phase, rows) {
        pitch_ = pitch;
        size_for(rows);
    }

    int64_t pitch() const { return pitch_; }
    int64_t plane() const { return plane_; }
    int64_t shift(int axis) const { return shift_[axis]; }
    int64_t row_floats() const { return count() * pitch_; }
    int64_t floats() const { return count() * plane_; }
    int64_t spare_floats() const {
        if (!source_.pooled) return 0;
        return 2 * source_.channels * spare_row() + source_.channels * (source_.dims[2] / 2 + kLanes) + 2 * spare_row();
    }

    // Where the tap's first value of a channel stands.
    int64_t offset(int64_t t0, int64_t t1, int64_t t2, int64_t channel) const {
        const Axis &a1 = phase_.axis[1], &a2 = phase_.axis[2];
        const int64_t u1 = a1.offset + t1 * a1.offset_step - low_[1], u2 = a2.offset + t2 * a2.offset_step - low_[2];
        const int64_t block = (t0 * a1.source_step + u1 % a1.source_step) * a2.source_step + u2 % a2.source_step;
        return (block * source_.channels + channel) * plane_ + u1 / a1.source_step * pitch_ + u2 / a2.source_step;
    }

    // For outputs [first, first + rows) of line j0 of an image. `spare`: room for what is unpooled.
    void fill(float* to, int64_t image, int64_t j0, int64_t first, int64_t rows, float* spare) const {
        const Axis &a0 = phase_.axis[0], &a1 = phase_.axis[1], &a2 = phase_.axis[2];
        const int64_t size = source_.channels * plane_;
        for (int64_t t0 = 0; t0 < a0.taps; ++t0) {
            const int64_t z = j0 * a0.source_step + a0.offset + t0 * a0.offset_step;
            for (int64_t r1 = 0; r1 < a1.source_step; ++r1)
                for (int64_t r2 = 0; r2 < a2.source_step; ++r2, to += size) {
                    if (!is_read(1, r1) || !is_read(2, r2)) continue;
                    std::memset(to, 0, sizeof(float) * static_cast<std::size_t>(size));
                    if (z < 0 || z >= source_.dims[0]) continue;
                    if (source_.pooled)
                        unpool(to, image, low_[1] + first, rows + shift_[1], spare);
                    else
                        copy(to, (image * source_.dims[0] + z) * source_.dims[1], r1, r2, first, rows);
                }
        }
    }

private:
    int64_t count() const {
        const Axis* a = phase_.axis;
        return std::max<int64_t>(a[0].taps, 1) * a[1].source_step * a[2].source_step * source_.channels;
    }
    int64_t spare_row() const { return (source_.dims[2] / 2 + 2 * kLanes) / kLanes * kLanes; }

    void size_for(int64_t rows) { plane_ = ((rows + shift_[1]) * pitch_ + kSlack + 15) / 16 * 16; }

    bool is_read(int axis, int64_t remainder) const {
        const Axis& a = phase_.axis[axis];
        for (int64_t t = 0; t < a.taps; ++t)
            if ((a.offset + t * a.offset_step - low_[axis]) % a.source_step == remainder) return true;
        return false;
    }

    void copy(float* to, int64_t line, int64_t r1, int64_t r2, int64_t first, int64_t rows) const {
        const int64_t s1 = phase_.axis[1].source_step, s2 = phase_.axis[2].source_step, low = low_[2] + r2;
        const int64_t begin = low < 0 ? (-low + s2 - 1) / s2 : 0, width = source_.dims[2];
        const int64_t end = std::min(width > low ? (width - low + s2 - 1) / s2 : 0, pitch_);
        if (begin >= end) return;
        for (int64_t i = 0; i < rows + shift_[1]; ++i) {
            const int64_t y = low_[1] + (first + i) * s1 + r1;
            if (y < 0 || y >= source_.dims[1]) continue;
            const float* from = source_.x + ((line + y) * width + low + begin * s2) * source_.channels;
            float* row = to + i * pitch_ + begin;
            if (source_.channels == 1 && s2 == 1)
                std::memcpy(row, from, sizeof(float) * static_cast<std::size_t>(end - begin));
            else
                split_channels(from, s2 * source_.channels, end - begin, source_.channels, row, plane_);
        }
    }

    // Rows [y0, y0 + rows) of one image whose gradient stands at its maxima.
    void unpool(float* to, int64_t image, int64_t y0, int64_t rows, float* spare) const {
        const int64_t height = source_.dims[1] / 2, width = source_.dims[2] / 2, channels = source_.channels;
        const int64_t step = spare_row(), size = width * channels;
        float *values = spare, *places = values + channels * step, *wide = places + channels * step;
        const int64_t from = std::max<int64_t>(y0, 0) / 2, until = std::min(height, (y0 + rows + 1) / 2);
        for (int64_t q = from; q < until; ++q) {
            const int64_t at = (image * height + q) * size;
            split_channels(source_.x + at, channels, width, channels, values, step);
            widen_bytes(source_.positions + at, size, wide);
            split_channels(wide, channels, width, channels, places, step);
            for (int64_t c = 0; c < channels; ++c)
                for (int d = 0; d < 2; ++d) {
                    const int64_t i = 2 * q + d - y0;
                    if (i < 0 || i >= rows) continue;
                    spread(values + c * step, places + c * step, 2 * d, to + c * plane_ + i * pitch_,
                           wide + size + kLanes);
                }
        }
    }

    // One row of an unpooled gradient: `cell` and the one behind it of each window.
    void spread(const float* values, const float* places, int cell, float* row, float* spare) const {
        const int64_t width = source_.dims[2] / 2 * 2, low = low_[2];
        const bool whole = low <= 0 && width - low <= pitch_;
        float* to = whole ? row - low : spare;
        for (int64_t i = 0; 2 * i < width; i += kLanes) {
            const IVec place = float_to_bits(load(places + i)), inside = first_of(width / 2 - i);
            const Vec v = load(values + i);
            Vec a, b;
            zip(select((place == cell) & inside, v, Vec{}), select((place == cell + 1) & inside, v, Vec{}), a, b,
                AllLanes{});
            store(to + 2 * i, a);
            store(to + 2 * i + kLanes, b);
        }
        if (whole) return;
        const int64_t begin = std::max<int64_t>(low, 0), end = std::min(width, low + pitch_);
        if (begin < end)
            std::memcpy(row + begin - low, spare + begin, sizeof(float) * static_cast<std::size_t>(end - begin));
    }

    template <int... I>
    static IVec count_lanes(std::integer_sequence<int, I...>) {
        return IVec{I...};
    }
    static IVec first_of(int64_t n) { return count_lanes(AllLanes{}) < static_cast<int>(std::min<int64_t>(n, kLanes)); }

    const PlaneSource& source_;
    const Phase& phase_;
    int64_t low_[kAxes] = {}, shift_[kAxes] = {}, pitch_ = 0, plane_ = 0;
};

inline int64_t round_to_line(int64_t floats) { return (floats + 15) / 16 * 16; }

// A band: as many rows as stay in the nearer caches together with `channels` planes beside them, an even number for the
// sake of maxima; fewer where else less than `items` bands would come from `lines` lines of such rows.
inline int64_t band_rows(const PlaneSource& source, const Phase& phase, int64_t channels, int64_t lines,
                         int64_t items) {
    constexpr int64_t kCacheFloats = 24 << 10;
    const Planes one(source, phase, 1);
    const int64_t halo = one.shift(1), row = one.row_floats() + channels * one.pitch();
    const int64_t fit = (kCacheFloats - halo * one.row_floats()) / std::max<int64_t>(row, 1);
    const int64_t least = std::max<int64_t>(4 * halo, 4), all = phase.axis[1].count;
    const int64_t share = (all * std::max<int64_t>(lines, 1) + items - 1) / items;
    const int64_t rows = std::clamp(fit, least, std::max(least, share));
    return std::max<int64_t>(std::min((rows + 1) / 2 * 2, all), 1);
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
