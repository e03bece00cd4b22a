// Decode steps of several sessions in one pass over each weight matrix.
#ifndef TACIT_COMMON_RING_GEMM_BATCHER_H_
#define TACIT_COMMON_RING_GEMM_BATCHER_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "common/base/thread_pool.h"
#include "common/ring/gemm.h"

namespace tacit {

// Decoding multiplies one row by all weights and is bound by reading them:
// sessions that decode at the same time should read them once. Sessions of one
// plan multiply by the same matrices in the same order, so that those which
// begin a step together meet at each of them.
//
//   Gathering: a session that begins a step waits for the others that decode.
//     Whoever has come is a cohort (continuous batching at the level of a step;
//     Yu et al., Orca, OSDI 2022).
//   Meeting: at each matrix the cohort's members wait for each other, and one
//     multiplies for all. One that comes with another matrix, of another
//     program, is a cohort of its own from there on.
//
// A session alone never waits. Each wait has a bound, derived from the time
// that steps take. Who is late at a meeting is left behind: it forms a cohort
// with the others that were late, and is waited for again at the next
// gathering. Who misses a gathering is not waited for until it comes to one. So
// a session that stalls (its gateway, its peer or flow control holds it back)
// delays the others once at a product and once at a step.
//
// The parties and the dealer gather independently. A session that waits in one
// of them may be what the other's cohort waits for, and such waits can form a
// cycle while cohorts differ: the bounds end it, and the next gathering joins
// who was separated.
//
// Rows of several sessions lie side by side in one buffer, which is wiped; no
// row has an influence on another's product. Thread-safe.
class GemmBatcher {
 private:
  struct Cohort;

 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    // Products of more rows (prompts) are bound by arithmetic: they go alone.
    size_t max_rows = 16;
    // Of one pass.
    size_t max_batch_rows = 128;
    // Bytes of the right operand from which on a pass over it costs clearly
    // more than waking another thread. Without such a matrix nobody gathers.
    size_t min_bytes = size_t{4} << 20;
    // Of every wait, however short steps are: what a busy scheduler takes to
    // run a thread that was woken.
    std::chrono::nanoseconds least_wait = std::chrono::milliseconds(2);
    // However long steps are: what a user would notice.
    std::chrono::nanoseconds longest_meeting = std::chrono::seconds(1);
    std::chrono::nanoseconds longest_gathering = std::chrono::seconds(2);
    // Measures steps.
    Clock::time_point (*now)() = &Clock::now;
  };
  struct Stats {
    uint64_t products = 0;  // that could be batched
    uint64_t passes = 0;    // over a right operand for them
    uint64_t late = 0;   // times that a session was waited for and did not come
    size_t waiting = 0;  // sessions that wait for others now
  };

  // A session's part. For one thread at a time.
  class Member {
   public:
    // `batcher` must outlive the member.
    explicit Member(GemmBatcher& batcher);
    ~Member();  // who waits for it waits no longer
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;

    // A step begins that multiplies `rows` rows; its input is there. Returns
    // when the others have come, or the bound is over.
    void BeginStep(size_t rows) { batcher_.BeginStep(*this, rows); }

    // Gemm(args), with the cohort's products. The right operand must not
    // change while any member multiplies by it. Products that go alone as they
    // are large or by a small matrix run on `own`, the caller's pool.
    void Multiply(const GemmArgs& args, ThreadPool& own) {
      batcher_.Multiply(*this, args, own);
    }

   private:
    friend class GemmBatcher;
    enum class State {
      kRunning,
      kGathering,  // waits for a step to begin
      kMeeting,    // waits with product_ for the others
      kLeading,    // is to multiply for served_
      kFollowing,  // another member multiplies for it
    };

    bool Waits() const {
      return state_ == State::kGathering || state_ == State::kMeeting;
    }

    GemmBatcher& batcher_;
    // Guarded by batcher_.mutex_.
    State state_ = State::kRunning;
    std::condition_variable changed_;  // state_
    bool expected_ = false;            // at the next gathering
    std::shared_ptr<Cohort> cohort_;   // never null
    const GemmArgs* product_ = nullptr;
    std::vector<Member*> served_;  // with itself
    Clock::time_point step_began_, last_pass_;
  };

  // `pool` must outlive the batcher.
  explicit GemmBatcher(ThreadPool& pool) : GemmBatcher(pool, Options()) {}
  GemmBatcher(ThreadPool& pool, const Options& options)
      : pool_(pool), options_(options) {}
  GemmBatcher(const GemmBatcher&) = delete;
  GemmBatcher& operator=(const GemmBatcher&) = delete;

  Stats stats() const;

 private:
  struct Cohort {
    std::vector<Member*> members;
    size_t arrived = 0;          // of them, at the meeting
    Clock::time_point deadline;  // of it, if arrived > 0
  };
  using Lock = std::unique_lock<std::mutex>;

  void BeginStep(Member& me, size_t rows);
  void Multiply(Member& me, const GemmArgs& args, ThreadPool& own);

  // All below require mutex_.

  void WaitForOthers(Member& me, Lock& lock);
  // Multiplies if `me` leads, or waits for who does.
  void Pass(Member& me, Lock& lock);
  // Sends those of `cohort` who have come, `first` before others, to their
  // passes; who has not come remains in it.
  void Start(Cohort& cohort, Member* first = nullptr);
  // Members that come with the same matrix: shares them out among passes.
  void Assign(const std::vector<Member*>& same);
  // A cohort of `members`, who leave theirs.
  void Form(const std::vector<Member*>& members);
  void LeaveCohort(Member& member);
  // Nobody waits for `member` any longer.
  void Withdraw(Member& member);
  bool AllHaveGathered() const;
  void Gather();
  Clock::time_point Deadline(std::chrono::nanoseconds wait,
                             std::chrono::nanoseconds longest) const;

  ThreadPool& pool_;
  const Options options_;
  mutable std::mutex mutex_;
  std::vector<Member*> members_;   // all
  std::vector<Member*> gathered_;  // those of them who wait for a step
  Clock::time_point gathering_ends_;
  bool worthwhile_ = false;  // there are matrices of at least min_bytes
  // A step as last measured, from a gathering to the last pass: without the
  // time that its gateway takes, which may stall. 0 before the first one.
  std::chrono::nanoseconds step_{0};
  Stats stats_;
};

}  // namespace tacit

#endif  // TACIT_COMMON_RING_GEMM_BATCHER_H_
