// Gradients of pooling. Windows may overlap, so one thread has all pixels of an image for its block of channels, in a
// fixed order.
#include "core/math.h"
#include "core/thread_pool.h"
#include "kernels/pool/window.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int64_t kParallel = 1 << 15;
constexpr int64_t kChannels = 16;  // of one piece of work: a cache line

// Which cell of its window each maximum is: the first one, a NaN counting as the maximum; -1 in a window of padding.
inline IVec winners(const Cells& cells, const float* x, int lanes) {
    Vec best = splat(-__builtin_inff());
    IVec index = IVec{} - 1;
    cells.each([&](int64_t offset, int64_t number) {
        const Vec v = load_some(x + offset, lanes);
        const IVec better = (index < 0) | (v > best) | ((v != v) & (best == best));
        best = select(better, v, best);
        index = better ? IVec{} + static_cast<int>(number) : index;
    });
    return index;
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

void clear(float* x, const Window& w, int lanes) {
    for (int64_t i = 0; i < w.in_pixels(); ++i) store_some(x + i * w.c, Vec{}, lanes);
}

void max_pool_grad(const Step& s) {
    const Window w = read_window(s, s.in[0], s.in[1]);
    const int64_t unpooled = w.in_pixels() * w.c, pooled = w.out_pixels() * w.c;
    each_channel(s, w, [&](int64_t image, int64_t c, int lanes) {
        const float* x = s.in[0].f32() + image * unpooled + c;
        const float* g = s.in[1].f32() + image * pooled + c;
        float* dx = s.out[0].f32() + image * unpooled + c;
        clear(dx, w, lanes);
        each_output(w, [&](const Cells& cells, int64_t at) {
            const IVec index = winners(cells, x, lanes);
            const Vec gradient = load_some(g + at, lanes);
            cells.each([&](int64_t offset, int64_t number) {
                const Vec part = select(index == static_cast<int>(number), gradient, Vec{});
                store_some(dx + offset, load_some(dx + offset, lanes) + part, lanes);
            });
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
    const int64_t unpooled = w.in_pixels() * w.c, pooled = w.out_pixels() * w.c;
    each_channel(s, w, [&](int64_t image, int64_t c, int lanes) {
        const float* g = s.in[0].f32() + image * pooled + c;
        float* dx = s.out[0].f32() + image * unpooled + c;
        clear(dx, w, lanes);
        each_output(w, [&](const Cells& cells, int64_t at) {
            const int64_t count = std::max<int64_t>(w.count_pad ? w.cells() : cells.count(), 1);
            const Vec share = load_some(g + at, lanes) / static_cast<float>(count);
            cells.each([&](int64_t offset, int64_t) {
                store_some(dx + offset, load_some(dx + offset, lanes) + share, lanes);
            });
        });
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

const char* check_avg_grad(const Step& s) {
    if (s.n_in != 1 || s.n_out != 1 || !all_floats(s)) return "expected g and one output, float32";
    return check_window(s, s.out[0], s.in[0]);
}

constexpr Kernel kKernels[] = {{"max_pool_grad", &max_pool_grad, nullptr, &check_max_grad},
                               {"max_pool_gather", &max_pool_gather, nullptr, &check_gather},
                               {"avg_pool_grad", &avg_pool_grad, nullptr, &check_avg_grad}};

}  // namespace

extern const KernelTable pool_grad_table;
const KernelTable pool_grad_table = {kKernels, 3};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
