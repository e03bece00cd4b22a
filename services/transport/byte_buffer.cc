#include "services/transport/byte_buffer.h"

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/transport/tsan.h"

namespace tacit {
namespace {

using Owner = std::shared_ptr<const Bytes>;

constexpr int kLengthDelimited = 2;  // protobuf's wire type

}  // namespace

grpc::Slice SharedSlice(Owner owner, size_t offset, size_t size) {
  auto* data = const_cast<uint8_t*>(owner->data()) + offset;
  auto* const held = new Owner(std::move(owner));
  TACIT_INTO_GRPC(held);
  return grpc::Slice(
      data, size,
      [](void* sent) {
        TACIT_OUT_OF_GRPC(sent);
        delete static_cast<Owner*>(sent);
      },
      held);
}

grpc::ByteBuffer ToByteBuffer(Bytes bytes) {
  const size_t size = bytes.size();
  if (size == 0) {
    const grpc::Slice empty;
    return grpc::ByteBuffer(&empty, 1);
  }
  const grpc::Slice slice =
      SharedSlice(std::make_shared<const Bytes>(std::move(bytes)), 0, size);
  return grpc::ByteBuffer(&slice, 1);
}

ByteBufferReader::ByteBufferReader(const grpc::ByteBuffer& buffer) {
  if (!buffer.Valid() || !buffer.Dump(&slices_).ok()) return;
  for (const grpc::Slice& slice : slices_) remaining_ += slice.size();
}

ByteBufferReader::~ByteBufferReader() {
  for (const grpc::Slice& slice : slices_) {
    SecureWipe(const_cast<uint8_t*>(slice.begin()), slice.size());
  }
}

size_t ByteBufferReader::Peek(std::span<uint8_t> out) const {
  size_t done = 0;
  size_t offset = offset_;
  for (size_t s = slice_; s < slices_.size() && done < out.size(); ++s) {
    const size_t n = std::min(slices_[s].size() - offset, out.size() - done);
    if (n != 0) std::memcpy(&out[done], slices_[s].begin() + offset, n);
    done += n;
    offset = 0;
  }
  return done;
}

void ByteBufferReader::Skip(size_t n) {
  remaining_ -= n;
  while (n > 0) {
    const size_t step = std::min(slices_[slice_].size() - offset_, n);
    n -= step;
    offset_ += step;
    if (offset_ == slices_[slice_].size()) {
      ++slice_;
      offset_ = 0;
    }
  }
}

void ByteBufferReader::Read(std::span<uint8_t> out) {
  Peek(out);
  Skip(out.size());
}

absl::Status ParseMessage(const grpc::ByteBuffer& buffer,
                          google::protobuf::MessageLite& message) {
  grpc::ByteBuffer copy = buffer;  // of references; the reader wants its own
  grpc::ProtoBufferReader reader(&copy);
  if (!reader.status().ok() || !message.ParseFromZeroCopyStream(&reader)) {
    return absl::DataLossError(absl::StrCat("a message of ", buffer.Length(),
                                            " bytes is no ",
                                            message.GetTypeName()));
  }
  return absl::OkStatus();
}

grpc::ByteBuffer SerializeMessage(
    const google::protobuf::MessageLite& message) {
  Bytes bytes(message.ByteSizeLong());
  message.SerializeWithCachedSizesToArray(bytes.data());
  return ToByteBuffer(std::move(bytes));
}

size_t WriteBytesPrefix(int field, size_t size, uint8_t* out) {
  size_t n = 0;
  out[n++] = static_cast<uint8_t>(field << 3 | kLengthDelimited);
  for (; size >= 0x80; size >>= 7) {
    out[n++] = static_cast<uint8_t>(size | 0x80);
  }
  out[n++] = static_cast<uint8_t>(size);
  return n;
}

absl::Status ReadBytesPrefix(int field, ByteBufferReader& reader) {
  std::array<uint8_t, kMaxBytesPrefix> prefix;
  const size_t available = reader.Peek(prefix);
  uint64_t size = 0;
  size_t n = 1;
  bool complete = false;
  for (; n < available && !complete; ++n) {
    size |= uint64_t{prefix[n] & 0x7Fu} << (7 * (n - 1));
    complete = prefix[n] < 0x80;
  }
  if (!complete || prefix[0] != (field << 3 | kLengthDelimited) ||
      size != reader.remaining() - n) {
    return absl::DataLossError("a message is truncated or malformed");
  }
  reader.Skip(n);
  return absl::OkStatus();
}

}  // namespace tacit
