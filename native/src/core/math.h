// exp, log and erf on vectors: Cody-Waite range reduction and minimax polynomials, within about 2 ulp. NaN stays NaN.
#pragma once
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "core/simd.h"

namespace striate {
namespace STRIATE_ISA_NS {

inline Vec select(IVec mask, Vec a, Vec b) { return mask ? a : b; }
inline Vec to_float(IVec v) { return __builtin_convertvector(v, Vec); }
inline IVec to_int(Vec v) { return __builtin_convertvector(v, IVec); }
inline Vec bits_to_float(IVec v) { return reinterpret_cast<Vec>(v); }
inline IVec float_to_bits(Vec v) { return reinterpret_cast<IVec>(v); }
inline Vec vabs(Vec x) { return bits_to_float(float_to_bits(x) & 0x7fffffff); }

// The first n <= kLanes values; the other lanes are `rest`, and are neither read nor stored.
#if defined(__AVX512F__)
inline Vec load_some(const float* p, int n, float rest = 0.0f) {
    const auto lanes = static_cast<__mmask16>((1u << n) - 1);
    return reinterpret_cast<Vec>(_mm512_mask_loadu_ps(reinterpret_cast<__m512>(splat(rest)), lanes, p));
}
inline void store_some(float* p, Vec v, int n) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), reinterpret_cast<__m512>(v));
}
#elif defined(__AVX2__)
inline IVec first_lanes(int n) { return IVec{0, 1, 2, 3, 4, 5, 6, 7} < n; }
inline Vec load_some(const float* p, int n, float rest = 0.0f) {
    const IVec lanes = first_lanes(n);
    return select(lanes, reinterpret_cast<Vec>(_mm256_maskload_ps(p, reinterpret_cast<__m256i>(lanes))), splat(rest));
}
inline void store_some(float* p, Vec v, int n) {
    _mm256_maskstore_ps(p, reinterpret_cast<__m256i>(first_lanes(n)), reinterpret_cast<__m256>(v));
}
#else
inline Vec load_some(const float* p, int n, float rest = 0.0f) {
    if (n == kLanes) return load(p);
    Vec v = splat(rest);
    for (int i = 0; i < n; ++i) v[i] = p[i];
    return v;
}
inline void store_some(float* p, Vec v, int n) {
    if (n == kLanes) return store(p, v);
    for (int i = 0; i < n; ++i) p[i] = v[i];
}
#endif

// The larger and the smaller, NaN if either is.
inline Vec vmax(Vec a, Vec b) { return select((a >= b) | (a != a), a, b); }
inline Vec vmin(Vec a, Vec b) { return select((a <= b) | (a != a), a, b); }

inline Vec vsqrt(Vec x) {
    Vec y;
    for (int i = 0; i < kLanes; ++i) y[i] = __builtin_sqrtf(x[i]);
    return y;
}

// Rounds to the nearest whole number; exact for |x| < 2^22, which is all that is asked here.
inline Vec nearest(Vec x) {
    const Vec magic = splat(12582912.0f);
    return (x + magic) - magic;
}

// y 2^n for whole n from -151 to 129, with infinity and subnormals at the ends of the range.
inline Vec scaled(Vec y, Vec n) {
#if defined(__AVX512F__)
    return reinterpret_cast<Vec>(
        _mm512_maskz_scalef_ps(0xffff, reinterpret_cast<__m512>(y), reinterpret_cast<__m512>(n)));
#else
    // In two halves, so that neither overflows early nor loses the subnormals.
    const IVec k = to_int(select(n == n, n, Vec{})), half = k >> 1;
    return y * bits_to_float((half + 127) << 23) * bits_to_float((k - half + 127) << 23);
#endif
}

inline Vec vexp(Vec x) {
    const Vec hi = splat(89.0f), lo = splat(-104.5f);               // beyond both ends of the range of results
    const Vec bounded = select(x > hi, hi, select(x < lo, lo, x));  // a NaN passes both comparisons by
    const Vec n = nearest(bounded * 1.44269504088896341f);
    const Vec r = (bounded - n * 0.693359375f) - n * -2.12194440e-4f;
    Vec p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return scaled(p * (r * r) + r + 1.0f, n);
}

// exp(x) - 1 without cancellation near zero.
inline Vec vexpm1(Vec x) {
    Vec p = splat(1.9875691500e-4f);
    p = p * x + 1.3981999507e-3f;
    p = p * x + 8.3334519073e-3f;
    p = p * x + 4.1665795894e-2f;
    p = p * x + 1.6666665459e-1f;
    p = p * x + 5.0000001201e-1f;
    return select(vabs(x) < 0.34f, p * (x * x) + x, vexp(x) - 1.0f);
}

inline Vec vlog(Vec x) {
    const Vec tiny = splat(1.17549435e-38f);
    const IVec sub = x < tiny;
    const Vec scaled = select(sub, x * 8388608.0f, x);
    const IVec bits = float_to_bits(scaled);
    Vec e = to_float((bits >> 23) - 126) - select(sub, splat(23.0f), Vec{});
    Vec m = bits_to_float((bits & 0x007fffff) | 0x3f000000);
    const IVec low = m < 0.707106781186547524f;
    e = select(low, e - 1.0f, e);
    m = select(low, m + m, m) - 1.0f;
    const Vec z = m * m;
    Vec p = splat(7.0376836292e-2f);
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    Vec y = p * m * z + e * -2.12194440e-4f - 0.5f * z;
    y = m + y + e * 0.693359375f;
    y = select(x == splat(__builtin_inff()), x, y);
    y = select(x == Vec{}, splat(-__builtin_inff()), y);
    return select(x < Vec{}, splat(__builtin_nanf("")), select(x == x, y, x));
}

// log(1 + x) without cancellation near zero (Kahan's correction).
inline Vec vlog1p(Vec x) {
    const Vec u = x + 1.0f, d = u - 1.0f;
    const Vec y = vlog(u) * (x / select(d == Vec{}, splat(1.0f), d));
    return select(d == Vec{}, x, select(u == splat(__builtin_inff()), u, y));
}

inline Vec vtanh(Vec x) {
    const Vec a = vabs(x);
    const Vec t = vexpm1(a * -2.0f);
    const Vec y = -t / (t + 2.0f);
    return select(x == x, bits_to_float(float_to_bits(y) | (float_to_bits(x) & int(0x80000000))), x);
}

// e^x / (1 + e^x) or 1 / (1 + e^-x), whichever does not overflow, as a numerator and its denominator.
struct Quotient {
    Vec over, under;
};
inline Quotient sigmoid_parts(Vec x) {
    const Vec e = vexp(-vabs(x));
    return {select(x < Vec{}, e, splat(1.0f)), 1.0f + e};
}
inline Vec vsigmoid(Vec x) {
    const Quotient q = sigmoid_parts(x);
    return q.over / q.under;
}

// erf: below 1 a minimax polynomial (relative error 4e-11 before rounding); above, 1 - t exp(-x^2 + P(t)) as in
// Numerical Recipes' erfc.
inline Vec verf(Vec x) {
    const Vec a = vabs(x), z = x * x;
    Vec p = splat(-9.641519280e-06f);
    p = p * z + 1.125694904e-04f;
    p = p * z - 8.482829003e-04f;
    p = p * z + 5.220945444e-03f;
    p = p * z - 2.686540005e-02f;
    p = p * z + 1.128378197e-01f;
    p = p * z - 3.761263843e-01f;
    p = p * z + 1.128379167e+00f;
    const Vec small = p * x;
    const Vec t = 1.0f / (1.0f + 0.5f * a);
    Vec q = splat(0.17087277f);
    q = q * t - 0.82215223f;
    q = q * t + 1.48851587f;
    q = q * t - 1.13520398f;
    q = q * t + 0.27886807f;
    q = q * t - 0.18628806f;
    q = q * t + 0.09678418f;
    q = q * t + 0.37409196f;
    q = q * t + 1.00002368f;
    q = q * t - 1.26551223f;
    const Vec big = 1.0f - t * vexp(q - z);
    const Vec signed_big = bits_to_float(float_to_bits(big) | (float_to_bits(x) & int(0x80000000)));
    return select(a < 1.0f, small, select(x == x, signed_big, x));
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
