#include "core/arena.h"

#include <sys/mman.h>

#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace striate {
namespace {

constexpr std::size_t kHuge = std::size_t{2} << 20;
constexpr std::size_t kIdleLimit = std::size_t{1} << 30;  // more than this is given back at once

struct Idle {
    void* data;
    std::size_t size;
};

std::mutex g_mutex;
std::vector<Idle> g_idle;
std::size_t g_idle_bytes = 0;

std::size_t rounded(std::size_t bytes) {
    const std::size_t unit = bytes >= kHuge ? kHuge : 4096;
    return (bytes + unit - 1) / unit * unit;
}

void* allocate(std::size_t size) {
    void* data = std::aligned_alloc(size >= kHuge ? kHuge : 4096, size);
    if (!data) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    if (size >= kHuge) madvise(data, size, MADV_HUGEPAGE);
#endif
    return data;
}

// The smallest idle block that fits without wasting more than it holds.
bool take_idle(std::size_t size, Idle& found) {
    std::lock_guard<std::mutex> lock(g_mutex);
    std::size_t best = g_idle.size();
    for (std::size_t i = 0; i < g_idle.size(); ++i) {
        const bool fits = g_idle[i].size >= size && g_idle[i].size <= 2 * size + kHuge;
        if (fits && (best == g_idle.size() || g_idle[i].size < g_idle[best].size)) best = i;
    }
    if (best == g_idle.size()) return false;
    found = g_idle[best];
    g_idle[best] = g_idle.back();
    g_idle.pop_back();
    g_idle_bytes -= found.size;
    return true;
}

}  // namespace

Block::Block(std::size_t bytes) {
    if (bytes == 0) return;
    size_ = rounded(bytes);
    Idle found{};
    if (take_idle(size_, found)) {
        data_ = found.data;
        size_ = found.size;
    } else {
        data_ = allocate(size_);
    }
}

Block::~Block() {
    if (!data_) return;
    std::lock_guard<std::mutex> lock(g_mutex);
    if (g_idle_bytes + size_ > kIdleLimit) {
        std::free(data_);
        return;
    }
    g_idle.push_back({data_, size_});
    g_idle_bytes += size_;
}

void release_memory() {
    std::lock_guard<std::mutex> lock(g_mutex);
    for (const Idle& idle : g_idle) std::free(idle.data);
    g_idle.clear();
    g_idle_bytes = 0;
}

std::size_t idle_bytes() {
    std::lock_guard<std::mutex> lock(g_mutex);
    return g_idle_bytes;
}

}  // namespace striate
