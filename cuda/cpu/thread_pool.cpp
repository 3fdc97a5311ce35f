#include "cpu/thread_pool.h"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace recon {
namespace {

class Pool {
  public:
    explicit Pool(int threads) {
        for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
    }
    ~Pool() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            stop_ = true;
            ++generation_;
        }
        wake_.notify_all();
        for (auto& worker : workers_) worker.join();
    }
    int threads() const { return int(workers_.size()) + 1; }

    void run(int64_t count, const std::function<void(int64_t, int)>& body) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            body_ = &body;
            count_ = count;
            next_.store(0, std::memory_order_relaxed);
            busy_ = int(workers_.size());
            ++generation_;
        }
        wake_.notify_all();
        drain(body, count, 0);
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return busy_ == 0; });
    }

  private:
    void drain(const std::function<void(int64_t, int)>& body, int64_t count, int thread) {
        for (int64_t i = next_.fetch_add(1, std::memory_order_relaxed); i < count;
             i = next_.fetch_add(1, std::memory_order_relaxed))
            body(i, thread);
    }
    void work(int thread) {
        uint64_t seen = 0;
        for (;;) {
            std::unique_lock<std::mutex> lock(mutex_);
            wake_.wait(lock, [&] { return generation_ != seen; });
            seen = generation_;
            if (stop_) return;
            const auto* body = body_;
            const int64_t count = count_;
            lock.unlock();
            drain(*body, count, thread);
            lock.lock();
            if (--busy_ == 0) done_.notify_one();
        }
    }

    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    const std::function<void(int64_t, int)>* body_ = nullptr;
    int64_t count_ = 0;
    std::atomic<int64_t> next_{0};
    int busy_ = 0;
    uint64_t generation_ = 0;
    bool stop_ = false;
};

std::mutex g_turn;          // host threads take turns
Pool* g_pool = nullptr;     // never destroyed: threads may outlive static destructors
int g_threads = 1;

#if !defined(_WIN32)
// A forked child has none of the parent's threads: it starts with an empty pool and a free lock.
void forget_pool_in_child() {
    g_pool = nullptr;
    new (&g_turn) std::mutex;
}
const int g_registered = pthread_atfork(nullptr, nullptr, forget_pool_in_child);
#endif

}  // namespace

void set_num_threads(int threads) {
    std::lock_guard<std::mutex> turn(g_turn);
    g_threads = threads < 1 ? 1 : threads;
}

int num_threads() { return g_threads; }

void parallel_for(int64_t count, const std::function<void(int64_t, int)>& body) {
    if (count <= 0) return;
    std::lock_guard<std::mutex> turn(g_turn);
    if (g_threads == 1 || count == 1) {
        for (int64_t i = 0; i < count; ++i) body(i, 0);
        return;
    }
    if (!g_pool || g_pool->threads() != g_threads) {
        delete g_pool;
        g_pool = new Pool(g_threads);
    }
    g_pool->run(count, body);
}

}  // namespace recon
