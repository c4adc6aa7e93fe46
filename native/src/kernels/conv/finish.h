// Which of a step's inputs are fused into the end of a convolution.
#pragma once
#include "kernels/conv/geometry.h"
#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {

// From input 2 on: the bias, the residual and the mask, where the flags say that they are there.
inline Finish read_finish(const Step& s, int activation, int flags) {
    Finish f;
    int next = 2;
    if (flags & kHasBias) f.bias = s.in[next++].f32();
    if (flags & kHasResidual) f.residual = s.in[next++].f32();
    if (flags & kHasMask) f.mask = s.in[next++].f32();
    f.out = s.out[0].f32();
    f.activation = read_activation(activation, s.floats, s.n_floats);
    return f;
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
