// Winograd's minimal filtering F(M x M, 3 x 3) (Lavin and Gray 2016; Toom 1963, Cook 1966): an M x M tile of outputs
// from (M + 2)^2 products instead of 9 M^2. The interpolation points are 0, +-p for each p of a scheme, and infinity,
// so every transform splits into an even and an odd half.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "core/simd.h"

namespace striate {
namespace STRIATE_ISA_NS {

using std::int64_t;

template <int Pairs>
struct Points;
template <>
struct Points<1> {
    static constexpr double p[1] = {1.0};
};
template <>
struct Points<2> {
    static constexpr double p[2] = {0.75, 1.5};  // half the error of 1 and 2
};
template <>
struct Points<3> {
    static constexpr double p[3] = {1.0, 2.0, 0.5};
};

// One-dimensional transforms with 2 * Pairs outputs. With Q(x) = prod (x^2 - p^2) = sum c_k x^2k, and Q_q without the
// factor of point q, the rows of B' are the coefficients of Q, x Q, and x (x +- p_q) Q_q.
template <int Pairs>
struct Scheme {
    static constexpr int kOut = 2 * Pairs, kIn = kOut + 2;

    static constexpr double square(double x) { return x * x; }

    // The coefficients of prod (x^2 - p_r^2) over all r but `without`, of 1, x^2, x^4, ...
    static constexpr std::array<double, Pairs + 1> product(int without) {
        std::array<double, Pairs + 1> c{};
        c[0] = 1;
        for (int r = 0, degree = 0; r < Pairs; ++r) {
            if (r == without) continue;
            for (int k = ++degree; k > 0; --k) c[k] = c[k - 1] - square(Points<Pairs>::p[r]) * c[k];
            c[0] *= -square(Points<Pairs>::p[r]);
        }
        return c;
    }

    static constexpr double power(double x, int n) { return n == 0 ? 1.0 : x * power(x, n - 1); }

    // What the kernel's value at a point is divided by: the product of the distances to the other points.
    static constexpr double divisor(int q) {
        double f = 1;
        for (int r = 0; r < Pairs; ++r)
            if (r != q) f *= (q < 0 ? 0 : square(Points<Pairs>::p[q])) - square(Points<Pairs>::p[r]);
        return q < 0 ? f : 2 * square(Points<Pairs>::p[q]) * f;
    }

    // t = B' d, elements `step` apart in both.
    static inline __attribute__((always_inline)) void input(const Vec* d, int d_step, Vec* t, int t_step) {
        static constexpr auto all = product(-1);
        Vec zero = Vec{}, last = Vec{};
#pragma GCC unroll 8
        for (int k = 0; k <= Pairs; ++k) {
            zero += static_cast<float>(all[k]) * d[2 * k * d_step];
            last += static_cast<float>(all[k]) * d[(2 * k + 1) * d_step];
        }
        t[0] = zero;
        t[(kIn - 1) * t_step] = last;
        pairs_of(d, d_step, t, t_step, std::make_integer_sequence<int, Pairs>{});
    }

    // y = A' m.
    static inline __attribute__((always_inline)) void output(const Vec* m, int m_step, Vec* y, int y_step) {
        Vec sum[Pairs], difference[Pairs];
#pragma GCC unroll 4
        for (int q = 0; q < Pairs; ++q) {
            sum[q] = m[(1 + 2 * q) * m_step] + m[(2 + 2 * q) * m_step];
            difference[q] = m[(1 + 2 * q) * m_step] - m[(2 + 2 * q) * m_step];
        }
        rows_of(m, m_step, sum, difference, y, y_step, std::make_integer_sequence<int, kOut>{});
    }

    // z = A y, the adjoint of `output`.
    static inline __attribute__((always_inline)) void output_adjoint(const Vec* y, int y_step, Vec* z, int z_step) {
        z[0] = y[0];
        z[(kIn - 1) * z_step] = y[(kOut - 1) * y_step];
        spread(y, y_step, z, z_step, std::make_integer_sequence<int, Pairs>{});
    }

    // g = G' u, the adjoint of `kernel`.
    static inline __attribute__((always_inline)) void kernel_adjoint(const Vec* u, int u_step, Vec* g, int g_step) {
        constexpr float at_zero = static_cast<float>(1 / divisor(-1));
        Vec sums[3] = {at_zero * u[0], Vec{}, u[(kIn - 1) * u_step]};
        gathered(u, u_step, sums, std::make_integer_sequence<int, Pairs>{});
        for (int i = 0; i < 3; ++i) g[i * g_step] = sums[i];
    }

    // u = G g.
    static inline __attribute__((always_inline)) void kernel(const Vec* g, int g_step, Vec* u, int u_step) {
        constexpr float at_zero = static_cast<float>(1 / divisor(-1));
        u[0] = at_zero * g[0];
        u[(kIn - 1) * u_step] = g[2 * g_step];
        values_of(g, g_step, u, u_step, std::make_integer_sequence<int, Pairs>{});
    }

private:
    template <int... Q>
    static inline __attribute__((always_inline)) void pairs_of(const Vec* d, int ds, Vec* t, int ts,
                                                               std::integer_sequence<int, Q...>) {
        (pair<Q>(d, ds, t, ts), ...);
    }
    template <int Q>
    static inline __attribute__((always_inline)) void pair(const Vec* d, int ds, Vec* t, int ts) {
        constexpr auto c = product(Q);
        Vec even = Vec{}, odd = Vec{};
#pragma GCC unroll 8
        for (int k = 0; k < Pairs; ++k) {
            even += static_cast<float>(c[k]) * d[(2 * k + 2) * ds];
            odd += static_cast<float>(c[k] * Points<Pairs>::p[Q]) * d[(2 * k + 1) * ds];
        }
        t[(1 + 2 * Q) * ts] = even + odd;
        t[(2 + 2 * Q) * ts] = even - odd;
    }

    template <int... I>
    static inline __attribute__((always_inline)) void rows_of(const Vec* m, int ms, const Vec* sum,
                                                              const Vec* difference, Vec* y, int ys,
                                                              std::integer_sequence<int, I...>) {
        (row<I>(m, ms, sum, difference, y, ys, std::make_integer_sequence<int, Pairs>{}), ...);
    }
    template <int I, int... Q>
    static inline __attribute__((always_inline)) void row(const Vec* m, int ms, const Vec* sum, const Vec* difference,
                                                          Vec* y, int ys, std::integer_sequence<int, Q...>) {
        Vec v = I == 0 ? m[0] : I == kOut - 1 ? m[(kIn - 1) * ms] : Vec{};
        ((v += static_cast<float>(power(Points<Pairs>::p[Q], I)) * (I % 2 ? difference[Q] : sum[Q])), ...);
        y[I * ys] = v;
    }

    template <int... Q>
    static inline __attribute__((always_inline)) void spread(const Vec* y, int ys, Vec* z, int zs,
                                                             std::integer_sequence<int, Q...>) {
        (powers<Q>(y, ys, z, zs, std::make_integer_sequence<int, kOut / 2>{}), ...);
    }
    template <int Q, int... I>
    static inline __attribute__((always_inline)) void powers(const Vec* y, int ys, Vec* z, int zs,
                                                             std::integer_sequence<int, I...>) {
        constexpr double p = Points<Pairs>::p[Q];
        Vec even = Vec{}, odd = Vec{};
        ((even += static_cast<float>(power(p, 2 * I)) * y[2 * I * ys]), ...);
        ((odd += static_cast<float>(power(p, 2 * I + 1)) * y[(2 * I + 1) * ys]), ...);
        z[(1 + 2 * Q) * zs] = even + odd;
        z[(2 + 2 * Q) * zs] = even - odd;
    }

    template <int... Q>
    static inline __attribute__((always_inline)) void gathered(const Vec* u, int us, Vec* sums,
                                                               std::integer_sequence<int, Q...>) {
        (gather<Q>(u, us, sums), ...);
    }
    template <int Q>
    static inline __attribute__((always_inline)) void gather(const Vec* u, int us, Vec* sums) {
        constexpr double p = Points<Pairs>::p[Q], f = 1 / divisor(Q);
        const Vec sum = u[(1 + 2 * Q) * us] + u[(2 + 2 * Q) * us];
        sums[0] += static_cast<float>(f) * sum;
        sums[1] += static_cast<float>(f * p) * (u[(1 + 2 * Q) * us] - u[(2 + 2 * Q) * us]);
        sums[2] += static_cast<float>(f * p * p) * sum;
    }

    template <int... Q>
    static inline __attribute__((always_inline)) void values_of(const Vec* g, int gs, Vec* u, int us,
                                                                std::integer_sequence<int, Q...>) {
        (value<Q>(g, gs, u, us), ...);
    }
    template <int Q>
    static inline __attribute__((always_inline)) void value(const Vec* g, int gs, Vec* u, int us) {
        constexpr double p = Points<Pairs>::p[Q], f = 1 / divisor(Q);
        const Vec even = static_cast<float>(f) * g[0] + static_cast<float>(f * p * p) * g[2 * gs];
        const Vec odd = static_cast<float>(f * p) * g[gs];
        u[(1 + 2 * Q) * us] = even + odd;
        u[(2 + 2 * Q) * us] = even - odd;
    }
};

// Where the tiles of an image's outputs stand, and what each reads and writes.
struct TileGrid {
    int64_t rows, columns, size;  // tiles of an image; outputs of a tile, along one axis

    TileGrid(int64_t height, int64_t width, int64_t out)
        : rows((height + out - 1) / out), columns((width + out - 1) / out), size(out) {}

    int64_t image(int64_t tile) const { return tile / columns / rows; }
    int64_t top(int64_t tile) const { return tile / columns % rows * size; }
    int64_t left(int64_t tile) const { return tile % columns * size; }
};

// Pointers to the n x n pixels from (y, x) on of one image `[height][width][channels]`; outside it a line of zeros.
inline void patch(const float* image, int64_t height, int64_t width, int64_t channels, int64_t y, int64_t x, int n,
                  const float* zeros, const float** to) {
    for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j) {
            const bool inside = y + i >= 0 && y + i < height && x + j >= 0 && x + j < width;
            to[i * n + j] = inside ? image + ((y + i) * width + x + j) * channels : zeros;
        }
}

// Fetches what the next patch reads and this one does not, its last columns: pixels of a picture lie too far apart for
// the processor to foresee, and a transform is shorter than the wait for them.
template <int N, int Columns>
inline __attribute__((always_inline)) void fetch_columns(const float* const* next, int64_t channel) {
    for (int i = 0; i < N; ++i)
        for (int j = N - Columns; j < N; ++j) __builtin_prefetch(next[i * N + j] + channel);
}

// The 2x2 maxima of `full` images: shape and pointers of what stands in place of the full tensor.
struct Pooled {
    int64_t height, width, channels;  // of the small image
    const float* values;
    const std::uint8_t* positions;  // in its window, row-major: where each value belongs
};

// Pointers to the maxima that reach N x N pixels of the full image, and to their positions; outside it zeros.
template <int N>
struct Cells {
    static constexpr int kMost = N / 2 + 1;
    const float* values[kMost * kMost];
    const std::uint8_t* positions[kMost * kMost];
    bool odd_y, odd_x;  // whether the first pixel is the second one of its window

    Cells(const Pooled& p, int64_t image, int64_t y, int64_t x, const float* zeros) : odd_y(y & 1), odd_x(x & 1) {
        for (int a = 0; a < kMost; ++a)
            for (int b = 0; b < kMost; ++b) {
                const int64_t row = (y >> 1) + a, column = (x >> 1) + b;
                const bool inside = row >= 0 && row < p.height && column >= 0 && column < p.width;
                const int64_t at = ((image * p.height + row) * p.width + column) * p.channels;
                values[a * kMost + b] = inside ? p.values + at : zeros;
                positions[a * kMost + b] = inside ? p.positions + at : reinterpret_cast<const std::uint8_t*>(zeros);
            }
    }

    // The last columns' maxima.
    void fetch(int64_t channel) const {
        for (int a = 0; a < kMost; ++a)
            for (int b = 1; b < kMost; ++b) {
                __builtin_prefetch(values[a * kMost + b] + channel);
                __builtin_prefetch(positions[a * kMost + b] + channel);
            }
    }

    // The pixels themselves, one vector of channels.
    void spread(int64_t channel, float* to) const {
        if (odd_y)
            odd_x ? spread_at<1, 1>(channel, to) : spread_at<1, 0>(channel, to);
        else
            odd_x ? spread_at<0, 1>(channel, to) : spread_at<0, 0>(channel, to);
    }

private:
    template <int OddY, int OddX>
    inline __attribute__((always_inline)) void spread_at(int64_t channel, float* to) const {
        typedef std::uint8_t Bytes __attribute__((vector_size(kLanes)));
#pragma GCC unroll 5
        for (int a = 0; a < N / 2 + OddY; ++a)
#pragma GCC unroll 5
            for (int b = 0; b < N / 2 + OddX; ++b) {
                const Vec value = load(values[a * kMost + b] + channel);
                Bytes bytes;
                std::memcpy(&bytes, positions[a * kMost + b] + channel, kLanes);
                const IVec position = __builtin_convertvector(bytes, IVec);
#pragma GCC unroll 4
                for (int q = 0; q < 4; ++q) {
                    const int i = 2 * a + q / 2 - OddY, j = 2 * b + q % 2 - OddX;
                    if (i >= 0 && j >= 0 && i < N && j < N)
                        store(to + (i * N + j) * kLanes, position == q ? value : Vec{});
                }
            }
    }
};

// A two-dimensional transform of one vector of channels: From x From values behind pointers become To x To, stored
// `step` apart. `along` transforms one line.
template <int From, int To, class Along>
inline __attribute__((always_inline)) void transform_patch(const float* const* from, int64_t channel, float* to,
                                                           int64_t step, Along&& along) {
    Vec half[To * From];
    for (int j = 0; j < From; ++j) {
        Vec d[From];
#pragma GCC unroll 8
        for (int i = 0; i < From; ++i) d[i] = load(from[i * From + j] + channel);
        along(d, 1, half + j, From);
    }
    for (int i = 0; i < To; ++i) {
        Vec v[To];
        along(half + i * From, 1, v, 1);
#pragma GCC unroll 8
        for (int j = 0; j < To; ++j) store(to + (i * To + j) * step, v[j]);
    }
}

// U = G g G' of one vector of target channels: nine taps, then the points.
template <int Pairs>
inline __attribute__((always_inline)) void transform_kernel(const float* taps, int64_t tap_step, float* points,
                                                            int64_t point_step) {
    constexpr int kIn = Scheme<Pairs>::kIn;
    Vec half[kIn * 3];
    for (int t = 0; t < 3; ++t) {
        Vec g[3];
        for (int r = 0; r < 3; ++r) g[r] = load(taps + (r * 3 + t) * tap_step);
        Scheme<Pairs>::kernel(g, 1, half + t, 3);
    }
    for (int p = 0; p < kIn; ++p) {
        Vec u[kIn];
        Scheme<Pairs>::kernel(half + p * 3, 1, u, 1);
        for (int q = 0; q < kIn; ++q) store(points + (p * kIn + q) * point_step, u[q]);
    }
}

constexpr int kWinogradBlock = 16;  // source channels that stand together
constexpr int64_t kPointPad = 48;   // floats: points a power of two apart would share lines of the cache

}  // namespace STRIATE_ISA_NS
}  // namespace striate
