// Padding by a constant, or by the input continued: reflected (with or without its edge), held, or wrapped around.
#include "kernels/move/strided.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

enum Mode : int64_t { kConstant, kReflect, kSymmetric, kEdge, kWrap, kModes };

int64_t floor_mod(int64_t a, int64_t n) { return (a % n + n) % n; }

// The element of an axis of n that cell i (from 0, outside too) copies; -1: the constant.
int64_t source(int64_t mode, int64_t i, int64_t n) {
    if (i >= 0 && i < n) return i;
    switch (mode) {
        case kConstant:
            return -1;
        case kEdge:
            return i < 0 ? 0 : n - 1;
        case kWrap:
            return floor_mod(i, n);
        case kSymmetric: {
            const int64_t at = floor_mod(i, 2 * n);
            return at < n ? at : 2 * n - 1 - at;
        }
        default: {
            if (n == 1) return 0;
            const int64_t at = floor_mod(i, 2 * n - 2);
            return at < n ? at : 2 * n - 2 - at;
        }
    }
}

template <class T>
struct Pad {
    const Step& s;
    const Tensor &x, &y;
    int64_t mode;
    T value;

    explicit Pad(const Step& step, T constant)
        : s(step), x(step.in[0]), y(step.out[0]), mode(step.ints[0]), value(constant) {}

    int64_t low(int axis) const { return s.ints[1 + 2 * axis]; }

    // The input's row that an output's row copies, or -1: all constant.
    int64_t source_row(int64_t row) const {
        int64_t at = 0, step = 1;
        for (int i = y.rank - 2; i >= 0; --i) {
            const int64_t from = source(mode, row % y.shape[i] - low(i), x.shape[i]);
            if (from < 0) return -1;
            at += from * step;
            step *= x.shape[i];
            row /= y.shape[i];
        }
        return at;
    }

    void border(const T* from, T* to, int64_t begin, int64_t end, int64_t lo, int64_t n) const {
        for (int64_t j = begin; j < end; ++j) {
            const int64_t at = source(mode, j - lo, n);
            to[j] = at < 0 ? value : from[at];
        }
    }

    void fill_row(int64_t row, int64_t width) const {
        T* to = static_cast<T*>(y.data) + row * width;
        const int64_t at = source_row(row);
        if (at < 0) return std::fill(to, to + width, value);
        const int last = y.rank - 1;
        const int64_t lo = low(last), n = x.shape[last];
        const T* from = static_cast<const T*>(x.data) + at * n;
        border(from, to, 0, lo, lo, n);
        std::copy(from, from + n, to + lo);
        border(from, to, lo + n, width, lo, n);
    }

    void run() const {
        const int64_t width = y.shape[y.rank - 1];
        if (y.size() == 0) return;
        const int64_t rows = y.size() / width, grain = std::max<int64_t>(1, 4096 / width);
        const bool parallel = y.size() * static_cast<int64_t>(sizeof(T)) >= kParallelBytes;
        parallel_for(*s.pool, (rows + grain - 1) / grain, parallel, [&](int64_t t, int) {
            for (int64_t r = t * grain; r < std::min(rows, (t + 1) * grain); ++r) fill_row(r, width);
        });
    }
};

void pad(const Step& s) {
    const double value = s.floats[0];
    switch (s.in[0].dtype) {
        case DType::f32:
            return Pad<float>(s, static_cast<float>(value)).run();
        case DType::f64:
            return Pad<double>(s, value).run();
        case DType::i32:
            return Pad<std::int32_t>(s, static_cast<std::int32_t>(value)).run();
        case DType::i64:
            return Pad<int64_t>(s, static_cast<int64_t>(value)).run();
        case DType::u8:
            return Pad<std::uint8_t>(s, static_cast<std::uint8_t>(static_cast<int64_t>(value))).run();
        case DType::b8:
            return Pad<std::uint8_t>(s, value != 0).run();
    }
}

const char* check(const Step& s) {
    if (s.n_in != 1 || s.n_out != 1 || s.in[0].dtype != s.out[0].dtype)
        return "expected an input and an output of one dtype";
    const Tensor &x = s.in[0], &y = s.out[0];
    if (x.rank < 1 || y.rank != x.rank) return "expected at least one axis, and as many in the output";
    if (s.n_ints != 1 + 2 * x.rank || s.n_floats != 1) return "expected a mode, two sizes for each axis, and a value";
    if (s.ints[0] < 0 || s.ints[0] >= kModes) return "unknown mode";
    for (int i = 0; i < x.rank; ++i) {
        const int64_t lo = s.ints[1 + 2 * i], hi = s.ints[2 + 2 * i];
        if (lo < 0 || hi < 0) return "padding must not be negative";
        if (y.shape[i] != x.shape[i] + lo + hi) return "the output's shape does not follow from the padding";
        if (s.ints[0] != kConstant && x.shape[i] == 0 && lo + hi > 0)
            return "an axis of size 0 has nothing to continue";
    }
    return nullptr;
}

constexpr Kernel kKernels[] = {{"pad", &pad, nullptr, &check}};

}  // namespace

extern const KernelTable pad_table;
const KernelTable pad_table = {kKernels, 1};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
