// Resizing of images (n, h, w, c): nearest and bilinear, with half-pixel centres.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/kernel.h"
#include "core/math.h"
#include "core/thread_pool.h"

namespace striate {
namespace STRIATE_ISA_NS {
namespace {

using std::int64_t;

constexpr int64_t kParallel = 1 << 14;

// The two cells of an axis between which a sample lies, and how far it is from the first.
struct Sample {
    int64_t first, second;
    float part;
};

Sample sample(int64_t i, int64_t n, int64_t m) {
    const double at = (static_cast<double>(i) + 0.5) * static_cast<double>(n) / static_cast<double>(m) - 0.5;
    const double low = std::floor(at);
    const auto first = static_cast<int64_t>(low);
    return {std::clamp<int64_t>(first, 0, n - 1), std::clamp<int64_t>(first + 1, 0, n - 1),
            static_cast<float>(at - low)};
}

int64_t nearest_cell(int64_t i, int64_t n, int64_t m) {
    const double scale = static_cast<double>(n) / static_cast<double>(m);
    return std::min(static_cast<int64_t>(std::floor((static_cast<double>(i) + 0.5) * scale)), n - 1);
}

// Row y of the output from row(s) of one image.
void nearest_row(const Tensor& in, const Tensor& out, const float* image, float* to, int64_t y) {
    const int64_t w = in.shape[2], c = in.shape[3], w2 = out.shape[2];
    const float* row = image + nearest_cell(y, in.shape[1], out.shape[1]) * w * c;
    for (int64_t x = 0; x < w2; ++x, to += c)
        std::memcpy(to, row + nearest_cell(x, w, w2) * c, static_cast<std::size_t>(c) * sizeof(float));
}

inline void blend(const float* const p[4], float across, float down, float* to, int64_t c) {
    int64_t k = 0;
    const auto mix = [&](auto a, auto b, auto d, auto e) {
        const auto top = a * (1.0f - across) + b * across, bottom = d * (1.0f - across) + e * across;
        return top * (1.0f - down) + bottom * down;
    };
    for (; k + kLanes <= c; k += kLanes)
        store(to + k, mix(load(p[0] + k), load(p[1] + k), load(p[2] + k), load(p[3] + k)));
    for (; k < c; ++k) to[k] = mix(p[0][k], p[1][k], p[2][k], p[3][k]);
}

void bilinear_row(const Tensor& in, const Tensor& out, const float* image, float* to, int64_t y) {
    const int64_t w = in.shape[2], c = in.shape[3], w2 = out.shape[2];
    const Sample v = sample(y, in.shape[1], out.shape[1]);
    const float *top = image + v.first * w * c, *bottom = image + v.second * w * c;
    for (int64_t x = 0; x < w2; ++x, to += c) {
        const Sample h = sample(x, w, w2);
        const float* const p[4] = {top + h.first * c, top + h.second * c, bottom + h.first * c, bottom + h.second * c};
        blend(p, h.part, v.part, to, c);
    }
}

void resize(const Step& s) {
    const Tensor &in = s.in[0], &out = s.out[0];
    if (out.size() == 0) return;
    const int64_t image = in.shape[1] * in.shape[2] * in.shape[3], row = out.shape[2] * out.shape[3];
    const auto run_row = s.ints[0] == 0 ? &nearest_row : &bilinear_row;
    parallel_for(*s.pool, out.shape[0] * out.shape[1], out.size() >= kParallel, [&](int64_t i, int) {
        run_row(in, out, in.f32() + i / out.shape[1] * image, out.f32() + i * row, i % out.shape[1]);
    });
}

const char* check(const Step& s) {
    if (s.n_in != 1 || s.n_out != 1 || s.in[0].dtype != DType::f32 || s.out[0].dtype != DType::f32)
        return "expected one float32 input and output";
    const Tensor &in = s.in[0], &out = s.out[0];
    if (in.rank != 4 || out.rank != 4 || in.shape[0] != out.shape[0] || in.shape[3] != out.shape[3])
        return "expected (n, h, w, c) and (n, h2, w2, c)";
    if (s.n_ints != 1 || s.ints[0] < 0 || s.ints[0] > 1) return "expected the method 0 or 1";
    return in.size() == 0 && out.size() > 0 ? "an image of size 0 can't be resized" : nullptr;
}

constexpr Kernel kKernels[] = {{"resize", &resize, nullptr, &check}};

}  // namespace

extern const KernelTable resize_table;
const KernelTable resize_table = {kKernels, 1};

}  // namespace STRIATE_ISA_NS
}  // namespace striate
