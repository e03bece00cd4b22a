#include "services/transport/frame.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/transport/status.h"
#include "tacit/v1/party.pb.h"

namespace tacit {
namespace {

static_assert(std::endian::native == std::endian::little,
              "frame fields are copied as they lie in memory");

using v1::ExchangeRequest;

// Tags of fixed64 fields 1, 2 and 3, of 9 bytes each with their values.
constexpr uint8_t kFixed64 = 1;  // protobuf's wire type
constexpr std::array<uint8_t, 3> kTags = {
    ExchangeRequest::kSequenceFieldNumber << 3 | kFixed64,
    ExchangeRequest::kMessageBytesFieldNumber << 3 | kFixed64,
    ExchangeRequest::kOffsetFieldNumber << 3 | kFixed64};
constexpr size_t kFieldBytes = 1 + sizeof(uint64_t);
constexpr size_t kFieldsBytes = kTags.size() * kFieldBytes;
constexpr size_t kMaxAbortBytes = kMaxStatusMessageBytes + 64;

absl::Status Expected(absl::string_view what, uint64_t got, uint64_t want) {
  return absl::DataLossError(
      absl::StrCat(what, " ", got, " where ", want, " was expected"));
}

absl::Status CheckFrame(const Frame& got, const Frame& want) {
  if (got.sequence != want.sequence) {
    return Expected("a frame of round", got.sequence, want.sequence);
  }
  if (got.message_bytes != want.message_bytes) {
    return absl::DataLossError(absl::StrCat("message of ", got.message_bytes,
                                            " bytes where ", want.message_bytes,
                                            " were expected"));
  }
  if (got.offset != want.offset) {
    return Expected("a frame at offset", got.offset, want.offset);
  }
  if (got.payload_bytes != want.payload_bytes) {
    return absl::DataLossError(absl::StrCat("a frame with ", got.payload_bytes,
                                            " bytes where ", want.payload_bytes,
                                            " were expected"));
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t FramePlan::frames() const {
  return std::max<uint64_t>(
      1, message_bytes_ / frame_bytes_ + (message_bytes_ % frame_bytes_ != 0));
}

uint64_t FramePlan::frames_on(int stripe) const {
  return (frames() + stripes_ - 1 - stripe) / stripes_;
}

Frame FramePlan::At(uint64_t sequence, int stripe, uint64_t k) const {
  const uint64_t offset = (stripe + k * stripes_) * frame_bytes_;
  return {sequence, message_bytes_, offset,
          std::min(frame_bytes_, message_bytes_ - offset)};
}

grpc::ByteBuffer EncodeFrame(const Frame& frame,
                             std::span<const uint8_t> payload) {
  std::array<uint8_t, kFieldsBytes + kMaxBytesPrefix> header;
  const std::array<uint64_t, 3> values = {frame.sequence, frame.message_bytes,
                                          frame.offset};
  for (size_t i = 0; i < kTags.size(); ++i) {
    header[i * kFieldBytes] = kTags[i];
    std::memcpy(&header[i * kFieldBytes + 1], &values[i], sizeof(values[i]));
  }
  const size_t header_bytes =
      kFieldsBytes + WriteBytesPrefix(ExchangeRequest::kPayloadFieldNumber,
                                      payload.size(), &header[kFieldsBytes]);
  Bytes bytes(header_bytes + payload.size());
  std::memcpy(bytes.data(), header.data(), header_bytes);
  if (!payload.empty()) {
    std::memcpy(bytes.data() + header_bytes, payload.data(), payload.size());
  }
  return ToByteBuffer(std::move(bytes));
}

grpc::ByteBuffer EncodeAbort(const absl::Status& status) {
  ExchangeRequest abort;
  abort.set_abort_code(static_cast<int>(status.code()));
  abort.set_abort_message(
      std::string(status.message().substr(0, kMaxStatusMessageBytes)));
  return SerializeMessage(abort);
}

bool IsFrame(const grpc::ByteBuffer& message) {
  // An abort is small, and pieces of a frame that big need no look.
  if (message.Length() > kMaxAbortBytes) return true;
  std::vector<grpc::Slice> slices;
  if (!message.Valid() || !message.Dump(&slices).ok()) return false;
  for (const grpc::Slice& slice : slices) {
    if (slice.size() != 0) return *slice.begin() == kTags[0];
  }
  return false;
}

absl::Status ReadAbort(const grpc::ByteBuffer& message) {
  ExchangeRequest abort;
  if (message.Length() > kMaxAbortBytes || !ParseMessage(message, abort).ok() ||
      !abort.has_abort_code()) {
    return absl::DataLossError(
        absl::StrCat("a frame of ", message.Length(), " bytes is malformed"));
  }
  return StatusFromPeer(abort.abort_code(), abort.abort_message());
}

absl::Status ReadFrame(const Frame& expected, ByteBufferReader& reader) {
  std::array<uint8_t, kFieldsBytes> fields;
  std::array<uint64_t, 3> values;
  const size_t size = reader.Peek(fields);
  for (size_t i = 0; i < kTags.size(); ++i) {
    if (size != fields.size() || fields[i * kFieldBytes] != kTags[i]) {
      return absl::DataLossError(absl::StrCat("a frame of ", reader.remaining(),
                                              " bytes is malformed"));
    }
    std::memcpy(&values[i], &fields[i * kFieldBytes + 1], sizeof(values[i]));
  }
  reader.Skip(fields.size());
  RETURN_IF_ERROR(
      ReadBytesPrefix(ExchangeRequest::kPayloadFieldNumber, reader));
  return CheckFrame({values[0], values[1], values[2], reader.remaining()},
                    expected);
}

}  // namespace tacit
