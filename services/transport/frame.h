// Frames of the link between the parties: proto/tacit/v1/party.proto, encoded
// by hand so that payloads are copied once.
#ifndef TACIT_SERVICES_TRANSPORT_FRAME_H_
#define TACIT_SERVICES_TRANSPORT_FRAME_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "services/transport/byte_buffer.h"

namespace tacit {

struct Frame {
  uint64_t sequence;       // the round
  uint64_t message_bytes;  // of the round's whole message
  uint64_t offset;         // of the payload in the message
  uint64_t payload_bytes;

  friend bool operator==(const Frame&, const Frame&) = default;
};

// How a message of `message_bytes` travels on `stripe` of `stripes`: frame i of
// the message on stripe i mod stripes, each of frame_bytes but the last. An
// empty message is one empty frame.
class FramePlan {
 public:
  FramePlan() = default;
  FramePlan(uint64_t message_bytes, uint64_t frame_bytes, int stripes)
      : message_bytes_(message_bytes),
        frame_bytes_(frame_bytes),
        stripes_(stripes) {}

  uint64_t frames() const;               // on all stripes
  uint64_t frames_on(int stripe) const;  // on one
  // Frame k of `stripe`. Requires k < frames_on(stripe).
  Frame At(uint64_t sequence, int stripe, uint64_t k) const;

 private:
  uint64_t message_bytes_ = 0;
  uint64_t frame_bytes_ = 1;
  int stripes_ = 1;
};

// `payload` has frame.payload_bytes.
grpc::ByteBuffer EncodeFrame(const Frame& frame,
                             std::span<const uint8_t> payload);
grpc::ByteBuffer EncodeAbort(const absl::Status& status);

// Whether the message begins like a frame; else it should be an abort.
bool IsFrame(const grpc::ByteBuffer& message);

// The peer's status, never OK; DATA_LOSS if the message is no abort.
absl::Status ReadAbort(const grpc::ByteBuffer& message);

// Reads a frame and leaves `reader` at its payload, which is all that remains.
// DATA_LOSS, with both values, if it is not `expected`, before any memory is
// taken.
absl::Status ReadFrame(const Frame& expected, ByteBufferReader& reader);

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_FRAME_H_
