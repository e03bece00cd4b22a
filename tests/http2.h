// As much of HTTP/2 as it takes to read gRPC's messages from bytes on a wire.
#ifndef TACIT_TESTS_HTTP2_H_
#define TACIT_TESTS_HTTP2_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace tacit {

// A direction of a connection.
enum class Toward { kServer = 0, kClient = 1 };

// Cuts a direction of a connection of HTTP/2 without TLS into frames.
class FrameCutter {
 public:
  explicit FrameCutter(Toward toward)
      : preface_(toward == Toward::kServer ? 24 : 0) {}
  void Add(absl::string_view bytes) { rest_ += std::string(bytes); }
  // The next whole frame, or the client's preface; empty if there is none yet.
  std::string Next();

 private:
  size_t preface_;
  std::string rest_;
};

// Of a frame.
bool IsData(absl::string_view frame);
uint32_t StreamOf(absl::string_view frame);
absl::string_view PayloadOf(absl::string_view frame);

// The messages of gRPC in a direction of a connection.
class MessageReader {
 public:
  using MessageFn =
      std::function<void(uint32_t stream, absl::string_view message)>;
  MessageReader(Toward toward, MessageFn on_message)
      : cutter_(toward), on_message_(std::move(on_message)) {}
  void Add(absl::string_view bytes);

 private:
  FrameCutter cutter_;
  const MessageFn on_message_;
  std::map<uint32_t, std::string> streams_;
};

}  // namespace tacit

#endif  // TACIT_TESTS_HTTP2_H_
