// Activations that kernels know: X(name, defaults of its parameters). Names are those of
// striate.primitives.activations, parameters stand in the alphabetical order of their names, and the order of the list
// gives the ids.
#pragma once

#define STRIATE_ACTIVATIONS(X)                                                         \
    X(linear, 0, 0, 0)                                                                 \
    X(relu, 0, 0, 0)                                                                   \
    X(relu6, 0, 0, 0)                                                                  \
    X(leaky_relu, 0.2f, 0, 0) /* slope */                                              \
    X(sigmoid, 0, 0, 0)                                                                \
    X(tanh, 0, 0, 0)                                                                   \
    X(silu, 0, 0, 0)                                                                   \
    X(elu, 1, 0, 0) /* alpha */                                                        \
    X(selu, 0, 0, 0)                                                                   \
    X(softplus, 0, 0, 0)                                                               \
    X(softsign, 0, 0, 0)                                                               \
    X(gelu, 1, 0, 0) /* approximate */                                                 \
    X(hard_sigmoid, 0, 0, 0)                                                           \
    X(hard_silu, 0, 0, 0)                                                              \
    X(hard_tanh, 0, 0, 0)                                                              \
    X(mish, 0, 0, 0)                                                                   \
    X(log_sigmoid, 0, 0, 0)                                                            \
    X(exp, 0, 0, 0)                                                                    \
    X(relu_general, __builtin_inff(), 0, 0) /* max_value, negative_slope, threshold */ \
    X(celu, 1, 0, 0)                        /* alpha */                                \
    X(tanh_shrink, 0, 0, 0)                                                            \
    X(hard_shrink, 0.5f, 0, 0) /* threshold */                                         \
    X(soft_shrink, 0.5f, 0, 0) /* threshold */                                         \
    X(threshold, 0, 0, 0)      /* default_value, threshold */                          \
    X(squareplus, 4, 0, 0)     /* b */                                                 \
    X(sparse_plus, 0, 0, 0)                                                            \
    X(sparse_sigmoid, 0, 0, 0)
