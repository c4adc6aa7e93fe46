// The transforms of the gradient of 3x3 kernels by Winograd's algorithm, the adjoint of F(4x4)
// (winograd_kernel_grad.cpp).
#pragma once
#include <cstring>

#include "kernels/conv/check.h"
#include "kernels/conv/winograd.h"
#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace adjoint {

using S = Scheme<2>;
constexpr int kOut = S::kOut, kIn = S::kIn, kPoints = kIn * kIn;
constexpr int kBlock = kWinogradBlock;

// The output's gradient, whole: it may be there as that of its 2x2 maxima, with their positions as a third input.
inline Tensor full_gradient(const Step& s) {
    return flags_of(s) & kHasUnpool ? unpooled(s, s.in[0], s.in[1]) : s.in[1];
}

// Room for some transformed tiles of some channels: v per point [block of 16 source channels][tile][16], z per point
// [panel of 32 target channels][tile][32].
struct Room {
    int64_t first_in, in, first_out, out;  // channels
    int64_t room, v_step, z_step;          // tiles; floats from point to point
    float *v, *z;
};

// Per tile V = B' d B of the input and Z = A dY A' of the output's gradient.
class Transforms {
public:
    Transforms(const Step& s, const Conv& c, const TileGrid& grid, int64_t tiles, const float* zeros)
        : s_(s), c_(c), grid_(grid), tiles_(tiles), zeros_(zeros), unpool_(flags_of(s) & kHasUnpool) {
        if (unpool_)
            pooled_ = {c.y[1] / 2, c.y[2] / 2, c.cout, s.in[1].f32(), static_cast<const std::uint8_t*>(s.in[2].data)};
    }

    void transform_input(const Room& q, int64_t tile, int64_t at) const {
        const float *from[kPoints], *ahead[kPoints];
        input_patch(tile, from);
        input_patch(next(tile), ahead);
        for (int64_t k = 0; k < q.in; k += kLanes) {
            if (k % kBlock == 0) fetch_columns<kIn, kOut>(ahead, q.first_in + k);
            transform_patch<kIn, kIn>(from, q.first_in + k, q.v + (k / kBlock * q.room + at) * kBlock + k % kBlock,
                                      q.v_step, S::input);
        }
    }

    void transform_gradient(const Room& q, int64_t tile, int64_t at) const {
        for (int64_t k = q.out; k % kPanel; k += kLanes)
            for (int p = 0; p < kPoints; ++p) store(gradient_at(q, k, at) + p * q.z_step, Vec{});
        if (unpool_) return transform_spread(q, tile, at);
        const float *from[kOut * kOut], *ahead[kOut * kOut];
        gradient_patch(tile, from);
        gradient_patch(next(tile), ahead);
        for (int64_t k = 0; k < q.out; k += kLanes) {
            if (k % kBlock == 0) fetch_columns<kOut, kOut>(ahead, q.first_out + k);
            transform_patch<kOut, kIn>(from, q.first_out + k, gradient_at(q, k, at), q.z_step, S::output_adjoint);
        }
    }

private:
    void input_patch(int64_t tile, const float** to) const {
        patch(s_.in[0].f32() + grid_.image(tile) * c_.x_pixels() * c_.cin, c_.x[1], c_.x[2], c_.cin,
              grid_.top(tile) - c_.lo[1], grid_.left(tile) - c_.lo[2], kIn, zeros_, to);
    }
    void gradient_patch(int64_t tile, const float** to) const {
        patch(s_.in[1].f32() + grid_.image(tile) * c_.y_pixels() * c_.cout, c_.y[1], c_.y[2], c_.cout, grid_.top(tile),
              grid_.left(tile), kOut, zeros_, to);
    }
    Cells<kOut> gradient_cells(int64_t tile) const {
        return {pooled_, grid_.image(tile), grid_.top(tile), grid_.left(tile), zeros_};
    }
    int64_t next(int64_t tile) const { return std::min(tile + 1, tiles_ - 1); }

    float* gradient_at(const Room& q, int64_t channel, int64_t at) const {
        return q.z + (channel / kPanel * q.room + at) * kPanel + channel % kPanel;
    }

    void transform_spread(const Room& q, int64_t tile, int64_t at) const {
        float values[kOut * kOut * kLanes];
        const float* from[kOut * kOut];
        for (int i = 0; i < kOut * kOut; ++i) from[i] = values + i * kLanes;
        const Cells<kOut> cells = gradient_cells(tile), ahead = gradient_cells(next(tile));
        for (int64_t k = 0; k < q.out; k += kLanes) {
            if (k % kBlock == 0) ahead.fetch(q.first_out + k);
            cells.spread(q.first_out + k, values);
            transform_patch<kOut, kIn>(from, 0, gradient_at(q, k, at), q.z_step, S::output_adjoint);
        }
    }

    const Step& s_;
    const Conv& c_;
    const TileGrid& grid_;
    int64_t tiles_;
    const float* zeros_;
    bool unpool_;
    Pooled pooled_{};
};

// dg = G' dU G for source channel k and some target channels; `sum(point)`: a vector of dU.
template <class Sum>
inline void put_kernels(const Step& s, const Conv& c, int64_t k, int64_t channel, Sum&& sum) {
    Vec half[3 * kIn], g[9];
    for (int j = 0; j < kIn; ++j) {
        Vec d[kIn];
        for (int i = 0; i < kIn; ++i) d[i] = sum(i * kIn + j);
        S::kernel_adjoint(d, 1, half + j, kIn);
    }
    for (int i = 0; i < 3; ++i) S::kernel_adjoint(half + i * kIn, 1, g + i * 3, 1);
    for (int tap = 0; tap < 9; ++tap) store(s.out[0].f32() + (tap * c.cin + k) * c.cout + channel, g[tap]);
}

}  // namespace adjoint
}  // namespace STRIATE_ISA_NS
}  // namespace striate
