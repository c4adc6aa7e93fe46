// Memory for running calls: 2 MB aligned, in huge pages where offered, kept for the next call up to a bound.
#pragma once
#include <cstddef>

namespace striate {

class Block {
public:
    explicit Block(std::size_t bytes);
    ~Block();
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
    void* data() const { return data_; }
    std::size_t size() const { return size_; }

private:
    void* data_ = nullptr;
    std::size_t size_ = 0;
};

// Frees the memory that is kept for later calls.
void release_memory();
// Bytes kept for later calls.
std::size_t idle_bytes();

}  // namespace striate
