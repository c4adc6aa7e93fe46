// Convolution as a matrix product whose left operand is never built: for each tile of output pixels a table of pointers
// says where each tap's channels lie (or a line of zeros, outside the image), and gemm/tile.h multiplies.
#pragma once
#include "core/kernel.h"
#include "core/thread_pool.h"
#include "kernels/conv/geometry.h"
#include "kernels/gemm/tile.h"

namespace striate {
namespace STRIATE_ISA_NS {

// One convolution-like product: a source read by taps, panels of weights [group][panel][tap][channels][kPanel], and a
// target written at the positions of each phase.
struct Gather {
    const float* source = nullptr;
    float* target = nullptr;
    const float* panels = nullptr;
    int64_t batch, source_dims[kAxes], target_dims[kAxes], kernel[kAxes];
    int64_t source_channels, target_channels, groups;
    int64_t depth, width;  // channels per group: of the source (K of one tap), of the target
    bool merge = false;    // the taps along the last axis are one run: their channels are neighbours in memory
    Finish finish;

    int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
    int64_t panels_per_group() const { return (width + kPanel - 1) / kPanel; }
    int64_t panel_size() const { return taps() * depth * kPanel; }
    int64_t runs() const { return merge ? kernel[0] * kernel[1] : taps(); }
    int64_t run_length() const { return merge ? kernel[2] * depth : depth; }
    int64_t image_floats() const { return source_dims[0] * source_dims[1] * source_dims[2] * source_channels; }
};

// Rows a multiple of so many floats apart share one set of the first-level cache, which holds fewer lines than a tile
// has rows: where panels read a tile's rows again and again, they are copied to where they do not.
constexpr int64_t kSetFloats = 1024, kApart = 16, kMostCopied = 1 << 16, kLeastReads = 2;

inline bool copies_rows(const Gather& g) {
    return !g.merge && g.groups == 1 && g.runs() * kRows * g.run_length() <= kMostCopied;
}

// Scratch: one line of zeros that all threads read, and per thread a pointer table.
struct GatherScratch {
    std::size_t zeros, pointers, offsets, copies, per_thread, total;
};

inline std::size_t round_up(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

inline GatherScratch gather_scratch(const Gather& g, int threads) {
    GatherScratch s;
    const auto runs = static_cast<std::size_t>(g.runs()), length = static_cast<std::size_t>(g.run_length());
    s.zeros = round_up(sizeof(float) * std::max<std::size_t>(length, g.source_channels));
    s.pointers = round_up(sizeof(float*) * runs * kRows);
    s.offsets = round_up(sizeof(int64_t) * runs);
    const std::size_t apart = copies_rows(g) ? kApart : 0;
    s.copies = g.merge || apart ? round_up(sizeof(float) * runs * kRows * (length + apart)) : 0;
    s.per_thread = s.pointers + s.offsets + s.copies;
    s.total = s.zeros + s.per_thread * threads;
    return s;
}

// How many taps of an axis stand inside the image, over all its outputs.
inline int64_t taps_inside(const Axis& a) {
    int64_t inside = 0;
    for (int64_t j = 0; j < a.count; ++j)
        for (int64_t t = 0; t < a.taps; ++t) {
            const int64_t x = j * a.source_step + a.offset + t * a.offset_step;
            inside += x >= 0 && x < a.source;
        }
    return inside;
}

// What a tile's rows are: pixels as they follow each other; those of one line, so that taps of lines outside the image
// are dropped; or one pixel of several images, so that all taps outside are.
enum class Rows { any, of_line, of_pixel };

// Where images are small next to the padding, dropping taps is worth tiles of fewer rows. From eight rows on they cost
// what they multiply.
inline Rows rows_of(const Gather& g, const Phase& phase) {
    constexpr int64_t kWorthwhile = 32;  // longer axes lose less than they would gain, and are not looked at
    constexpr double kFull = std::min(8, kRows), kPays = 0.8;
    double share[kAxes];
    for (int i = 0; i < kAxes; ++i) {
        const Axis& a = phase.axis[i];
        const bool look = a.count && a.taps && a.count <= kWorthwhile;
        share[i] = look ? static_cast<double>(taps_inside(a)) / static_cast<double>(a.count * a.taps) : 1.0;
    }
    const auto cost = [](int64_t rows) {
        const double tiles = static_cast<double>((rows + kRows - 1) / kRows);
        return std::max(1.0, kFull * tiles / static_cast<double>(rows));
    };
    const double lines = share[0] * share[1], line = lines * cost(std::max<int64_t>(phase.axis[2].count, 1));
    const double pixel = g.merge ? 1.0 : lines * share[2] * cost(g.batch);
    if (std::min(line, pixel) >= kPays) return Rows::any;
    return pixel < line ? Rows::of_pixel : Rows::of_line;
}

// Builds, for one tile of output pixels, the table of source pointers and the pointers to its outputs.
class TableBuilder {
public:
    TableBuilder(const Gather& g, const GatherScratch& s, char* scratch, int thread) : g_(g) {
        char* own = scratch + s.zeros + s.per_thread * thread;
        zeros_ = reinterpret_cast<const float*>(scratch);
        rows_ = reinterpret_cast<const float**>(own);
        offsets_ = reinterpret_cast<int64_t*>(own + s.pointers);
        copies_ = reinterpret_cast<float*>(own + s.pointers + s.offsets);
    }

    // The pixel number `position` of images [first, first + rows).
    Runs build_across(const Phase& phase, int64_t position, int64_t first, int rows) {
        phase_ = &phase;
        const Axis* a = phase.axis;
        const int64_t j2 = position % a[2].count, j1 = position / a[2].count % a[1].count;
        const int64_t j0 = position / a[2].count / a[1].count;
        const int64_t source = g_.image_floats();
        for (int r = 0; r < rows; ++r) targets(first + r, j0, j1, j2, r, 1);
        runs_ = 0;
        for (int64_t t0 = 0; t0 < a[0].taps; ++t0)
            for (int64_t t1 = 0; t1 < a[1].taps; ++t1)
                for (int64_t t2 = 0; t2 < a[2].taps; ++t2) {
                    const int64_t z = j0 * a[0].source_step + a[0].offset + t0 * a[0].offset_step;
                    const int64_t y = j1 * a[1].source_step + a[1].offset + t1 * a[1].offset_step;
                    const int64_t x = j2 * a[2].source_step + a[2].offset + t2 * a[2].offset_step;
                    if (z < 0 || z >= a[0].source || y < 0 || y >= a[1].source || x < 0 || x >= a[2].source) continue;
                    const float* from = g_.source + first * source + pixel(z, y, x) * g_.source_channels;
                    for (int r = 0; r < rows; ++r) rows_[runs_ * kRows + r] = from + r * source;
                    const int64_t tap = (first_tap(0, t0) * g_.kernel[1] + first_tap(1, t1)) * g_.kernel[2];
                    offsets_[runs_++] = (tap + first_tap(2, t2)) * g_.depth * kPanel;
                }
        return {rows_, offsets_, runs_, g_.run_length()};
    }

    // Rows [first, first + rows) of the phase's pixels.
    Runs build(const Phase& phase, int64_t first, int rows) {
        phase_ = &phase;
        const Axis* a = phase.axis;
        runs_ = a[0].taps * a[1].taps * (g_.merge ? (a[2].taps > 0) : a[2].taps);
        int64_t j2 = first % a[2].count, rest = first / a[2].count;
        const bool one_line = j2 + rows <= a[2].count;
        for (int r = 0; r < rows;) {
            const int n = static_cast<int>(std::min<int64_t>(rows - r, a[2].count - j2));
            line(rest, j2, r, n, one_line);
            r += n;
            j2 = 0;
            ++rest;
        }
        return {rows_, offsets_, runs_, g_.run_length()};
    }
    float* const* out() const { return out_; }

    // The same runs in memory of this thread.
    Runs apart(const Runs& runs, int rows) {
        const int64_t step = runs.length + kApart;
        for (int64_t q = 0; q < runs.count; ++q)
            for (int r = 0; r < rows; ++r) {
                float* to = copies_ + (q * kRows + r) * step;
                std::memcpy(to, rows_[q * kRows + r], sizeof(float) * static_cast<std::size_t>(runs.length));
                rows_[q * kRows + r] = to;
            }
        return runs;
    }

private:
    int64_t first_tap(int axis, int64_t t) const {
        return phase_->axis[axis].first_tap + t * phase_->axis[axis].tap_step;
    }
    int64_t pixel(int64_t z, int64_t y, int64_t x) const { return (z * g_.source_dims[1] + y) * g_.source_dims[2] + x; }

    // `n` neighbouring pixels of one line, from its pixel j2. A tile inside one line drops the taps that the line
    // lacks.
    void line(int64_t rest, int64_t j2, int r, int n, bool drop) {
        const Axis* a = phase_->axis;
        const int64_t j1 = rest % a[1].count, j0 = rest / a[1].count % a[0].count;
        const int64_t image = rest / a[1].count / a[0].count;
        targets(image, j0, j1, j2, r, n);
        int64_t run = 0;
        for (int64_t t0 = 0; t0 < a[0].taps; ++t0) {
            const int64_t z = j0 * a[0].source_step + a[0].offset + t0 * a[0].offset_step;
            for (int64_t t1 = 0; t1 < a[1].taps; ++t1) {
                const int64_t y = j1 * a[1].source_step + a[1].offset + t1 * a[1].offset_step;
                const bool inside = z >= 0 && z < a[0].source && y >= 0 && y < a[1].source;
                if (!inside && drop) continue;
                const float* base = inside ? g_.source + ((image * g_.source_dims[0] + z) * g_.source_dims[1] + y) *
                                                             g_.source_dims[2] * g_.source_channels
                                           : nullptr;
                const int64_t tap =
                    ((a[0].first_tap + t0 * a[0].tap_step) * g_.kernel[1] + a[1].first_tap + t1 * a[1].tap_step) *
                    g_.kernel[2];
                run = g_.merge ? merged(base, tap, j2, r, n, run) : single(base, tap, j2, r, n, run);
            }
        }
        if (drop) runs_ = run;
    }

    void targets(int64_t image, int64_t j0, int64_t j1, int64_t j2, int r, int n) {
        const Axis* a = phase_->axis;
        const int64_t z = a[0].start + j0 * a[0].step, y = a[1].start + j1 * a[1].step;
        const int64_t x = a[2].start + j2 * a[2].step, channels = g_.target_channels;
        float* p =
            g_.target + (((image * g_.target_dims[0] + z) * g_.target_dims[1] + y) * g_.target_dims[2] + x) * channels;
        for (int i = 0; i < n; ++i) out_[r + i] = p + i * a[2].step * channels;
    }

    int64_t single(const float* base, int64_t tap, int64_t j2, int r, int n, int64_t run) {
        const Axis& a = phase_->axis[2];
        const int64_t step = a.source_step * g_.source_channels;
        for (int64_t t = 0; t < a.taps; ++t, ++run) {
            const float** row = rows_ + run * kRows + r;
            const int64_t x = j2 * a.source_step + a.offset + t * a.offset_step;
            offsets_[run] = (tap + a.first_tap + t * a.tap_step) * g_.depth * kPanel;
            if (base && x >= 0 && x + (n - 1) * a.source_step < a.source) {
                const float* p = base + x * g_.source_channels;
                for (int i = 0; i < n; ++i) row[i] = p + i * step;
            } else {
                for (int i = 0; i < n; ++i) {
                    const int64_t at = x + i * a.source_step;
                    row[i] = base && at >= 0 && at < a.source ? base + at * g_.source_channels : zeros_;
                }
            }
        }
        return run;
    }

    int64_t merged(const float* base, int64_t tap, int64_t j2, int r, int n, int64_t run) {
        const Axis& a = phase_->axis[2];
        const int64_t channels = g_.source_channels, length = g_.run_length();
        offsets_[run] = tap * g_.depth * kPanel;
        const int64_t first = j2 * a.source_step + a.offset, last = first + (n - 1) * a.source_step;
        if (base && first >= 0 && last + a.taps <= a.source) {
            const float** row = rows_ + run * kRows + r;
            const float* p = base + first * channels;
            const int64_t step = a.source_step * channels;
            for (int i = 0; i < n; ++i) row[i] = p + i * step;
            return run + 1;
        }
        for (int i = 0; i < n; ++i) {
            const int64_t x = (j2 + i) * a.source_step + a.offset;
            const float*& row = rows_[run * kRows + r + i];
            if (!base) {
                row = zeros_;
            } else if (x >= 0 && x + a.taps <= a.source) {
                row = base + x * channels;
            } else {
                float* copy = copies_ + (run * kRows + r + i) * length;
                const int64_t lo = std::clamp<int64_t>(-x, 0, a.taps),
                              hi = std::clamp<int64_t>(a.source - x, lo, a.taps);
                std::fill(copy, copy + lo * channels, 0.0f);
                std::copy(base + (x + lo) * channels, base + (x + hi) * channels, copy + lo * channels);
                std::fill(copy + hi * channels, copy + length, 0.0f);
                row = copy;
            }
        }
        return run + 1;
    }

    const Gather& g_;
    const Phase* phase_ = nullptr;
    const float* zeros_;
    const float** rows_;
    int64_t* offsets_;
    float* copies_;
    int64_t runs_ = 0;
    float* out_[kRows];
};

// How one phase is cut into items of work: `m` blocks of tiles x `n` blocks of panels. From the shape alone. Tiles are
// the parts of `lines` of pixels: all pixels, each line, or one pixel of all images.
struct Cut {
    Rows rows = Rows::any;
    int64_t lines = 1, pixels = 0, tiles = 0, m = 0, n = 0;
    int64_t items() const { return m * n; }
    int64_t per_line() const { return tiles / lines; }
    int64_t begin(int64_t tile) const { return pixels * (tile % per_line()) / per_line(); }
    int64_t end(int64_t tile) const { return pixels * (tile % per_line() + 1) / per_line(); }
};

inline Cut cut_phase(const Gather& g, const Phase& phase) {
    constexpr int64_t kCacheFloats = 448 * 1024 / 4, kItems = 64, kMinWork = 1 << 19;
    Cut c;
    const int64_t pixels = phase.pixels(g.batch), panels = g.groups * g.panels_per_group();
    if (!pixels || !panels) return c;
    c.rows = rows_of(g, phase);
    c.lines = c.rows == Rows::any ? 1 : pixels / (c.rows == Rows::of_pixel ? g.batch : phase.axis[2].count);
    c.pixels = pixels / c.lines;
    c.tiles = c.lines * ((c.pixels + kRows - 1) / kRows);
    const int64_t used = phase.axis[0].taps * phase.axis[1].taps * phase.axis[2].taps * g.depth;
    const int64_t together = std::clamp<int64_t>(kCacheFloats / std::max<int64_t>(used * kPanel, 1), 1, panels);
    c.n = (panels + together - 1) / together;
    const int64_t work = pixels * std::max<int64_t>(used, 16) * panels * kPanel;
    const int64_t wanted = std::clamp<int64_t>(work / kMinWork, 1, kItems);
    c.m = std::clamp<int64_t>((wanted + c.n - 1) / c.n, 1, c.tiles);
    if (c.m == 1 && c.n < wanted) c.n = std::min(panels, wanted);
    return c;
}

// Convolutions over more than the caches hold. The next tile stands right after this one: its newest source line and
// its target are fetched meanwhile. With one run (1x1) that is as much as the tile itself reads, so it is spread over
// the multiplications: the source while the first panel is multiplied, the target while the others are.
class FetchAhead {
public:
    // A part of the weights that the items after these multiply with, where it is they that memory has to deliver.
    struct Weights {
        const float* from = nullptr;
        int64_t floats = 0;
    };

    FetchAhead(const Gather& g, const Phase& phase, const TileArgs& t, int rows, int64_t panels, Weights weights,
               bool follows)
        : panels_(panels) {
        if (weights.floats) {
            slots_ = t.runs.count * t.runs.length;
            share_ = weights.floats / panels;
            weights_ = weights.from;
            return;
        }
        constexpr int64_t kCachedFloats = 2 << 10;
        const int64_t spread = phase.pixels(g.batch) * (g.source_channels + g.target_channels);
        if (!follows || t.runs.count == 0 || spread < kCachedFloats) return;
        const int64_t step = phase.axis[2].source_step * g.source_channels;
        source_ = t.runs.rows[(t.runs.count - 1) * kRows + rows - 1] + step;
        source_floats_ = rows * step;
        target_ = t.out[rows - 1] + phase.axis[2].step * g.target_channels;
        target_floats_ = rows * phase.axis[2].step * g.target_channels;
        if (t.runs.count == 1) {
            slots_ = t.runs.length;
        } else {
            for (int64_t i = 0; i < source_floats_; i += 16) __builtin_prefetch(source_ + i, 0, 2);
            for (int64_t i = 0; i < target_floats_; i += 16) __builtin_prefetch(target_ + i, 1, 2);
        }
    }

    void aim(TileArgs& t, int64_t panel) const {
        if (slots_ == 0) return;
        if (weights_) return set(t, weights_ + panel * share_, share_);
        if (panel == 0) return set(t, source_, source_floats_);
        const int64_t share = target_floats_ / (panels_ - 1);
        set(t, target_ + (panel - 1) * share, share);
    }

private:
    void set(TileArgs& t, const float* from, int64_t floats) const {
        t.ahead = reinterpret_cast<const char*>(from);
        t.ahead_step = floats * static_cast<int64_t>(sizeof(float)) / slots_;
    }

    int64_t panels_, slots_ = 0, source_floats_ = 0, target_floats_ = 0;
    int64_t share_ = 0;
    const float *source_ = nullptr, *target_ = nullptr, *weights_ = nullptr;
};

// What tile number `tile` fetches of the next block of panels: nothing where source and target do not stay in the
// second-level cache, for then it is these that are waited for.
inline FetchAhead::Weights next_weights(const Gather& g, const Cut& cut, int64_t ni, int64_t tile) {
    constexpr int64_t kSecondLevel = 1 << 18, kWorthwhile = 200'000;  // floats
    const int64_t panels = g.groups * g.panels_per_group();
    if (ni + 1 >= cut.n || panels * g.panel_size() < kWorthwhile) return {};
    if (cut.lines * cut.pixels * (g.source_channels + g.target_channels) > kSecondLevel) return {};
    const int64_t first = panels * (ni + 1) / cut.n, last = panels * (ni + 2) / cut.n;
    const int64_t floats = (last - first) * g.panel_size() / cut.tiles;
    return {g.panels + first * g.panel_size() + tile * floats, floats};
}

// A thread's share of a phase's items. Where the images weigh more than the panels, it is some of the tiles, block of
// panels after block of panels, so that what one layer writes stays with the core that reads it in the next; else it
// is some of the panels.
struct Share {
    int64_t tile_blocks, first_tile, first, items;

    Share(const Gather& g, const Cut& cut, int64_t part, int64_t parts) : tile_blocks(cut.m), first_tile(0) {
        const int64_t values = cut.lines * cut.pixels * (g.source_channels + g.target_channels);
        const bool by_tiles = cut.m >= parts && values > g.groups * g.panels_per_group() * g.panel_size();
        first = by_tiles ? 0 : cut.items() * part / parts;
        if (by_tiles) first_tile = cut.m * part / parts, tile_blocks = cut.m * (part + 1) / parts - first_tile;
        items = by_tiles ? tile_blocks * cut.n : cut.items() * (part + 1) / parts - first;
    }
    int64_t tile_block(int64_t i) const { return first_tile + (first + i) % tile_blocks; }
    int64_t panel_block(int64_t i) const { return (first + i) / tile_blocks; }
};

inline void gather_item(const Gather& g, const Phase& phase, const Cut& cut, int64_t mi, int64_t ni,
                        TableBuilder& table) {
    const int64_t per_group = g.panels_per_group(), panels = g.groups * per_group;
    const int64_t tile0 = cut.tiles * mi / cut.m, tile1 = cut.tiles * (mi + 1) / cut.m;
    const int64_t panel0 = panels * ni / cut.n, panel1 = panels * (ni + 1) / cut.n;
    const int64_t distance =
        cut.rows == Rows::of_pixel ? g.image_floats() : phase.axis[2].source_step * g.source_channels;
    const bool crowded = distance % kSetFloats == 0 && panel1 - panel0 >= kLeastReads && copies_rows(g);
    for (int64_t i = tile0; i < tile1; ++i) {
        const int64_t first = cut.begin(i);
        const int rows = static_cast<int>(cut.end(i) - first);
        TileArgs t;
        const int64_t line = i / cut.per_line();
        t.runs = cut.rows == Rows::of_pixel ? table.build_across(phase, line, first, rows)
                                            : table.build(phase, line * cut.pixels + first, rows);
        t.out = table.out();
        t.ldb = kPanel;
        const bool follows = cut.rows != Rows::of_pixel;  // the next tile stands right after this one
        const FetchAhead ahead(g, phase, t, rows, panel1 - panel0, next_weights(g, cut, ni, i), follows);
        if (crowded) t.runs = table.apart(t.runs, rows);
        for (int64_t p = panel0; p < panel1; ++p) {
            const int64_t group = p / per_group, column = p % per_group * kPanel;
            t.panel = g.panels + p * g.panel_size();
            ahead.aim(t, p - panel0);
            t.a_offset = group * g.depth;
            t.col = group * g.width + column;
            panel_tile(t, rows, static_cast<int>(std::min<int64_t>(kPanel, g.width - column)), g.finish);
        }
    }
}

// Runs all phases as one parallel region. `phase_of(i)` makes phase i of `phases`.
template <class PhaseOf>
void gather_run(const Gather& g, int64_t phases, const Step& s, PhaseOf&& phase_of) {
    const GatherScratch layout = gather_scratch(g, s.pool->threads());
    char* scratch = static_cast<char*>(s.scratch);
    std::memset(scratch, 0, layout.zeros);
    Gather untouched = g;  // what no tap reaches has no groups
    untouched.groups = 1;
    untouched.width = g.target_channels;
    const auto gather_of = [&](const Phase& p) -> const Gather& {
        return p.axis[0].taps && p.axis[1].taps && p.axis[2].taps ? g : untouched;
    };
    const int64_t parts = s.pool->threads();
    int64_t most = 0, total = 0;
    for (int64_t i = 0; i < phases; ++i) {
        const Phase phase = phase_of(i);
        const Cut cut = cut_phase(gather_of(phase), phase);
        for (int64_t part = 0; part < parts; ++part)
            most = std::max(most, Share(gather_of(phase), cut, part, parts).items);
        total += cut.items();
    }
    // A phase with fewer items than the largest leaves its last numbers idle; all phases are about as large.
    parallel_for(*s.pool, parts * phases * most, total > 2, [&](int64_t index, int thread) {
        const Phase phase = phase_of(index / most % phases);
        const Gather& own = gather_of(phase);
        const Cut cut = cut_phase(own, phase);
        const Share share(own, cut, index / most / phases, parts);
        const int64_t i = index % most;
        if (i >= share.items) return;
        TableBuilder table(own, layout, scratch, thread);
        gather_item(own, phase, cut, share.tile_block(i), share.panel_block(i), table);
    });
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
