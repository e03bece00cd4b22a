// What ThreadSanitizer must be told about gRPC; nothing in other builds.
//
// Debian's gRPC is not instrumented: its locks, and what they order, are
// invisible. An object that goes into gRPC in one thread and comes back in
// another says so, and its data is followed. What gRPC does with memory of its
// own is not reported: see the suppressions in
// raw_stream.cc.
#ifndef TACIT_SERVICES_TRANSPORT_TSAN_H_
#define TACIT_SERVICES_TRANSPORT_TSAN_H_

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
// Before a call into gRPC that lets another thread have the object, and first
// thing in the other thread.
#define TACIT_INTO_GRPC(object) __tsan_release(object)
#define TACIT_OUT_OF_GRPC(object) __tsan_acquire(object)
#else
#define TACIT_INTO_GRPC(object) (void)(object)
#define TACIT_OUT_OF_GRPC(object) (void)(object)
#endif

namespace tacit {

// In a handler of `service`, which came here through gRPC's threads and whose
// owner waits for them; any pointer that both use will do.
class InGrpcHandler {
 public:
  explicit InGrpcHandler(void* service) : service_(service) {
    TACIT_OUT_OF_GRPC(service_);
  }
  ~InGrpcHandler() { TACIT_INTO_GRPC(service_); }
  InGrpcHandler(const InGrpcHandler&) = delete;
  InGrpcHandler& operator=(const InGrpcHandler&) = delete;

 private:
  void* const service_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_TSAN_H_
