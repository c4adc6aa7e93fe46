// The operations of elementwise chains: X(name, operands). Names are those of the primitives; the order gives the
// codes. After them come the activations of core/activation_list.h, with one operand each.
#pragma once

#define STRIATE_ELEMENTWISE(X) \
    X(constant, 0)             \
    X(stop_gradient, 1)        \
    X(neg, 1)                  \
    X(abs, 1)                  \
    X(sign, 1)                 \
    X(sqrt, 1)                 \
    X(rsqrt, 1)                \
    X(square, 1)               \
    X(reciprocal, 1)           \
    X(expm1, 1)                \
    X(log, 1)                  \
    X(log1p, 1)                \
    X(sin, 1)                  \
    X(cos, 1)                  \
    X(tan, 1)                  \
    X(erf, 1)                  \
    X(floor, 1)                \
    X(ceil, 1)                 \
    X(round, 1)                \
    X(logical_not, 1)          \
    X(add, 2)                  \
    X(sub, 2)                  \
    X(mul, 2)                  \
    X(div, 2)                  \
    X(floor_div, 2)            \
    X(mod, 2)                  \
    X(power, 2)                \
    X(maximum, 2)              \
    X(minimum, 2)              \
    X(equal, 2)                \
    X(not_equal, 2)            \
    X(greater, 2)              \
    X(greater_equal, 2)        \
    X(less, 2)                 \
    X(less_equal, 2)           \
    X(logical_and, 2)          \
    X(logical_or, 2)           \
    X(logical_xor, 2)          \
    X(relu_grad, 2)            \
    X(where, 3)
