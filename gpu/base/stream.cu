#include <utility>

#include "gpu/base/launch.cuh"
#include "gpu/base/stream.h"

namespace tacit::gpu {

namespace internal {
// What these say is said by the next call on the device too.
void StreamDeleter::operator()(CUstream_st* stream) const {
  (void)cudaStreamDestroy(stream);
}
void EventDeleter::operator()(CUevent_st* event) const {
  (void)cudaEventDestroy(event);
}
void GraphDeleter::operator()(CUgraphExec_st* graph) const {
  (void)cudaGraphExecDestroy(graph);
}
}  // namespace internal

Result<Event> Event::Create(bool timed) {
  cudaEvent_t event = nullptr;
  TACIT_RETURN_IF_CUDA_ERROR(
      cudaEventCreateWithFlags(
          &event, timed ? cudaEventDefault : cudaEventDisableTiming),
      "event");
  return Event(event);
}

Error Event::Record(StreamHandle stream) {
  return FromCuda(cudaEventRecord(event_.get(), stream), "event");
}

Error Event::Synchronize() const {
  return FromCuda(cudaEventSynchronize(event_.get()), "waiting for the device");
}

Result<double> Event::MillisecondsBetween(const Event& from, const Event& to) {
  float milliseconds = 0;
  TACIT_RETURN_IF_CUDA_ERROR(
      cudaEventElapsedTime(&milliseconds, from.handle(), to.handle()),
      "time between events");
  return double{milliseconds};
}

Result<Stream> Stream::Create() {
  cudaStream_t stream = nullptr;
  TACIT_RETURN_IF_CUDA_ERROR(
      cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  return Stream(stream);
}

Error Stream::Wait(const Event& event) {
  return FromCuda(cudaStreamWaitEvent(stream_.get(), event.handle(), 0),
                  "waiting for an event");
}

Error Stream::Synchronize() {
  return FromCuda(cudaStreamSynchronize(stream_.get()),
                  "waiting for the device");
}

Result<SessionStreams> SessionStreams::Create() {
  TACIT_GPU_ASSIGN_OR_RETURN(Stream copy, Stream::Create());
  TACIT_GPU_ASSIGN_OR_RETURN(Stream compute, Stream::Create());
  TACIT_GPU_ASSIGN_OR_RETURN(Stream communicate, Stream::Create());
  return SessionStreams{std::move(copy), std::move(compute),
                        std::move(communicate)};
}

Result<Graph> Graph::Capture(Stream& stream,
                             const std::function<Error()>& enqueue) {
  TACIT_RETURN_IF_CUDA_ERROR(
      cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeThreadLocal),
      "capture");
  Error enqueued = enqueue();
  cudaGraph_t graph = nullptr;
  // Also after an error: else the stream would stay in capture.
  const cudaError_t ended = cudaStreamEndCapture(stream.handle(), &graph);
  cudaGraphExec_t executable = nullptr;
  cudaError_t made = cudaSuccess;
  if (enqueued.ok() && ended == cudaSuccess) {
    made = cudaGraphInstantiate(&executable, graph, 0);
  }
  if (graph != nullptr) (void)cudaGraphDestroy(graph);
  TACIT_RETURN_IF_CUDA_ERROR(enqueued.ok() ? ended : cudaSuccess, "capture");
  (void)cudaGetLastError();  // of an end after an error
  if (!enqueued.ok()) return enqueued;
  TACIT_RETURN_IF_CUDA_ERROR(made, "graph");
  return Graph(executable);
}

Error Graph::Launch(StreamHandle stream) const {
  return FromCuda(cudaGraphLaunch(graph_.get(), stream), "graph");
}

}  // namespace tacit::gpu
