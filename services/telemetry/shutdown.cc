#include "services/telemetry/shutdown.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <utility>

#include "services/security/files.h"

namespace tacit {
namespace {

sigset_t ShutdownSet() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

absl::Status ShutdownSignals::Block() {
  const sigset_t set = ShutdownSet();
  const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  if (error != 0) return ErrnoStatus(error, "pthread_sigmask");
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ShutdownSignals>> ShutdownSignals::Watch(
    std::function<void(int)> drain, std::function<void(int)> force) {
  const sigset_t set = ShutdownSet();
  const int signal_fd = ::signalfd(-1, &set, SFD_CLOEXEC);
  if (signal_fd < 0) return ErrnoStatus(errno, "signalfd");
  const int stop_fd = ::eventfd(0, EFD_CLOEXEC);
  if (stop_fd < 0) {
    const absl::Status status = ErrnoStatus(errno, "eventfd");
    ::close(signal_fd);
    return status;
  }
  if (!force) {
    force = [](int signal) { ::_exit(128 + signal); };
  }
  return std::unique_ptr<ShutdownSignals>(new ShutdownSignals(
      std::move(drain), std::move(force), signal_fd, stop_fd));
}

ShutdownSignals::ShutdownSignals(std::function<void(int)> drain,
                                 std::function<void(int)> force, int signal_fd,
                                 int stop_fd)
    : drain_(std::move(drain)),
      force_(std::move(force)),
      signal_fd_(signal_fd),
      stop_fd_(stop_fd),
      watching_(&ShutdownSignals::Run, this) {}

ShutdownSignals::~ShutdownSignals() {
  const uint64_t one = 1;
  while (::write(stop_fd_, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
  watching_.join();
  ::close(signal_fd_);
  ::close(stop_fd_);
}

void ShutdownSignals::Run() {
  std::atomic<bool> drained{true};
  bool stopping = false;
  while (!stopping || !drained) {
    pollfd fds[2] = {{signal_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    // While `drain` runs, a second signal must still get through.
    if (::poll(fds, stopping ? 1 : 2, stopping ? 10 : -1) < 0) continue;
    if (!stopping && (fds[1].revents & POLLIN) != 0) stopping = true;
    if ((fds[0].revents & POLLIN) == 0) continue;
    signalfd_siginfo info;
    if (::read(signal_fd_, &info, sizeof(info)) != sizeof(info)) continue;
    const int signal = static_cast<int>(info.ssi_signo);
    if (requested_.exchange(true)) {
      force_(signal);
      continue;
    }
    drained = false;
    draining_ = std::thread([this, signal, &drained] {
      drain_(signal);
      drained = true;
    });
  }
  if (draining_.joinable()) draining_.join();
}

}  // namespace tacit
