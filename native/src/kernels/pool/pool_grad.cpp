// Gradients of pooling. Where windows overlap, one thread has all pixels of an image for its block of channels, in a
// fixed order; where they don't, rows of windows are independent.
#include <cstring>

#include "core/math.h"
#include "core/thread_pool.h"
#include "kernels/pool/window.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int64_t kParallel = 1 << 15;
constexpr int64_t kChannels = 16;  // of one piece of work: a cache line

// Which cell of its window each maximum is: the first one, a NaN counting as the maximum; -1 in a window of padding. N
// vectors of channels side by side, so that none waits for its own comparisons; the last one has `lanes`.
template <int N>
inline void winners(const Cells& cells, const float* x, int lanes, IVec (&index)[N], Vec (&best)[N]) {
    for (int i = 0; i < N; ++i) {
        best[i] = splat(-__builtin_inff());
        index[i] = IVec{} - 1;
    }
    cells.each([&](int64_t offset, int64_t number) {
#pragma GCC unroll 4
        for (int i = 0; i < N; ++i) {
            const Vec v = load_some(x + offset + i * kLanes, i + 1 < N ? kLanes : lanes);
            const IVec better = (index[i] < 0) | (v > best[i]) | ((v != v) & (best[i] == best[i]));
            best[i] = select(better, v, best[i]);
            index[i] = better ? IVec{} + static_cast<int>(number) : index[i];
        }
    });
}

inline IVec winners(const Cells& cells, const float* x, int lanes) {
    IVec index[1];
    Vec best[1];
    winners(cells, x, lanes, index, best);
    return index[0];
}

// Calls f(image, channel, lanes) for each piece of channels that a vector holds.
template <class F>
void each_channel(const Step& s, const Window& w, F&& f) {
    const int64_t blocks = (w.c + kChannels - 1) / kChannels;
    const bool parallel = w.n * w.out_pixels() * w.c * w.cells() >= kParallel;
    parallel_for(*s.pool, w.n * blocks, parallel, [&](int64_t i, int) {
        const int64_t end = std::min(w.c, (i % blocks + 1) * kChannels);
        for (int64_t c = i % blocks * kChannels; c < end; c += kLanes)
            f(i / blocks, c, static_cast<int>(std::min<int64_t>(kLanes, end - c)));
    });
}

template <class F>
void each_output(const Window& w, F&& f) {
    int64_t offset = 0;
    for (int64_t a = 0; a < w.out[0]; ++a)
        for (int64_t b = 0; b < w.out[1]; ++b)
            for (int64_t c = 0; c < w.out[2]; ++c, offset += w.c) f(Cells(w, a, b, c), offset);
}

bool overlap(const Window& w) {
    for (int i = 0; i < 3; ++i)
        if (w.out[i] > 1 && (w.size[i] - 1) * w.dilation[i] + 1 > w.stride[i]) return true;
    return false;
}

// Zero for each pixel's first `lanes` channels.
void clear(float* x, const Window& w, int lanes) {
    for (int64_t i = 0; i < w.in_pixels(); ++i) store_some(x + i * w.c, Vec{}, lanes);
}

void clear_all(const Step& s) {
    const int64_t n = s.out[0].size(), piece = 1 << 16;
    parallel_for(*s.pool, (n + piece - 1) / piece, n >= 2 * piece, [&](int64_t i, int) {
        float* p = s.out[0].f32() + i * piece;
        std::fill(p, p + std::min(piece, n - i * piece), 0.0f);
    });
}

// How a cell gets its part of a gradient: it is the only one, or it is added to what is there.
struct Put {
    void operator()(float* to, Vec part, int lanes) const { store_some(to, part, lanes); }
};
struct Add {
    void operator()(float* to, Vec part, int lanes) const { store_some(to, load_some(to, lanes) + part, lanes); }
};

// One row of windows of one image, all channels.
template <class F>
void spread_row(const Window& w, int64_t row, F&& f) {
    const int64_t rows = w.out[0] * w.out[1], image = row / rows, r = row % rows;
    const int64_t in = image * w.in_pixels() * w.c, out = (image * rows + r) * w.out[2] * w.c;
    for (int64_t o = 0; o < w.out[2]; ++o) {
        const Cells cells(w, r / w.out[1], r % w.out[1], o);
        for (int64_t c = 0; c < w.c; c += kLanes)
            f(cells, in + c, out + o * w.c + c, static_cast<int>(std::min<int64_t>(kLanes, w.c - c)), Put{});
    }
}

// Calls f(cells, where the image's channels begin, where the window's output lies, lanes, put or add) for all windows.
template <class F>
void spread(const Step& s, const Window& w, F&& f) {
    if (!overlap(w)) {
        clear_all(s);
        const int64_t rows = w.n * w.out[0] * w.out[1];
        const bool parallel = rows * w.out[2] * w.c * w.cells() >= kParallel;
        parallel_for(*s.pool, rows, parallel, [&](int64_t row, int) { spread_row(w, row, f); });
        return;
    }
    each_channel(s, w, [&](int64_t image, int64_t c, int lanes) {
        const int64_t in = image * w.in_pixels() * w.c + c, out = image * w.out_pixels() * w.c + c;
        clear(s.out[0].f32() + in, w, lanes);
        each_output(w, [&](const Cells& cells, int64_t at) { f(cells, in, out + at, lanes, Add{}); });
    });
}

// Positions as bytes; a window of padding has none.
typedef std::uint8_t Bytes __attribute__((vector_size(kLanes)));

inline void store_bytes(std::uint8_t* to, IVec index, int lanes) {
    const Bytes bytes = __builtin_convertvector(index, Bytes);
    if (lanes == kLanes)  // a copy of known length is one instruction
        std::memcpy(to, &bytes, kLanes);
    else
        std::memcpy(to, &bytes, static_cast<std::size_t>(lanes));
}

inline IVec load_bytes(const std::uint8_t* from, int lanes) {
    Bytes bytes = {};
    if (lanes == kLanes)
        std::memcpy(&bytes, from, kLanes);
    else
        std::memcpy(&bytes, from, static_cast<std::size_t>(lanes));
    return __builtin_convertvector(bytes, IVec);
}

template <int N>
inline void find_some(const Cells& cells, const float* x, int lanes, std::uint8_t* to, float* maxima) {
    IVec index[N];
    Vec best[N];
    winners(cells, x, lanes, index, best);
    for (int i = 0; i < N; ++i) {
        store_bytes(to + i * kLanes, index[i], i + 1 < N ? kLanes : lanes);
        if (maxima) store_some(maxima + i * kLanes, best[i], i + 1 < N ? kLanes : lanes);
    }
}

// The position of each maximum in its window, for all windows; where they are asked for, the maxima too.
void find_positions(const Step& s, const Window& w, std::uint8_t* to, float* maxima = nullptr) {
    constexpr int64_t kTogether = 4 * kLanes;
    const int64_t rows = w.n * w.out[0] * w.out[1];
    parallel_for(*s.pool, rows, rows * w.out[2] * w.c * w.cells() >= kParallel, [&](int64_t row, int) {
        const int64_t r = row % (w.out[0] * w.out[1]), image = row / (w.out[0] * w.out[1]);
        const float* x = s.in[0].f32() + image * w.in_pixels() * w.c;
        Cells cells(w, r / w.out[1], r % w.out[1], 0);
        for (int64_t o = 0, at = row * w.out[2] * w.c; o < w.out[2]; ++o, at += w.c) {
            cells.c = span(w, 2, o);
            const auto find = [&](auto find_n, int64_t c, int lanes) {
                find_n(cells, x + c, lanes, to + at + c, maxima ? maxima + at + c : nullptr);
            };
            int64_t c = 0;
            for (; c + kTogether <= w.c; c += kTogether) find(find_some<4>, c, kLanes);
            for (; c < w.c; c += kLanes) find(find_some<1>, c, static_cast<int>(std::min<int64_t>(kLanes, w.c - c)));
        }
    });
}

// The outputs whose windows reach input i along one axis.
struct Reach {
    int64_t first, last, offset;  // output o has it as cell offset - o * stride

    Reach(const Window& w, int axis, int64_t i) : offset(i + w.low[axis]) {
        const int64_t before = offset - w.size[axis] + 1;
        first = before <= 0 ? 0 : (before + w.stride[axis] - 1) / w.stride[axis];
        last = std::min(w.out[axis] - 1, offset / w.stride[axis]);
    }
};

// Where windows overlap, each input takes what is its own: the positions of all maxima first, then row by row.
bool gathers(const Window& w) {
    return overlap(w) && w.dilation[0] == 1 && w.dilation[1] == 1 && w.dilation[2] == 1 && w.cells() < 256;
}

// The windows that an input belongs to along its last axis: where their outputs begin, and as which cell. The next
// output has it as a cell that lies a stride before.
struct Column {
    int64_t at, count;
    int cell;
};

// The same along the axes before.
struct Lines {
    int64_t count = 0, at[255];
    int cell[255];

    Lines(const Window& w, const Reach& i, const Reach& j) {
        for (int64_t a = i.first; a <= i.last; ++a)
            for (int64_t b = j.first; b <= j.last; ++b) {
                const int64_t row = (i.offset - a * w.stride[0]) * w.size[1] + j.offset - b * w.stride[1];
                at[count] = (a * w.out[1] + b) * w.out[2] * w.c;
                cell[count++] = static_cast<int>(row * w.size[2]);
            }
    }
};

std::size_t places_bytes(const Step& s) { return (static_cast<std::size_t>(s.in[1].size()) + kLanes + 63) / 64 * 64; }

std::size_t max_pool_grad_scratch(const Step& s, int) {
    const Window w = read_window(s, s.in[0], s.in[1]);
    return gathers(w) ? places_bytes(s) + sizeof(Column) * static_cast<std::size_t>(w.in[2]) : 0;
}

void list_columns(const Window& w, Column* to) {
    for (int64_t x = 0; x < w.in[2]; ++x) {
        const Reach k(w, 2, x);
        to[x] = {k.first * w.c, k.last - k.first + 1, static_cast<int>(k.offset - k.first * w.stride[2])};
    }
}

// What the maxima in all windows of one input give it: N vectors of channels, the last one of `lanes`.
template <int N>
inline void take(const Window& w, const Lines& lines, const Column& column, const std::uint8_t* places, const float* g,
                 float* to, int lanes) {
    Vec total[N] = {};
    const int stride = static_cast<int>(w.stride[2]);
    for (int64_t line = 0; line < lines.count; ++line) {
        int64_t at = lines.at[line] + column.at;
        int cell = lines.cell[line] + column.cell;
        for (int64_t k = 0; k < column.count; ++k, at += w.c, cell -= stride) {
#pragma GCC unroll 4
            for (int i = 0; i < N; ++i) {
                const int here = i + 1 < N ? kLanes : lanes;
                const IVec is_here = load_bytes(places + at + i * kLanes, here) == cell;
                total[i] += select(is_here, load_some(g + at + i * kLanes, here), Vec{});
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < N; ++i) store_some(to + i * kLanes, total[i], i + 1 < N ? kLanes : lanes);
}

void gather_row(const Step& s, const Window& w, const std::uint8_t* places, const Column* columns, int64_t i) {
    constexpr int64_t kTogether = 4 * kLanes;
    const int64_t rows = w.in[0] * w.in[1], image = i / rows, row = i % rows, at = image * w.out_pixels() * w.c;
    float* to = s.out[0].f32() + i * w.in[2] * w.c;
    const float* g = s.in[1].f32() + at;
    places += at;
    const Lines lines(w, Reach(w, 0, row / w.in[1]), Reach(w, 1, row % w.in[1]));
    for (int64_t x = 0; x < w.in[2]; ++x, to += w.c) {
        int64_t c = 0;
        for (; c + kTogether <= w.c; c += kTogether) take<4>(w, lines, columns[x], places + c, g + c, to + c, kLanes);
        for (; c < w.c; c += kLanes) {
            const auto lanes = static_cast<int>(std::min<int64_t>(kLanes, w.c - c));
            take<1>(w, lines, columns[x], places + c, g + c, to + c, lanes);
        }
    }
}

void gather_grad(const Step& s, const Window& w) {
    auto* places = static_cast<std::uint8_t*>(s.scratch);
    auto* columns = reinterpret_cast<Column*>(places + places_bytes(s));
    find_positions(s, w, places);
    list_columns(w, columns);
    const bool parallel = w.n * w.out_pixels() * w.c * w.cells() >= kParallel;
    parallel_for(*s.pool, w.n * w.in[0] * w.in[1], parallel,
                 [&](int64_t i, int) { gather_row(s, w, places, columns, i); });
}

void max_pool_grad(const Step& s) {
    const Window w = read_window(s, s.in[0], s.in[1]);
    if (gathers(w)) return gather_grad(s, w);
    spread(s, w, [&](const Cells& cells, int64_t in, int64_t out, int lanes, auto give) {
        const IVec index = winners(cells, s.in[0].f32() + in, lanes);
        const Vec gradient = load_some(s.in[1].f32() + out, lanes);
        float* dx = s.out[0].f32() + in;
        cells.each([&](int64_t offset, int64_t number) {
            give(dx + offset, select(index == static_cast<int>(number), gradient, Vec{}), lanes);
        });
    });
}

void max_pool_positions(const Step& s) {
    float* maxima = s.n_out > 1 ? s.out[1].f32() : nullptr;
    find_positions(s, read_window(s, s.in[0], s.out[0]), static_cast<std::uint8_t*>(s.out[0].data), maxima);
}

void unpool(const Step& s) {
    const Window w = read_window(s, s.out[0], s.in[1]);
    const auto* places = static_cast<const std::uint8_t*>(s.in[0].data);
    spread(s, w, [&](const Cells& cells, int64_t in, int64_t out, int lanes, auto give) {
        const IVec index = load_bytes(places + out, lanes);
        const Vec gradient = load_some(s.in[1].f32() + out, lanes);
        cells.each([&](int64_t offset, int64_t number) {
            const Vec part = select(index == static_cast<int>(number), gradient, Vec{});
            give(s.out[0].f32() + in + offset, part, lanes);
        });
    });
}

void max_pool_gather(const Step& s) {
    const Window w = read_window(s, s.in[0], s.out[0]);
    const int64_t unpooled = w.in_pixels() * w.c, pooled = w.out_pixels() * w.c;
    each_channel(s, w, [&](int64_t image, int64_t c, int lanes) {
        const float* x = s.in[0].f32() + image * unpooled + c;
        const float* v = s.in[1].f32() + image * unpooled + c;
        float* y = s.out[0].f32() + image * pooled + c;
        each_output(w, [&](const Cells& cells, int64_t at) {
            const IVec index = winners(cells, x, lanes);
            Vec chosen = {};
            cells.each([&](int64_t offset, int64_t number) {
                chosen = select(index == static_cast<int>(number), load_some(v + offset, lanes), chosen);
            });
            store_some(y + at, chosen, lanes);
        });
    });
}

void avg_pool_grad(const Step& s) {
    const Window w = read_window(s, s.out[0], s.in[0]);
    spread(s, w, [&](const Cells& cells, int64_t in, int64_t out, int lanes, auto give) {
        const int64_t count = std::max<int64_t>(w.count_pad ? w.cells() : cells.count(), 1);
        const Vec share = load_some(s.in[0].f32() + out, lanes) / static_cast<float>(count);
        cells.each([&](int64_t offset, int64_t) { give(s.out[0].f32() + in + offset, share, lanes); });
    });
}

bool same_shape(const Tensor& a, const Tensor& b) {
    if (a.rank != b.rank) return false;
    return std::equal(a.shape, a.shape + a.rank, b.shape);
}

const char* check_max_grad(const Step& s) {
    if (s.n_in != 2 || s.n_out != 1 || !all_floats(s)) return "expected x, g and one output, float32";
    if (!same_shape(s.in[0], s.out[0])) return "the output must have the shape of x";
    return check_window(s, s.in[0], s.in[1]);
}

const char* check_gather(const Step& s) {
    if (s.n_in != 2 || s.n_out != 1 || !all_floats(s)) return "expected x, v and one output, float32";
    if (!same_shape(s.in[0], s.in[1])) return "v must have the shape of x";
    return check_window(s, s.in[0], s.out[0]);
}

const char* check_positions(const Step& s) {
    const bool outputs = s.n_out == 1 || (s.n_out == 2 && s.out[1].dtype == DType::f32);
    const bool typed = s.n_in == 1 && outputs && s.in[0].dtype == DType::f32 && s.out[0].dtype == DType::u8;
    if (!typed) return "expected one float32 input, an output of bytes, and perhaps one for the maxima";
    if (s.n_out == 2 && !same_shape(s.out[0], s.out[1])) return "maxima and positions must have one shape";
    return check_window(s, s.in[0], s.out[0]);
}

const char* check_unpool(const Step& s) {
    if (s.n_in != 2 || s.n_out != 1) return "expected positions, g and one output";
    const bool typed = s.in[0].dtype == DType::u8 && s.in[1].dtype == DType::f32 && s.out[0].dtype == DType::f32;
    if (!typed || !same_shape(s.in[0], s.in[1])) return "expected bytes, and float32 of the same shape";
    return check_window(s, s.out[0], s.in[1]);
}

const char* check_avg_grad(const Step& s) {
    if (s.n_in != 1 || s.n_out != 1 || !all_floats(s)) return "expected g and one output, float32";
    return check_window(s, s.out[0], s.in[0]);
}

constexpr Kernel kKernels[] = {{"max_pool_grad", &max_pool_grad, &max_pool_grad_scratch, &check_max_grad},
                               {"max_pool_gather", &max_pool_gather, nullptr, &check_gather},
                               {"max_pool_positions", &max_pool_positions, nullptr, &check_positions},
                               {"unpool", &unpool, nullptr, &check_unpool},
                               {"avg_pool_grad", &avg_pool_grad, nullptr, &check_avg_grad}};

}  // namespace

extern const KernelTable pool_grad_table;
const KernelTable pool_grad_table = {kKernels, 5};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
