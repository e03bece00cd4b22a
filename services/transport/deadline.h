// Deadlines for gRPC.
#ifndef TACIT_SERVICES_TRANSPORT_DEADLINE_H_
#define TACIT_SERVICES_TRANSPORT_DEADLINE_H_

#include <grpc/support/time.h>

#include "absl/time/time.h"

namespace tacit {

// `duration` from now for ClientContext::set_deadline, Alarm::Set and
// Server::Shutdown, on the monotonic clock. A date of the wall clock would be
// wrong when that is set, and absl::Now needs seconds to notice that it was.
inline gpr_timespec DeadlineIn(absl::Duration duration) {
  return gpr_time_add(
      gpr_now(GPR_CLOCK_MONOTONIC),
      gpr_time_from_millis(absl::ToInt64Milliseconds(duration), GPR_TIMESPAN));
}

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_DEADLINE_H_
