#include "core/pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "core/denormals.h"

namespace striate {
namespace {

// How long an idle thread looks for more work before it sleeps: long enough to bridge the gap between two steps of a
// plan, short enough to be no burden for others.
constexpr auto kSpin = std::chrono::microseconds(40);

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Waits, briefly spinning, then asleep, until `ready()`. Who makes it true calls `wake`.
class Gate {
public:
    template <class Ready>
    void await(Ready ready) {
        if (ready()) return;
        const auto until = std::chrono::steady_clock::now() + kSpin;
        for (int i = 1; !ready(); ++i) {
            relax();  // up to 140 cycles: each may be the last
            if (i % 16 || std::chrono::steady_clock::now() < until) continue;
            std::unique_lock<std::mutex> lock(mutex_);
            asleep_.fetch_add(1);
            wake_.wait(lock, ready);
            asleep_.fetch_sub(1);
        }
    }

    void wake() {
        if (asleep_.load() == 0) return;
        // Who has counted itself as asleep but does not yet wait holds the mutex: after this it does wait.
        {
            std::lock_guard<std::mutex> lock(mutex_);
        }
        wake_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<int> asleep_{0};
};

// The items of one thread: it takes them from the front, and who has none left takes them from the back. So a thread
// meets in step after step what it has in its caches, and a slow core is still helped.
class alignas(64) Share {
public:
    void fill(std::int64_t first, std::int64_t end) { range_.store(pack(first, end), std::memory_order_relaxed); }

    // The next item, or -1.
    std::int64_t take(bool own) {
        std::uint64_t range = range_.load(std::memory_order_relaxed);
        for (;;) {
            const std::int64_t first = range & kLow, end = range >> 32;
            if (first >= end) return -1;
            const std::uint64_t rest = own ? pack(first + 1, end) : pack(first, end - 1);
            if (range_.compare_exchange_weak(range, rest, std::memory_order_relaxed)) return own ? first : end - 1;
        }
    }

private:
    static constexpr std::uint64_t kLow = 0xffffffff;
    static std::uint64_t pack(std::int64_t first, std::int64_t end) {
        return static_cast<std::uint64_t>(end) << 32 | static_cast<std::uint64_t>(first);
    }

    std::atomic<std::uint64_t> range_{0};
};

// One job at a time has the workers. `state_` counts the workers inside the job (low bits), says whether it is open for
// more of them, and numbers the jobs (high bits): a caller never waits for a worker that did not come.
class Pool final : public ThreadPool {
public:
    explicit Pool(int threads) : threads_(threads), shares_(static_cast<std::size_t>(threads)) {
        for (int t = 1; t < threads; ++t) workers_.emplace_back([this, t] { work(t); });
    }

    ~Pool() override {
        stop_.store(true);
        idle_.wake();
        for (auto& worker : workers_) worker.join();
    }

    int threads() const override { return threads_; }

    void run(std::int64_t count, Body body, void* context, bool parallel) override {
        // A second caller, or one from inside a job, does its work alone.
        if (!parallel || count <= 1 || threads_ == 1 || busy_.exchange(true, std::memory_order_acquire)) {
            for (std::int64_t i = 0; i < count; ++i) body(context, i, 0);
            return;
        }
        body_ = body;
        context_ = context;
        for (base_ = 0; base_ < count; base_ += kMost) run_part(std::min(kMost, count - base_));
        busy_.store(false, std::memory_order_release);
    }

private:
    static constexpr std::uint64_t kInside = 0xffff, kOpen = 0x10000, kJob = 0x20000;

    static constexpr std::int64_t kMost = 0xffffffff;  // items that a share can number

    void run_part(std::int64_t count) {
        for (int t = 0; t < threads_; ++t)
            shares_[static_cast<std::size_t>(t)].fill(split(count, t), split(count, t + 1));
        state_.fetch_add(kJob + kOpen);
        idle_.wake();
        take(0);
        state_.fetch_sub(kOpen);
        done_.await([this] { return (state_.load() & kInside) == 0; });
    }

    // The first item of a thread; the caller, who is here already, has the larger half.
    std::int64_t split(std::int64_t count, std::int64_t thread) const {
        return (count / threads_) * thread + std::min(count % threads_, thread);
    }

    void take(int thread) {
        for (int t = 0; t < threads_; ++t) {
            Share& share = shares_[static_cast<std::size_t>((thread + t) % threads_)];
            for (std::int64_t i; (i = share.take(t == 0)) >= 0;) body_(context_, base_ + i, thread);
        }
    }

    void work(int thread) {
        FlushDenormals flush;
        std::uint64_t seen = 0;
        while (!stop_.load()) {
            idle_.await([&] { return stop_.load() || is_new(state_.load(), seen); });
            std::uint64_t state = state_.load();
            while (is_new(state, seen)) {
                if (!state_.compare_exchange_weak(state, state + 1)) continue;
                seen = state / kJob;
                take(thread);
                if (((state_.fetch_sub(1) - 1) & (kInside | kOpen)) == 0) done_.wake();
                break;
            }
        }
    }

    static bool is_new(std::uint64_t state, std::uint64_t seen) { return (state & kOpen) && state / kJob != seen; }

    const int threads_;
    std::vector<std::thread> workers_;
    Body body_ = nullptr;
    void* context_ = nullptr;
    std::int64_t base_ = 0;
    std::vector<Share> shares_;
    alignas(64) std::atomic<std::uint64_t> state_{0};
    std::atomic<bool> busy_{false}, stop_{false};
    Gate idle_, done_;
};

// Never destroyed: at the end of the process threads may still be at work.
struct Shared {
    std::mutex mutex;
    std::shared_ptr<Pool> pool;
    int threads = 1;
};

Shared& shared() {
    static Shared* made = new Shared;
    return *made;
}

// The child of a fork has none of the parent's threads, and its locks may be held by nobody: the pool is left behind,
// as its threads can't be joined, and made anew on first use.
void in_child() {
    Shared& s = shared();
    new (&s.mutex) std::mutex;
    new std::shared_ptr<Pool>(std::move(s.pool));
    s.pool.reset();
}

}  // namespace

std::shared_ptr<ThreadPool> pool() {
    static const int registered = pthread_atfork(nullptr, nullptr, in_child);
    (void)registered;
    Shared& s = shared();
    std::lock_guard<std::mutex> lock(s.mutex);
    if (!s.pool) s.pool = std::make_shared<Pool>(s.threads);
    return s.pool;
}

void set_threads(int count) {
    std::shared_ptr<Pool> old;  // joined outside the lock, by whoever lets go of it last
    Shared& s = shared();
    std::lock_guard<std::mutex> lock(s.mutex);
    if (count == s.threads) return;
    s.threads = count;
    old.swap(s.pool);
}

int get_threads() {
    std::lock_guard<std::mutex> lock(shared().mutex);
    return shared().threads;
}

}  // namespace striate
