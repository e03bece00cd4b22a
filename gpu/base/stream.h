// Streams, events and graphs, owned. All for the calling thread's device.
#ifndef TACIT_GPU_BASE_STREAM_H_
#define TACIT_GPU_BASE_STREAM_H_

#include <functional>
#include <memory>

#include "gpu/base/error.h"
#include "gpu/base/launch.h"

struct CUgraphExec_st;

namespace tacit::gpu {

namespace internal {
struct StreamDeleter {
  void operator()(CUstream_st* stream) const;
};
struct EventDeleter {
  void operator()(CUevent_st* event) const;
};
struct GraphDeleter {
  void operator()(CUgraphExec_st* graph) const;
};
}  // namespace internal

// A point in a stream's work.
class Event {
 public:
  // `timed`: may be used with MillisecondsBetween; recording costs more then.
  static Result<Event> Create(bool timed = false);

  Error Record(StreamHandle stream);
  // Waits until the device got to where it was recorded; at once if never.
  Error Synchronize() const;
  // From one timed event to another, both reached.
  static Result<double> MillisecondsBetween(const Event& from, const Event& to);

  CUevent_st* handle() const { return event_.get(); }

 private:
  explicit Event(CUevent_st* event) : event_(event) {}
  std::unique_ptr<CUevent_st, internal::EventDeleter> event_;
};

// Work in order, next to other streams' work. Does not wait for the default
// stream, nor that for it.
class Stream {
 public:
  static Result<Stream> Create();

  StreamHandle handle() const { return stream_.get(); }
  // What is enqueued from now on waits for `event`; the host does not.
  Error Wait(const Event& event);
  // The host waits; reports what went wrong in anything enqueued before.
  Error Synchronize();

 private:
  explicit Stream(StreamHandle stream) : stream_(stream) {}
  std::unique_ptr<CUstream_st, internal::StreamDeleter> stream_;
};

// A session's streams: material comes in on one while another computes and the
// third moves what the parties send each other. Events order them where one
// needs what another made.
struct SessionStreams {
  Stream copy, compute, communicate;
  static Result<SessionStreams> Create();
};

// Work that is enqueued again and again, as one launch: a decode step.
class Graph {
 public:
  // Records what `enqueue` enqueues on `stream`, without running it. Shapes and
  // addresses stay as they were; what is at the addresses may change. `enqueue`
  // must not wait for the device or allocate memory, and has run once before,
  // since first launches load kernels and let a library choose; if it fails,
  // its error is returned, and nothing stays captured.
  static Result<Graph> Capture(Stream& stream,
                               const std::function<Error()>& enqueue);

  Error Launch(StreamHandle stream) const;

 private:
  explicit Graph(CUgraphExec_st* graph) : graph_(graph) {}
  std::unique_ptr<CUgraphExec_st, internal::GraphDeleter> graph_;
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_BASE_STREAM_H_
