// Softmax and its logarithm along any axis; the maximum is subtracted first. A piece of work is a row, or kColumns
// neighbouring columns.
#include <algorithm>

#include "core/kernel.h"
#include "core/math.h"
#include "core/thread_pool.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

using std::int64_t;

constexpr int64_t kParallel = 1 << 14;
constexpr int64_t kColumns = 64;
constexpr float kLowest = -__builtin_inff();

// Calls f(position, lanes) along n values.
template <class F>
inline void each_vector(int64_t n, F&& f) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) f(i, kLanes);
    if (i < n) f(i, static_cast<int>(n - i));
}

float highest(const float* x, int64_t n) {
    Vec top = splat(kLowest);
    each_vector(n, [&](int64_t i, int lanes) { top = vmax(top, load_some(x + i, lanes, kLowest)); });
    float result = kLowest;
    for (int k = 0; k < kLanes; ++k) result = result >= top[k] || result != result ? result : top[k];
    return result;
}

// The sum of exp(x - top); writes the exponentials to y if that is given.
double exponentials(const float* x, float* y, int64_t n, float top) {
    double total = 0;
    for (int64_t from = 0; from < n; from += 1024) {
        Vec sum = {};
        each_vector(std::min<int64_t>(1024, n - from), [&](int64_t i, int lanes) {
            const Vec e = vexp(load_some(x + from + i, lanes, kLowest) - top);
            // Lanes beyond the end hold exp(-inf - top): 0, or NaN where top is not finite, which the row then is too.
            sum += e;
            if (y) store_some(y + from + i, e, lanes);
        });
        for (int k = 0; k < kLanes; ++k) total += static_cast<double>(sum[k]);
    }
    return total;
}

void row(const float* x, float* y, int64_t n, bool log) {
    const float top = highest(x, n);
    const double total = exponentials(x, log ? nullptr : y, n, top);
    if (log) {
        const float shift = static_cast<float>(__builtin_log(total));
        each_vector(n, [&](int64_t i, int lanes) { store_some(y + i, load_some(x + i, lanes) - top - shift, lanes); });
    } else {
        const float scale = static_cast<float>(total);
        each_vector(n, [&](int64_t i, int lanes) { store_some(y + i, load_some(y + i, lanes) / scale, lanes); });
    }
}

// A vector of columns, `stride` from one value to the next.
void column(const float* x, float* y, int64_t n, int64_t stride, int lanes, bool log) {
    Vec top = splat(kLowest), sum = {};
    for (int64_t i = 0; i < n; ++i) top = vmax(top, load_some(x + i * stride, lanes));
    for (int64_t i = 0; i < n; ++i) sum += vexp(load_some(x + i * stride, lanes) - top);
    const Vec shift = log ? vlog(sum) : Vec{};
    for (int64_t i = 0; i < n; ++i) {
        const Vec centred = load_some(x + i * stride, lanes) - top;
        store_some(y + i * stride, log ? centred - shift : vexp(centred) / sum, lanes);
    }
}

void softmax(const Step& s) {
    const Tensor& t = s.in[0];
    const int axis = static_cast<int>(s.ints[0]);
    const bool log = s.ints[1] != 0;
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < axis; ++i) outer *= t.shape[i];
    for (int i = axis + 1; i < t.rank; ++i) inner *= t.shape[i];
    const int64_t n = t.shape[axis];
    const float* x = t.f32();
    float* y = s.out[0].f32();
    const bool parallel = t.size() >= kParallel;
    if (t.size() == 0) return;
    if (inner == 1) {
        const int64_t grain = std::max<int64_t>(1, 4096 / n);
        parallel_for(*s.pool, (outer + grain - 1) / grain, parallel, [&](int64_t p, int) {
            for (int64_t r = p * grain; r < std::min(outer, (p + 1) * grain); ++r) row(x + r * n, y + r * n, n, log);
        });
        return;
    }
    const int64_t tiles = (inner + kColumns - 1) / kColumns;
    parallel_for(*s.pool, outer * tiles, parallel, [&](int64_t p, int) {
        const int64_t from = p % tiles * kColumns, base = p / tiles * n * inner + from;
        each_vector(std::min(kColumns, inner - from),
                    [&](int64_t i, int lanes) { column(x + base + i, y + base + i, n, inner, lanes, log); });
    });
}

const char* check(const Step& s) {
    if (s.n_in != 1 || s.n_out != 1 || s.in[0].dtype != DType::f32 || s.out[0].dtype != DType::f32)
        return "expected one float32 input and output";
    if (s.n_ints != 2 || s.ints[0] < 0 || s.ints[0] >= s.in[0].rank) return "expected an axis of the input";
    return s.in[0].size() == s.out[0].size() ? nullptr : "the output must have the shape of the input";
}

constexpr Kernel kKernels[] = {{"softmax", &softmax, nullptr, &check}};

}  // namespace

extern const KernelTable softmax_table;
const KernelTable softmax_table = {kKernels, 1};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
