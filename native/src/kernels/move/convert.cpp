// Casts between dtypes, rows gathered by index, one-hot rows, sums of integers.
#include <limits>
#include <type_traits>

#include "kernels/move/strided.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

struct Bool {
    std::uint8_t value;
};

// Cut off towards zero. What no integer of the type holds becomes the lowest one, which is what processors say.
template <class To, class From>
inline To whole(From x) {
    constexpr auto low = static_cast<From>(std::numeric_limits<To>::min());
    constexpr auto high = static_cast<From>(std::numeric_limits<To>::max() / 2 + 1) * 2;
    return x >= low && x < high ? static_cast<To>(x) : std::numeric_limits<To>::min();
}

template <class To, class From>
inline void convert_run(const From* from, To* to, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
        if constexpr (std::is_same_v<To, Bool>) {
            to[i].value = from[i] != From(0);
        } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
            to[i] = whole<To>(from[i]);
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

// A row of zeros for each index, with a one where it points to; one that points outside has none.
template <class Index>
void one_hot_rows(const Step& s) {
    const auto* from = static_cast<const Index*>(s.in[0].data);
    const int64_t depth = s.out[0].shape[s.out[0].rank - 1], rows = s.in[0].size();
    std::fill(s.out[0].f32(), s.out[0].f32() + s.out[0].size(), 0.0f);
    for (int64_t i = 0; i < rows; ++i) {
        const auto at = static_cast<int64_t>(from[i]);
        if (at >= 0 && at < depth) s.out[0].f32()[i * depth + at] = 1.0f;
    }
}

void one_hot(const Step& s) {
    if (s.in[0].dtype == DType::i64) return one_hot_rows<int64_t>(s);
    if (s.in[0].dtype == DType::i32) return one_hot_rows<std::int32_t>(s);
    one_hot_rows<std::uint8_t>(s);
}

const char* check_one_hot(const Step& s) {
    if (s.n_in != 1 || s.n_out != 1 || s.out[0].dtype != DType::f32) return "expected indices and a float32 output";
    const Tensor &x = s.in[0], &y = s.out[0];
    if (x.dtype == DType::f32 || x.dtype == DType::f64 || x.dtype == DType::b8) return "indices must be integers";
    const bool fits = y.rank == x.rank + 1 && std::equal(x.shape, x.shape + x.rank, y.shape);
    return fits ? nullptr : "the output's shape must be the indices' with the depth behind it";
}

template <class T, class Bits>
void add_as(const Step& s) {
    const auto *a = static_cast<const T*>(s.in[0].data), *b = static_cast<const T*>(s.in[1].data);
    auto* to = static_cast<T*>(s.out[0].data);
    const int64_t n = s.out[0].size();  // sums wrap around, as NumPy's
    for (int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(static_cast<Bits>(a[i]) + static_cast<Bits>(b[i]));
}

void add_integers(const Step& s) {
    if (s.out[0].dtype == DType::i32) return add_as<std::int32_t, std::uint32_t>(s);
    add_as<int64_t, std::uint64_t>(s);
}

const char* check_add(const Step& s) {
    if (s.n_in != 2 || s.n_out != 1) return "expected two inputs and one output";
    const DType type = s.out[0].dtype;
    const bool same = s.in[0].dtype == type && s.in[1].dtype == type;
    if (!same || (type != DType::i32 && type != DType::i64)) return "expected int32 or int64 throughout";
    const int64_t n = s.out[0].size();
    return s.in[0].size() == n && s.in[1].size() == n ? nullptr : "inputs and output must have as many elements";
}

constexpr Kernel kKernels[] = {{"cast", &cast, nullptr, &check_cast},
                               {"gather", &gather, nullptr, &check_gather},
                               {"one_hot", &one_hot, nullptr, &check_one_hot},
                               {"add_integers", &add_integers, nullptr, &check_add}};

}  // namespace

extern const KernelTable convert_table;
const KernelTable convert_table = {kKernels, 4};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
