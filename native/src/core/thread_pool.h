// A pool that sleeps when idle. Each thread begins with its own part of the work, the same in every step, and then
// takes what slower ones have not begun; which thread runs which index never influences a result.
#pragma once
#include <cstdint>

namespace striate {

class ThreadPool {
public:
    using Body = void (*)(void* context, std::int64_t index, int thread);

    virtual ~ThreadPool() = default;
    virtual int threads() const = 0;
    // Calls body(context, i, thread) once for each i in [0, count), `thread` in [0, threads()); returns when all are
    // done. Small work belongs to one thread: pass parallel = false and it runs here, as thread 0.
    virtual void run(std::int64_t count, Body body, void* context, bool parallel = true) = 0;
};

template <class F>
void parallel_for(ThreadPool& pool, std::int64_t count, bool parallel, F&& body) {
    pool.run(count, [](void* c, std::int64_t i, int t) { (*static_cast<F*>(c))(i, t); }, &body, parallel);
}

}  // namespace striate
