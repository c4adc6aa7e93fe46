// What each elementwise operation does to vectors, or, where no vector form pays, to single values. Truth is 1 or 0.
#pragma once
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "core/activation.h"
#include "kernels/elementwise/op_list.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace ops {

inline Vec truth(IVec mask) { return select(mask, splat(1.0f), Vec{}); }

struct stop_gradient {
    Vec operator()(Vec x) const { return x; }
};
struct neg {
    Vec operator()(Vec x) const { return -x; }
};
struct abs {
    Vec operator()(Vec x) const { return vabs(x); }
};
struct sign {
    Vec operator()(Vec x) const {
        const Vec s = select(x > Vec{}, splat(1.0f), select(x < Vec{}, splat(-1.0f), Vec{}));
        return select(x == x, s, x);
    }
};
struct sqrt {
    float operator()(float x) const { return __builtin_sqrtf(x); }
};
struct rsqrt {
    float operator()(float x) const { return 1.0f / __builtin_sqrtf(x); }
};
struct square {
    Vec operator()(Vec x) const { return x * x; }
};
struct reciprocal {
    Vec operator()(Vec x) const { return 1.0f / x; }
};
struct expm1 {
    Vec operator()(Vec x) const { return vexpm1(x); }
};
struct log {
    Vec operator()(Vec x) const { return vlog(x); }
};
struct log1p {
    Vec operator()(Vec x) const { return vlog1p(x); }
};
struct sin {
    float operator()(float x) const { return std::sin(x); }
};
struct cos {
    float operator()(float x) const { return std::cos(x); }
};
struct tan {
    float operator()(float x) const { return std::tan(x); }
};
struct erf {
    Vec operator()(Vec x) const { return verf(x); }
};
struct floor {
    float operator()(float x) const { return __builtin_floorf(x); }
};
struct ceil {
    float operator()(float x) const { return __builtin_ceilf(x); }
};
struct round {
    float operator()(float x) const { return __builtin_rintf(x); }  // halves to even, as NumPy
};
struct logical_not {
    Vec operator()(Vec x) const { return truth(x == Vec{}); }
};
struct add {
    Vec operator()(Vec a, Vec b) const { return a + b; }
};
struct sub {
    Vec operator()(Vec a, Vec b) const { return a - b; }
};
struct mul {
    Vec operator()(Vec a, Vec b) const { return a * b; }
};
struct div {
    Vec operator()(Vec a, Vec b) const { return a / b; }
};

// The remainder with the sign of the divisor, as Python and NumPy have it.
struct mod {
    float operator()(float a, float b) const {
        const float r = std::fmod(a, b);
        if (r == 0.0f) return __builtin_copysignf(0.0f, b);
        return (r < 0.0f) != (b < 0.0f) ? r + b : r;
    }
};
// floor(a / b) without the rounding of the quotient across a whole number.
struct floor_div {
    float operator()(float a, float b) const {
        if (b == 0.0f || a != a || b != b) return a / b;
        const float r = std::fmod(a, b);
        if (r != r) return r;
        float q = (a - r) / b;
        if (r != 0.0f && (r < 0.0f) != (b < 0.0f)) q -= 1.0f;
        if (q == 0.0f) return __builtin_copysignf(0.0f, a / b);
        const float whole = __builtin_floorf(q);
        return q - whole > 0.5f ? whole + 1.0f : whole;
    }
};
struct power {
    float operator()(float a, float b) const {
        if (b == 2.0f) return a * a;
        return b == 1.0f ? a : std::pow(a, b);
    }
};
struct maximum {
    Vec operator()(Vec a, Vec b) const { return vmax(a, b); }
};
struct minimum {
    Vec operator()(Vec a, Vec b) const { return vmin(a, b); }
};
struct equal {
    Vec operator()(Vec a, Vec b) const { return truth(a == b); }
};
struct not_equal {
    Vec operator()(Vec a, Vec b) const { return truth(a != b); }
};
struct greater {
    Vec operator()(Vec a, Vec b) const { return truth(a > b); }
};
struct greater_equal {
    Vec operator()(Vec a, Vec b) const { return truth(a >= b); }
};
struct less {
    Vec operator()(Vec a, Vec b) const { return truth(a < b); }
};
struct less_equal {
    Vec operator()(Vec a, Vec b) const { return truth(a <= b); }
};
struct logical_and {
    Vec operator()(Vec a, Vec b) const { return truth((a != Vec{}) & (b != Vec{})); }
};
struct logical_or {
    Vec operator()(Vec a, Vec b) const { return truth((a != Vec{}) | (b != Vec{})); }
};
struct logical_xor {
    Vec operator()(Vec a, Vec b) const { return truth((a != Vec{}) ^ (b != Vec{})); }
};
struct relu_grad {
    Vec operator()(Vec y, Vec g) const { return select(y > Vec{}, g, Vec{}); }
};
struct where {
    Vec operator()(Vec c, Vec a, Vec b) const { return select(c != Vec{}, a, b); }
};

}  // namespace ops

// n is a multiple of kLanes; buffers may be unaligned, and `out` may be one of the operands.
using OpFn = void (*)(float* out, const float* const* in, std::int64_t n, const Activation& params);

template <class Op, int Arity>
void apply(float* out, const float* const* in, std::int64_t n, const Activation&) {
    constexpr Op op{};
    const float* a = in[0];
    const float* b = in[Arity > 1 ? 1 : 0];
    [[maybe_unused]] const float* c = in[Arity > 2 ? 2 : 0];
    if constexpr (Arity == 1 && std::is_invocable_v<Op, Vec>) {
        for (std::int64_t i = 0; i < n; i += kLanes) store(out + i, op(load(a + i)));
    } else if constexpr (Arity == 1) {
        for (std::int64_t i = 0; i < n; ++i) out[i] = op(a[i]);
    } else if constexpr (Arity == 2 && std::is_invocable_v<Op, Vec, Vec>) {
        for (std::int64_t i = 0; i < n; i += kLanes) store(out + i, op(load(a + i), load(b + i)));
    } else if constexpr (Arity == 2) {
        for (std::int64_t i = 0; i < n; ++i) out[i] = op(a[i], b[i]);
    } else {
        for (std::int64_t i = 0; i < n; i += kLanes) store(out + i, op(load(a + i), load(b + i), load(c + i)));
    }
}

template <int Id>
void apply_activation(float* out, const float* const* in, std::int64_t n, const Activation& params) {
    for (std::int64_t i = 0; i < n; i += kLanes) store(out + i, activated<Id>(load(in[0] + i), params));
}

namespace ops {
struct constant {};
}  // namespace ops

template <>
inline void apply<ops::constant, 0>(float* out, const float* const*, std::int64_t n, const Activation& params) {
    for (std::int64_t i = 0; i < n; i += kLanes) store(out + i, splat(params.p0));
}

struct Op {
    OpFn run;
    int arity;
    int activation;  // its id, or -1
};

#define STRIATE_OP(name, arity) {&apply<ops::name, arity>, arity, -1},
#define STRIATE_ACTIVATION_OP(name, ...) {&apply_activation<k_##name>, 1, k_##name},
constexpr Op kOps[] = {STRIATE_ELEMENTWISE(STRIATE_OP) STRIATE_ACTIVATIONS(STRIATE_ACTIVATION_OP)};
#undef STRIATE_OP
#undef STRIATE_ACTIVATION_OP
constexpr int kOpCount = sizeof(kOps) / sizeof(kOps[0]);
constexpr int kConstantOp = 0;

}  // namespace STRIATE_ISA_NS
}  // namespace striate
