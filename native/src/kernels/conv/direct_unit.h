// Direct convolutions on the matrix unit (gemm/pieces.h): the windows of some pixels are split into pieces, then
// multiplied by one panel after the other, the next of which is split meanwhile.
#pragma once
#include <algorithm>
#include <utility>

#include "core/thread_pool.h"
#include "kernels/conv/gather.h"
#include "kernels/gemm/pieces.h"

namespace striate {
namespace STRIATE_ISA_NS {

#if defined(__AMX_BF16__)

// Whether splitting pays: each value has to take part in many products.
inline bool pays_on_unit(const Gather& g, int64_t pixels) {
    constexpr int64_t kLeastRows = 96, kLeastDepth = 128, kLeastWidth = 128, kMostTaps = 64, kLeastWork = 1 << 22;
    const int64_t terms = g.taps() * g.depth;
    return g.groups == 1 && !g.merge && g.depth % kHalfStep == 0 && g.depth >= kLeastDepth && g.width >= kLeastWidth &&
           g.taps() <= kMostTaps && pixels >= kLeastRows && pixels * terms * g.width >= kLeastWork;
}

// One phase, in which all taps are used.
class DirectOnUnit {
public:
    DirectOnUnit(const Gather& g, const Phase& phase, int threads)
        : g_(g), phase_(phase), pixels_(phase.pixels(g.batch)), halves_(g.taps() * g.depth / kHalfStep) {
        constexpr int64_t kItems = 8, kLeastPanels = 4;
        cuts_ = (pixels_ + kMostRows - 1) / kMostRows;
        most_ = (pixels_ + cuts_ - 1) / cuts_;
        const int64_t wanted = (kItems * threads + cuts_ - 1) / cuts_, panels = g.panels_per_group();
        groups_ = std::clamp<int64_t>(wanted, (panels + kMostPanels - 1) / kMostPanels,
                                      std::max<int64_t>(panels / kLeastPanels, 1));
        part_ = std::min(kHalvesOfPart, halves_);
        per_group_ = (panels + groups_ - 1) / groups_;
    }

    std::size_t scratch_bytes(int threads) const { return zeros() + each() * static_cast<std::size_t>(threads); }

    void run(const Step& s) const {
        char* scratch = static_cast<char*>(s.scratch);
        std::memset(scratch, 0, zeros());
        for (int t = 0; t < s.pool->threads(); ++t) *own(scratch, t).cut = -1;
        parallel_for(*s.pool, cuts_ * groups_, true, [&](int64_t i, int thread) {
            item(i / groups_, i % groups_, reinterpret_cast<const float*>(scratch), own(scratch, thread));
        });
    }

private:
    static constexpr int64_t kMostRows = 128, kMostPanels = 16;
    static constexpr int64_t kHalvesOfPart = 32;  // of a sum, so that operands stay in the second cache

    std::size_t zeros() const { return round_up(sizeof(float) * static_cast<std::size_t>(g_.source_channels)); }
    std::size_t pointers() const {
        return round_up(sizeof(float*) * static_cast<std::size_t>(g_.taps() * most_) + sizeof(int64_t));
    }
    std::size_t left() const { return left_bytes(most_, part_ * kHalfStep); }
    std::size_t right() const { return right_bytes(part_ * kHalfStep); }
    std::size_t sums() const { return sizeof(float) * static_cast<std::size_t>((per_group_ + 1) * most_ * kPanel); }
    std::size_t each() const { return pointers() + left() + 2 * right() + sums(); }

    // A thread's memory: whose windows it has found and split, pointers to them, the operands, the sums of an item.
    struct Own {
        int64_t* cut;
        const float** windows;
        Piece *left, *right[2];
        float *sums, *part;
    };

    Own own(char* scratch, int thread) const {
        char* at = scratch + zeros() + each() * static_cast<std::size_t>(thread);
        char *first = at + pointers(), *second = first + left(), *third = second + right();
        auto* sums = reinterpret_cast<float*>(third + right());
        return {reinterpret_cast<int64_t*>(at),
                reinterpret_cast<const float**>(at + sizeof(int64_t)),
                reinterpret_cast<Piece*>(first),
                {reinterpret_cast<Piece*>(second), reinterpret_cast<Piece*>(third)},
                sums,
                sums + per_group_ * most_ * kPanel};
    }

    // Pixels [first, first + rows): for each tap where their channels lie, or zeros.
    void find(int64_t first, int64_t rows, const float* zeros, const float** to) const {
        const Axis* a = phase_.axis;
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t j2 = (first + r) % a[2].count, line = (first + r) / a[2].count;
            const int64_t j1 = line % a[1].count, j0 = line / a[1].count % a[0].count;
            const float* image = g_.source + line / a[1].count / a[0].count * g_.image_floats();
            for (int64_t t0 = 0, tap = 0; t0 < a[0].taps; ++t0)
                for (int64_t t1 = 0; t1 < a[1].taps; ++t1)
                    for (int64_t t2 = 0; t2 < a[2].taps; ++t2, ++tap) {
                        const int64_t z = place(a[0], j0, t0), y = place(a[1], j1, t1), x = place(a[2], j2, t2);
                        const bool inside =
                            z >= 0 && z < a[0].source && y >= 0 && y < a[1].source && x >= 0 && x < a[2].source;
                        const int64_t pixel = (z * g_.source_dims[1] + y) * g_.source_dims[2] + x;
                        to[tap * rows + r] = inside ? image + pixel * g_.source_channels : zeros;
                    }
        }
    }
    static int64_t place(const Axis& a, int64_t j, int64_t tap) {
        return j * a.source_step + a.offset + tap * a.offset_step;
    }

    void item(int64_t cut, int64_t group, const float* zeros, Own own) const {
        const int64_t first = pixels_ * cut / cuts_, rows = pixels_ * (cut + 1) / cuts_ - first;
        const int64_t panels = g_.panels_per_group(), panel = panels * group / groups_;
        const int64_t last = panels * (group + 1) / groups_;
        const bool known = *own.cut == cut, split_before = known && part_ == halves_;
        if (!known) find(first, rows, zeros, own.windows);
        *own.cut = cut;
        const Unit unit(block_rows(rows));
        for (int64_t half = 0; half < halves_; half += part_) {
            const int64_t here = std::min(part_, halves_ - half);
            if (!split_before) split(rows, half, here, own);
            multiply(unit, rows, half, here, panel, last, own);
        }
        for (int64_t p = panel; p < last; ++p) put(own.sums + (p - panel) * rows * kPanel, first, rows, p * kPanel);
    }

    // Some halves of the windows of all rows.
    void split(int64_t rows, int64_t first, int64_t count, const Own& own) const {
        const int64_t of_tap = g_.depth / kHalfStep;
        split_rows(rows, count, own.left, [&](int64_t half) {
            const int64_t at = first + half, tap = at / of_tap, offset = (at - tap * of_tap) * kHalfStep;
            const float* const* windows = own.windows + tap * rows;
            return [windows, offset](int64_t row) { return windows[row] + offset; };
        });
    }

    // Their products with the panels, which are added to those of the parts before: a sum that the unit goes on with is
    // rounded six times at each step.
    void multiply(const Unit& unit, int64_t rows, int64_t first, int64_t count, int64_t panel, int64_t last,
                  Own& own) const {
        const int64_t terms = count * kHalfStep, steps = steps_of(terms);
        const auto weights = [&](int64_t p) { return g_.panels + p * g_.panel_size() + first * kHalfStep * kPanel; };
        for (int64_t s = 0; s < steps; ++s) split_panel(weights(panel), terms, s, own.right[0]);
        float* sums = own.sums;
        for (int64_t p = panel; p < last; ++p, sums += rows * kPanel, std::swap(own.right[0], own.right[1])) {
            float* to = first == 0 ? sums : own.part;
            unit.rows(own.left, rows, steps, own.right[0], {to, kPanel, kUnitCols}, [&](int64_t s) {
                if (p + 1 < last) split_panel(weights(p + 1), terms, s, own.right[1]);
            });
            for (int64_t i = 0; first && i < rows * kPanel; i += kLanes) store(sums + i, load(sums + i) + load(to + i));
        }
    }

    // Bias, residual, mask and activation, and out.
    void put(const float* sums, int64_t first, int64_t rows, int64_t column) const {
        const int columns = static_cast<int>(std::min<int64_t>(kPanel, g_.width - column));
        const Finish& f = g_.finish;
        const Clamp clamp = clamp_of(f.activation);
        const Vec low = splat(clamp.low), high = splat(clamp.high);
        for (int64_t r = 0; r < rows; ++r)
            for (int c = 0; c < columns; c += kLanes) {
                const int here = std::min(columns - c, kLanes);
                const int64_t at = (first + r) * g_.width + column + c;
                Vec v = load(sums + r * kPanel + c);
                if (f.bias) v += load_some(f.bias + column + c, here);
                if (f.residual) v += load_some(f.residual + at, here);
                if (f.mask) v = load_some(f.mask + at, here) > Vec{} ? v : Vec{};
                if (clamp.on) v = at_most(at_least(v, low), high);
                store_some(g_.target + at, v, here);
            }
        if (f.activation.id == kLinear || clamp.on) return;
        for (int64_t r = 0; r < rows; ++r) activate(f.activation, g_.target + (first + r) * g_.width + column, columns);
    }

    const Gather& g_;
    const Phase phase_;
    int64_t pixels_, halves_, cuts_ = 1, groups_ = 1, most_ = 0, part_ = 0, per_group_ = 0;
};

// Runs the one phase of `pixels` on the unit, if that pays.
inline bool run_on_unit(const Gather& g, const Phase& phase, const Step& s) {
    if (!pays_on_unit(g, phase.pixels(g.batch))) return false;
    DirectOnUnit(g, phase, s.pool->threads()).run(s);
    return true;
}

// What it needs, 0 where it does not pay.
inline std::size_t unit_scratch(const Gather& g, const Phase& phase, int threads) {
    return pays_on_unit(g, phase.pixels(g.batch)) ? DirectOnUnit(g, phase, threads).scratch_bytes(threads) : 0;
}

#else

inline bool run_on_unit(const Gather&, const Phase&, const Step&) { return false; }
inline std::size_t unit_scratch(const Gather&, const Phase&, int) { return 0; }

#endif

}  // namespace STRIATE_ISA_NS
}  // namespace striate
