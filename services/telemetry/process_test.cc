// Each test runs in a child process: what it does cannot be undone.
#include "services/telemetry/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "common/base/status_matchers.h"
#include "gtest/gtest.h"
#include "services/security/testing.h"
#include "services/telemetry/shutdown.h"

namespace tacit {
namespace {

// The wait status of a child that runs `body`, whose result is its exit code.
int InChild(const std::function<int()>& body,
            const std::function<void(pid_t)>& meanwhile = nullptr) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);  // rather than hang
    ::_exit(body());
  }
  if (meanwhile) meanwhile(child);
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

int ExitCode(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(ProcessTest, HardensItself) {
  TestDir dir;
  const std::string file = dir.File("new");
  EXPECT_EQ(ExitCode(InChild([&] {
              if (!HardenProcess().ok()) return 1;
              rlimit core;
              ::getrlimit(RLIMIT_CORE, &core);
              if (core.rlim_cur != 0 || core.rlim_max != 0) return 2;
#if !defined(__SANITIZE_ADDRESS__)
              if (::prctl(PR_GET_DUMPABLE) != 0) return 3;
#endif
              const int fd = ::open(file.c_str(), O_CREAT | O_WRONLY, 0666);
              struct stat info;
              if (::fstat(fd, &info) != 0 || (info.st_mode & 0777) != 0600) {
                return 4;
              }
              int pipe_fds[2];
              if (::pipe(pipe_fds) != 0) return 5;
              ::close(pipe_fds[0]);
              if (::write(pipe_fds[1], "x", 1) != -1) return 6;
              return 0;
            })),
            0);
}

// A child that says when it watches, so that a signal can be sent.
struct Ready {
  Ready() { EXPECT_EQ(::pipe(fds), 0); }
  void Say() const { EXPECT_EQ(::write(fds[1], "r", 1), 1); }
  void Wait() const {
    char byte;
    EXPECT_EQ(::read(fds[0], &byte, 1), 1);
  }
  int fds[2];
};

TEST(ShutdownTest, DrainsAtTheFirstSignal) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const Ready ready;
    const int status = InChild(
        [&] {
          if (!ShutdownSignals::Block().ok()) return 1;
          // Threads like gRPC's, which must neither die nor be interrupted.
          std::atomic<bool> stop{false};
          std::vector<std::thread> threads;
          for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&stop] {
              while (!stop) std::this_thread::yield();
            });
          }
          int drained_by = 0;
          {
            auto signals = ShutdownSignals::Watch([&](int got) {
              drained_by = got;
              stop = true;
            });
            if (!signals.ok()) return 2;
            if ((*signals)->requested()) return 3;
            ready.Say();
            for (std::thread& thread : threads) thread.join();
            if (!(*signals)->requested()) return 4;
          }
          return drained_by == signal ? 0 : 5;
        },
        [&](pid_t child) {
          ready.Wait();
          ::kill(child, signal);
        });
    EXPECT_EQ(ExitCode(status), 0) << signal;
  }
}

TEST(ShutdownTest, EndsAtTheSecondSignalThoughDrainingHangs) {
  const Ready ready, draining;
  const int status = InChild(
      [&] {
        if (!ShutdownSignals::Block().ok()) return 1;
        auto signals = ShutdownSignals::Watch([&](int) {
          draining.Say();
          ::pause();
        });
        ready.Say();
        while (!(*signals)->requested()) std::this_thread::yield();
        signals->reset();  // waits for the hanging drain
        ::pause();
        return 2;
      },
      [&](pid_t child) {
        ready.Wait();
        ::kill(child, SIGTERM);
        draining.Wait();
        ::kill(child, SIGTERM);
      });
  EXPECT_EQ(ExitCode(status), 128 + SIGTERM);
}

TEST(ShutdownTest, EndsQuietlyWithoutSignals) {
  EXPECT_EQ(ExitCode(InChild([] {
              if (!ShutdownSignals::Block().ok()) return 1;
              const auto signals = ShutdownSignals::Watch([](int) {});
              return signals.ok() ? 0 : 2;
            })),
            0);
}

}  // namespace
}  // namespace tacit
