#include "core/arena.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace striate {
namespace {

constexpr std::size_t kHuge = std::size_t{2} << 20;
constexpr std::size_t kSmall = 4096;
constexpr std::size_t kDefaultBound = std::size_t{512} << 20;

std::size_t most_taken(std::size_t nbytes, Use use) {
    return use == Use::scratch ? 4 * nbytes + kHuge : nbytes + nbytes / 8;
}
std::size_t rounded(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

// Never destroyed: blocks may come back while the process ends.
struct Idle {
    std::mutex mutex;
    std::vector<std::unique_ptr<Block>> blocks;  // the one that came back last stands last
    std::size_t bytes = 0;
    std::size_t bound = kDefaultBound;
};

Idle& idle() {
    static Idle* made = new Idle;
    return *made;
}

void in_child() { new (&idle().mutex) std::mutex; }

// The oldest blocks beyond the bound, taken out to be freed outside the lock.
std::vector<std::unique_ptr<Block>> overflow(Idle& pool, std::size_t bound) {
    std::vector<std::unique_ptr<Block>> out;
    while (pool.bytes > bound && !pool.blocks.empty()) {
        pool.bytes -= pool.blocks.front()->size;
        out.push_back(std::move(pool.blocks.front()));
        pool.blocks.erase(pool.blocks.begin());
    }
    return out;
}

void give_back(Block* block) {
    std::unique_ptr<Block> owned(block);
    std::vector<std::unique_ptr<Block>> freed;
    Idle& pool = idle();
    std::lock_guard<std::mutex> lock(pool.mutex);
    pool.bytes += owned->size;
    pool.blocks.push_back(std::move(owned));
    freed = overflow(pool, pool.bound);
}

// The smallest idle block that fits and is not much too large; of equal ones the last, which caches may still hold.
std::unique_ptr<Block> take(Idle& pool, std::size_t nbytes, Use use) {
    std::lock_guard<std::mutex> lock(pool.mutex);
    auto best = pool.blocks.end();
    for (auto it = pool.blocks.begin(); it != pool.blocks.end(); ++it)
        if ((*it)->use == use && (*it)->size >= nbytes && (best == pool.blocks.end() || (*it)->size <= (*best)->size))
            best = it;
    if (best == pool.blocks.end() || (*best)->size > std::max(most_taken(nbytes, use), kSmall)) return nullptr;
    std::unique_ptr<Block> block = std::move(*best);
    pool.blocks.erase(best);
    pool.bytes -= block->size;
    return block;
}

}  // namespace

Block::Block(std::size_t nbytes, Use use) : use(use) {
    const bool large = nbytes >= (use == Use::scratch ? kHuge : 2 * kHuge);
    size = rounded(nbytes ? nbytes : 1, large && use == Use::scratch ? kHuge : kSmall);
    if (size < nbytes || posix_memalign(&data, large ? kHuge : std::size_t{64}, size) != 0) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
    if (large) (void)madvise(data, size, MADV_HUGEPAGE);
#endif
}

Block::~Block() { std::free(data); }

std::shared_ptr<Block> acquire_block(std::size_t nbytes, Use use) {
    static const int registered = pthread_atfork(nullptr, nullptr, in_child);
    (void)registered;
    std::unique_ptr<Block> block = take(idle(), nbytes, use);
    if (!block) block = std::make_unique<Block>(nbytes, use);
    return std::shared_ptr<Block>(block.release(), give_back);
}

std::size_t idle_bytes() {
    std::lock_guard<std::mutex> lock(idle().mutex);
    return idle().bytes;
}

void set_idle_bound(std::size_t nbytes) {
    std::vector<std::unique_ptr<Block>> freed;
    std::lock_guard<std::mutex> lock(idle().mutex);
    idle().bound = nbytes;
    freed = overflow(idle(), nbytes);
}

void release_idle() {
    std::vector<std::unique_ptr<Block>> freed;
    std::lock_guard<std::mutex> lock(idle().mutex);
    freed = overflow(idle(), 0);
}

}  // namespace striate
