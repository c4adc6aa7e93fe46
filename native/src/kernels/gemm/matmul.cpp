// Matrix products: batched with both operands given, and with a right operand packed once (Dense).
#include "kernels/conv/check.h"
#include "kernels/conv/finish.h"
#include "kernels/conv/gather.h"
#include "kernels/gemm/pack.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

constexpr int kWide = 8;  // vectors of columns that a single row takes at once

// Integers as src/striate/kernels/conv.py encodes them: transpose a, transpose b, activation, flags.
struct Product {
    int64_t m, k, n, batch = 1, batch_a = 1, batch_b = 1;
    bool transpose_a, transpose_b;
    const float *a, *b;
    float* out;
    Finish finish;

    int64_t panels() const { return (n + kPanel - 1) / kPanel; }
    int64_t tiles() const { return (m + kRows - 1) / kRows; }
};

Finish finish_of(const Step& s) { return read_finish(s, static_cast<int>(s.ints[2]), static_cast<int>(s.ints[3])); }

Product read_product(const Step& s) {
    const Tensor &a = s.in[0], &b = s.in[1], &y = s.out[0];
    Product p;
    p.transpose_a = s.ints[0] != 0;
    p.transpose_b = s.ints[1] != 0;
    p.m = y.shape[y.rank - 2];
    p.n = y.shape[y.rank - 1];
    p.k = a.shape[a.rank - (p.transpose_a ? 2 : 1)];
    for (int i = 0; i < y.rank - 2; ++i) p.batch *= y.shape[i];
    for (int i = 0; i < a.rank - 2; ++i) p.batch_a *= a.shape[i];
    for (int i = 0; i < b.rank - 2; ++i) p.batch_b *= b.shape[i];
    p.a = a.f32();
    p.b = b.f32();
    p.out = y.f32();
    return p;
}

// One row times unpacked columns, kWide vectors at a time: reads each row of b in long pieces.
void wide_row(const float* a, const float* b, int64_t k, int64_t ldb, const float* bias, const float* residual,
              bool relu, float* y) {
    Vec acc[kWide] = {};
    for (int64_t i = 0; i < k; ++i, b += ldb) {
        const Vec x = broadcast(a[i]);
#pragma GCC unroll 8
        for (int v = 0; v < kWide; ++v) acc[v] += x * load(b + v * kLanes);
    }
    for (int v = 0; v < kWide; ++v) {
        Vec r = acc[v];
        if (bias) r += load(bias + v * kLanes);
        if (residual) r += load(residual + v * kLanes);
        store(y + v * kLanes, relu ? at_least(r, Vec{}) : r);
    }
}

float dot(const float* a, const float* b, int64_t k) {
    Vec acc[4] = {};
    int64_t i = 0;
    for (; i + 4 * kLanes <= k; i += 4 * kLanes)
        for (int v = 0; v < 4; ++v) acc[v] += load(a + i + v * kLanes) * load(b + i + v * kLanes);
    const Vec all = (acc[0] + acc[1]) + (acc[2] + acc[3]);
    float sum = 0.0f;
    for (int lane = 0; lane < kLanes; ++lane) sum += all[lane];
    for (; i < k; ++i) sum += a[i] * b[i];
    return sum;
}

class Runner {
public:
    Runner(const Product& p, const Step& s) : p_(p), s_(s) {
        a_copy_ = static_cast<float*>(s.scratch);
        panels_ = a_copy_ + copy_floats(p);
    }

    // Panels that stay in the cache side by side, so that a row of a is read once for all of them.
    static int64_t together(const Product& p) {
        constexpr int64_t kCacheFloats = 512 * 1024 / 4, kMost = 8;
        return std::clamp<int64_t>(kCacheFloats / std::max<int64_t>(p.k * kPanel, 1), 1, kMost);
    }
    static std::size_t copy_floats(const Product& p) {
        return p.transpose_a ? round_up(sizeof(float) * p.batch_a * p.m * p.k) / sizeof(float) : 0;
    }
    static std::size_t scratch(const Product& p, int threads) {
        return sizeof(float) * (copy_floats(p) + static_cast<std::size_t>(threads) * together(p) * p.k * kPanel) + 64;
    }

    void run() {
        if (p_.transpose_a) transpose_a();
        if (p_.transpose_b && p_.m <= 2) return rows_times_rows();
        constexpr int64_t kItems = 24, kLeastItems = 4, kMinTiles = 8;
        int64_t columns = 0;
        if (p_.m == 1 && !p_.transpose_b) columns = p_.n / (kWide * kLanes);
        if (columns) wide_rows(columns);
        first_panel_ = columns * kWide * kLanes / kPanel;
        const int64_t panels = p_.panels() - first_panel_;
        // Rows are cut before panels: items side by side would write to the same lines of the cache.
        const int64_t most = std::max<int64_t>(p_.tiles() / kMinTiles, 1);
        const int64_t fewest = most * p_.batch > 1 ? 1 : std::min(panels, kLeastItems);
        const int64_t blocks = std::max((panels + together(p_) - 1) / together(p_), fewest),
                      items = std::max<int64_t>(blocks * p_.batch, 1);
        const int64_t cut = std::clamp<int64_t>(kItems / items, 1, most);
        parallel_for(*s_.pool, p_.batch * blocks * cut, large(), [&](int64_t i, int thread) {
            const int64_t block = i / cut % blocks;
            const int64_t begin = panels * block / blocks, end = panels * (block + 1) / blocks;
            item(i / cut / blocks, first_panel_ + begin, first_panel_ + end, i % cut, cut, thread);
        });
    }

private:
    bool large() const { return p_.batch * p_.m * p_.n * p_.k > 1 << 20; }
    const float* a(int64_t batch) const {
        const float* base = p_.transpose_a ? a_copy_ : p_.a;
        return base + (p_.batch_a == 1 ? 0 : batch) * p_.m * p_.k;
    }
    const float* b(int64_t batch) const { return p_.b + (p_.batch_b == 1 ? 0 : batch) * p_.k * p_.n; }

    // In squares of whole cache lines, so that each is read once and written once.
    void transpose_a() {
        constexpr int64_t kBlock = 16;
        const int64_t blocks = (p_.k + kBlock - 1) / kBlock;
        parallel_for(*s_.pool, p_.batch_a * blocks, p_.batch_a * p_.m * p_.k > 1 << 16, [&](int64_t i, int) {
            const int64_t offset = i / blocks * p_.m * p_.k, k0 = i % blocks * kBlock, k1 = std::min(k0 + kBlock, p_.k);
            const float* from = p_.a + offset;
            float* to = a_copy_ + offset;
            for (int64_t r0 = 0; r0 < p_.m; r0 += kBlock)
                for (int64_t r = r0; r < std::min(r0 + kBlock, p_.m); ++r)
                    for (int64_t k = k0; k < k1; ++k) to[r * p_.k + k] = from[k * p_.m + r];
        });
    }

    void wide_rows(int64_t columns) {
        parallel_for(*s_.pool, p_.batch * columns, large(), [&](int64_t i, int) {
            const int64_t batch = i / columns, col = i % columns * kWide * kLanes;
            const Finish& f = p_.finish;
            float* y = p_.out + batch * p_.n + col;
            const bool relu = f.activation.id == kRelu;
            wide_row(a(batch), b(batch) + col, p_.k, p_.n, f.bias ? f.bias + col : nullptr,
                     f.residual ? f.residual + (y - p_.out) : nullptr, relu, y);
            if (f.activation.id != kLinear && !relu) activate(f.activation, y, kWide * kLanes);
        });
    }

    // b is stored with its rows along k: a few rows of a meet them as dot products.
    void rows_times_rows() {
        const int64_t blocks = p_.panels();
        parallel_for(*s_.pool, p_.batch * p_.m * blocks, large(), [&](int64_t i, int) {
            const int64_t block = i % blocks, row = i / blocks % p_.m, batch = i / blocks / p_.m;
            const int64_t col = block * kPanel, columns = std::min<int64_t>(kPanel, p_.n - col);
            const Finish& f = p_.finish;
            float* y = p_.out + (batch * p_.m + row) * p_.n + col;
            for (int64_t j = 0; j < columns; ++j) {
                float v = dot(a(batch) + row * p_.k, b(batch) + (col + j) * p_.k, p_.k);
                if (f.bias) v += f.bias[col + j];
                if (f.residual) v += f.residual[y - p_.out + j];
                y[j] = v;
            }
            if (f.activation.id != kLinear) activate(f.activation, y, columns);
        });
    }

    // Block `part` of `cut` of the rows, panels [begin, end).
    void item(int64_t batch, int64_t begin, int64_t end, int64_t part, int64_t cut, int thread) {
        float* packed = panels_ + static_cast<int64_t>(thread) * together(p_) * p_.k * kPanel;
        for (int64_t panel = begin; panel < end; ++panel)
            if (!direct(panel)) pack(batch, panel, packed + (panel - begin) * p_.k * kPanel);
        for (int64_t i = p_.tiles() * part / cut; i < p_.tiles() * (part + 1) / cut; ++i)
            one_tile(batch, i, begin, end, packed);
    }

    int columns(int64_t panel) const { return static_cast<int>(std::min<int64_t>(kPanel, p_.n - panel * kPanel)); }
    // Few rows: the panel is read once, and packing it would cost as much as the product.
    bool direct(int64_t panel) const { return p_.m <= 3 * kRows && !p_.transpose_b && columns(panel) == kPanel; }

    void pack(int64_t batch, int64_t panel, float* to) const {
        const int64_t k_stride = p_.transpose_b ? 1 : p_.n, column_stride = p_.transpose_b ? p_.k : 1;
        pack_panel(b(batch) + panel * kPanel * column_stride, k_stride, column_stride, p_.k, columns(panel), to);
    }

    void one_tile(int64_t batch, int64_t tile, int64_t begin, int64_t end, const float* packed) {
        const int64_t first = p_.m * tile / p_.tiles(), last = p_.m * (tile + 1) / p_.tiles(), zero = 0;
        const float* rows[kRows];
        float* out[kRows];
        for (int64_t r = first; r < last; ++r) {
            rows[r - first] = a(batch) + r * p_.k;
            out[r - first] = p_.out + (batch * p_.m + r) * p_.n;
        }
        TileArgs t;
        t.runs = {rows, &zero, 1, p_.k};
        t.out = out;
        constexpr int64_t kCachedFloats = 64 << 10;  // more of a than this: the next rows are fetched meanwhile
        if (p_.m * p_.k > kCachedFloats) t.ahead = reinterpret_cast<const char*>(a(batch) + last * p_.k);
        t.ahead_step = (last - first) * static_cast<int64_t>(sizeof(float));
        for (int64_t panel = begin; panel < end; ++panel, t.ahead = nullptr) {
            t.panel = direct(panel) ? b(batch) + panel * kPanel : packed + (panel - begin) * p_.k * kPanel;
            t.ldb = direct(panel) ? p_.n : kPanel;
            t.col = panel * kPanel;
            panel_tile(t, static_cast<int>(last - first), columns(panel), p_.finish);
        }
    }

    const Product& p_;
    const Step& s_;
    float *a_copy_, *panels_;
    int64_t first_panel_ = 0;
};

void matmul(const Step& s) {
    if (s.out[0].size() == 0) return;
    Product p = read_product(s);
    p.finish = finish_of(s);
    Runner(p, s).run();
}

std::size_t matmul_scratch(const Step& s, int threads) { return Runner::scratch(read_product(s), threads); }

void matmul_pack(const Step& s) {
    const Tensor& b = s.in[0];
    const bool transposed = s.ints[0] != 0;
    const int64_t k = b.shape[b.rank - (transposed ? 1 : 2)], n = b.shape[b.rank - (transposed ? 2 : 1)];
    parallel_for(*s.pool, (n + kPanel - 1) / kPanel, k * n > 1 << 16, [&](int64_t panel, int) {
        const int64_t col = panel * kPanel, column_stride = transposed ? k : 1;
        pack_panel(b.f32() + col * column_stride, transposed ? 1 : n, column_stride, k,
                   std::min<int64_t>(kPanel, n - col), s.out[0].f32() + panel * k * kPanel);
    });
}

int64_t rows(const Tensor& t) {
    int64_t n = 1;
    for (int i = 0; i < t.rank - 1; ++i) n *= t.shape[i];
    return n;
}

// (.., m, k) @ packed (k, n): a 1x1 convolution over one line of all the rows as pixels.
Gather packed_gather(const Step& s) {
    const Tensor &a = s.in[0], &y = s.out[0];
    const int64_t m = rows(a), k = a.shape[a.rank - 1], n = y.shape[y.rank - 1];
    Gather g;
    g.source = s.in[0].f32();
    g.panels = s.in[1].f32();
    g.target = s.out[0].f32();
    g.batch = 1;
    for (int i = 0; i < kAxes; ++i) g.source_dims[i] = g.target_dims[i] = g.kernel[i] = 1;
    g.source_dims[2] = g.target_dims[2] = m;
    g.source_channels = g.depth = k;
    g.target_channels = g.width = n;
    g.groups = 1;
    return g;
}

void matmul_packed(const Step& s) {
    if (s.out[0].size() == 0) return;
    Gather g = packed_gather(s);
    g.finish = finish_of(s);
    const Axis one = {1, 0, 1, 1, 1, 1, 0, 1, 0, 1};
    Axis line = one;
    line.count = line.source = rows(s.in[0]);
    gather_run(g, 1, s, [&](int64_t) { return Phase{{one, one, line}}; });
}

std::size_t matmul_packed_scratch(const Step& s, int threads) {
    return gather_scratch(packed_gather(s), threads).total;
}

int64_t batch_of(const Tensor& t) {
    int64_t n = 1;
    for (int i = 0; i < t.rank - 2; ++i) n *= t.shape[i];
    return n;
}

const char* check_matmul(const Step& s) {
    if (s.n_in < 2 || s.n_out != 1 || s.n_ints != 4 || !are_floats(s)) return "expected float32 arrays and 4 ints";
    const Tensor &a = s.in[0], &b = s.in[1], &y = s.out[0];
    if (a.rank < 2 || b.rank < 2 || y.rank < 2) return "expected at least two axes";
    const bool ta = s.ints[0] != 0, tb = s.ints[1] != 0;
    const int64_t m = a.shape[a.rank - (ta ? 1 : 2)], k = a.shape[a.rank - (ta ? 2 : 1)];
    const int64_t kb = b.shape[b.rank - (tb ? 1 : 2)], n = b.shape[b.rank - (tb ? 2 : 1)], batch = batch_of(y);
    if (k != kb || m != y.shape[y.rank - 2] || n != y.shape[y.rank - 1]) return "the shapes do not fit";
    for (const int64_t given : {batch_of(a), batch_of(b)})
        if (given != 1 && given != batch) return "the leading axes of an operand must be the output's, or 1";
    return check_finish(s, s.ints + 2, n, s.out[0].size());
}

const char* check_matmul_pack(const Step& s) {
    if (s.n_in != 1 || s.n_out != 1 || s.n_ints != 1 || !are_floats(s)) return "expected one float32 input and output";
    const Tensor& b = s.in[0];
    if (b.rank < 2 || batch_of(b) != 1) return "expected one matrix";
    const int64_t last = b.shape[b.rank - 1], other = b.shape[b.rank - 2];
    const int64_t k = s.ints[0] ? last : other, n = s.ints[0] ? other : last;
    return s.out[0].size() == k * padded(n, kPanel) ? nullptr : "the output has another size than packed it must have";
}

const char* check_matmul_packed(const Step& s) {
    if (s.n_in < 2 || s.n_out != 1 || s.n_ints != 4 || !are_floats(s)) return "expected float32 arrays and 4 ints";
    const Tensor &a = s.in[0], &y = s.out[0];
    if (a.rank < 1 || y.rank < 1 || rows(a) != rows(y)) return "input and output must have as many rows";
    const int64_t k = a.shape[a.rank - 1], n = y.shape[y.rank - 1];
    if (s.in[1].size() != k * padded(n, kPanel)) return "the packed matrix has another size than it must have";
    return check_finish(s, s.ints + 2, n, s.out[0].size());
}

constexpr Kernel kKernels[] = {
    {"matmul", &matmul, &matmul_scratch, &check_matmul},
    {"matmul_pack", &matmul_pack, nullptr, &check_matmul_pack},
    {"matmul_packed", &matmul_packed, &matmul_packed_scratch, &check_matmul_packed},
};

}  // namespace

extern const KernelTable matmul_table;
const KernelTable matmul_table = {kKernels, 3};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
