// Activation functions on vectors, for the ends of convolutions and products and for elementwise chains.
#pragma once
#include <cstdint>

#include "core/activation_list.h"
#include "core/math.h"

namespace striate {
namespace STRIATE_ISA_NS {

#define STRIATE_ACTIVATION_ID(name, ...) k_##name,
enum ActivationId : int { STRIATE_ACTIVATIONS(STRIATE_ACTIVATION_ID) kActivationCount };
#undef STRIATE_ACTIVATION_ID
constexpr int kLinear = k_linear, kRelu = k_relu;

struct Activation {
    int id = kLinear;
    float p0 = 0, p1 = 0, p2 = 0;  // the activation's parameters, in the alphabetical order of their names
};

// Parameters that are not given have their defaults.
inline Activation read_activation(int id, const double* params, int count) {
#define STRIATE_ACTIVATION_DEFAULTS(name, ...) {k_##name, __VA_ARGS__},
    constexpr Activation defaults[] = {STRIATE_ACTIVATIONS(STRIATE_ACTIVATION_DEFAULTS)};
#undef STRIATE_ACTIVATION_DEFAULTS
    Activation a = defaults[id >= 0 && id < kActivationCount ? id : kLinear];
    if (count > 0) a.p0 = static_cast<float>(params[0]);
    if (count > 1) a.p1 = static_cast<float>(params[1]);
    if (count > 2) a.p2 = static_cast<float>(params[2]);
    return a;
}

// max and min that keep a NaN in x.
inline Vec above(Vec x, Vec low) { return low > x ? low : x; }
inline Vec below(Vec x, Vec high) { return high < x ? high : x; }

inline Vec vsoftplus(Vec x) { return above(x, Vec{}) + vlog1p(vexp(-vabs(x))); }

// The activations that cut a value off at both ends: `on`, at once with what computes it.
struct Clamp {
    bool on = false;
    float low = 0, high = 0;
};

inline Clamp clamp_of(const Activation& a) {
    constexpr float kEndless = __builtin_huge_valf();
    if (a.id == k_relu) return {true, 0.0f, kEndless};
    if (a.id == k_relu6) return {true, 0.0f, 6.0f};
    if (a.id == k_relu_general && a.p1 == 0.0f && a.p2 == 0.0f && a.p0 >= 0.0f) return {true, 0.0f, a.p0};
    return {};
}

// x - tanh(x): by its series near zero, where the difference cancels.
inline Vec vtanh_shrink(Vec x) {
    const Vec z = x * x;
    Vec p = splat(-0.0088632355f);
    p = p * z + 0.0218694885f;
    p = p * z - 0.0539682540f;
    p = p * z + 0.1333333333f;
    p = p * z - 0.3333333333f;
    return select(vabs(x) < 0.4f, -p * z * x, x - vtanh(x));
}

// x tanh(softplus(x)), with tanh(log(1 + e)) = n / (n + 2) for n = e (e + 2); from x = 20 on that is 1.
inline Vec mish(Vec x) {
    const Vec e = vexp(below(x, splat(20.0f)));
    const Vec n = e * (e + 2.0f);
    return x * (n / (n + 2.0f));
}

// (x + sqrt(x^2 + b)) / 2, without the cancellation of its own form below zero.
inline Vec squareplus(Vec x, float b) {
    const Vec root = vsqrt(x * x + b);
    return 0.5f * select(x < Vec{}, b / (root - x), x + root);
}

inline Vec sparse_plus(Vec x) {
    const Vec middle = 0.25f * (x + 1.0f) * (x + 1.0f);
    return select(x <= splat(-1.0f), Vec{}, select(x < splat(1.0f), middle, x));
}

template <int Id>
inline Vec activated(Vec x, const Activation& a) {
    constexpr float kSeluScale = 1.0507009873554805f, kSeluAlpha = 1.6732632423543772f;
    if constexpr (Id == k_relu) return above(x, Vec{});
    if constexpr (Id == k_relu6) return below(above(x, Vec{}), splat(6.0f));
    if constexpr (Id == k_leaky_relu) return select(x < Vec{}, x * a.p0, x);
    if constexpr (Id == k_sigmoid) return vsigmoid(x);
    if constexpr (Id == k_tanh) return vtanh(x);
    if constexpr (Id == k_silu) {
        const Quotient q = sigmoid_parts(x);
        return x * q.over / q.under;
    }
    if constexpr (Id == k_elu) return select(x < Vec{}, a.p0 * vexpm1(below(x, Vec{})), x);
    if constexpr (Id == k_selu) return kSeluScale * select(x < Vec{}, kSeluAlpha * vexpm1(below(x, Vec{})), x);
    if constexpr (Id == k_softplus) return vsoftplus(x);
    if constexpr (Id == k_softsign) return x / (1.0f + vabs(x));
    if constexpr (Id == k_gelu) {
        if (a.p0 != 0.0f) return 0.5f * x * (1.0f + vtanh(0.7978845608028654f * (x + 0.044715f * x * x * x)));
        return 0.5f * x * (1.0f + verf(x * 0.7071067811865476f));
    }
    if constexpr (Id == k_hard_sigmoid) return below(above(x / 6.0f + 0.5f, Vec{}), splat(1.0f));
    if constexpr (Id == k_hard_silu) return x * below(above(x / 6.0f + 0.5f, Vec{}), splat(1.0f));
    if constexpr (Id == k_hard_tanh) return below(above(x, splat(-1.0f)), splat(1.0f));
    if constexpr (Id == k_mish) return mish(x);
    if constexpr (Id == k_log_sigmoid) return -vsoftplus(-x);
    if constexpr (Id == k_exp) return vexp(x);
    if constexpr (Id == k_relu_general) return below(select(x > a.p2, x, a.p1 * (x - a.p2)), splat(a.p0));
    if constexpr (Id == k_celu) return select(x > Vec{}, x, a.p0 * vexpm1(below(x, Vec{}) / a.p0));
    if constexpr (Id == k_tanh_shrink) return vtanh_shrink(x);
    if constexpr (Id == k_hard_shrink) return select(vabs(x) > a.p0, x, Vec{});
    if constexpr (Id == k_soft_shrink) return select(vabs(x) > a.p0, select(x > Vec{}, x - a.p0, x + a.p0), Vec{});
    if constexpr (Id == k_threshold) return select(x > a.p1, x, splat(a.p0));
    if constexpr (Id == k_squareplus) return squareplus(x, a.p0);
    if constexpr (Id == k_sparse_plus) return sparse_plus(x);
    if constexpr (Id == k_sparse_sigmoid) return below(above(0.5f * (x + 1.0f), Vec{}), splat(1.0f));
    return x;
}

template <int Id>
inline void activate_row(const Activation& a, float* p, std::int64_t n) {
    std::int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(p + i, activated<Id>(load(p + i), a));
    if (i < n) {
        float tail[kLanes] = {};
        std::memcpy(tail, p + i, sizeof(float) * static_cast<std::size_t>(n - i));
        store(tail, activated<Id>(load(tail), a));
        std::memcpy(p + i, tail, sizeof(float) * static_cast<std::size_t>(n - i));
    }
}

// Applies the activation in place to n values.
inline void activate(const Activation& a, float* p, std::int64_t n) {
    switch (a.id) {
#define STRIATE_ACTIVATION_CASE(name, ...) \
    case k_##name:                         \
        return activate_row<k_##name>(a, p, n);
        STRIATE_ACTIVATIONS(STRIATE_ACTIVATION_CASE)
#undef STRIATE_ACTIVATION_CASE
        default:
            return;
    }
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
