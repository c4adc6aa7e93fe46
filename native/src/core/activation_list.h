// Activations that kernels know: X(id, name). Names are those of striate.primitives.activations; order is the ids'.
#pragma once
#define STRIATE_ACTIVATIONS(X) \
    X(linear)                  \
    X(relu)                    \
    X(relu6)                   \
    X(leaky_relu)              \
    X(sigmoid)                 \
    X(tanh)                    \
    X(silu)                    \
    X(elu)                     \
    X(selu)                    \
    X(softplus)                \
    X(softsign)                \
    X(gelu)                    \
    X(hard_sigmoid)            \
    X(hard_silu)               \
    X(hard_tanh)               \
    X(mish)                    \
    X(log_sigmoid)             \
    X(exp)
