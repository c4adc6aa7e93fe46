// The convolution and its input gradient where the target has few channels: a vector holds neighbouring pixels of one
// channel instead of channels of one pixel. A band of rows is copied into planes, multiplied, and written back.
#include "core/kernel.h"
#include "core/thread_pool.h"
#include "kernels/conv/check.h"
#include "kernels/conv/finish.h"
#include "kernels/conv/planes.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

#if STRIATE_VEC_BYTES == 64 || defined(__aarch64__)
constexpr int kRegisters = 31, kMostTogether = 8;
#else
constexpr int kRegisters = 15, kMostTogether = 6;
#endif

// One source value of each output: its distance in the planes, and its weights.
struct Term {
    int64_t source, weight;
};

struct FewTile {
    const Term* terms;
    int64_t count;
    const float *source, *weights, *bias;
    float* target;
    int64_t plane;  // from one target channel to the next
    Clamp clamp;
};

// C channels of V vectors of pixels.
template <int C, int V>
__attribute__((noinline)) void few_tile(const FewTile& t, int64_t at) {
    Vec acc[C][V];
    for (int c = 0; c < C; ++c)
        for (int v = 0; v < V; ++v) acc[c][v] = t.bias ? splat(t.bias[c]) : Vec{};
    const float *source = t.source + at, *weights = t.weights;
    for (const Term *term = t.terms, *end = term + t.count; term < end; ++term) {
        const float *x = source + term->source, *w = weights + term->weight;
        Vec xv[V];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) xv[v] = load(x + v * kLanes);
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
            const Vec b = broadcast(w[c]);
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) acc[c][v] += xv[v] * b;
        }
    }
    const bool clamped = t.clamp.on;
    const Vec low = splat(t.clamp.low), high = splat(t.clamp.high);
    float* to = t.target + at;
    const int64_t plane = t.plane;
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v)
            store(to + c * plane + v * kLanes, clamped ? at_most(at_least(acc[c][v], low), high) : acc[c][v]);
}

using FewFn = void (*)(const FewTile&, int64_t);
constexpr int most_vectors(int channels) { return std::min(8, kRegisters / (channels + 1)); }

template <int C, int... V>
constexpr std::array<FewFn, 8> few_row(std::integer_sequence<int, V...>) {
    return {{&few_tile<C, V + 1>...}};
}

template <int... C>
FewFn few_for(int channels, int vectors, std::integer_sequence<int, C...>) {
    static constexpr std::array<FewFn, 8> table[] = {
        few_row<C + 1>(std::make_integer_sequence<int, most_vectors(C + 1)>{})...};
    return table[channels - 1][static_cast<std::size_t>(vectors - 1)];
}

// `pixels` values of each of `channels` planes.
void few_line(const FewTile& t, int channels, int64_t pixels) {
    const int most = most_vectors(channels);
    for (int64_t at = 0; at < pixels; at += most * kLanes) {
        const int vectors = static_cast<int>(std::min<int64_t>(most, (pixels - at + kLanes - 1) / kLanes));
        few_for(channels, vectors, std::make_integer_sequence<int, kMostTogether>{})(t, at);
    }
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// One pass, forward or backward: what is read, what is written, how it is cut. From the shape alone.
struct FewRun {
    bool forward;
    Conv c;
    PlaneSource source;
    Finish finish;
    float* target;
    std::uint8_t* positions = nullptr;  // of maxima that are stored instead of the result
    bool pool;
    int64_t target_dims[kAxes], channels;

    FewRun(const Step& s, bool is_forward) : forward(is_forward), c(read_few(s, is_forward)) {
        source.x = s.in[0].f32();
        source.channels = forward ? c.cin : c.cout;
        std::copy(forward ? c.x : c.y, (forward ? c.x : c.y) + kAxes, source.dims);
        std::copy(forward ? c.y : c.x, (forward ? c.y : c.x) + kAxes, target_dims);
        channels = forward ? c.cout : c.cin;
        source.pooled = c.flags & kHasUnpool;
        if (source.pooled) source.positions = static_cast<const std::uint8_t*>(s.in[s.n_in - 1].data);
        finish = read_finish(s, c.activation, c.flags);
        target = s.out[0].f32();
        pool = c.flags & kHasPool;
        if (c.flags & kHasPositions) positions = static_cast<std::uint8_t*>(s.out[1].data);
    }

    // The convolution, with the sizes that the tensors have before pooling.
    static Conv read_few(const Step& s, bool forward) {
        Conv read = read_conv(s, forward ? s.in[0] : s.out[0], forward ? s.out[0] : s.in[0]);
        for (int i = 0; i < kAxes && (read.flags & (kHasPool | kHasUnpool)); ++i) read.y[i] = unpooled_size(read, i);
        return read;
    }

    // The outputs that share a line of taps of axis 0, and of these the parts that share all their taps.
    int64_t phases() const { return forward ? 1 : c.stride[0]; }
    int64_t parts() const { return forward ? 1 : c.stride[1] * c.stride[2]; }
    Phase part(int64_t phase, int64_t i) const {
        if (forward) return {{forward_axis(c, 0), forward_axis(c, 1), forward_axis(c, 2)}};
        return {
            {backward_axis(c, 0, phase), backward_axis(c, 1, i / c.stride[2]), backward_axis(c, 2, i % c.stride[2])}};
    }
    // What all its parts read, as if there were a tap at every place from the first to the last.
    Phase phase(int64_t i) const {
        Phase all = part(i, 0);
        for (int k = 1; k < kAxes && !forward; ++k) {
            Axis& a = all.axis[k];
            int64_t low = INT64_MAX, high = INT64_MIN;
            for (int64_t p = 0; p < c.stride[k]; ++p) {
                const Axis b = backward_axis(c, k, p);
                if (b.taps == 0) continue;
                const int64_t last = b.offset + (b.taps - 1) * b.offset_step;
                low = std::min({low, b.offset, last});
                high = std::max({high, b.offset, last});
            }
            a.taps = low > high ? 0 : high - low + 1;
            a.offset = low > high ? 0 : low;
            a.offset_step = 1;
        }
        return all;
    }
    int64_t terms() const { return c.taps() * source.channels; }
};

// How a phase is cut into bands of rows.
struct FewCut {
    int64_t rows, bands, items, source_floats, target_plane, target_floats, spare_floats;

    FewCut(const FewRun& run, const Phase& phase) {
        constexpr int64_t kItems = 16;
        const Axis* a = phase.axis;
        const int64_t lines = run.c.batch * a[0].count;
        rows = band_rows(run.source, phase, run.channels, lines, kItems);
        bands = ceil_div(a[1].count, rows);
        items = a[2].count ? lines * bands : 0;
        const Planes planes(run.source, phase, rows);
        source_floats = round_to_line(planes.floats());
        target_plane = round_to_line(rows * planes.pitch() + kSlack);
        target_floats = run.channels * target_plane;
        const int64_t joined = a[2].count / 2 * run.channels + 2 * kMostFew * kLanes;
        spare_floats = round_to_line(std::max(planes.spare_floats(), joined));
    }
    int64_t thread_floats() const { return source_floats + target_floats + spare_floats; }
};

// Scratch: the terms of all phases, the weights as [tap][source channel][target channel], and each thread's planes.
struct FewScratch {
    std::size_t terms, weights, per_thread = 0;

    explicit FewScratch(const FewRun& run) {
        terms = round64(sizeof(Term) * static_cast<std::size_t>(run.terms()));
        weights = round64(sizeof(float) * static_cast<std::size_t>(run.forward ? 0 : run.terms() * run.channels));
        for (int64_t i = 0; i < run.phases(); ++i) {
            const FewCut cut(run, run.phase(i));
            per_thread = std::max(per_thread, round64(sizeof(float) * static_cast<std::size_t>(cut.thread_floats())));
        }
    }
    std::size_t total(int threads) const { return terms + weights + per_thread * static_cast<std::size_t>(threads); }

private:
    static std::size_t round64(std::size_t bytes) { return (bytes + 63) / 64 * 64; }
};

class FewItem {
public:
    FewItem(const FewRun& run, const Phase& phase, const FewCut& cut, const float* weights, float* memory)
        : run_(run),
          phase_(phase),
          cut_(cut),
          planes_(run.source, phase, cut.rows),
          weights_(weights),
          source_(memory),
          target_(memory + cut.source_floats),
          spare_(target_ + cut.target_floats) {}

    const Planes& planes() const { return planes_; }

    void compute(int64_t item, int64_t phase, const Term* terms) {
        const int64_t band = item % cut_.bands, line = item / cut_.bands, depth = phase_.axis[0].count;
        image_ = line / depth;
        j0_ = line % depth;
        first_ = band * cut_.rows;
        rows_ = std::min(cut_.rows, phase_.axis[1].count - first_);
        planes_.fill(source_, image_, j0_, first_, rows_, spare_);
        for (int64_t i = 0; i < run_.parts(); ++i) {
            part_ = run_.part(phase, i);
            const Axis* a = part_.axis;
            rows_ = std::min(cut_.rows, a[1].count - first_);
            const int64_t count = a[0].taps * a[1].taps * a[2].taps * run_.source.channels;
            if (rows_ > 0 && a[2].count > 0) compute_part(terms, count);
            terms += count;
        }
    }

private:
    void compute_part(const Term* terms, int64_t count) {
        const int64_t pixels = (rows_ - 1) * planes_.pitch() + part_.axis[2].count;
        for (int64_t c = 0; c < run_.channels;) {
            const int64_t left = run_.channels - c;
            const auto now = static_cast<int>(left <= kMostTogether ? left : (left + 1) / 2);
            const float* bias = run_.finish.bias ? run_.finish.bias + c : nullptr;
            few_line({terms, count, source_, weights_ + c, bias, target_ + c * cut_.target_plane, cut_.target_plane,
                      late() ? Clamp{} : clamp_of(run_.finish.activation)},
                     now, pixels);
            c += now;
        }
        if (!late() && !clamp_of(run_.finish.activation).on)
            for (int64_t c = 0; c < run_.channels; ++c)
                activate(run_.finish.activation, target_ + c * cut_.target_plane, pixels);
        if (run_.pool) return store_maxima();
        for (int64_t i = 0; i < rows_; ++i) store_row(i);
    }

    // Whether something comes between the sums and the activation.
    bool late() const { return run_.finish.residual || run_.finish.mask; }

    void store_row(int64_t i) {
        const Axis *a = part_.axis, &x = a[2];
        const int64_t z = a[0].start + j0_ * a[0].step, y = a[1].start + (first_ + i) * a[1].step;
        const int64_t* dims = run_.target_dims;
        const int64_t at = (((image_ * dims[0] + z) * dims[1] + y) * dims[2] + x.start) * run_.channels;
        const float* from = target_ + i * planes_.pitch();
        const int64_t step = x.step * run_.channels;
        if (step == 1 && !late()) {
            std::memcpy(run_.target + at, from, sizeof(float) * static_cast<std::size_t>(x.count));
            return;
        }
        join_channels(from, cut_.target_plane, x.count, run_.channels,
                      [&](int64_t p, int64_t c, Vec v, int lanes) { finish(at + p * step + c, v, lanes); });
        if (!late() || run_.finish.activation.id == kLinear) return;
        for (int64_t p = 0; p < x.count; ++p)
            activate(run_.finish.activation, run_.target + at + p * step, run_.channels);
    }

    void finish(int64_t at, Vec v, int lanes) const {
        if (run_.finish.residual) v += load_some(run_.finish.residual + at, lanes);
        if (run_.finish.mask) v = load_some(run_.finish.mask + at, lanes) > Vec{} ? v : Vec{};
        store_some(run_.target + at, v, lanes);
    }

    // 2x2 maxima and where they stood; a NaN counts as the maximum.
    void store_maxima() {
        const int64_t height = run_.target_dims[1] / 2, width = run_.target_dims[2] / 2;
        if (run_.finish.residual) add_residual();
        for (int64_t i = 0; i + 2 <= rows_; i += 2) {
            const int64_t row = ((image_ * height + (first_ + i) / 2) * width) * run_.channels;
            for (int64_t x = 0; x < width; x += kLanes) maxima(i, x, std::min<int64_t>(kLanes, width - x), row);
            if (run_.positions)
                narrow_bytes(spare_ + 2 * kMostFew * kLanes, width * run_.channels, run_.positions + row);
        }
    }

    void maxima(int64_t i, int64_t x, int64_t n, int64_t row) {
        float *values = spare_, *cells = spare_ + kMostFew * kLanes, *joined = spare_ + 2 * kMostFew * kLanes;
        for (int64_t c = 0; c < run_.channels; ++c) {
            const float* from = target_ + c * cut_.target_plane + i * planes_.pitch() + 2 * x;
            Vec v[4];
            unzip(load(from), load(from + kLanes), v[0], v[1], AllLanes{});
            from += planes_.pitch();
            unzip(load(from), load(from + kLanes), v[2], v[3], AllLanes{});
            Vec best = v[0];
            IVec cell = {};
            for (int k = 1; k < 4; ++k) {
                const IVec better = (v[k] > best) | ((v[k] != v[k]) & (best == best));
                best = select(better, v[k], best);
                cell = better ? IVec{} + k : cell;
            }
            store(values + c * kLanes, best);
            store(cells + c * kLanes, bits_to_float(cell));
        }
        const int64_t at = x * run_.channels;
        float* to = run_.target + row + at;
        join_channels(values, kLanes, n, run_.channels, [&](int64_t p, int64_t c, Vec v, int lanes) {
            store_some(to + p * run_.channels + c, v, lanes);
        });
        if (!run_.positions) return;
        join_channels(cells, kLanes, n, run_.channels, [&](int64_t p, int64_t c, Vec v, int lanes) {
            store_some(joined + at + p * run_.channels + c, v, lanes);
        });
    }

    void add_residual() {
        const int64_t width = run_.target_dims[2], channels = run_.channels;
        for (int64_t i = 0; i < rows_; ++i)
            for (int64_t c = 0; c < channels; ++c) {
                const float* from =
                    run_.finish.residual + (image_ * run_.target_dims[1] + first_ + i) * width * channels + c;
                float* to = target_ + c * cut_.target_plane + i * planes_.pitch();
                for (int64_t x = 0; x < width; ++x) to[x] += from[x * channels];
                activate(run_.finish.activation, to, width);
            }
    }

    const FewRun& run_;
    const Phase& phase_;
    const FewCut& cut_;
    const Planes planes_;
    const float* weights_;
    float *source_, *target_, *spare_;
    Phase part_;
    int64_t image_ = 0, j0_ = 0, first_ = 0, rows_ = 0;
};

// The terms of a part in the order of its taps; returns the end of them. `all`: the phase that the planes are of.
Term* list_terms(const FewRun& run, const Phase& part, const Phase& all, const Planes& planes, Term* to) {
    const Axis* a = part.axis;
    const auto place = [&](int axis, int64_t t) {
        const Axis &own = a[axis], &whole = all.axis[axis];
        return run.forward ? t : own.offset + t * own.offset_step - whole.offset;
    };
    for (int64_t t0 = 0; t0 < a[0].taps; ++t0)
        for (int64_t t1 = 0; t1 < a[1].taps; ++t1)
            for (int64_t t2 = 0; t2 < a[2].taps; ++t2) {
                const int64_t k0 = a[0].first_tap + t0 * a[0].tap_step, k1 = a[1].first_tap + t1 * a[1].tap_step;
                const int64_t tap = (k0 * run.c.kernel[1] + k1) * run.c.kernel[2] + a[2].first_tap + t2 * a[2].tap_step;
                for (int64_t i = 0; i < run.source.channels; ++i)
                    *to++ = {planes.offset(t0, place(1, t1), place(2, t2), i),
                             (tap * run.source.channels + i) * run.channels};
            }
    return to;
}

// [tap][cin][cout] with the last two exchanged.
void turn_weights(const Conv& c, const float* from, float* to) {
    for (int64_t tap = 0; tap < c.taps(); ++tap, from += c.cin * c.cout)
        for (int64_t o = 0; o < c.cout; ++o)
            for (int64_t i = 0; i < c.cin; ++i) *to++ = from[i * c.cout + o];
}

void run_phase(const FewRun& run, int64_t number, const Step& s, const FewScratch& layout, const float* weights) {
    const Phase phase = run.phase(number);
    const FewCut cut(run, phase);
    char* base = static_cast<char*>(s.scratch);
    auto* const terms = reinterpret_cast<Term*>(base);
    const Planes planes(run.source, phase, cut.rows);
    Term* end = terms;
    for (int64_t i = 0; i < run.parts(); ++i) end = list_terms(run, run.part(number, i), phase, planes, end);
    const bool parallel = run.c.work() / run.phases() > 1 << 19;
    parallel_for(*s.pool, cut.items, parallel, [&](int64_t i, int thread) {
        auto* memory = reinterpret_cast<float*>(base + layout.terms + layout.weights +
                                                layout.per_thread * static_cast<std::size_t>(thread));
        FewItem(run, phase, cut, weights, memory).compute(i, number, terms);
    });
}

template <bool Forward>
void conv_few(const Step& s) {
    if (s.out[0].size() == 0) return;
    const FewRun run(s, Forward);
    const FewScratch layout(run);
    const float* weights = s.in[1].f32();
    if (!Forward) {
        auto* turned = reinterpret_cast<float*>(static_cast<char*>(s.scratch) + layout.terms);
        turn_weights(run.c, weights, turned);
        weights = turned;
    }
    for (int64_t i = 0; i < run.phases(); ++i) run_phase(run, i, s, layout, weights);
}

template <bool Forward>
std::size_t conv_few_scratch(const Step& s, int threads) {
    return FewScratch(FewRun(s, Forward)).total(threads);
}

template <bool Forward>
const char* check_few(const Step& s) {
    return check_few_conv(s, Forward, kMostFew);
}

constexpr Kernel kKernels[] = {
    {"conv_few", &conv_few<true>, &conv_few_scratch<true>, &check_few<true>},
    {"conv_few_input_grad", &conv_few<false>, &conv_few_scratch<false>, &check_few<false>},
};

}  // namespace

extern const KernelTable conv_few_table;
const KernelTable conv_few_table = {kKernels, 2};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
