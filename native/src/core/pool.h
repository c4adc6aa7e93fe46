// The engine's own thread pool and the number of threads it may use.
#pragma once
#include <memory>

#include "core/thread_pool.h"

namespace striate {

// The pool of this process; made on first use, and made anew in a forked child. Who runs work on it keeps it alive.
std::shared_ptr<ThreadPool> pool();
// Threads from now on, the caller included; at least 1. Work that is under way ends on the threads it has.
void set_threads(int count);
int get_threads();

}  // namespace striate
