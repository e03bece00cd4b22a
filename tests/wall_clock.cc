// A library to preload: shifts the wall clock of a process, whenever the test
// likes, by the nanoseconds in the first 8 bytes of the file that
// TACIT_TEST_WALL_CLOCK names. The monotonic clock goes on, as when a machine's
// clock is set. Not part of any program: the roles under test know nothing of
// it.
//
// One difference to a clock that is set: a wait until a time of the wall clock
// that has begun already goes on as long as it would have.
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>

namespace {

constexpr int64_t kSecond = 1'000'000'000;

int64_t Offset() {
  static const std::atomic<int64_t>* const offset =
      []() -> const std::atomic<int64_t>* {
    static const std::atomic<int64_t> none{0};
    const char* const path = getenv("TACIT_TEST_WALL_CLOCK");
    const int fd =
        path == nullptr ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && ftruncate(fd, sizeof(int64_t)) != 0) abort();
    if (fd < 0) return &none;
    void* const at =
        mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    return at == MAP_FAILED ? &none
                            : static_cast<const std::atomic<int64_t>*>(at);
  }();
  return offset->load(std::memory_order_relaxed);
}

template <typename Function>
Function* Next(Function*, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

timespec Shifted(const timespec& time, int64_t by) {
  const int64_t sum = time.tv_sec * kSecond + time.tv_nsec + by;
  return {sum / kSecond, sum % kSecond};
}

// A time that a program got from its shifted clock, on the real one. Times of
// the monotonic clock, which some of these calls take too, are small.
timespec Real(const timespec& time) {
  constexpr time_t kLeastWallTime = 1'000'000'000;
  return time.tv_sec < kLeastWallTime ? time : Shifted(time, -Offset());
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static auto* const next = Next(clock_gettime, "clock_gettime");
  const int result = next(clock, time);
  if (result == 0 &&
      (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    *time = Shifted(*time, Offset());
  }
  return result;
}

int gettimeofday(timeval* time, void*) noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  *time = {now.tv_sec, now.tv_nsec / 1000};
  return 0;
}

time_t time(time_t* out) noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t* cond, pthread_mutex_t* mutex,
                           const timespec* until) {
  static auto* const next =
      Next(pthread_cond_timedwait, "pthread_cond_timedwait");
  const timespec real = Real(*until);
  return next(cond, mutex, &real);
}

int sem_timedwait(sem_t* sem, const timespec* until) {
  static auto* const next = Next(sem_timedwait, "sem_timedwait");
  const timespec real = Real(*until);
  return next(sem, &real);
}

long syscall(long number, ...) noexcept {  // NOLINT: the C library's type
  static auto* const next = Next(syscall, "syscall");
  long a[6];  // NOLINT
  va_list list;
  va_start(list, number);
  for (long& one : a) one = va_arg(list, long);  // NOLINT
  va_end(list);
  timespec real;
  if (number == SYS_futex && (a[1] & FUTEX_CLOCK_REALTIME) != 0 && a[3] != 0) {
    real = Real(*reinterpret_cast<const timespec*>(a[3]));
    a[3] = reinterpret_cast<long>(&real);  // NOLINT
  }
  return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

}  // extern "C"
