// Sums of what a chain of elementwise operations gives, over all axes but the last ones: what is summed is never
// stored. Within a group of rows sums are float32, groups and segments are added in double precision, in an order that
// follows from the shape alone. Attributes: see striate.kernels.attributes.elementwise.
#include <algorithm>

#include "kernels/elementwise/chain.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int64_t kRows = 16;          // that are added in float32
constexpr int64_t kSegment = 1 << 15;  // elements
constexpr int64_t kParallel = 1 << 16;

// What all operands broadcast to: one of them.
const Tensor& full_operand(const Step& s) {
    const auto takes_all = [&](const Tensor& full) {
        return std::all_of(s.in, s.in + s.n_in, [&](const Tensor& x) { return broadcasts(x, full); });
    };
    const Tensor* found = std::find_if(s.in, s.in + s.n_in, takes_all);
    return found == s.in + s.n_in ? s.in[0] : *found;
}

struct Cut {
    int64_t columns, rows, per_segment, segments;

    explicit Cut(const Step& s) : columns(s.out[0].size()) {
        rows = full_operand(s).size() / std::max<int64_t>(columns, 1);
        per_segment = std::max(kRows, kSegment / std::max<int64_t>(columns, 1) / kRows * kRows);
        segments = (rows + per_segment - 1) / per_segment;
    }
    std::size_t sums() const { return (static_cast<std::size_t>(columns) * sizeof(float) + 63) / 64 * 64; }
    std::size_t partial() const { return static_cast<std::size_t>(columns * segments) * sizeof(double); }
};

std::size_t scratch_bytes(const Step& s, int threads) {
    const Cut cut(s);
    const auto chain = (chain_bytes(s, full_operand(s), threads) + 63) / 64 * 64;
    return chain + cut.partial() + cut.sums() * static_cast<std::size_t>(threads);
}

// n values from column `column` on, row after row.
void add(const float* values, int64_t n, int64_t column, int64_t columns, float* sums) {
    while (n > 0) {
        const int64_t here = std::min(n, columns - column);
        for (int64_t j = 0; j < here; ++j) sums[column + j] += values[j];
        values += here;
        n -= here;
        column = 0;
    }
}

void segment(const Cut& cut, Registers& registers, int64_t first, int64_t last, float* sums, double* total) {
    std::fill(total, total + cut.columns, 0.0);
    for (int64_t row = first; row < last; row += kRows) {
        const int64_t end = std::min(last, row + kRows) * cut.columns;
        std::fill(sums, sums + cut.columns, 0.0f);
        for (int64_t i = row * cut.columns; i < end; i += kBlock) {
            const int64_t n = std::min(kBlock, end - i);
            registers.read(i, n);
            add(registers.compute(n, nullptr), n, i % cut.columns, cut.columns, sums);
        }
        for (int64_t j = 0; j < cut.columns; ++j) total[j] += static_cast<double>(sums[j]);
    }
}

void chain_sum(const Step& s) {
    const Cut cut(s);
    const Tensor& full = full_operand(s);
    std::fill(s.out[0].f32(), s.out[0].f32() + cut.columns, 0.0f);
    if (full.size() == 0) return;
    auto* memory = static_cast<char*>(s.scratch);
    Chain chain;
    read_chain(s, full, chain, memory);
    char* behind = memory + (chain_bytes(s, full, s.pool->threads()) + 63) / 64 * 64;
    auto* partial = reinterpret_cast<double*>(behind);
    behind += cut.partial();
    parallel_for(*s.pool, cut.segments, full.size() >= kParallel, [&](int64_t i, int thread) {
        Registers registers(chain, reinterpret_cast<float*>(memory + thread * registers_bytes(s)));
        auto* sums = reinterpret_cast<float*>(behind + static_cast<std::size_t>(thread) * cut.sums());
        const int64_t last = std::min(cut.rows, (i + 1) * cut.per_segment);
        segment(cut, registers, i * cut.per_segment, last, sums, partial + i * cut.columns);
    });
    for (int64_t j = 0; j < cut.columns; ++j) {
        double total = 0;
        for (int64_t i = 0; i < cut.segments; ++i) total += partial[i * cut.columns + j];
        s.out[0].f32()[j] = static_cast<float>(total);
    }
}

const char* check(const Step& s) {
    if (s.n_in < 1 || s.n_out != 1 || s.out[0].dtype != DType::f32) return "expected inputs and one float32 output";
    const Tensor& full = full_operand(s);
    int64_t last = 1;
    for (int i = full.rank; i > 0 && last < s.out[0].size(); --i) last *= full.shape[i - 1];
    if (full.size() && last != s.out[0].size()) return "the output must have as many elements as the last axes";
    return check_chain(s, full);
}

constexpr Kernel kKernels[] = {{"chain_sum", &chain_sum, &scratch_bytes, &check}};

}  // namespace

extern const KernelTable chain_sum_table;
const KernelTable chain_sum_table = {kKernels, 1};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
