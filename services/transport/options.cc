#include "services/transport/options.h"

#include <grpc/grpc.h>
#include <malloc.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace tacit {
namespace {

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

}  // namespace

absl::Status CheckTransportOptions(const TransportOptions& options) {
  if (options.stripes < 1 || options.stripes > kMaxStripes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "stripes must be 1 to ", kMaxStripes, ", not ", options.stripes));
  }
  for (size_t bytes : {options.frame_bytes, options.material_chunk_bytes}) {
    if (bytes < kMinFrameBytes || bytes > kMaxFrameBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("frames and chunks must have ", kMinFrameBytes, " to ",
                       kMaxFrameBytes, " bytes, not ", bytes));
    }
  }
  return absl::OkStatus();
}

grpc::ChannelArguments MakeChannelArguments(const TransportOptions& options,
                                            size_t max_message_bytes) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(static_cast<int>(max_message_bytes));
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                   Milliseconds(options.keepalive_time));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                   Milliseconds(options.keepalive_timeout));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                   Milliseconds(options.reconnect_initial));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,
                   Milliseconds(options.reconnect_max));
  if (!options.user_agent.empty()) {
    arguments.SetUserAgentPrefix(options.user_agent);
  }
  return arguments;
}

void ApplyTransportOptions(const TransportOptions& options,
                           grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_message_bytes));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS,
                             Milliseconds(options.keepalive_time));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             Milliseconds(options.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Clients ping while a party computes and nothing else travels.
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      Milliseconds(options.keepalive_time) / 2);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             options.max_streams_per_connection);
  // Two servers must never share a port by accident.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

void PollOwnConnections() {
  setenv("GRPC_POLL_STRATEGY", "poll", /*overwrite=*/0);
}

void KeepFreedMemory() {
  // The largest that glibc takes; what is larger is rare and mapped apart.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 16 << 20);
}

void ForgoMutexChecks() {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

}  // namespace tacit
