#include "core/pool.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/denormals.h"

namespace striate {
namespace {

// How long an idle worker looks for more work before it sleeps: long enough to bridge the gap between two steps of a plan,
// short enough to be no burden for others.
constexpr auto kSpin = std::chrono::microseconds(40);

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

struct Job {
    ThreadPool::Body body = nullptr;
    void* context = nullptr;
    std::int64_t count = 0;
    std::atomic<std::int64_t> next{0};
};

class Pool final : public ThreadPool {
public:
    explicit Pool(int threads) : threads_(threads) {
        for (int t = 1; t < threads; ++t) workers_.emplace_back([this, t] { work(t); });
    }

    ~Pool() override {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            stop_ = true;
            ticket_.fetch_add(1);
        }
        wake_.notify_all();
        for (auto& worker : workers_) worker.join();
    }

    int threads() const override { return threads_; }

    void run(std::int64_t count, Body body, void* context, bool parallel) override {
        // One job at a time has the workers; a second caller, or one from inside a job, does its work alone.
        if (!parallel || count <= 1 || threads_ == 1 || !busy_.try_lock()) {
            for (std::int64_t i = 0; i < count; ++i) body(context, i, 0);
            return;
        }
        std::lock_guard<std::mutex> busy(busy_, std::adopt_lock);
        job_.body = body;
        job_.context = context;
        job_.count = count;
        job_.next.store(0, std::memory_order_relaxed);
        open_.store(threads_ - 1, std::memory_order_relaxed);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            ticket_.fetch_add(1, std::memory_order_release);
        }
        if (asleep_.load(std::memory_order_acquire) > 0) wake_.notify_all();
        take(0);
        finish();
    }

private:
    void take(int thread) {
        for (;;) {
            const std::int64_t i = job_.next.fetch_add(1, std::memory_order_relaxed);
            if (i >= job_.count) return;
            job_.body(job_.context, i, thread);
        }
    }

    // Waits until every worker has left the job, briefly spinning, then asleep.
    void finish() {
        const auto until = std::chrono::steady_clock::now() + kSpin;
        while (open_.load(std::memory_order_acquire) > 0) {
            if (std::chrono::steady_clock::now() > until) {
                std::unique_lock<std::mutex> lock(mutex_);
                done_.wait(lock, [this] { return open_.load(std::memory_order_acquire) == 0; });
                return;
            }
            relax();
        }
    }

    void work(int thread) {
        FlushDenormals flush;
        std::int64_t seen = 0;
        for (;;) {
            await(seen);
            seen = ticket_.load(std::memory_order_acquire);
            if (stop_) return;
            take(thread);
            if (open_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
                std::lock_guard<std::mutex> lock(mutex_);
                done_.notify_all();
            }
        }
    }

    void await(std::int64_t seen) {
        const auto until = std::chrono::steady_clock::now() + kSpin;
        while (ticket_.load(std::memory_order_acquire) == seen) {
            if (std::chrono::steady_clock::now() > until) {
                std::unique_lock<std::mutex> lock(mutex_);
                asleep_.fetch_add(1);
                wake_.wait(lock, [this, seen] { return ticket_.load(std::memory_order_acquire) != seen; });
                asleep_.fetch_sub(1);
                return;
            }
            relax();
        }
    }

    const int threads_;
    std::vector<std::thread> workers_;
    Job job_;
    std::mutex busy_;
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    std::atomic<std::int64_t> ticket_{0};
    std::atomic<int> open_{0}, asleep_{0};
    bool stop_ = false;
};

std::mutex g_mutex;
std::shared_ptr<Pool> g_pool;
int g_threads = 1;

// The child of a fork has none of the parent's threads: its pool is left behind (its threads can't be joined) and made anew.
void in_child() {
    new std::shared_ptr<Pool>(g_pool);  // never destroyed: its destructor would wait for threads that are not there
    g_pool.reset();
    new (&g_mutex) std::mutex();
}

}  // namespace

std::shared_ptr<ThreadPool> pool() {
    std::lock_guard<std::mutex> lock(g_mutex);
    if (!g_pool) {
        static const int registered = pthread_atfork(nullptr, nullptr, in_child);
        (void)registered;
        g_pool = std::make_shared<Pool>(g_threads);
    }
    return g_pool;
}

void set_threads(int count) {
    std::shared_ptr<Pool> old;  // its threads end when the last run that holds it has ended
    std::lock_guard<std::mutex> lock(g_mutex);
    if (count == g_threads) return;
    g_threads = count;
    old.swap(g_pool);
}

int get_threads() {
    std::lock_guard<std::mutex> lock(g_mutex);
    return g_threads;
}

}  // namespace striate
