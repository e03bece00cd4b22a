// Streams whose events are handled by the thread that waits for them.
//
// gRPC's callback API hands each event from a thread of gRPC's to the one that
// waits for it. A round between the parties is as short as two such handovers,
// so that the stripe which small messages take is polled instead: the
// session's own thread reads the socket. By measurement it halves the time of
// a round on loopback (bench/RESULTS.md).
#ifndef TACIT_SERVICES_TRANSPORT_EVENT_QUEUE_H_
#define TACIT_SERVICES_TRANSPORT_EVENT_QUEUE_H_

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "services/transport/raw_stream.h"

namespace tacit {

// A completion queue and who waits at it. All streams on it must be done
// before it goes.
class EventQueue {
 public:
  // What completes on a queue: its address is the operation's tag.
  class Event {
   public:
    virtual ~Event() = default;
    virtual void Happen(bool ok) = 0;
  };

  EventQueue() = default;
  ~EventQueue();
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;

  grpc::CompletionQueue* queue() { return &queue_; }

  // Handles the next event on this thread; false if none comes within
  // `timeout`. One thread at a time.
  bool Poll(absl::Duration timeout);
  // Ends a Poll that is under way, or else the next. Thread-safe.
  void Wake();

 private:
  class Woken : public Event {
   public:
    explicit Woken(EventQueue& queue) : queue_(queue) {}
    void Happen(bool ok) override;

   private:
    EventQueue& queue_;
  };

  grpc::CompletionQueue queue_;
  std::mutex mutex_;
  bool waking_ = false;                // guarded by mutex_
  std::unique_ptr<grpc::Alarm> wake_;  // likewise
  Woken woken_{*this};
};

// A stream and the queue that its events come to.
struct PolledStream {
  std::shared_ptr<RawStream> stream;
  std::shared_ptr<EventQueue> queue;
};

// The calling end of `method`, begun, on a queue of its own.
PolledStream StartPolledClientStream(
    std::shared_ptr<RawStream::Handler> handler, int tag, absl::Duration linger,
    std::shared_ptr<grpc::Channel> channel, const std::string& method,
    const CallMetadata& metadata);

// Polls streams that are being closed and that nobody waits for any more.
// Thread-safe.
class StreamReaper {
 public:
  StreamReaper();
  ~StreamReaper() { Finish(); }

  // The stream must have been closed.
  void Add(PolledStream stream);
  // Waits for all streams; each ends within its linger. None may be added any
  // more.
  void Finish();

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<PolledStream> streams_;  // guarded by mutex_
  bool stopped_ = false;               // likewise
  std::thread thread_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_EVENT_QUEUE_H_
