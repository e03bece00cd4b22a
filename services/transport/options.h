// Sizes, times and channel arguments of all connections between roles.
#ifndef TACIT_SERVICES_TRANSPORT_OPTIONS_H_
#define TACIT_SERVICES_TRANSPORT_OPTIONS_H_

#include <grpcpp/server_builder.h>
#include <grpcpp/support/channel_arguments.h>

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tacit {

struct TransportOptions {
  // Without a sign of progress for this long, a wait for the other role ends
  // with DEADLINE_EXCEEDED. A lost machine is noticed sooner, by keepalive.
  absl::Duration timeout = absl::Minutes(2);
  // A stream that is being closed is cancelled if the peer does not let it
  // close for this long.
  absl::Duration linger = absl::Seconds(5);
  // Party 0's streams wait at party 1 for the session for this long.
  absl::Duration accept_timeout = absl::Seconds(30);
  size_t max_waiting_sessions = 256;  // at party 1

  // The link between the parties. Party 0's values hold for both.
  int stripes = 2;                         // 1 to kMaxStripes
  size_t frame_bytes = size_t{256} << 10;  // in [kMin, kMax]FrameBytes

  // A stream of material: bytes in flight at each end, and of one message.
  size_t material_capacity = size_t{8} << 20;
  size_t material_chunk_bytes = size_t{1} << 20;  // at most kMaxFrameBytes
  // Reserve refuses larger records.
  size_t max_record_bytes = size_t{1} << 30;

  // What a server takes in one message, whatever the method, and a party's
  // calls as well.
  size_t max_message_bytes = size_t{4} << 20;
  // What a gateway takes: a share of the logits of a whole batch.
  size_t max_output_bytes = size_t{64} << 20;

  absl::Duration keepalive_time = absl::Seconds(10);
  // Goes in front of gRPC's own, if not empty.
  std::string user_agent;

  absl::Duration keepalive_timeout = absl::Seconds(5);
  // Between attempts to reach a role that is away: at first, and at most. A
  // role that comes back is found again within the latter.
  absl::Duration reconnect_initial = absl::Milliseconds(100);
  absl::Duration reconnect_max = absl::Milliseconds(500);
  int max_streams_per_connection = 1024;
};

inline constexpr int kMaxStripes = 16;
inline constexpr size_t kMinFrameBytes = size_t{4} << 10;
// With its header a frame stays below gRPC's customary 4 MiB.
inline constexpr size_t kMaxFrameBytes = size_t{2} << 20;

// INVALID_ARGUMENT, with the value, if one lies outside its bounds.
absl::Status CheckTransportOptions(const TransportOptions& options);

// For grpc::CreateCustomChannel. Each channel made with them has a connection
// of its own.
grpc::ChannelArguments MakeChannelArguments(const TransportOptions& options,
                                            size_t max_message_bytes);

// Limits and keepalive of a server; credentials and services are the caller's.
void ApplyTransportOptions(const TransportOptions& options,
                           grpc::ServerBuilder& builder);

// For a party's main, before gRPC is used: a thread that waits for a stream
// polls that stream's connection itself. With gRPC's default on Linux, epoll,
// one thread of the process polls all connections and wakes the others, which
// costs a round a third of its time. Meant for few connections: the time of a
// wait grows with their number. The environment variable GRPC_POLL_STRATEGY
// wins.
void PollOwnConnections();

// For a service's main, before anything else: the C library keeps freed memory
// instead of returning it to the kernel. gRPC takes and frees large pieces for
// each message that it receives, and page faults are a third of the cost of
// large ones. The process stays as large as it once was.
void KeepFreedMemory();

// Distributions build Abseil with its search for cycles of locks on, which is
// some 5 % of a party's time, all of it in gRPC's mutexes. Call once.
void ForgoMutexChecks();

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_OPTIONS_H_
