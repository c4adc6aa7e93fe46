// Reductions over any axes. What is added is cut into segments chosen from the shape alone: within a block sums are
// float32 in vector lanes, blocks and segments are added in double precision, in a fixed order.
#include <algorithm>

#include "core/kernel.h"
#include "core/math.h"
#include "core/thread_pool.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

using std::int64_t;

constexpr int64_t kSegment = 1 << 15;  // elements
constexpr int64_t kParallel = 1 << 16;
constexpr int64_t kBlock = 512;    // elements of a run that are added in float32
constexpr int64_t kRows = 16;      // rows that are added in float32
constexpr int64_t kColumns = 256;  // columns of one piece of work

struct Sum {
    static constexpr float start = 0;
    static Vec map(Vec x) { return x; }
    static float map(float x) { return x; }
    template <class T>
    static T join(T a, T b) {
        return a + b;
    }
};
struct SumSquares : Sum {
    static Vec map(Vec x) { return x * x; }
    static float map(float x) { return x * x; }
};
struct Prod : Sum {
    static constexpr float start = 1;
    template <class T>
    static T join(T a, T b) {
        return a * b;
    }
};
struct Max : Sum {
    static constexpr float start = -__builtin_inff();
    static Vec join(Vec a, Vec b) { return vmax(a, b); }
    template <class T>
    static T join(T a, T b) {
        return a >= b || a != a ? a : b;
    }
};
struct Min : Sum {
    static constexpr float start = __builtin_inff();
    static Vec join(Vec a, Vec b) { return vmin(a, b); }
    template <class T>
    static T join(T a, T b) {
        return a <= b || a != a ? a : b;
    }
};

struct Axes {
    int rank = 0;
    int64_t size[kMaxRank] = {}, stride[kMaxRank] = {};

    int64_t count() const {
        int64_t n = 1;
        for (int i = 0; i < rank; ++i) n *= size[i];
        return n;
    }
    int64_t offset(int64_t index) const {
        int64_t at = 0;
        for (int i = rank - 1; i >= 0; --i) {
            at += index % size[i] * stride[i];
            index /= size[i];
        }
        return at;
    }
};

// The input as kept and reduced axes around one innermost axis of dense elements.
struct Layout {
    Axes kept, reduced;         // without the innermost axis
    bool inner_reduced = true;  // what happens to it
    int64_t inner = 1;
    int64_t segments = 1;  // pieces into which what is reduced to one output is cut
    int64_t tiles = 1;     // pieces into which a kept innermost axis is cut
    // With inner_reduced: whole runs per segment, or pieces per run where runs are long.
    int64_t runs_per_segment = 1, pieces_per_run = 1;
    int64_t outputs = 1, reduced_size = 1;
};

void add_axis(Axes& axes, int64_t size, int64_t stride) {
    axes.size[axes.rank] = size;
    axes.stride[axes.rank++] = stride;
}

void cut(Layout& l) {
    const int64_t rows = l.reduced.count();
    if (l.inner_reduced) {
        l.pieces_per_run = std::max<int64_t>(1, (l.inner + kSegment - 1) / kSegment);
        l.runs_per_segment = l.pieces_per_run > 1 ? 1 : std::max<int64_t>(1, kSegment / std::max<int64_t>(l.inner, 1));
        l.segments =
            l.pieces_per_run > 1 ? rows * l.pieces_per_run : (rows + l.runs_per_segment - 1) / l.runs_per_segment;
    } else {
        const int64_t width = std::min(l.inner, kColumns);
        l.tiles = (l.inner + kColumns - 1) / kColumns;
        l.runs_per_segment = std::max<int64_t>(kRows, kSegment / std::max<int64_t>(width, 1));
        l.segments = (rows + l.runs_per_segment - 1) / l.runs_per_segment;
    }
    l.segments = std::max<int64_t>(l.segments, 1);
}

Layout layout(const Step& s) {
    const Tensor& x = s.in[0];
    bool is_reduced[kMaxRank] = {};
    for (int i = 1; i < s.n_ints; ++i) is_reduced[s.ints[i]] = true;
    int64_t size[kMaxRank];
    bool flag[kMaxRank];
    int rank = 0;
    for (int i = 0; i < x.rank; ++i) {  // neighbours of one kind become one axis
        if (x.shape[i] == 1) continue;
        if (rank > 0 && flag[rank - 1] == is_reduced[i]) {
            size[rank - 1] *= x.shape[i];
        } else {
            size[rank] = x.shape[i];
            flag[rank++] = is_reduced[i];
        }
    }
    Layout l;
    if (rank > 0) {
        l.inner = size[rank - 1];
        l.inner_reduced = flag[rank - 1];
    }
    int64_t stride[kMaxRank] = {}, step = l.inner;
    for (int i = rank - 2; i >= 0; --i) {
        stride[i] = step;
        step *= size[i];
    }
    for (int i = 0; i + 1 < rank; ++i) add_axis(flag[i] ? l.reduced : l.kept, size[i], stride[i]);
    l.outputs = s.out[0].size();
    l.reduced_size = 1;
    for (int i = 0; i < x.rank; ++i)
        if (is_reduced[i]) l.reduced_size *= x.shape[i];
    cut(l);
    return l;
}

std::size_t scratch_bytes(const Step& s, int) {
    const Layout l = layout(s);
    return l.segments > 1 ? static_cast<std::size_t>(l.outputs * l.segments) * sizeof(double) : 0;
}

// Lanes in a fixed tree.
template <class Op>
float across(Vec v) {
    float lanes[kLanes];
    store(lanes, v);
    for (int half = kLanes / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) lanes[i] = Op::join(lanes[i], lanes[i + half]);
    return lanes[0];
}

template <class Op>
float reduce_block(const float* p, int64_t n) {
    Vec acc[4];
    for (Vec& a : acc) a = splat(Op::start);
    int64_t i = 0;
    for (; i + 4 * kLanes <= n; i += 4 * kLanes)
        for (int k = 0; k < 4; ++k) acc[k] = Op::join(acc[k], Op::map(load(p + i + k * kLanes)));
    for (; i + kLanes <= n; i += kLanes) acc[0] = Op::join(acc[0], Op::map(load(p + i)));
    float value = across<Op>(Op::join(Op::join(acc[0], acc[1]), Op::join(acc[2], acc[3])));
    for (; i < n; ++i) value = Op::join(value, Op::map(p[i]));
    return value;
}

template <class Op>
double reduce_run(const float* p, int64_t n) {
    double total = Op::start;
    for (int64_t i = 0; i < n; i += kBlock)
        total = Op::join(total, static_cast<double>(reduce_block<Op>(p + i, std::min(kBlock, n - i))));
    return total;
}

// One segment of one output, where the innermost axis is reduced.
template <class Op>
double reduce_segment(const Layout& l, const float* x, int64_t segment) {
    if (l.pieces_per_run > 1) {
        const int64_t run = segment / l.pieces_per_run, from = segment % l.pieces_per_run * kSegment;
        return reduce_run<Op>(x + l.reduced.offset(run) + from, std::min(kSegment, l.inner - from));
    }
    const int64_t end = std::min(l.reduced.count(), (segment + 1) * l.runs_per_segment);
    double total = Op::start;
    for (int64_t run = segment * l.runs_per_segment; run < end; ++run)
        total = Op::join(total, reduce_run<Op>(x + l.reduced.offset(run), l.inner));
    return total;
}

// Dense rows of fewer columns than a vector has lanes: as many rows as there are lanes are `width` whole vectors.
template <class Op>
void reduce_narrow(const float* p, int64_t rows, int64_t width, double* total) {
    while (rows >= kLanes) {
        const int64_t groups = std::min(rows / kLanes, kRows);
        Vec acc[kLanes];
        for (int64_t v = 0; v < width; ++v) acc[v] = splat(Op::start);
        for (int64_t g = 0; g < groups; ++g)
            for (int64_t v = 0; v < width; ++v, p += kLanes) acc[v] = Op::join(acc[v], Op::map(load(p)));
        const auto* lanes = reinterpret_cast<const float*>(acc);
        for (int64_t row = 0; row < kLanes; ++row)
            for (int64_t j = 0; j < width; ++j, ++lanes) total[j] = Op::join(total[j], static_cast<double>(*lanes));
        rows -= groups * kLanes;
    }
    for (; rows > 0; --rows)
        for (int64_t j = 0; j < width; ++j, ++p) total[j] = Op::join(total[j], static_cast<double>(Op::map(*p)));
}

// One segment of `width` neighbouring outputs, where the innermost axis is kept.
template <class Op>
void reduce_columns(const Layout& l, const float* x, int64_t segment, int64_t width, double* total) {
    for (int64_t j = 0; j < width; ++j) total[j] = Op::start;
    const int64_t start = segment * l.runs_per_segment;
    const int64_t end = std::min(l.reduced.count(), start + l.runs_per_segment);
    if (width < kLanes && l.inner == width && l.reduced.rank == 1 && l.reduced.stride[0] == width)
        return reduce_narrow<Op>(x + start * width, end - start, width, total);
    for (int64_t row = segment * l.runs_per_segment; row < end; row += kRows) {
        float acc[kColumns];
        for (int64_t j = 0; j < width; ++j) acc[j] = Op::start;
        for (int64_t r = row; r < std::min(end, row + kRows); ++r) {
            const float* p = x + l.reduced.offset(r);
            for (int64_t j = 0; j < width; ++j) acc[j] = Op::join(acc[j], Op::map(p[j]));
        }
        for (int64_t j = 0; j < width; ++j) total[j] = Op::join(total[j], static_cast<double>(acc[j]));
    }
}

// Where a segment's result goes: to the output at once if it is the only one, else to the partial results.
struct Sink {
    float* out;
    double* partial;
    int64_t segments;
    double divisor;

    void put(int64_t output, int64_t segment, double value) const {
        if (segments == 1)
            out[output] = static_cast<float>(value / divisor);
        else
            partial[output * segments + segment] = value;
    }
};

template <class Op>
void run_rows(const Step& s, const Layout& l, const Sink& sink, bool parallel) {
    const int64_t units = l.outputs * l.segments;
    const int64_t each = std::max<int64_t>(1, l.reduced_size / l.segments);
    const int64_t grain = std::max<int64_t>(1, kSegment / each);
    parallel_for(*s.pool, (units + grain - 1) / grain, parallel, [&](int64_t t, int) {
        for (int64_t u = t * grain; u < std::min(units, (t + 1) * grain); ++u) {
            const int64_t output = u / l.segments, segment = u % l.segments;
            sink.put(output, segment, reduce_segment<Op>(l, s.in[0].f32() + l.kept.offset(output), segment));
        }
    });
}

template <class Op>
void run_columns(const Step& s, const Layout& l, const Sink& sink, bool parallel) {
    const int64_t units = l.kept.count() * l.tiles * l.segments;
    parallel_for(*s.pool, units, parallel, [&](int64_t u, int) {
        const int64_t segment = u % l.segments, tile = u / l.segments % l.tiles, outer = u / l.segments / l.tiles;
        const int64_t from = tile * kColumns, width = std::min(kColumns, l.inner - from);
        double total[kColumns];
        reduce_columns<Op>(l, s.in[0].f32() + l.kept.offset(outer) + from, segment, width, total);
        for (int64_t j = 0; j < width; ++j) sink.put(outer * l.inner + from + j, segment, total[j]);
    });
}

template <class Op>
void run_reduce(const Step& s, bool mean) {
    const Layout l = layout(s);
    const Sink sink = {s.out[0].f32(), static_cast<double*>(s.scratch), l.segments,
                       mean ? static_cast<double>(l.reduced_size) : 1.0};
    const bool parallel = s.in[0].size() >= kParallel;
    if (l.inner_reduced)
        run_rows<Op>(s, l, sink, parallel);
    else
        run_columns<Op>(s, l, sink, parallel);
    if (l.segments == 1) return;
    for (int64_t i = 0; i < l.outputs; ++i) {
        double total = Op::start;
        for (int64_t k = 0; k < l.segments; ++k) total = Op::join(total, sink.partial[i * l.segments + k]);
        sink.out[i] = static_cast<float>(total / sink.divisor);
    }
}

// Nothing to reduce: every output is the start value (a mean is 0 / 0).
template <class Op>
void run(const Step& s, bool mean) {
    if (s.in[0].size() > 0) return run_reduce<Op>(s, mean);
    for (int64_t i = 0; i < s.out[0].size(); ++i) s.out[0].f32()[i] = mean ? __builtin_nanf("") : Op::start;
}

void reduce(const Step& s) {
    switch (s.ints[0]) {
        case 0:
            return run<Sum>(s, false);
        case 1:
            return run<Sum>(s, true);
        case 2:
            return run<Max>(s, false);
        case 3:
            return run<Min>(s, false);
        case 4:
            return run<Prod>(s, false);
        default:
            return run<SumSquares>(s, false);
    }
}

const char* check(const Step& s) {
    if (s.n_in != 1 || s.n_out != 1 || s.in[0].dtype != DType::f32 || s.out[0].dtype != DType::f32)
        return "expected one float32 input and output";
    if (s.n_ints < 1 || s.ints[0] < 0 || s.ints[0] > 5) return "expected an operation from 0 to 5 and the axes";
    unsigned seen = 0;
    int64_t kept = 1;
    for (int i = 1; i < s.n_ints; ++i) {
        if (s.ints[i] < 0 || s.ints[i] >= s.in[0].rank || (seen >> s.ints[i] & 1))
            return "axes must be distinct axes of the input";
        seen |= 1u << s.ints[i];
    }
    for (int i = 0; i < s.in[0].rank; ++i)
        if (!(seen >> i & 1)) kept *= s.in[0].shape[i];
    return kept == s.out[0].size() ? nullptr : "the output must have as many elements as the kept axes";
}

constexpr Kernel kKernels[] = {{"reduce", &reduce, &scratch_bytes, &check}};

}  // namespace

extern const KernelTable reduce_table;
const KernelTable reduce_table = {kKernels, 1};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
