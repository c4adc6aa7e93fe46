// The products between Winograd's transforms on the matrix unit (gemm/pieces.h), where there is one.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/thread_pool.h"
#include "kernels/conv/winograd.h"
#include "kernels/gemm/pieces.h"

namespace striate {
namespace STRIATE_ISA_NS {

// Transformed inputs, per point [block of 16 source channels][tile][16], whose places the products take in the same
// order, and transformed weights, [panel][point][source channel][32].
struct PointProducts {
    float* values;
    const float* weights;
    int64_t points, point_step, tiles, tile_room;  // `tile_room`: tiles from one block of channels to the next
    int64_t depth, panels;
    char* operands;  // operand_bytes() of each thread
};

#if defined(__AMX_BF16__)

// Splitting a product's operands into pieces pays where each value takes part in many products; fewer still do where
// the transformed input stays in the caches on its way between the stages.
inline bool pays_on_unit(int64_t depth, int64_t channels, int64_t tiles, int64_t points) {
    constexpr int64_t kLeastChannels = 128, kManyChannels = 256, kLeastTiles = 96, kCachedFloats = 5 << 19;
    const int64_t least = std::min(depth, channels);
    return tiles >= kLeastTiles && least >= kLeastChannels &&
           (least >= kManyChannels || points * depth * tiles <= kCachedFloats);
}

// Tiles that are split together, so that they stay in the second cache.
inline int64_t unit_tiles(int64_t depth) {
    constexpr int64_t kLeftBytes = 640 << 10, kMostBlocks = 16;
    const auto each = static_cast<int64_t>(left_bytes(kUnitRows, depth));
    return std::clamp<int64_t>(kLeftBytes / each, 1, kMostBlocks) * kUnitRows;
}

inline std::size_t operand_bytes(int64_t depth) {
    return left_bytes(unit_tiles(depth), depth) + 2 * right_bytes(depth);
}

// Some tiles of one point times all panels; while the unit multiplies by one panel, the next is split.
inline void point_item(const PointProducts& p, int64_t point, int64_t first, int64_t count, char* operands) {
    const int64_t steps = steps_of(p.depth), block_step = p.tile_room * kWinogradBlock;
    float* values = p.values + point * p.point_step + first * kWinogradBlock;
    auto* left = reinterpret_cast<Piece*>(operands);
    Piece *here = left + left_bytes(unit_tiles(p.depth), p.depth) / sizeof(Piece), *next = here + steps * kRightStep;
    const auto weights = [&](int64_t panel) {
        return p.weights + (panel * p.points + point) * p.depth * 2 * kUnitCols;
    };
    const Unit unit(block_rows(count));
    split_rows(count, p.depth / kHalfStep, left, [&](int64_t block) {
        const float* from = values + block * block_step;
        return [from](int64_t tile) { return from + tile * kWinogradBlock; };
    });
    for (int64_t s = 0; s < steps; ++s) split_panel(weights(0), p.depth, s, here);
    for (int64_t panel = 0; panel < p.panels; ++panel, std::swap(here, next))
        unit.rows(left, count, steps, here, {values + 2 * panel * block_step, kWinogradBlock, block_step},
                  [&](int64_t s) {
                      if (panel + 1 < p.panels) split_panel(weights(panel + 1), p.depth, s, next);
                  });
}

inline void multiply_points(ThreadPool& pool, const PointProducts& p) {
    const int64_t most = unit_tiles(p.depth), cuts = (p.tiles + most - 1) / most;
    parallel_for(pool, p.points * cuts, true, [&](int64_t i, int thread) {
        const int64_t cut = i % cuts, first = p.tiles * cut / cuts, count = p.tiles * (cut + 1) / cuts - first;
        point_item(p, i / cuts, first, count, p.operands + operand_bytes(p.depth) * static_cast<std::size_t>(thread));
    });
}

#else

inline bool pays_on_unit(int64_t, int64_t, int64_t, int64_t) { return false; }
inline std::size_t operand_bytes(int64_t) { return 0; }
inline void multiply_points(ThreadPool&, const PointProducts&) {}

#endif

}  // namespace STRIATE_ISA_NS
}  // namespace striate
