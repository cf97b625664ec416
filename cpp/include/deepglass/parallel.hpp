// Threads: the only file that knows OpenMP.  Without it everything here runs on the calling thread.
//
// The promises, for any number of threads:
//   - results are the same bits: each output has one writer, sums are taken over fixed blocks in order;
//   - an exception thrown by a body arrives on the calling thread, and it is the one of the smallest index,
//     as in a plain loop; nothing leaves a parallel region;
//   - the stop token is asked on the calling thread only, about every 20 ms; then Stopped is thrown there;
//   - a forked child runs on one thread: libgomp hangs there in its second region.
//
// Per item there is one clock reading (20 ns): items shorter than a microsecond belong in parallel_chunks.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

#include "deepglass/core.hpp"

namespace deepglass {

#ifdef _OPENMP
constexpr bool kHasOpenMP = true;
#else
constexpr bool kHasOpenMP = false;
#endif

// ---- How many threads

namespace detail {

inline std::atomic<bool> forked{false};

inline void after_fork_in_child() {
  forked = true;
#ifdef _OPENMP
  omp_set_num_threads(1);  // for whoever does not go through parallel_for
#endif
}

inline bool in_region() {
#ifdef _OPENMP
  return omp_in_parallel() != 0;
#else
  return false;
#endif
}

// What a thread inside a region knows of it: whether to stop, and whether it is the calling thread, the only
// one that may ask.
struct Membership {
  std::atomic<bool>* stopped = nullptr;
  bool caller = false;
};
inline Membership& membership() {
  thread_local Membership mine;
  return mine;
}

}  // namespace detail

// Once a process, before the first region: at module initialisation.
inline void install_fork_handler() {
#if defined(__unix__) || defined(__APPLE__)
  static const int failed = pthread_atfork(nullptr, nullptr, &detail::after_fork_in_child);
  if (failed != 0) throw std::runtime_error("pthread_atfork failed");
#endif
}

inline bool in_forked_child() {
  return detail::forked;
}

// The threads a request gets: 0 = the OpenMP default (OMP_NUM_THREADS and threadpoolctl rule), else that
// many. One inside a parallel region, in a forked child, and without OpenMP.
inline int thread_count(int threads) {
  if (threads < 0) {
    throw std::invalid_argument("threads must be >= 0 (0 = the OpenMP default), got " +
                                std::to_string(threads));
  }
  if (in_forked_child() || detail::in_region()) return 1;
#ifdef _OPENMP
  constexpr int kMost = 1024;  // libgomp ends the process when the system refuses a thread
  return std::min(threads > 0 ? threads : omp_get_max_threads(), kMost);
#else
  return 1;
#endif
}

// ---- Stopping

// Asks a stop token at most every 20 ms.  The time of the last question is kept for the thread, so that a
// loop over many short regions is answered too.  Inside a region the calling thread asks for all of them, and
// the others look at its answer.
class TimedStop {
 public:
  explicit TimedStop(const StopToken& stop) : stop_(stop) {}

  bool requested() {
    const detail::Membership& mine = detail::membership();
    if (mine.stopped != nullptr) {
      if (mine.stopped->load(std::memory_order_relaxed)) return true;
      if (!mine.caller) return false;
    }
    if (!stop_.polls()) return false;  // and the time of the last question stays
    const auto now = Clock::now();
    if (now - last_asked() < std::chrono::milliseconds(20)) return false;
    last_asked() = now;
    const bool stop = stop_.stop_requested();
    if (stop && mine.stopped != nullptr) mine.stopped->store(true, std::memory_order_relaxed);
    return stop;
  }

  void check() {
    if (requested()) throw Stopped{};
  }

 private:
  using Clock = std::chrono::steady_clock;
  static Clock::time_point& last_asked() {
    thread_local Clock::time_point time{};
    return time;
  }

  const StopToken& stop_;
};

// ---- Loops

// Who is to do it: at most so many threads (see thread_count), and the estimated work of the whole loop in
// nanoseconds of one thread.  Work below kSmallWork stays on the calling thread: opening a region costs
// 15 to 50 us on a busy machine.
struct Team {
  int threads = 0;
  double work = 1e300;
};
constexpr double kSmallWork = 1e5;

namespace detail {

enum class Deal { kEven, kUneven };

// What the threads of one region share.
class Region {
 public:
  explicit Region(Index n) : limit_(n) {}

  // Items at or beyond the limit are not run.  It falls to the smallest index that threw, and to 0 on a stop;
  // so every index below the one reported has been run, whoever had it.
  bool open(Index i) const { return i < limit_.load(std::memory_order_relaxed); }

  // For as long as it lives, this thread is one of the region's.
  class Member {
   public:
    Member(Region& region, bool caller) { membership() = {&region.stopped_, caller}; }
    ~Member() { membership() = {}; }
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;
  };

  void stop() { limit_ = 0; }

  template <class Body>
  void run(Body& body, Index i) noexcept {
    try {
      body(i);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!error_ || i < error_index_) {
        error_ = std::current_exception();
        error_index_ = i;
        if (i < limit_) limit_ = i;
      }
    }
  }

  Index next() { return next_.fetch_add(1, std::memory_order_relaxed); }
  void worker_done() { workers_done_.fetch_add(1, std::memory_order_release); }
  int workers_done() const { return workers_done_.load(std::memory_order_acquire); }

  // On the calling thread, after the region.
  void rethrow() {
    if (stopped_) throw Stopped{};
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::atomic<Index> limit_;
  std::atomic<Index> next_{0};
  std::atomic<int> workers_done_{0};
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::exception_ptr error_;
  Index error_index_ = 0;
};

// One thread's share of the items.
template <class Body, class Between>
void work_through(Region& region, Index n, Deal deal, int me, int all, Body& body, Between&& between) {
  if (deal == Deal::kUneven) {
    for (Index i = region.next(); i < n; i = region.next()) {
      between();
      if (!region.open(i)) return;
      region.run(body, i);
    }
    return;
  }
  const Index share = n / all, rest = n % all;
  const Index first = me * share + std::min<Index>(me, rest);
  const Index last = first + share + (me < rest ? 1 : 0);
  for (Index i = first; i < last; ++i) {
    between();
    if (!region.open(i)) return;
    region.run(body, i);
  }
}

template <class Body>
void serial_loop(Index n, Body& body, const StopToken& stop) {
  TimedStop timed(stop);
  for (Index i = 0; i < n; ++i) {
    timed.check();
    body(i);
  }
}

template <class Body>
void loop(Index n, Team team, Deal deal, Body& body, const StopToken& stop) {
  const int allowed = thread_count(team.threads);
  const int threads = team.work >= kSmallWork ? static_cast<int>(std::min<Index>(allowed, n)) : 1;
  if (threads <= 1) return serial_loop(n, body, stop);
#ifdef _OPENMP
  Region region(n);
  TimedStop timed(stop);
#pragma omp parallel num_threads(threads)
  {
    const int me = omp_get_thread_num(), all = omp_get_num_threads();
    const Region::Member member(region, me == 0);
    if (me > 0) {
      work_through(region, n, deal, me, all, body, [] {});
      region.worker_done();
    } else {
      const auto ask = [&] {
        if (timed.requested()) region.stop();
      };
      work_through(region, n, deal, me, all, body, ask);
      // The others may have much left: go on asking.
      for (int turn = 0; region.workers_done() < all - 1; ++turn) {
        if (turn < 1000) {
          std::this_thread::yield();
        } else {
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        ask();
      }
    }
  }
  region.rethrow();
#else
  (void)deal;
#endif
}

}  // namespace detail

// body(i) for i = 0 .. n-1, in contiguous shares of equal length.  body may write only what belongs to i.
template <class Body>
void parallel_for(Index n, Team team, Body&& body, const StopToken& stop = {}) {
  detail::loop(n, team, detail::Deal::kEven, body, stop);
}

// The same for items of very different cost: dealt one by one to whoever is free.
template <class Body>
void parallel_for_uneven(Index n, Team team, Body&& body, const StopToken& stop = {}) {
  detail::loop(n, team, detail::Deal::kUneven, body, stop);
}

// body(first, last) for the consecutive ranges of length chunk (the last one shorter) that make up 0 .. n.
// The ranges depend on n and chunk only: inner loops vectorise in the same way whatever the number of
// threads.
template <class Body>
void parallel_chunks(Index n, Index chunk, Team team, Body&& body, const StopToken& stop = {}) {
  if (chunk < 1) throw std::invalid_argument("chunk must be >= 1, got " + std::to_string(chunk));
  const Index n_chunks = n > 0 ? (n - 1) / chunk + 1 : 0;
  parallel_for(
      n_chunks, team, [&](Index c) { body(c * chunk, c * chunk + std::min(chunk, n - c * chunk)); }, stop);
}

// Sum of body(first, last) -> T over the ranges of parallel_chunks, added in order.  T() is zero.
template <class T, class Body>
T ordered_sum(Index n, Index chunk, Team team, Body&& body, const StopToken& stop = {}) {
  std::vector<T> partial(static_cast<std::size_t>(chunk > 0 && n > 0 ? (n - 1) / chunk + 1 : 0));
  parallel_chunks(
      n, chunk, team,
      [&](Index first, Index last) { partial[static_cast<std::size_t>(first / chunk)] = body(first, last); },
      stop);
  T sum{};
  for (const T& value : partial) sum += value;
  return sum;
}

}  // namespace deepglass
