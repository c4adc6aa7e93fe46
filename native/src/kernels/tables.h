// Every kernel file's table, by name. A new file adds itself here; CMake finds the file by itself.
#pragma once
#define STRIATE_KERNEL_TABLES(X) \
    X(conv_depthwise_table)      \
    X(conv_depthwise_kernel_grad_table) \
    X(conv_direct_table)         \
    X(conv_kernel_grad_table)    \
    X(fma_peak_table)            \
    X(matmul_table)
