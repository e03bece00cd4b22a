// Time for waiting and measuring.
#ifndef TACIT_COMMON_BASE_CLOCK_H_
#define TACIT_COMMON_BASE_CLOCK_H_

#include <chrono>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace tacit {

// The monotonic clock: the wall clock, absl::Now, is set now and then, and
// jumps. To be compared with other times of this clock only.
inline absl::Time SteadyNow() {
  return absl::UnixEpoch() +
         absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

// Since `start`, a time of SteadyNow.
inline double SecondsSince(absl::Time start) {
  return absl::ToDoubleSeconds(SteadyNow() - start);
}

// When the wall clock will show `wall` unless it is set.
inline absl::Time ToSteady(absl::Time wall) {
  return SteadyNow() + (wall - absl::Now());
}

}  // namespace tacit

#endif  // TACIT_COMMON_BASE_CLOCK_H_
