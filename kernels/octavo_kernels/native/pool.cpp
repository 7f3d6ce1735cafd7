#include "pool.h"

#include <immintrin.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

namespace octavo {
namespace {

constexpr int kSpins = 2000;  // of some 40-140 cycles each: 30-100 microseconds
constexpr uint64_t kField = (1u << 20) - 1, kJobs = (1u << 24) - 1;

uint64_t pack(uint32_t job, uint64_t next, uint64_t end) { return (job & kJobs) << 40 | next << 20 | end; }

void futex_wait(std::atomic<uint32_t>* word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void futex_wake_all(std::atomic<uint32_t>* word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace

Pool::Pool(int num_threads) : queues_(size_t(num_threads)) {
  for (int i = 1; i < num_threads; ++i) threads_.emplace_back([this, i] { wait_for_jobs(i); });
}

Pool::~Pool() {
  is_stopping_ = true;
  job_.fetch_add(1);
  futex_wake_all(&job_);
  for (auto& thread : threads_) thread.join();
}

void Pool::run_all(int num_tasks, Function function, const void* context) {
  if (num_tasks <= 1 || queues_.size() == 1) {
    for (int task = 0; task < num_tasks; ++task) function(context, task);
    return;
  }
  const std::lock_guard<std::mutex> lock(one_caller_);
  constexpr int kMostTasks = int(kField);  // beyond it several jobs in turn
  for (int begin = 0; begin < num_tasks; begin += kMostTasks) {
    const int count = std::min(num_tasks - begin, kMostTasks);
    struct Part {
      Function function;
      const void* context;
      int begin;
    } part{function, context, begin};
    function_ = [](const void* p, int task) {
      const auto* whole = static_cast<const Part*>(p);
      whole->function(whole->context, whole->begin + task);
    };
    context_ = &part;
    num_done_.store(0, std::memory_order_relaxed);
    const uint32_t job = job_.load(std::memory_order_relaxed) + 1;
    const int num_queues = num_threads();
    for (int i = 0; i < num_queues; ++i)
      queues_[size_t(i)].state.store(pack(job, share_begin(i, count), share_begin(i + 1, count)),
                                     std::memory_order_release);
    job_.store(job);
    if (num_sleeping_.load() > 0) futex_wake_all(&job_);
    work_on(job, 0);
    while (num_done_.load(std::memory_order_acquire) < count) _mm_pause();
  }
}

// First the own share, then what the others have left of theirs.
void Pool::work_on(uint32_t job, int own_queue) {
  const size_t num_queues = queues_.size();
  for (size_t offset = 0; offset < num_queues; ++offset) {
    auto& state = queues_[(size_t(own_queue) + offset) % num_queues].state;
    uint64_t seen = state.load(std::memory_order_acquire);
    while (seen >> 40 == (job & kJobs)) {
      const uint64_t next = seen >> 20 & kField, end = seen & kField;
      if (next == end) break;
      if (!state.compare_exchange_weak(seen, pack(job, next + 1, end), std::memory_order_acq_rel)) continue;
      // From here to the count the job cannot end, so function and context are its own.
      function_(context_, int(next));
      num_done_.fetch_add(1, std::memory_order_release);
      seen = state.load(std::memory_order_acquire);
    }
  }
}

void Pool::wait_for_jobs(int own_queue) {
  uint32_t last = 0;
  while (!is_stopping_.load()) {
    uint32_t job = job_.load(std::memory_order_acquire);
    for (int spin = 0; job == last && spin < kSpins; ++spin) {
      _mm_pause();
      job = job_.load(std::memory_order_acquire);
    }
    if (job == last) {
      num_sleeping_.fetch_add(1);
      futex_wait(&job_, last);
      num_sleeping_.fetch_sub(1);
      continue;
    }
    last = job;
    work_on(job, own_queue);
  }
}

}  // namespace octavo
