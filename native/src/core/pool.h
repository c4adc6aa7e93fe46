// The engine's own thread pool and the number of threads it may use.
#pragma once
#include <memory>

#include "core/thread_pool.h"

namespace striate {

// The pool of this process; made on first use and made anew in a forked child. Hold it while it works.
std::shared_ptr<ThreadPool> pool();
// Threads from now on, the caller included; at least 1.
void set_threads(int count);
int get_threads();

}  // namespace striate
