// Memory that runs use over and over: blocks from a pool, large ones aligned to huge pages. Pages that are new to a
// process are cleared by the system, which takes longer than many a layer.
#pragma once
#include <cstddef>
#include <memory>

namespace striate {

// What a block is for. Scratch comes back soon; results may be kept for long, so theirs are hardly larger than they.
enum class Use { scratch, result };

struct Block {
    void* data = nullptr;
    std::size_t size = 0;
    Use use;

    Block(std::size_t nbytes, Use use);  // throws std::bad_alloc
    ~Block();
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
};

// At least `nbytes`, aligned to 64 bytes (large blocks to 2 MB). Goes back to the pool with the last reference.
std::shared_ptr<Block> acquire_block(std::size_t nbytes, Use use = Use::scratch);
// Bytes that lie idle in the pool, and the bound over which they are given back to the system.
std::size_t idle_bytes();
void set_idle_bound(std::size_t nbytes);
void release_idle();

}  // namespace striate
