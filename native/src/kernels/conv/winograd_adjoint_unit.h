// The gradient of 3x3 kernels by Winograd's algorithm on the matrix unit (gemm/pieces.h), where there is one: some
// tiles of all channels are transformed, then for each point V' Z is added to dU, whose terms are the tiles.
#pragma once
#include <algorithm>
#include <utility>

#include "core/thread_pool.h"
#include "core/transpose.h"
#include "kernels/conv/winograd_adjoint.h"
#include "kernels/gemm/pieces.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace adjoint {

#if defined(__AMX_BF16__)

// How the work is cut, from the shape alone.
struct UnitCut {
    static constexpr int64_t kLeastChannels = 128, kMostRows = 128;
    int64_t cin, cout, tiles, panels, band, cuts;  // tiles that are transformed together; parts of the source channels

    UnitCut(const Conv& c, int64_t all) : cin(c.cin), cout(c.cout), tiles(all), panels((c.cout + kPanel - 1) / kPanel) {
        constexpr int64_t kBandFloats = 2 << 20, kLeastBand = 128;
        const int64_t fit = kBandFloats / (kPoints * (cin + panels * kPanel));
        band = std::min(std::max(fit, kLeastBand) / kStep, steps_of(tiles)) * kStep;
        cuts = (cin + kMostRows - 1) / kMostRows;
    }
    bool pays() const { return std::min(cin, cout) >= kLeastChannels && tiles >= 2 * kStep; }
    int64_t zeros() const { return (std::max(cin, cout) + 15) / 16 * 16; }
    int64_t v_step() const { return cin * band + kPointPad; }
    int64_t z_step() const { return panels * kPanel * band + kPointPad; }
    int64_t u_step() const { return panels * cin * kPanel + kPointPad; }
    int64_t floats() const { return zeros() + kPoints * (v_step() + z_step() + u_step()); }
    static constexpr std::size_t kPartBytes = sizeof(float) * kMostRows * kPanel;
    std::size_t operands() const { return left_bytes(kMostRows, band) + 2 * right_bytes(band) + kPartBytes; }
};

class KernelGradOnUnit {
public:
    KernelGradOnUnit(const Step& s, const Conv& c, const TileGrid& grid, const UnitCut& cut)
        : s_(s), c_(c), cut_(cut), transforms_(s, c, grid, cut.tiles, static_cast<float*>(s.scratch)) {
        float* at = static_cast<float*>(s.scratch);
        std::memset(at, 0, sizeof(float) * cut.zeros());
        v_ = at + cut.zeros();
        z_ = v_ + kPoints * cut.v_step();
        u_ = z_ + kPoints * cut.z_step();
        operands_ = reinterpret_cast<char*>(u_ + kPoints * cut.u_step());
    }

    void run() const {
        ThreadPool& pool = *s_.pool;
        for (int64_t first = 0; first < cut_.tiles; first += cut_.band) {
            const int64_t steps = steps_of(std::min(cut_.band, cut_.tiles - first));
            parallel_for(pool, steps * kStep, true, [&](int64_t at, int) { transform(first, at); });
            parallel_for(pool, kPoints * cut_.cuts, true, [&](int64_t i, int thread) {
                multiply(i / cut_.cuts, i % cut_.cuts, steps, first == 0, thread);
            });
        }
        parallel_for(pool, cut_.cin / kBlock * cut_.panels, true,
                     [&](int64_t i, int) { finish(i % cut_.panels, i / cut_.panels); });
    }

private:
    void transform(int64_t first, int64_t at) const {
        const Room room{0, cut_.cin, 0, cut_.cout, cut_.band, cut_.v_step(), cut_.z_step(), v_, z_};
        if (first + at >= cut_.tiles) return clear(at);
        transforms_.transform_input(room, first + at, at);
        transforms_.transform_gradient(room, first + at, at);
    }

    // What fills the last step.
    void clear(int64_t at) const {
        for (int64_t point = 0; point < kPoints; ++point) {
            for (int64_t b = 0; b < cut_.cin / kBlock; ++b)
                std::fill_n(v_ + point * cut_.v_step() + (b * cut_.band + at) * kBlock, kBlock, 0.0f);
            for (int64_t p = 0; p < cut_.panels; ++p)
                std::fill_n(z_ + point * cut_.z_step() + (p * cut_.band + at) * kPanel, kPanel, 0.0f);
        }
    }

    // Some source channels of one point times all panels; while the unit multiplies by one panel, the next is split.
    // Sums of each band by themselves, since the unit rounds one that it goes on with six times at each step.
    void multiply(int64_t point, int64_t cut, int64_t steps, bool open, int thread) const {
        const int64_t blocks = cut_.cin / kBlock, first = blocks * cut / cut_.cuts;
        const int64_t count = blocks * (cut + 1) / cut_.cuts - first;
        auto* left = reinterpret_cast<Piece*>(operands_ + cut_.operands() * static_cast<std::size_t>(thread));
        Piece *here = left + left_bytes(UnitCut::kMostRows, cut_.band) / sizeof(Piece),
              *next = here + steps * kRightStep;
        for (int64_t b = 0; b < count; ++b)
            for (int64_t s = 0; s < steps; ++s)
                split_turned(v_ + point * cut_.v_step() + ((first + b) * cut_.band + s * kStep) * kBlock,
                             left + (b * steps + s) * kLeftStep);
        auto* part = reinterpret_cast<float*>(reinterpret_cast<char*>(left) + cut_.operands() - UnitCut::kPartBytes);
        const auto panel_of = [&](int64_t p) { return z_ + point * cut_.z_step() + p * cut_.band * kPanel; };
        for (int64_t s = 0; s < steps; ++s) split_panel(panel_of(0), steps * kStep, s, here);
        const Unit unit(kUnitRows);
        for (int64_t p = 0; p < cut_.panels; ++p, std::swap(here, next)) {
            float* sums = u_ + point * cut_.u_step() + (p * cut_.cin + first * kBlock) * kPanel;
            float* to = open ? sums : part;
            unit.rows(left, count * kBlock, steps, here, {to, kPanel, kUnitCols}, [&](int64_t s) {
                if (p + 1 < cut_.panels) split_panel(panel_of(p + 1), steps * kStep, s, next);
            });
            for (int64_t i = 0; !open && i < count * kBlock * kPanel; i += kLanes)
                store(sums + i, load(sums + i) + load(part + i));
        }
    }

    // A step of the left operand from 32 tiles of 16 channels: each channel is a row.
    static void split_turned(const float* v, Piece* to) {
        float turned[kBlock * kStep];
        transpose_square(v, kBlock, turned, kStep);
        transpose_square(v + kBlock * kBlock, kBlock, turned + kBlock, kStep);
        for (int r = 0; r < kBlock; ++r) split_row(turned + r * kStep, turned + r * kStep + kBlock, to + r * kStep);
    }

    void finish(int64_t panel, int64_t block) const {
        const int64_t columns = std::min<int64_t>(kPanel, cut_.cout - panel * kPanel);
        for (int64_t k = block * kBlock; k < (block + 1) * kBlock; ++k)
            for (int64_t column = 0; column < columns; column += kLanes) {
                const float* sums = u_ + (panel * cut_.cin + k) * kPanel + column;
                put_kernels(s_, c_, k, panel * kPanel + column,
                            [&](int point) { return load(sums + point * cut_.u_step()); });
            }
    }

    const Step& s_;
    const Conv& c_;
    const UnitCut& cut_;
    const Transforms transforms_;
    float *v_, *z_, *u_;
    char* operands_;
};

// Computes the gradient there, if that pays.
inline bool kernels_on_unit(const Step& s, const Conv& c, const TileGrid& grid, int64_t tiles) {
    const UnitCut cut(c, tiles);
    if (!cut.pays()) return false;
    KernelGradOnUnit(s, c, grid, cut).run();
    return true;
}

// What it needs, 0 where it does not pay.
inline std::size_t kernels_unit_scratch(const Conv& c, int64_t tiles, int threads) {
    const UnitCut cut(c, tiles);
    if (!cut.pays()) return 0;
    return sizeof(float) * static_cast<std::size_t>(cut.floats()) + cut.operands() * static_cast<std::size_t>(threads);
}

#else

inline bool kernels_on_unit(const Step&, const Conv&, const TileGrid&, int64_t) { return false; }
inline std::size_t kernels_unit_scratch(const Conv&, int64_t, int) { return 0; }

#endif

}  // namespace adjoint
}  // namespace STRIATE_ISA_NS
}  // namespace striate
