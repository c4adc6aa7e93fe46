// Inverted residual blocks as one step: a 1x1 convolution (or, at a network's start, one with a window) that
// expands the channels, a depthwise one, and a 1x1 convolution that projects them back. What is between them never
// leaves the nearest caches: a few lines of it stand in a ring, with zeros beside them, and go on as soon as the
// depthwise convolution can read them. Without the projection each item takes one panel of channels, without the
// expansion the ring is filled from the input.
#include <algorithm>

#include "core/kernel.h"
#include "core/thread_pool.h"
#include "kernels/conv/check.h"
#include "kernels/conv/depthwise_tile.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

enum BlockFlags : int { kExpands = 1, kExpandBias = 2, kDepthBias = 4, kProjects = 8, kProjectBias = 16, kAdds = 32 };

constexpr int kBlockInts = 18, kHiddenBlock = 16, kMaxWindow = 11;

// Integers as src/striate/kernels/blocks.py encodes them: kernel, stride, pads above and to the left, channels between,
// flags, three activations, how many of the floats belong to each; of the expansion its kernel, stride, pads above and
// to the left, and the height and width of its result.
struct Block {
    int64_t batch, in_height, in_width, cin, out_height, out_width, cout;
    int64_t kernel, stride, top, left, hidden, flags;
    int64_t window, step, above, beside, height, width;  // of the expansion; height and width are those of its result
    const float *x = nullptr, *expand = nullptr, *taps = nullptr, *project = nullptr;
    float* y = nullptr;
    Finish finish[3];

    explicit Block(const Step& s) {
        const Tensor &in = s.in[0], &out = s.out[0];
        batch = in.shape[0], in_height = in.shape[1], in_width = in.shape[2], cin = in.shape[3];
        out_height = out.shape[1], out_width = out.shape[2], cout = out.shape[3];
        kernel = s.ints[0], stride = s.ints[1], top = s.ints[2], left = s.ints[3], hidden = s.ints[4];
        flags = s.ints[5];
        window = s.ints[12], step = s.ints[13], above = s.ints[14], beside = s.ints[15];
        height = s.ints[16], width = s.ints[17];
        x = in.f32();
        y = out.f32();
        int next = 1;
        const auto take = [&](bool there) -> const float* { return there ? s.in[next++].f32() : nullptr; };
        expand = take(expands());
        finish[0].bias = take(flags & kExpandBias);
        taps = take(true);
        finish[1].bias = take(flags & kDepthBias);
        project = take(projects());
        finish[2].bias = take(flags & kProjectBias);
        finish[2].residual = take(flags & kAdds);
        finish[2].out = y;
        const double* floats = s.floats;
        for (int i = 0; i < 3; floats += s.ints[9 + i], ++i)
            finish[i].activation =
                read_activation(static_cast<int>(s.ints[6 + i]), floats, static_cast<int>(s.ints[9 + i]));
    }

    bool expands() const { return flags & kExpands; }
    bool projects() const { return flags & kProjects; }
    int64_t panels() const { return (hidden + kPanel - 1) / kPanel; }
    int64_t columns(int64_t panel) const { return std::min<int64_t>(kPanel, hidden - panel * kPanel); }
    int64_t lines() const { return stride == 1 ? kTileLines : 1; }  // of outputs, at once
    int64_t ring_lines() const { return (lines() - 1) * stride + kernel; }
    int64_t ring_width() const { return std::max(left + width, (out_width - 1) * stride + kernel); }
    int64_t line_floats() const { return ring_width() * kPanel; }
    int64_t work() const {
        return batch * out_height * out_width * hidden * (kernel * kernel + window * window * cin + cout);
    }
    // A window is read from a copy of the input's lines with zeros around them: the values below a window's line are
    // one run.
    bool copies() const {
        return window > 1 || step > 1 || above > 0 || beside > 0 || height != in_height || width != in_width;
    }
    int64_t copy_width() const { return std::max(beside + in_width, (width - 1) * step + window) * cin; }
    int64_t tiles() const { return (width + kRows - 1) / kRows; }
};

// Items: bands of lines, and panels where each is on its own. From the shape alone.
struct BlockCut {
    int64_t lines, bands, panels, items;  // lines: of a band

    explicit BlockCut(const Block& b) {
        constexpr int64_t kItems = 32;
        panels = b.projects() ? 1 : b.panels();
        const int64_t wanted = std::max<int64_t>(kItems / std::max<int64_t>(b.batch * panels, 1), 1);
        const int64_t units = (b.out_height + b.lines() - 1) / b.lines();
        lines = (units + wanted - 1) / wanted * b.lines();
        bands = (b.out_height + lines - 1) / lines;
        items = b.batch * panels * bands;
    }
};

// Where a thread stands: the next band of the same panels finds the lines of the expansion that it shares with this
// one.
struct BlockPlace {
    int64_t image = -1, panel = 0, output = 0, next = 0;  // lines: of the output, of the expansion
};

struct BlockScratch {
    std::size_t zeros, ring, lines, copies, sources, targets, total;

    explicit BlockScratch(const Block& b) {
        const auto bytes = [](int64_t n, std::size_t size) {
            return (static_cast<std::size_t>(n) * size + 63) / 64 * 64;
        };
        const int64_t panels = b.projects() ? b.panels() : 1;
        zeros = bytes(1, sizeof(BlockPlace));
        ring = zeros + bytes(b.line_floats(), sizeof(float));  // behind a line of zeros
        lines = ring + bytes(panels * b.ring_lines() * b.line_floats(), sizeof(float));
        copies = lines + bytes(b.projects() ? b.lines() * b.out_width * b.hidden : 0, sizeof(float));
        sources = copies + bytes(b.copies() ? copied(b) * b.copy_width() : 0, sizeof(float));
        targets = sources + bytes(b.expands() ? b.tiles() * b.window * kRows : b.width, sizeof(float*));
        total = targets + bytes(b.width, sizeof(float*));
    }

    // Lines of the input that one band reads.
    static int64_t copied(const Block& b) {
        return ((BlockCut(b).lines - 1) * b.stride + b.kernel - 1) * b.step + b.window;
    }
};

// One item: output lines [first, last) of an image, panels [panel0, panel1).
class BlockWorker {
public:
    BlockWorker(const Block& b, char* scratch) : b_(b), layout_(b) {
        place_ = reinterpret_cast<BlockPlace*>(scratch);
        zeros_ = reinterpret_cast<float*>(scratch + layout_.zeros);
        ring_ = reinterpret_cast<float*>(scratch + layout_.ring);
        lines_ = reinterpret_cast<float*>(scratch + layout_.lines);
        copies_ = reinterpret_cast<float*>(scratch + layout_.copies);
        sources_ = reinterpret_cast<const float**>(scratch + layout_.sources);
        targets_ = reinterpret_cast<float**>(scratch + layout_.targets);
        for (int64_t q = 0; q < b_.window; ++q) offsets_[q] = q * b_.window * b_.cin * kPanel;
    }

    void run(int64_t image, int64_t first, int64_t last, int64_t panel0, int64_t panel1) {
        image_ = image;
        panel0_ = panel0;
        const bool goes_on = place_->image == image && place_->panel == panel0 && place_->output == first;
        int64_t next = goes_on ? place_->next : std::clamp<int64_t>(first * b_.stride - b_.top, 0, b_.height);
        if (!goes_on) prepare(panel1 - panel0);
        if (b_.copies()) copy_lines(next, std::clamp((last - 1) * b_.stride - b_.top + b_.kernel, next, b_.height));
        for (int64_t o = first; o < last;) {
            const int64_t lines = last - o < b_.lines() ? 1 : b_.lines();
            const int64_t end = std::clamp((o + lines - 1) * b_.stride - b_.top + b_.kernel, next, b_.height);
            for (int64_t p = panel0; p < panel1; ++p) {
                for (int64_t y = next; y < end; ++y) b_.expands() ? expand(p, y) : copy(p, y);
                depthwise(p, o, lines);
            }
            if (b_.projects()) project(o, lines);
            next = end;
            o += lines;
        }
        *place_ = {image, panel0, last, next};
    }

private:
    // Zeros beside the ring's lines, and where the pixels of a line stand.
    void prepare(int64_t panels) {
        const int64_t row = b_.line_floats(), inside = (b_.left + b_.width) * kPanel;
        std::fill(zeros_, zeros_ + row, 0.0f);
        for (int64_t i = 0; i < panels * b_.ring_lines(); ++i) {
            std::fill(ring_ + i * row, ring_ + i * row + b_.left * kPanel, 0.0f);
            std::fill(ring_ + i * row + inside, ring_ + (i + 1) * row, 0.0f);
        }
        for (int64_t i = 0; i < b_.width; ++i) targets_[i] = ring_ + (b_.left + i) * kPanel;
        if (b_.expands()) find_sources();
    }

    // The input's lines for the expansion's lines [first, last).
    void copy_lines(int64_t first, int64_t last) {
        const int64_t row = b_.copy_width(), inside = b_.in_width * b_.cin, start = b_.beside * b_.cin;
        copied_ = first;
        float* to = copies_;
        for (int64_t y = first * b_.step - b_.above; y < (last - 1) * b_.step - b_.above + b_.window; ++y, to += row) {
            const bool there = y >= 0 && y < b_.in_height;
            std::fill(to, to + (there ? start : row), 0.0f);
            if (!there) continue;
            std::copy_n(b_.x + (image_ * b_.in_height + y) * inside, inside, to + start);
            std::fill(to + start + inside, to + row, 0.0f);
        }
    }

    // Where the pixels of the expansion's first line at hand read: [tile][line of the window][row of the tile].
    void find_sources() {
        const int64_t line = b_.copy_width(), pixel = b_.step * b_.cin;
        const float* from = b_.copies() ? copies_ : b_.x + image_ * b_.in_height * b_.in_width * b_.cin;
        for (int64_t i = 0; i < b_.tiles(); ++i)
            for (int64_t q = 0; q < b_.window; ++q)
                for (int64_t first = b_.width * i / b_.tiles(), j = first; j < b_.width * (i + 1) / b_.tiles(); ++j)
                    sources_[(i * b_.window + q) * kRows + j - first] = from + q * line + j * pixel;
    }

    int64_t place(int64_t panel, int64_t y) const {
        return ((panel - panel0_) * b_.ring_lines() + y % b_.ring_lines()) * b_.line_floats();
    }

    void expand(int64_t panel, int64_t y) {
        const int64_t tiles = b_.tiles(), columns = b_.columns(panel), depth = b_.window * b_.cin;
        const Finish& f = b_.finish[0];
        TileArgs t;
        t.runs = {nullptr, offsets_, b_.window, depth};
        t.a_offset = b_.copies() ? (y - copied_) * b_.step * b_.copy_width() : y * b_.in_width * b_.cin;
        t.clamp = clamp_of(f.activation);
        for (int64_t c = 0; c < columns; c += kTileCols) {
            const int vectors = columns - c > kLanes ? 2 : 1;
            t.panel = b_.expand + panel * b_.window * depth * kPanel + c;
            t.bias = f.bias ? f.bias + panel * kPanel + c : nullptr;
            t.col = place(panel, y) + c;
            for (int64_t i = 0; i < tiles; ++i) {
                const int64_t first = b_.width * i / tiles, last = b_.width * (i + 1) / tiles;
                t.runs.rows = sources_ + i * b_.window * kRows;
                t.out = targets_ + first;
                tile_for(static_cast<int>(last - first), vectors, false)(t);
            }
        }
        if (f.activation.id != kLinear && !t.clamp.on)
            activate(f.activation, ring_ + place(panel, y) + b_.left * kPanel, b_.width * kPanel);
    }

    void copy(int64_t panel, int64_t y) {
        const float* from = b_.x + (image_ * b_.height + y) * b_.width * b_.cin + panel * kPanel;
        for (int64_t i = 0; i < b_.width; ++i)
            std::copy_n(from + i * b_.cin, b_.columns(panel), targets_[i] + place(panel, y));
    }

    void depthwise(int64_t panel, int64_t o, int64_t lines) {
        const float* source[2 * 2 + 5];
        for (int64_t i = 0; i < (lines - 1) * b_.stride + b_.kernel; ++i) {
            const int64_t y = o * b_.stride - b_.top + i;
            source[i] = y >= 0 && y < b_.height ? ring_ + place(panel, y) : zeros_;
        }
        const Finish& f = b_.finish[1];
        const int64_t channels = b_.hidden, channel = panel * kPanel;
        float* out = b_.projects() ? lines_ : b_.y + (image_ * b_.out_height + o) * b_.out_width * channels;
        DepthwiseTile t;
        t.lines = source;
        t.tap = channels;
        t.clamp = clamp_of(f.activation);
        t.out_line = b_.out_width * channels;
        t.out_pixel = channels;
        const DepthwiseTiles& tiles = b_.kernel == 3 ? depthwise_tiles_for<3, kPanel>(b_.stride, lines)
                                                     : depthwise_tiles_for<5, kPanel>(b_.stride, lines);
        for (int64_t c = 0; c < b_.columns(panel); c += kLanes) {
            t.weights = b_.taps + channel + c;
            t.bias = f.bias ? f.bias + channel + c : nullptr;
            t.at = c;
            t.out = out + channel + c;
            depthwise_line(t, tiles, b_.out_width, b_.stride * kPanel);
        }
        if (f.activation.id != kLinear && !t.clamp.on)
            for (int64_t i = 0; i < lines * b_.out_width; ++i)
                activate(f.activation, out + i * channels + channel, b_.columns(panel));
    }

    void project(int64_t o, int64_t lines) {
        const int64_t pixels = lines * b_.out_width, tiles = (pixels + kRows - 1) / kRows, zero = 0;
        const float* rows[kRows];
        float* out[kRows];
        float* y = b_.y + (image_ * b_.out_height + o) * b_.out_width * b_.cout;
        for (int64_t i = 0; i < tiles; ++i) {
            const int64_t first = pixels * i / tiles, last = pixels * (i + 1) / tiles;
            for (int64_t j = first; j < last; ++j) {
                rows[j - first] = lines_ + j * b_.hidden;
                out[j - first] = y + j * b_.cout;
            }
            TileArgs t;
            t.runs = {rows, &zero, 1, b_.hidden};
            t.out = out;
            for (int64_t c = 0; c < b_.cout; c += kPanel) {
                t.panel = b_.project + c * b_.hidden;
                t.col = c;
                const int columns = static_cast<int>(std::min<int64_t>(kPanel, b_.cout - c));
                panel_tile(t, static_cast<int>(last - first), columns, b_.finish[2]);
            }
        }
    }

    const Block& b_;
    const BlockScratch layout_;
    BlockPlace* place_;
    float *zeros_, *ring_, *lines_, *copies_, **targets_;
    const float** sources_;
    int64_t image_ = 0, panel0_ = 0, copied_ = 0, offsets_[kMaxWindow];
};

void conv_block(const Step& s) {
    if (s.out[0].size() == 0) return;
    const Block b(s);
    const BlockCut cut(b);
    const std::size_t each = BlockScratch(b).total;
    for (int t = 0; t < s.pool->threads(); ++t)
        *reinterpret_cast<BlockPlace*>(static_cast<char*>(s.scratch) + each * static_cast<std::size_t>(t)) = {};
    parallel_for(*s.pool, cut.items, b.work() > 1 << 17, [&](int64_t item, int thread) {
        const int64_t band = item % cut.bands, image = item / cut.bands % b.batch;
        const int64_t panel = item / cut.bands / b.batch;
        BlockWorker worker(b, static_cast<char*>(s.scratch) + each * static_cast<std::size_t>(thread));
        worker.run(image, band * cut.lines, std::min(b.out_height, (band + 1) * cut.lines), panel,
                   b.projects() ? b.panels() : panel + 1);
    });
}

std::size_t conv_block_scratch(const Step& s, int threads) {
    return BlockScratch(Block(s)).total * static_cast<std::size_t>(threads);
}

const char* check_sizes(const Step& s) {
    if (s.in[0].rank != 4 || s.out[0].rank != 4) return "expected (batch, height, width, channels)";
    if (s.in[0].shape[0] != s.out[0].shape[0]) return "input and output must have one batch size";
    if (s.ints[0] != 3 && s.ints[0] != 5) return "expected a kernel of 3x3 or 5x5";
    if (s.ints[1] != 1 && s.ints[1] != 2) return "expected a stride of 1 or 2";
    for (int i = 2; i < 4; ++i)
        if (s.ints[i] < 0 || s.ints[i] >= s.ints[0]) return "pads must be smaller than the kernel";
    if (s.ints[12] < 1 || s.ints[12] > kMaxWindow || s.ints[13] < 1 || s.ints[14] < 0 || s.ints[15] < 0)
        return "expected a window of 1 to 11, a stride from 1 on, and pads from 0 on";
    if (s.ints[16] < 0 || s.ints[17] < 0) return "the expansion's result has no size";
    const bool same = s.ints[16] == s.in[0].shape[1] && s.ints[17] == s.in[0].shape[2];
    const bool plain = s.ints[12] == 1 && s.ints[13] == 1 && s.ints[14] == 0 && s.ints[15] == 0;
    if (!(s.ints[5] & kExpands) && !(plain && same)) return "without expansion there is no window";
    return s.ints[4] > 0 && s.ints[4] % kHiddenBlock == 0 ? nullptr : "expected channels in sixteens";
}

const char* check_activations(const Step& s) {
    int64_t floats = 0;
    for (int i = 0; i < 3; ++i) {
        if (s.ints[6 + i] < 0 || s.ints[6 + i] >= kActivationCount || s.ints[9 + i] < 0) return "unknown activation";
        floats += s.ints[9 + i];
    }
    return floats == s.n_floats ? nullptr : "expected as many floats as the integers say";
}

const char* check(const Step& s) {
    if (s.n_in < 2 || s.n_out != 1 || s.n_ints != kBlockInts) return "expected the 18 ints of striate.kernels.blocks";
    if (!are_floats(s)) return "all arrays must be float32";
    if (const char* problem = check_sizes(s)) return problem;
    if (const char* problem = check_activations(s)) return problem;
    const int64_t flags = s.ints[5], hidden = s.ints[4], taps = s.ints[0] * s.ints[0];
    const int64_t cin = s.in[0].shape[3], cout = s.out[0].shape[3];
    const int64_t sizes[] = {s.ints[12] * s.ints[12] * cin * padded(hidden, kPanel),
                             hidden,
                             taps * hidden,
                             hidden,
                             hidden * padded(cout, kPanel),
                             cout,
                             s.out[0].size()};
    const int64_t there[] = {flags & kExpands,     flags & kExpandBias, 1, flags & kDepthBias, flags & kProjects,
                             flags & kProjectBias, flags & kAdds};
    if (flags < 0 || flags >= 2 * kAdds) return "flags that this kernel does not know";
    if (!(flags & kExpands) && (cin != hidden || flags & kExpandBias)) return "without expansion nothing is added";
    if (!(flags & kProjects) && (cout != hidden || flags & (kProjectBias | kAdds)))
        return "without projection so is it";
    int next = 1;
    for (int i = 0; i < 7; ++i)
        if (there[i] && (next >= s.n_in || s.in[next++].size() != sizes[i])) return "an operand has another size";
    return next == s.n_in ? nullptr : "more operands than the flags name";
}

constexpr Kernel kKernels[] = {{"conv_block", &conv_block, &conv_block_scratch, &check}};

}  // namespace

extern const KernelTable conv_block_table;
const KernelTable conv_block_table = {kKernels, 1};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
