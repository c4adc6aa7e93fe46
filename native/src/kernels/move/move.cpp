// Kernels that only move elements: transpose, broadcast, slice and its gradient, concat.
#include "kernels/move/strided.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

void transpose(const Step& s) {
    const Tensor& x = s.in[0];
    int64_t strides[kMaxRank], to[kMaxRank];
    dense_strides(x, strides);
    dense_strides(s.out[0], to);
    Copy c;
    for (int i = 0; i < x.rank; ++i) c.add(s.out[0].shape[i], strides[s.ints[i]], to[i]);
    copy_strided(x, 0, s.out[0], 0, c, *s.pool);
}

void broadcast(const Step& s) {
    const Tensor &x = s.in[0], &y = s.out[0];
    int64_t strides[kMaxRank], to[kMaxRank];
    dense_strides(x, strides);
    dense_strides(y, to);
    Copy c;
    for (int i = 0; i < y.rank; ++i) {
        const int j = i - (y.rank - x.rank);
        c.add(y.shape[i], j < 0 || x.shape[j] == 1 ? 0 : strides[j], to[i]);
    }
    copy_strided(x, 0, y, 0, c, *s.pool);
}

// The slice's walk through the whole, and where it starts.
int64_t walk_slice(const Step& s, const Tensor& whole, const Tensor& part, Copy& c, bool reading) {
    int64_t strides[kMaxRank], dense[kMaxRank], start = 0;
    dense_strides(whole, strides);
    dense_strides(part, dense);
    for (int i = 0; i < whole.rank; ++i) {
        const int64_t step = part.shape[i] > 1 ? strides[i] * s.ints[whole.rank + i] : 0;  // else it may be huge
        start += strides[i] * s.ints[i];
        if (reading)
            c.add(part.shape[i], step, dense[i]);
        else
            c.add(part.shape[i], dense[i], step);
    }
    return start;
}

void slice(const Step& s) {
    Copy c;
    const int64_t start = walk_slice(s, s.in[0], s.out[0], c, true);
    if (s.out[0].size() > 0) copy_strided(s.in[0], start, s.out[0], 0, c, *s.pool);
}

void unslice(const Step& s) {
    const int64_t nbytes = s.out[0].size() * item_size(s.out[0].dtype), piece = kParallelBytes;
    parallel_for(*s.pool, (nbytes + piece - 1) / piece, true, [&](int64_t i, int) {
        std::memset(static_cast<char*>(s.out[0].data) + i * piece, 0,
                    static_cast<std::size_t>(std::min(piece, nbytes - i * piece)));
    });
    Copy c;
    const int64_t start = walk_slice(s, s.out[0], s.in[0], c, false);
    if (s.in[0].size() > 0) copy_strided(s.in[0], 0, s.out[0], start, c, *s.pool);
}

void concat(const Step& s) {
    const Tensor& y = s.out[0];
    const int axis = static_cast<int>(s.ints[0]);
    int64_t outer = 1, inner = 1, at = 0;
    for (int i = 0; i < axis; ++i) outer *= y.shape[i];
    for (int i = axis + 1; i < y.rank; ++i) inner *= y.shape[i];
    for (int i = 0; i < s.n_in; ++i) {
        const int64_t run = s.in[i].shape[axis] * inner;
        Copy c;
        c.add(outer, run, y.shape[axis] * inner);
        c.add(run, 1, 1);
        copy_strided(s.in[i], 0, y, at, c, *s.pool);
        at += run;
    }
}

const char* check_pair(const Step& s) {
    if (s.n_in != 1 || s.n_out != 1) return "expected one input and one output";
    return s.in[0].dtype == s.out[0].dtype ? nullptr : "input and output must have one dtype";
}

const char* check_transpose(const Step& s) {
    if (const char* problem = check_pair(s)) return problem;
    const Tensor &x = s.in[0], &y = s.out[0];
    if (s.n_ints != x.rank || y.rank != x.rank) return "expected an order of the input's axes";
    unsigned seen = 0;
    for (int i = 0; i < x.rank; ++i) {
        if (s.ints[i] < 0 || s.ints[i] >= x.rank || (seen >> s.ints[i] & 1))
            return "expected an order of the input's axes";
        seen |= 1u << s.ints[i];
        if (y.shape[i] != x.shape[s.ints[i]]) return "the output's shape does not follow from the axes";
    }
    return nullptr;
}

const char* check_broadcast(const Step& s) {
    if (const char* problem = check_pair(s)) return problem;
    const Tensor &x = s.in[0], &y = s.out[0];
    if (x.rank > y.rank) return "the input does not broadcast to the output";
    for (int i = 1; i <= x.rank; ++i)
        if (x.shape[x.rank - i] != 1 && x.shape[x.rank - i] != y.shape[y.rank - i])
            return "the input does not broadcast to the output";
    return nullptr;
}

const char* check_slice_of(const Step& s, const Tensor& whole, const Tensor& part) {
    if (const char* problem = check_pair(s)) return problem;
    if (part.rank != whole.rank || s.n_ints != 2 * whole.rank) return "expected a start and a step for each axis";
    for (int i = 0; i < whole.rank; ++i) {
        if (part.shape[i] == 0) continue;
        const int64_t first = s.ints[i], span = part.shape[i] > 1 ? (part.shape[i] - 1) * s.ints[whole.rank + i] : 0;
        const int64_t last = first + span;
        if (std::min(first, last) < 0 || std::max(first, last) >= whole.shape[i]) return "the slice leaves the array";
    }
    return nullptr;
}

const char* check_slice(const Step& s) {
    return s.n_in == 1 && s.n_out == 1 ? check_slice_of(s, s.in[0], s.out[0]) : check_pair(s);
}

const char* check_unslice(const Step& s) {
    return s.n_in == 1 && s.n_out == 1 ? check_slice_of(s, s.out[0], s.in[0]) : check_pair(s);
}

const char* check_concat(const Step& s) {
    if (s.n_in < 1 || s.n_out != 1 || s.n_ints != 1) return "expected inputs, one output and the axis";
    const Tensor& y = s.out[0];
    const int64_t axis = s.ints[0];
    if (axis < 0 || axis >= y.rank) return "there is no such axis";
    int64_t total = 0;
    for (int i = 0; i < s.n_in; ++i) {
        if (s.in[i].rank != y.rank || s.in[i].dtype != y.dtype) return "all arrays must have one rank and dtype";
        for (int k = 0; k < y.rank; ++k)
            if (k != axis && s.in[i].shape[k] != y.shape[k]) return "sizes must agree along the other axes";
        total += s.in[i].shape[axis];
    }
    return total == y.shape[axis] ? nullptr : "the sizes along the axis do not add up to the output's";
}

constexpr Kernel kKernels[] = {{"transpose", &transpose, nullptr, &check_transpose},
                               {"broadcast", &broadcast, nullptr, &check_broadcast},
                               {"slice", &slice, nullptr, &check_slice},
                               {"unslice", &unslice, nullptr, &check_unslice},
                               {"concat", &concat, nullptr, &check_concat}};

}  // namespace

extern const KernelTable move_table;
const KernelTable move_table = {kKernels, 5};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
