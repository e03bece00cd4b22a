// Ends a service on SIGTERM and SIGINT: first gracefully, then at once.
#ifndef TACIT_SERVICES_TELEMETRY_SHUTDOWN_H_
#define TACIT_SERVICES_TELEMETRY_SHUTDOWN_H_

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tacit {

// Waits for signals in a thread of its own, so that what they cause runs as
// ordinary code, next to gRPC's threads or any others.
//
//   RETURN_IF_ERROR(ShutdownSignals::Block());   // first thing in main
//   ASSIGN_OR_RETURN(auto signals, ShutdownSignals::Watch([&](int) {
//     health.SetServing(false);
//     server->Shutdown(deadline);                // may take a while
//   }));
//   server->Wait();
//
// Child processes inherit the blocked signals: reset their mask before exec.
class ShutdownSignals {
 public:
  // Blocks the signals in this thread and those it starts. Call it before there
  // are others; a thread with unblocked signals would die of them.
  static absl::Status Block();

  // Calls `drain` at the first signal, in a thread of its own, and `force` at
  // each further one, however far `drain` is. The default ends the process,
  // with exit code 128 + signal.
  static absl::StatusOr<std::unique_ptr<ShutdownSignals>> Watch(
      std::function<void(int)> drain, std::function<void(int)> force = nullptr);

  // Waits for `drain`, if it was called.
  ~ShutdownSignals();

  // Whether a signal came.
  bool requested() const { return requested_; }

 private:
  ShutdownSignals(std::function<void(int)> drain,
                  std::function<void(int)> force, int signal_fd, int stop_fd);
  void Run();

  const std::function<void(int)> drain_;
  const std::function<void(int)> force_;
  const int signal_fd_;
  const int stop_fd_;
  std::atomic<bool> requested_{false};
  std::thread draining_;  // made by watching_
  std::thread watching_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_TELEMETRY_SHUTDOWN_H_
