#include "tests/http2.h"

namespace tacit {
namespace {

constexpr size_t kFrameHeader = 9;
constexpr uint8_t kDataFrame = 0;

uint32_t BigEndian(absl::string_view bytes) {
  uint32_t value = 0;
  for (char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

}  // namespace

std::string FrameCutter::Next() {
  size_t size = preface_;
  if (size == 0) {
    if (rest_.size() < kFrameHeader) return "";
    size = kFrameHeader + BigEndian(rest_.substr(0, 3));
  }
  if (rest_.size() < size) return "";
  preface_ = 0;
  std::string frame = rest_.substr(0, size);
  rest_.erase(0, size);
  return frame;
}

bool IsData(absl::string_view frame) {
  return frame.size() > kFrameHeader && frame[0] != 'P' &&
         static_cast<uint8_t>(frame[3]) == kDataFrame;
}

uint32_t StreamOf(absl::string_view frame) {
  return BigEndian(frame.substr(5, 4)) & 0x7fffffff;
}

absl::string_view PayloadOf(absl::string_view frame) {
  return frame.substr(kFrameHeader);
}

void MessageReader::Add(absl::string_view bytes) {
  constexpr size_t kPrefix = 5;  // compressed or not, length
  cutter_.Add(bytes);
  for (std::string frame = cutter_.Next(); !frame.empty();
       frame = cutter_.Next()) {
    if (!IsData(frame)) continue;
    std::string& stream = streams_[StreamOf(frame)];
    stream += std::string(PayloadOf(frame));
    while (stream.size() >= kPrefix) {
      const size_t length = BigEndian(stream.substr(1, 4));
      if (stream.size() < kPrefix + length) break;
      on_message_(StreamOf(frame),
                  absl::string_view(stream).substr(kPrefix, length));
      stream.erase(0, kPrefix + length);
    }
  }
}

}  // namespace tacit
