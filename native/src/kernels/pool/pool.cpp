// Maximum, average and Lp pooling in one, two and three dimensions, channels last.
#include <cmath>

#include "core/math.h"
#include "core/thread_pool.h"
#include "kernels/pool/window.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int64_t kParallel = 1 << 15;  // multiply-adds or the like below which one thread does it alone

struct Max {
    static constexpr float start = -__builtin_inff();
    Vec join(Vec sum, Vec x) const { return vmax(sum, x); }
    Vec finish(Vec sum, int64_t) const { return sum; }
};

struct Average {
    static constexpr float start = 0;
    Vec join(Vec sum, Vec x) const { return sum + x; }
    Vec finish(Vec sum, int64_t cells) const { return sum / static_cast<float>(std::max<int64_t>(cells, 1)); }
};

struct L2 {
    static constexpr float start = 0;
    Vec join(Vec sum, Vec x) const { return sum + x * x; }
    Vec finish(Vec sum, int64_t) const { return vsqrt(sum); }
};

struct Lp {
    static constexpr float start = 0;
    float p;
    static Vec power(Vec x, float p) {
        for (int i = 0; i < kLanes; ++i) x[i] = std::pow(x[i], p);
        return x;
    }
    Vec join(Vec sum, Vec x) const { return sum + power(vabs(x), p); }
    Vec finish(Vec sum, int64_t) const { return power(sum, 1.0f / p); }
};

// NV vectors of channels of one output; the last one has `lanes` of them.
template <int NV, class Op>
inline void pool_cell(const Op& op, const Cells& cells, int64_t count, const float* x, float* y, int lanes) {
    Vec sum[NV];
    for (int v = 0; v < NV; ++v) sum[v] = splat(Op::start);
    cells.each([&](int64_t offset, int64_t) {
        for (int v = 0; v < NV; ++v)
            sum[v] = op.join(sum[v], load_some(x + offset + v * kLanes, NV > 1 ? kLanes : lanes));
    });
    for (int v = 0; v < NV; ++v) store_some(y + v * kLanes, op.finish(sum[v], count), NV > 1 ? kLanes : lanes);
}

template <class Op>
void pool_row(const Op& op, const Window& w, const float* x, float* y, int64_t o0, int64_t o1) {
    for (int64_t o2 = 0; o2 < w.out[2]; ++o2, y += w.c) {
        const Cells cells(w, o0, o1, o2);
        const int64_t count = w.count_pad ? w.cells() : cells.count();
        int64_t c = 0;
        for (; c + 4 * kLanes <= w.c; c += 4 * kLanes) pool_cell<4>(op, cells, count, x + c, y + c, kLanes);
        for (; c + kLanes <= w.c; c += kLanes) pool_cell<1>(op, cells, count, x + c, y + c, kLanes);
        if (c < w.c) pool_cell<1>(op, cells, count, x + c, y + c, static_cast<int>(w.c - c));
    }
}

template <class Op>
void run_pool(const Step& s, const Op& op) {
    const Window w = read_window(s, s.in[0], s.out[0]);
    const int64_t rows = w.out[0] * w.out[1], row = w.out[2] * w.c;
    const bool parallel = w.n * rows * row * w.cells() >= kParallel;
    parallel_for(*s.pool, w.n * rows, parallel, [&](int64_t i, int) {
        const int64_t image = i / rows, r = i % rows;
        const float* x = s.in[0].f32() + image * w.in_pixels() * w.c;
        pool_row(op, w, x, s.out[0].f32() + i * row, r / w.out[1], r % w.out[1]);
    });
}

void max_pool(const Step& s) { run_pool(s, Max{}); }
void avg_pool(const Step& s) { run_pool(s, Average{}); }
void lp_pool(const Step& s) {
    if (s.floats[0] == 2.0) return run_pool(s, L2{});
    run_pool(s, Lp{static_cast<float>(s.floats[0])});
}

const char* check(const Step& s) {
    if (s.n_in != 1 || s.n_out != 1 || !all_floats(s)) return "expected one float32 input and output";
    return check_window(s, s.in[0], s.out[0]);
}

const char* check_lp(const Step& s) {
    if (s.n_floats != 1 || !(s.floats[0] > 0)) return "expected an exponent p > 0";
    return check(s);
}

constexpr Kernel kKernels[] = {{"max_pool", &max_pool, nullptr, &check},
                               {"avg_pool", &avg_pool, nullptr, &check},
                               {"lp_pool", &lp_pool, nullptr, &check_lp}};

}  // namespace

extern const KernelTable pool_table;
const KernelTable pool_table = {kKernels, 3};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
