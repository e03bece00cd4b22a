#include "common/ring/gemm_batcher.h"

#include <algorithm>
#include <utility>

#include "common/ring/gemm_together.h"

namespace tacit {
namespace {

// A meeting waits for a quarter of a step: members that share cores are apart
// by the work between two matrices, which is a small part of a step, and a pass
// alone through the rest of the step costs more than that.
constexpr int kMeetingsPerStep = 4;

// A gathering waits for one and a half steps: who is anywhere in a step, and
// has its gateway choose a token after that, comes within that time.
std::chrono::nanoseconds GatheringWait(std::chrono::nanoseconds step) {
  return step + step / 2;
}

}  // namespace

GemmBatcher::Member::Member(GemmBatcher& batcher) : batcher_(batcher) {
  const std::lock_guard<std::mutex> lock(batcher_.mutex_);
  batcher_.members_.push_back(this);
  batcher_.Form({this});
}

GemmBatcher::Member::~Member() {
  const std::lock_guard<std::mutex> lock(batcher_.mutex_);
  batcher_.Withdraw(*this);
  std::erase(batcher_.members_, this);
}

void GemmBatcher::BeginStep(Member& me, size_t rows) {
  Lock lock(mutex_);
  if (!worthwhile_) return;
  if (me.step_began_ != Clock::time_point() && me.last_pass_ > me.step_began_) {
    step_ = me.last_pass_ - me.step_began_;
  }
  if (rows > options_.max_rows) return Withdraw(me);
  LeaveCohort(me);
  if (gathered_.empty()) {
    gathering_ends_ =
        Deadline(GatheringWait(step_), options_.longest_gathering);
  }
  me.expected_ = true;
  me.state_ = Member::State::kGathering;
  gathered_.push_back(&me);
  if (AllHaveGathered()) Gather();
  while (me.state_ == Member::State::kGathering) {
    const auto ended = me.changed_.wait_until(lock, gathering_ends_);
    if (ended == std::cv_status::timeout &&
        me.state_ == Member::State::kGathering) {
      Gather();
    }
  }
  me.step_began_ = options_.now();
}

bool GemmBatcher::AllHaveGathered() const {
  return std::none_of(members_.begin(), members_.end(), [](const Member* m) {
    return m->expected_ && m->state_ != Member::State::kGathering;
  });
}

void GemmBatcher::Gather() {
  for (Member* member : members_) {
    const bool came = member->state_ == Member::State::kGathering;
    stats_.late += member->expected_ && !came;
    member->expected_ = came;
  }
  Form(gathered_);
  for (Member* member : gathered_) {
    member->state_ = Member::State::kRunning;
    member->changed_.notify_one();
  }
  gathered_.clear();
}

void GemmBatcher::Multiply(Member& me, const GemmArgs& args, ThreadPool& own) {
  if (args.m == 0 || args.n * args.k * sizeof(uint64_t) < options_.min_bytes) {
    return Gemm(args, own);
  }
  Lock lock(mutex_);
  worthwhile_ = true;
  if (args.m > options_.max_rows) {
    Withdraw(me);
    lock.unlock();
    return Gemm(args, own);
  }
  ++stats_.products;
  me.product_ = &args;
  WaitForOthers(me, lock);
  Pass(me, lock);
  me.product_ = nullptr;
  me.last_pass_ = options_.now();
}

void GemmBatcher::WaitForOthers(Member& me, Lock& lock) {
  // Start may move `me` to another cohort while it waits here.
  const std::shared_ptr<Cohort> cohort = me.cohort_;
  me.state_ = Member::State::kMeeting;
  if (++cohort->arrived == 1) {
    cohort->deadline =
        Deadline(step_ / kMeetingsPerStep, options_.longest_meeting);
  }
  if (cohort->arrived == cohort->members.size()) Start(*cohort, &me);
  while (me.state_ == Member::State::kMeeting) {
    const auto ended = me.changed_.wait_until(lock, cohort->deadline);
    if (ended == std::cv_status::timeout &&
        me.state_ == Member::State::kMeeting) {
      stats_.late += cohort->members.size() - cohort->arrived;
      Start(*cohort, &me);
    }
  }
}

void GemmBatcher::Start(Cohort& cohort, Member* first) {
  std::vector<Member*> came;
  for (Member* member : cohort.members) {
    if (member->state_ == Member::State::kMeeting) came.push_back(member);
  }
  cohort.arrived = 0;
  if (first != nullptr)
    std::iter_swap(came.begin(), std::ranges::find(came, first));
  while (!came.empty()) {
    const auto other = std::stable_partition(
        came.begin(), came.end(), [&](const Member* member) {
          return SameRightOperand(*member->product_, *came.front()->product_);
        });
    const std::vector<Member*> same(came.begin(), other);
    came.erase(came.begin(), other);
    if (same.size() < cohort.members.size()) Form(same);
    Assign(same);
  }
}

void GemmBatcher::Assign(const std::vector<Member*>& same) {
  Member* leader = nullptr;
  size_t rows = 0;
  for (Member* member : same) {
    rows += member->product_->m;
    if (leader == nullptr || rows > options_.max_batch_rows) {
      leader = member;
      leader->state_ = Member::State::kLeading;
      leader->changed_.notify_one();
      rows = member->product_->m;
      ++stats_.passes;
    } else {
      member->state_ = Member::State::kFollowing;
    }
    leader->served_.push_back(member);
  }
}

void GemmBatcher::Pass(Member& me, Lock& lock) {
  if (me.state_ == Member::State::kFollowing) {
    me.changed_.wait(lock,
                     [&] { return me.state_ == Member::State::kRunning; });
    return;
  }
  const std::vector<Member*> served = std::exchange(me.served_, {});
  std::vector<const GemmArgs*> products;
  for (const Member* member : served) products.push_back(member->product_);
  lock.unlock();
  GemmTogether(products, pool_);
  lock.lock();
  for (Member* member : served) {
    member->state_ = Member::State::kRunning;
    if (member != &me) member->changed_.notify_one();
  }
}

void GemmBatcher::Form(const std::vector<Member*>& members) {
  const auto cohort = std::make_shared<Cohort>();
  for (Member* member : members) {
    if (member->cohort_ != nullptr) {
      std::erase(member->cohort_->members, member);
    }
    member->cohort_ = cohort;
  }
  cohort->members = members;
}

void GemmBatcher::LeaveCohort(Member& member) {
  const std::shared_ptr<Cohort> left = member.cohort_;
  if (left->members.size() == 1) return;
  Form({&member});
  if (left->arrived == left->members.size()) Start(*left);
}

void GemmBatcher::Withdraw(Member& member) {
  LeaveCohort(member);
  member.expected_ = false;
  if (!gathered_.empty() && AllHaveGathered()) Gather();
}

GemmBatcher::Clock::time_point GemmBatcher::Deadline(
    std::chrono::nanoseconds wait, std::chrono::nanoseconds longest) const {
  return Clock::now() + std::min(std::max(wait, options_.least_wait), longest);
}

GemmBatcher::Stats GemmBatcher::stats() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  Stats stats = stats_;
  for (const Member* member : members_) stats.waiting += member->Waits();
  return stats;
}

}  // namespace tacit
