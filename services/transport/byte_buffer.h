// Between our buffers and gRPC's: without protobuf's copies, and wiped.
#ifndef TACIT_SERVICES_TRANSPORT_BYTE_BUFFER_H_
#define TACIT_SERVICES_TRANSPORT_BYTE_BUFFER_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/base/buffer.h"

namespace tacit {

// A slice that keeps `owner` alive. The bytes are wiped when the last slice of
// the owner goes, which gRPC does once they are sent.
grpc::Slice SharedSlice(std::shared_ptr<const Bytes> owner, size_t offset,
                        size_t size);

// One message of one buffer.
grpc::ByteBuffer ToByteBuffer(Bytes bytes);

// Reads a received message from its beginning and, on destruction, wipes it
// all where it lies. gRPC copies pieces below 24 bytes by value: these alone
// may stay behind in freed memory.
class ByteBufferReader {
 public:
  explicit ByteBufferReader(const grpc::ByteBuffer& buffer);
  ~ByteBufferReader();
  ByteBufferReader(const ByteBufferReader&) = delete;
  ByteBufferReader& operator=(const ByteBufferReader&) = delete;

  size_t remaining() const { return remaining_; }
  // Copies without advancing; fewer bytes if no more are left.
  size_t Peek(std::span<uint8_t> out) const;
  // Requires n <= remaining().
  void Skip(size_t n);
  // Requires out.size() <= remaining().
  void Read(std::span<uint8_t> out);

 private:
  std::vector<grpc::Slice> slices_;
  size_t slice_ = 0;
  size_t offset_ = 0;  // in slices_[slice_]
  size_t remaining_ = 0;
};

// DATA_LOSS if the message is not of this type.
absl::Status ParseMessage(const grpc::ByteBuffer& buffer,
                          google::protobuf::MessageLite& message);
grpc::ByteBuffer SerializeMessage(const google::protobuf::MessageLite& message);

// A protobuf field of bytes with `size` of them: its tag and length. Returns
// the number of bytes written, at most kMaxBytesPrefix.
inline constexpr size_t kMaxBytesPrefix = 11;
size_t WriteBytesPrefix(int field, size_t size, uint8_t* out);
// Takes such a prefix of `field` and checks that exactly the field follows.
// DATA_LOSS if not.
absl::Status ReadBytesPrefix(int field, ByteBufferReader& reader);

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_BYTE_BUFFER_H_
