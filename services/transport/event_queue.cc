#include "services/transport/event_queue.h"

#include <algorithm>
#include <iterator>

#include "services/transport/deadline.h"
#include "services/transport/tsan.h"

namespace tacit {
namespace {

// How long the reaper waits at one stream before it looks at the next.
constexpr absl::Duration kReapInterval = absl::Milliseconds(5);

}  // namespace

EventQueue::~EventQueue() {
  queue_.Shutdown();
  void* tag;
  bool ok;
  while (queue_.Next(&tag, &ok)) static_cast<Event*>(tag)->Happen(ok);
}

bool EventQueue::Poll(absl::Duration timeout) {
  void* tag;
  bool ok;
  if (queue_.AsyncNext(&tag, &ok, DeadlineIn(timeout)) !=
      grpc::CompletionQueue::GOT_EVENT) {
    return false;
  }
  TACIT_OUT_OF_GRPC(tag);
  static_cast<Event*>(tag)->Happen(ok);
  return true;
}

void EventQueue::Wake() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (waking_) return;
  waking_ = true;
  wake_ = std::make_unique<grpc::Alarm>();
  TACIT_INTO_GRPC(&woken_);
  wake_->Set(&queue_, gpr_now(GPR_CLOCK_MONOTONIC),
             static_cast<Event*>(&woken_));
}

void EventQueue::Woken::Happen(bool) {
  std::lock_guard<std::mutex> lock(queue_.mutex_);
  queue_.waking_ = false;
}

StreamReaper::StreamReaper() : thread_([this] { Run(); }) {}

void StreamReaper::Finish() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void StreamReaper::Add(PolledStream stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  streams_.push_back(std::move(stream));
  changed_.notify_all();
}

void StreamReaper::Run() {
  std::vector<PolledStream> streams;
  while (true) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] {
        return stopped_ || !streams_.empty() || !streams.empty();
      });
      std::move(streams_.begin(), streams_.end(), std::back_inserter(streams));
      streams_.clear();
      if (streams.empty()) return;  // and stopped
    }
    for (const PolledStream& one : streams) {
      while (!one.stream->done() && one.queue->Poll(kReapInterval)) {
      }
    }
    std::erase_if(streams,
                  [](const PolledStream& one) { return one.stream->done(); });
  }
}

}  // namespace tacit
