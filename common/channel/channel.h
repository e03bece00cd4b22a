// What the two parties say to each other, and what the dealer says to them,
// as seen by the protocol: no network, no gRPC. The services and the
// in-process pair implement these interfaces.
#ifndef TACIT_COMMON_CHANNEL_CHANNEL_H_
#define TACIT_COMMON_CHANNEL_CHANNEL_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tacit {

// Traffic that one end has sent; receiving is the peer's to count.
struct Traffic {
  uint64_t rounds = 0;
  uint64_t sent_bytes = 0;  // of messages, as handed to the channel
};

// The link between party 0 and party 1. Used by one thread at a time.
class Channel {
 public:
  virtual ~Channel() = default;

  // One round: sends `message` and fills `reply` with the peer's message of
  // the same round. Either may be empty; the peer's view is the mirror image.
  // Errors: DATA_LOSS, with both sizes, if the peer sent fewer or more bytes;
  //   UNAVAILABLE if the peer is gone; DEADLINE_EXCEEDED if it is silent.
  //   After an error `reply` is unspecified and the channel stays failed.
  virtual absl::Status Exchange(std::span<const uint8_t> message,
                                std::span<uint8_t> reply) = 0;

  // Fails this end and wakes the peer with `status`. Thread-safe, idempotent.
  virtual void Abort(const absl::Status& status) = 0;

  virtual const Traffic& traffic() const = 0;
};

// The dealer's end of one party's material stream. A stream is a sequence of
// records; a reader takes records of the same sizes in the same order.
class MaterialSink {
 public:
  virtual ~MaterialSink() = default;

  // The next record, `bytes` of it, to be filled before the next Commit.
  // Several may be outstanding. RESOURCE_EXHAUSTED if it can never fit.
  virtual absl::StatusOr<std::span<uint8_t>> Reserve(size_t bytes) = 0;
  // Hands all reserved records over; blocks while the reader is too far behind.
  // Errors: UNAVAILABLE or DEADLINE_EXCEEDED if the reader is gone or stuck.
  virtual absl::Status Commit() = 0;
  // No more records.
  virtual absl::Status Finish() = 0;
  virtual void Abort(const absl::Status& status) = 0;
  virtual uint64_t bytes() const = 0;  // of all records so far
};

// A party's end.
class MaterialSource {
 public:
  virtual ~MaterialSource() = default;

  // The next record; valid until Release. Errors: DATA_LOSS, with both sizes,
  //   if the next record has another size or the stream has ended;
  //   UNAVAILABLE, DEADLINE_EXCEEDED as above.
  virtual absl::StatusOr<std::span<const uint8_t>> Take(size_t bytes) = 0;
  // Wipes all taken records.
  virtual void Release() = 0;
  // DATA_LOSS if records are left over: the dealer ran another plan.
  virtual absl::Status Finish() = 0;
  virtual void Abort(const absl::Status& status) = 0;
  virtual uint64_t bytes() const = 0;
};

}  // namespace tacit

#endif  // TACIT_COMMON_CHANNEL_CHANNEL_H_
