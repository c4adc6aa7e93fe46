// Casts between dtypes, and rows gathered by index.
#include <type_traits>

#include "kernels/move/strided.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

struct Bool {
    std::uint8_t value;
};

template <class To, class From>
inline void convert_run(const From* from, To* to, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
        if constexpr (std::is_same_v<To, Bool>) {
            to[i].value = from[i] != From(0);
        } else {
            to[i] = static_cast<To>(from[i]);
        }
    }
}

template <class To, class From>
void convert(const Step& s) {
    const auto* from = static_cast<const From*>(s.in[0].data);
    auto* to = static_cast<To*>(s.out[0].data);
    const int64_t n = s.in[0].size(), piece = 1 << 14;
    parallel_for(*s.pool, (n + piece - 1) / piece, n >= 4 * piece, [&](int64_t i, int) {
        convert_run(from + i * piece, to + i * piece, std::min(piece, n - i * piece));
    });
}

template <class To>
void convert_to(const Step& s) {
    switch (s.in[0].dtype) {
        case DType::f32:
            return convert<To, float>(s);
        case DType::f64:
            return convert<To, double>(s);
        case DType::i32:
            return convert<To, std::int32_t>(s);
        case DType::i64:
            return convert<To, int64_t>(s);
        case DType::u8:
        case DType::b8:
            return convert<To, std::uint8_t>(s);
    }
}

void cast(const Step& s) {
    switch (s.out[0].dtype) {
        case DType::f32:
            return convert_to<float>(s);
        case DType::f64:
            return convert_to<double>(s);
        case DType::i32:
            return convert_to<std::int32_t>(s);
        case DType::i64:
            return convert_to<int64_t>(s);
        case DType::u8:
            return convert_to<std::uint8_t>(s);
        case DType::b8:
            return convert_to<Bool>(s);
    }
}

const char* check_cast(const Step& s) {
    if (s.n_in != 1 || s.n_out != 1) return "expected one input and one output";
    return s.in[0].size() == s.out[0].size() ? nullptr : "input and output must have as many elements";
}

int64_t index_at(const Tensor& indices, int64_t i, int64_t n) {
    const bool wide = indices.dtype == DType::i64;
    int64_t at =
        wide ? static_cast<const int64_t*>(indices.data)[i] : static_cast<const std::int32_t*>(indices.data)[i];
    if (at < 0) at += n;
    return std::clamp<int64_t>(at, 0, n - 1);
}

void gather(const Step& s) {
    const Tensor &x = s.in[0], &indices = s.in[1];
    const int axis = static_cast<int>(s.ints[0]);
    int64_t outer = 1, run = item_size(x.dtype);
    for (int i = 0; i < axis; ++i) outer *= x.shape[i];
    for (int i = axis + 1; i < x.rank; ++i) run *= x.shape[i];
    const int64_t n = x.shape[axis], count = indices.size();
    const auto* from = static_cast<const char*>(x.data);
    auto* to = static_cast<char*>(s.out[0].data);
    if (run == 0) return;
    const int64_t grain = std::max<int64_t>(1, (1 << 15) / run), rows = outer * count;
    parallel_for(*s.pool, (rows + grain - 1) / grain, rows * run >= kParallelBytes, [&](int64_t t, int) {
        for (int64_t r = t * grain; r < std::min(rows, (t + 1) * grain); ++r) {
            const int64_t at = r / count * n + index_at(indices, r % count, n);
            std::memcpy(to + r * run, from + at * run, static_cast<std::size_t>(run));
        }
    });
}

const char* check_gather(const Step& s) {
    if (s.n_in != 2 || s.n_out != 1 || s.in[0].dtype != s.out[0].dtype)
        return "expected x, indices, and an output of x's dtype";
    const Tensor &x = s.in[0], &indices = s.in[1], &y = s.out[0];
    if (indices.dtype != DType::i32 && indices.dtype != DType::i64) return "indices must be int32 or int64";
    if (s.n_ints != 1 || s.ints[0] < 0 || s.ints[0] >= x.rank) return "expected an axis of x";
    const int axis = static_cast<int>(s.ints[0]);
    if (y.rank != x.rank - 1 + indices.rank)
        return "the output's shape must be x's with the indices' in the place of the axis";
    bool fits = true;
    for (int i = 0; i < axis; ++i) fits &= y.shape[i] == x.shape[i];
    for (int i = 0; i < indices.rank; ++i) fits &= y.shape[axis + i] == indices.shape[i];
    for (int i = axis + 1; i < x.rank; ++i) fits &= y.shape[i - 1 + indices.rank] == x.shape[i];
    if (!fits) return "the output's shape must be x's with the indices' in the place of the axis";
    return x.shape[axis] == 0 && indices.size() > 0 ? "an axis of size 0 has nothing to take" : nullptr;
}

constexpr Kernel kKernels[] = {{"cast", &cast, nullptr, &check_cast}, {"gather", &gather, nullptr, &check_gather}};

}  // namespace

extern const KernelTable convert_table;
const KernelTable convert_table = {kKernels, 2};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
