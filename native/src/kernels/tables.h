// Every table of kernels, once. To add a kernel file: define `const KernelTable <name>_table` in it and name it here.
#pragma once

#define STRIATE_KERNEL_TABLES(X)  \
    X(chain_sum)                  \
    X(conv_block)                 \
    X(conv_depthwise)             \
    X(conv_depthwise_kernel_grad) \
    X(conv_direct)                \
    X(conv_few)                   \
    X(conv_few_kernel_grad)       \
    X(conv_kernel_grad)           \
    X(conv_maxima_grad)           \
    X(conv_winograd)              \
    X(conv_winograd_kernel_grad)  \
    X(conv_winograd_line)         \
    X(conv_winograd_pack)         \
    X(convert)                    \
    X(elementwise)                \
    X(fma_peak)                   \
    X(matmul)                     \
    X(move)                       \
    X(pad)                        \
    X(pool)                       \
    X(pool_grad)                  \
    X(reduce)                     \
    X(resize)                     \
    X(softmax)

// Those of them whose kernels use the matrix unit where the level `amx` is in force; the files are named in
// CMakeLists.txt.
#define STRIATE_UNIT_TABLES(X) \
    X(conv_direct)             \
    X(conv_winograd)           \
    X(conv_winograd_kernel_grad)
