// Memory that runs use over and over: blocks from a pool, large ones aligned to huge pages.
#pragma once
#include <cstddef>
#include <memory>

namespace striate {

struct Block {
    void* data = nullptr;
    std::size_t size = 0;

    explicit Block(std::size_t nbytes);  // throws std::bad_alloc
    ~Block();
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
};

// At least `nbytes`, aligned to 64 bytes (large blocks to 2 MB). Goes back to the pool with the last reference.
std::shared_ptr<Block> acquire_block(std::size_t nbytes);
// Bytes that lie idle in the pool, and the bound over which they are given back to the system.
std::size_t idle_bytes();
void set_idle_bound(std::size_t nbytes);
void release_idle();

}  // namespace striate
