// The threads of the CPU kernels. One job at a time, split into tasks that do not depend on each other.
//
// Why not OpenMP: its barrier waits for every thread, also for one that the kernel has put aside in favour of the
// server's thread; on two cores that costs a scheduler's quantum (3 ms) again and again. Here a thread that comes late
// finds its tasks done by the others. Threads spin for some microseconds between jobs and then sleep.
#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace octavo {

class Pool {
 public:
  explicit Pool(int num_threads);
  ~Pool();

  int num_threads() const { return int(queues_.size()); }

  // Where the share of the tasks begins that falls to a thread unless another is quicker.
  int share_begin(int share, int num_tasks) const { return int(int64_t(num_tasks) * share / num_threads()); }

  // The share whose last task this is, or -1.
  int share_that_ends_with(int task, int num_tasks) const {
    for (int share = 0; share < num_threads(); ++share)
      if (share_begin(share + 1, num_tasks) == task + 1) return share;
    return -1;
  }

  // Call work(task) once for each task below num_tasks, and return when all are done. Neighbouring tasks tend to run
  // on one thread one after the other.
  template <typename Work>
  void run(int num_tasks, const Work& work) {
    run_all(num_tasks, [](const void* context, int task) { (*static_cast<const Work*>(context))(task); }, &work);
  }

 private:
  using Function = void (*)(const void* context, int task);

  // A share of the tasks: 24 bits of the job's number, 20 of the next task, 20 of the end. One word, so that a thread
  // that comes late can never take a task of a later job for one of its own.
  struct alignas(64) Queue {
    std::atomic<uint64_t> state{0};
  };

  void run_all(int num_tasks, Function function, const void* context);
  void work_on(uint32_t job, int own_queue);
  void wait_for_jobs(int own_queue);

  std::vector<Queue> queues_;
  std::vector<std::thread> threads_;
  std::mutex one_caller_;
  Function function_ = nullptr;
  const void* context_ = nullptr;
  alignas(64) std::atomic<uint32_t> job_{0};
  alignas(64) std::atomic<int> num_done_{0};
  alignas(64) std::atomic<int> num_sleeping_{0};
  std::atomic<bool> is_stopping_{false};
};

}  // namespace octavo
