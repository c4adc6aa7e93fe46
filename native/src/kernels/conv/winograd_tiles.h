// 3x3 convolutions with stride 1, and their input gradients, by Winograd's minimal filtering (winograd.h), tile by
// tile. Of three spatial axes the last two are filtered so; the taps of the first are summed between the transforms,
// as if they were source channels: each slice is transformed once.
//
// Transformed input: per point [block of 16 source channels][tile][16], so that a row of the product stands at a
// constant distance from the next. Transformed weights: [panel of 32 target channels][point][source channel][32].
#pragma once
#include <cstring>
#include <utility>

#include "core/thread_pool.h"
#include "kernels/conv/check.h"
#include "kernels/conv/finish.h"
#include "kernels/conv/multiply.h"
#include "kernels/conv/winograd.h"
#include "kernels/conv/winograd_unit.h"
#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {

constexpr int kBlock = kWinogradBlock;
constexpr int kParts = kBlock / kLanes;    // vectors of them
constexpr int64_t kNearFloats = 80 << 10;  // transformed input that one thread keeps near

// The convolution that is computed: source correlated with a 3x3 kernel, whichever pass it is.
struct Image {
    const float* source;
    float* target;
    int64_t batch, height, width, depth;      // of the source; depth: its channels
    int64_t slices, source_slices;            // of an image of the batch: of the target, of the source
    int64_t taps, before;                     // along them, and the padding in front
    int64_t out_height, out_width, channels;  // of the target
    int64_t top, left;                        // padding
    Finish finish;
    bool pool, unpool;        // 2x2 maxima are the target; the source
    std::uint8_t* positions;  // of the maxima that are the target, or null
    Pooled pooled;            // the source, if it is one of maxima
};

// The forward convolution's input and output, whichever pass is computed.
Conv read_full(const Step& s, bool forward) {
    const Tensor &x = forward ? s.in[0] : s.out[0], &y = forward ? s.out[0] : s.in[0];
    return flags_of(s) & (kHasPool | kHasUnpool) ? read_conv(s, x, unpooled(s, x, y)) : read_conv(s, x, y);
}

Image read_image(const Step& s, bool forward) {
    const Conv c = read_full(s, forward);
    Image g{};
    g.source = s.in[0].f32(), g.target = s.out[0].f32(), g.batch = c.batch;
    const int64_t *from = forward ? c.x : c.y, *to = forward ? c.y : c.x;
    g.slices = to[0], g.source_slices = from[0], g.taps = c.kernel[0];
    g.before = forward ? c.lo[0] : c.kernel[0] - 1 - c.lo[0];
    g.height = from[1], g.width = from[2], g.out_height = to[1], g.out_width = to[2];
    g.depth = forward ? c.cin : c.cout;
    g.channels = forward ? c.cout : c.cin;
    g.top = forward ? c.lo[1] : 2 - c.lo[1];
    g.left = forward ? c.lo[2] : 2 - c.lo[2];
    g.finish = read_finish(s, c.activation, c.flags);
    g.pool = c.flags & kHasPool, g.unpool = c.flags & kHasUnpool;
    if (c.flags & kHasPositions) g.positions = static_cast<std::uint8_t*>(s.out[1].data);
    const auto* places = static_cast<const std::uint8_t*>(s.in[s.n_in - 1].data);
    if (g.unpool) g.pooled = {g.height / 2, g.width / 2, g.depth, g.source, places};
    return g;
}

// Tiles that go through the stages together: some rows of tiles of all slices of some images.
struct Band {
    int64_t image, images, row, rows;
};

// How the work is cut; from the shape alone. Where there are many tiles, each thread takes some of them through all
// stages, while their transformed input stays near it. Where there are few, or slices are summed, all of a band are
// transformed, then multiplied point by point, so that each weight is read once, then transformed back.
template <int Pairs>
struct Cut {
    static constexpr int kOut = Scheme<Pairs>::kOut, kIn = Scheme<Pairs>::kIn, kPoints = kIn * kIn;
    TileGrid grid;
    int64_t tiles, panels, blocks;
    int64_t together;      // tiles of one item
    int64_t sums;          // of these, for each point; with slices around the image there are fewer
    int64_t images, rows;  // of one band
    bool unit, shared;

    explicit Cut(const Image& g) : grid(g.out_height, g.out_width, kOut) {
        tiles = g.batch * g.slices * grid.rows * grid.columns;
        panels = (g.channels + kPanel - 1) / kPanel;
        blocks = g.depth / kBlock;
        const int64_t fit = kNearFloats / (kPoints * g.depth) / kRows;
        together = std::clamp<int64_t>(fit, 1, 112 / kRows) * kRows;
        unit = g.taps == 1 && pays_on_unit(g.depth, g.channels, tiles, kPoints);
        shared = tiles < 4 * together || g.taps > 1 || unit;
        sums = together;
        if (shared) cut_bands(g);
    }
    int64_t bands(const Image& g) const { return (g.batch + images - 1) / images * ((grid.rows + rows - 1) / rows); }
    Band band(const Image& g, int64_t i) const {
        const int64_t across = (grid.rows + rows - 1) / rows, image = i / across * images, row = i % across * rows;
        return {image, std::min(images, g.batch - image), row, std::min(rows, grid.rows - row)};
    }
    int64_t point_step() const {
        return (unit ? std::max(blocks, panels * kPanel / kBlock) : blocks) * together * kBlock + kPointPad;
    }
    int64_t input_floats() const { return kPoints * point_step(); }
    // Products: per point [panel][tile][32], of one panel where a thread goes through all stages.
    // Those of the unit take the place of its left operand, tile by tile, in blocks of 16 columns.
    int64_t product_step() const { return unit ? point_step() : (shared ? panels : 1) * sums * kPanel + kPointPad; }
    int64_t product_floats() const { return unit ? 0 : kPoints * product_step(); }
    int64_t row_step() const { return unit ? kBlock : kPanel; }
    int64_t half_step() const { return unit ? sums * kBlock : kBlock; }  // to column 16 of a panel
    int64_t tile_blocks() const { return (tiles + together - 1) / together; }
    // Where there are few blocks, several items share one, so that no thread is alone with the last for long.
    int64_t parts() const { return std::clamp<int64_t>(64 / std::max<int64_t>(tile_blocks(), 1), 1, panels); }

private:
    // All tiles, or as many rows of them as some megabytes hold, and then images until weights are used often enough.
    void cut_bands(const Image& g) {
        constexpr int64_t kBandFloats = 3 << 19, kUnitFloats = 3 << 20, kLeastTiles = 192;
        images = g.batch, rows = grid.rows;
        const int64_t around = g.slices + g.taps - 1;
        if (g.taps > 1 || unit) {
            const int64_t row_floats = kPoints * g.depth * around * grid.columns;
            const int64_t fit = (unit ? kUnitFloats : kBandFloats) / std::max<int64_t>(row_floats, 1);
            rows = std::clamp<int64_t>(fit, 1, std::max<int64_t>(rows, 1));
            const int64_t of_image = std::max<int64_t>(g.slices * rows * grid.columns, 1);
            images = std::clamp<int64_t>((kLeastTiles + of_image - 1) / of_image, 1, g.batch);
        }
        sums = images * g.slices * rows * grid.columns;
        together = images * around * rows * grid.columns;
    }
};

struct Layout {
    std::size_t zeros, places, operands, inputs, products, total;
};

template <int Pairs>
Layout layout_of(const Image& g, int threads) {
    const Cut<Pairs> c(g);
    const auto bytes = [](int64_t floats) { return (static_cast<std::size_t>(floats) * sizeof(float) + 63) / 64 * 64; };
    Layout l;
    l.zeros = bytes(g.depth);
    l.places = 64 * static_cast<std::size_t>(threads);
    l.operands = c.unit ? operand_bytes(g.depth) * static_cast<std::size_t>(threads) : 0;
    l.inputs = bytes(c.input_floats());
    l.products = bytes(c.product_floats());
    l.total =
        l.zeros + l.places + l.operands + (l.inputs + l.products) * static_cast<std::size_t>(c.shared ? 1 : threads);
    return l;
}

template <int Pairs>
class Winograd {
    using S = Scheme<Pairs>;
    static constexpr int kOut = S::kOut, kIn = S::kIn, kPoints = kIn * kIn;

public:
    Winograd(const Image& g, const Step& s)
        : g_(g), c_(g), l_(layout_of<Pairs>(g, s.pool->threads())), scratch_(static_cast<char*>(s.scratch)) {
        std::memset(scratch_, 0, l_.zeros);
        weights_ = s.in[1].f32();
        threads_ = s.pool->threads();
        for (int t = 0; t < threads_; ++t) place(t) = -1;
    }

    void run(ThreadPool& pool) {
        if (c_.shared)
            for (int64_t i = 0; i < c_.bands(g_); ++i) run_band(pool, c_.band(g_, i));
        else
            parallel_for(pool, c_.tile_blocks() * c_.parts(), true, [&](int64_t i, int thread) { item(i, thread); });
    }

private:
    // The block whose transformed input a thread has.
    int64_t& place(int thread) const { return *reinterpret_cast<int64_t*>(scratch_ + l_.zeros + 64 * thread); }
    char* rest() const { return scratch_ + l_.zeros + l_.places + l_.operands; }
    float* input(int which) const { return reinterpret_cast<float*>(rest() + l_.inputs * which); }
    float* products(int thread) const {
        if (c_.unit) return input(0);
        return reinterpret_cast<float*>(rest() + l_.inputs * (c_.shared ? 1 : threads_) + l_.products * thread);
    }

    // Pointers to the pixels that a tile of a slice of the source reads.
    void source_patch(int64_t tile, const float** to) const {
        const float* image = g_.source + c_.grid.image(tile) * g_.height * g_.width * g_.depth;
        patch(image, g_.height, g_.width, g_.depth, c_.grid.top(tile) - g_.top, c_.grid.left(tile) - g_.left, kIn,
              reinterpret_cast<const float*>(scratch_), to);
    }
    int64_t last_source() const { return g_.batch * g_.source_slices * c_.grid.rows * c_.grid.columns - 1; }

    // V = B' d B of one tile, all channels, to place `at` of the transformed input.
    void transform(int64_t tile, int64_t at, float* to) const {
        if (g_.unpool) return transform_spread(tile, at, to);
        const float *from[kPoints], *next[kPoints];
        source_patch(tile, from);
        source_patch(std::min(tile + 1, last_source()), next);
        const int64_t block_step = c_.together * kBlock;
        for (int64_t b = 0; b < c_.blocks; ++b) {
            fetch_columns<kIn, kOut>(next, b * kBlock);
            for (int part = 0; part < kParts; ++part)
                transform_patch<kIn, kIn>(from, b * kBlock + part * kLanes,
                                          to + b * block_step + at * kBlock + part * kLanes, c_.point_step(), S::input);
        }
    }

    Cells<kIn> source_cells(int64_t tile) const {
        return {g_.pooled, c_.grid.image(tile), c_.grid.top(tile) - g_.top, c_.grid.left(tile) - g_.left,
                reinterpret_cast<const float*>(scratch_)};
    }

    void transform_spread(int64_t tile, int64_t at, float* to) const {
        float values[kPoints * kLanes];
        const float* from[kPoints];
        for (int i = 0; i < kPoints; ++i) from[i] = values + i * kLanes;
        const Cells<kIn> cells = source_cells(tile), next = source_cells(std::min(tile + 1, c_.tiles - 1));
        for (int64_t k = 0; k < g_.depth; k += kLanes) {
            if (k % kBlock == 0) next.fetch(k);
            cells.spread(k, values);
            transform_patch<kIn, kIn>(from, 0, to + k / kBlock * c_.together * kBlock + at * kBlock + k % kBlock,
                                      c_.point_step(), S::input);
        }
    }

    // Some tiles through all stages, for some panels.
    void item(int64_t i, int thread) const {
        const int64_t parts = c_.parts(), block = i / parts, part = i % parts;
        const int64_t first = block * c_.together, count = std::min(c_.tiles, first + c_.together) - first;
        if (place(thread) != block)
            for (int64_t t = 0; t < count; ++t) transform(first + t, t, input(thread));
        place(thread) = block;
        for (int64_t panel = c_.panels * part / parts; panel < c_.panels * (part + 1) / parts; ++panel) {
            for (int point = 0; point < kPoints; ++point)
                product(point, panel, input(thread), count, 0, products(thread) + point * c_.product_step());
            finish_tiles(first, count, panel, products(thread));
        }
    }

    // The tiles of a band through one stage after the other.
    void run_band(ThreadPool& pool, const Band& band) const {
        constexpr int64_t kPanelsOfItem = 8, kTilesOfItem = 16;
        const int64_t parts = (c_.panels + kPanelsOfItem - 1) / kPanelsOfItem, plane = band.rows * c_.grid.columns;
        const int64_t inputs = band.images * (g_.slices + g_.taps - 1) * plane, sums = band.images * g_.slices * plane;
        parallel_for(pool, inputs, inputs > 1, [&](int64_t at, int) { transform_at(band, at); });
        if (c_.unit)
            multiply_points(pool, {input(0), weights_, kPoints, c_.point_step(), sums, c_.together, g_.depth, c_.panels,
                                   scratch_ + l_.zeros + l_.places});
        else
            parallel_for(pool, kPoints * parts, true, [&](int64_t i, int) {
                const int64_t point = i / parts, last = std::min(c_.panels, (i % parts + 1) * kPanelsOfItem);
                for (int64_t panel = i % parts * kPanelsOfItem; panel < last; ++panel) products_at(band, point, panel);
            });
        const int64_t groups = (sums + kTilesOfItem - 1) / kTilesOfItem;
        parallel_for(pool, groups * c_.panels, true, [&](int64_t i, int) {
            const int64_t first = i / c_.panels * kTilesOfItem, last = std::min(sums, first + kTilesOfItem);
            const int64_t panel = i % c_.panels, columns = std::min<int64_t>(kPanel, g_.channels - panel * kPanel);
            for (int64_t at = first; at < last; ++at) {
                const int64_t slice = band.image * g_.slices + at / plane;
                finish(tile_of(band, slice, at % plane), products(0) + panel * c_.sums * kPanel + at * c_.row_step(),
                       panel * kPanel, columns);
            }
        });
    }

    int64_t tile_of(const Band& band, int64_t slice, int64_t at) const {
        return (slice * c_.grid.rows + band.row) * c_.grid.columns + at;
    }

    // Place `at` of a band's transformed input: there are slices around each image, zeros where the source has none.
    void transform_at(const Band& band, int64_t at) const {
        const int64_t plane = band.rows * c_.grid.columns, around = g_.slices + g_.taps - 1;
        const int64_t image = band.image + at / plane / around, slice = at / plane % around - g_.before;
        if (slice >= 0 && slice < g_.source_slices)
            return transform(tile_of(band, image * g_.source_slices + slice, at % plane), at, input(0));
        for (int64_t point = 0; point < kPoints; ++point)
            for (int64_t b = 0; b < c_.blocks; ++b)
                std::memset(input(0) + point * c_.point_step() + (b * c_.together + at) * kBlock, 0,
                            sizeof(float) * kBlock);
    }

    // One point and panel of a band. Where taps are summed, rows of one product stay within an image.
    void products_at(const Band& band, int64_t point, int64_t panel) const {
        const int64_t plane = band.rows * c_.grid.columns, around = g_.slices + g_.taps - 1;
        const int64_t runs = g_.taps > 1 ? band.images : 1, count = band.images / runs * g_.slices * plane;
        float* out = products(0) + point * c_.product_step() + panel * c_.sums * kPanel;
        for (int64_t i = 0; i < runs; ++i)
            product(point, panel, input(0) + i * around * plane * kBlock, count, plane, out + i * count * kPanel);
    }

    int64_t terms() const { return g_.taps * g_.depth; }
    const float* weights_of(int64_t point, int64_t panel) const {
        return weights_ + (panel * kPoints + point) * terms() * kPanel;
    }
    // Those that are used after them.
    const float* next_weights(int64_t point, int64_t panel) const {
        if (!c_.shared) return weights_of(point, panel) + terms() * kPanel;
        return panel + 1 < c_.panels ? weights_of(point, panel + 1) : weights_of((point + 1) % kPoints, 0);
    }

    // At one point: rows of transformed input times a panel of transformed weights. `plane`: tiles of a slice.
    void product(int64_t point, int64_t panel, const float* v, int64_t count, int64_t plane, float* out) const {
        const int64_t groups = (count + kRows - 1) / kRows;
        const Terms sum{c_.blocks, c_.together * kBlock, g_.taps, plane * kBlock};
        const float *u = weights_of(point, panel), *next = next_weights(point, panel);
        const int64_t bytes = kPanel * sizeof(float) / groups;
        for (int64_t q = 0; q < groups; ++q) {
            const int64_t r0 = count * q / groups, r1 = count * (q + 1) / groups;
            const Ahead ahead{reinterpret_cast<const char*>(next) + q * bytes * terms(), bytes};
            multiply_rows(r1 - r0, v + point * c_.point_step() + r0 * kBlock, sum, u, out + r0 * kPanel, ahead);
        }
    }

    void finish_tiles(int64_t first, int64_t count, int64_t panel, const float* m) const {
        const int64_t columns = std::min<int64_t>(kPanel, g_.channels - panel * kPanel);
        for (int64_t t = 0; t < count; ++t) finish(first + t, m + t * kPanel, panel * kPanel, columns);
    }

    // Y = A' M A of one tile, bias, residual, activation, and out.
    void finish(int64_t tile, const float* m, int64_t channel, int64_t columns) const {
        const int64_t top = c_.grid.top(tile), left = c_.grid.left(tile);
        const int64_t height = std::min<int64_t>(kOut, g_.out_height - top);
        const int64_t width = std::min<int64_t>(kOut, g_.out_width - left);
        const int64_t start =
            ((c_.grid.image(tile) * g_.out_height + top) * g_.out_width + left) * g_.channels + channel;
        fetch_target(std::min(tile + 1, c_.tiles - 1), channel, columns);
        for (int64_t c = 0; c < columns; c += kLanes) {
            const int64_t column = c / kBlock * c_.half_step() + c % kBlock;
            Vec half[kOut * kIn], y[kOut * kOut];
            for (int j = 0; j < kIn; ++j) {
                Vec v[kIn];
#pragma GCC unroll 8
                for (int i = 0; i < kIn; ++i) v[i] = load(m + (i * kIn + j) * c_.product_step() + column);
                S::output(v, 1, half + j, kIn);
            }
            for (int i = 0; i < kOut; ++i) S::output(half + i * kIn, 1, y + i * kOut, 1);
            if (g_.pool)
                put_maxima(y, tile, start + c, channel + c);
            else
                put(y, start + c, channel + c, height, width);
        }
        if (g_.pool) return;
        if (g_.finish.activation.id == kLinear || g_.finish.activation.id == kRelu) return;
        for (int64_t i = 0; i < height; ++i)
            for (int64_t j = 0; j < width; ++j)
                activate(g_.finish.activation, g_.target + start + (i * g_.out_width + j) * g_.channels,
                         static_cast<int>(columns));
    }

    // Fetches where a tile's results go, and its part of the mask.
    void fetch_target(int64_t tile, int64_t channel, int64_t columns) const {
        const int64_t window = g_.pool ? 2 : 1, height = g_.out_height / window, width = g_.out_width / window;
        const int64_t top = c_.grid.top(tile) / window, left = c_.grid.left(tile) / window;
        const int64_t start = ((c_.grid.image(tile) * height + top) * width + left) * g_.channels + channel;
        const int64_t rows = std::min(kOut / window, height - top), across = std::min(kOut / window, width - left);
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < across; ++j)
                for (int64_t c = 0; c < columns; c += kBlock) {
                    const int64_t at = start + (i * width + j) * g_.channels + c;
                    __builtin_prefetch(g_.target + at, 1);
                    if (g_.finish.mask) __builtin_prefetch(g_.finish.mask + at);
                }
    }

    // What a sum becomes: `at` is its place in the target before pooling.
    Vec finished(Vec v, Vec bias, int64_t at) const {
        v += bias;
        if (g_.finish.residual) v += load(g_.finish.residual + at);
        if (g_.finish.mask) v = load(g_.finish.mask + at) > Vec{} ? v : Vec{};
        return g_.finish.activation.id == kRelu ? at_least(v, Vec{}) : v;
    }

    // The maxima of the tile's 2x2 windows, the first of equal ones, a NaN before all.
    void put_maxima(const Vec* y, int64_t tile, int64_t start, int64_t channel) const {
        typedef std::uint8_t Bytes __attribute__((vector_size(kLanes)));
        const Vec bias = g_.finish.bias ? load(g_.finish.bias + channel) : Vec{};
        const int64_t height = g_.out_height / 2, width = g_.out_width / 2;
        const int64_t top = c_.grid.top(tile) / 2, left = c_.grid.left(tile) / 2;
        for (int64_t i = 0; i < std::min<int64_t>(kOut / 2, height - top); ++i)
            for (int64_t j = 0; j < std::min<int64_t>(kOut / 2, width - left); ++j) {
                Vec best = {};
                IVec where = {};
                for (int q = 0; q < 4; ++q) {
                    const int64_t row = 2 * i + q / 2, column = 2 * j + q % 2;
                    const Vec v =
                        finished(y[row * kOut + column], bias, start + (row * g_.out_width + column) * g_.channels);
                    const IVec better = (v > best) | ((v != v) & (best == best));
                    best = q == 0 ? v : better ? v : best;
                    where = q == 0 ? IVec{} : better ? IVec{} + q : where;
                }
                const int64_t at =
                    ((c_.grid.image(tile) * height + top + i) * width + left + j) * g_.channels + channel;
                store(g_.target + at, best);
                if (!g_.positions) continue;
                const Bytes places = __builtin_convertvector(where, Bytes);
                std::memcpy(g_.positions + at, &places, kLanes);
            }
    }

    void put(const Vec* y, int64_t start, int64_t channel, int64_t height, int64_t width) const {
        const Vec bias = g_.finish.bias ? load(g_.finish.bias + channel) : Vec{};
        for (int64_t i = 0; i < height; ++i)
            for (int64_t j = 0; j < width; ++j) {
                const int64_t at = start + (i * g_.out_width + j) * g_.channels;
                store(g_.target + at, finished(y[i * kOut + j], bias, at));
            }
    }

    const Image& g_;
    const Cut<Pairs> c_;
    const Layout l_;
    char* scratch_;
    const float* weights_;
    int threads_;
};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
