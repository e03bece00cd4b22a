#include "services/transport/trace.h"

#include <algorithm>
#include <cstdint>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tacit {
namespace {

// Of version 00; a later version may only append to it.
constexpr size_t kIdAt = 3, kParentAt = 36, kFlagsAt = 53, kLength = 55;

bool IsHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return ('0' <= c && c <= '9') || ('a' <= c && c <= 'f');
  });
}

bool IsId(absl::string_view text) {
  return IsHex(text) && text.find_first_not_of('0') != text.npos;
}

// 16 hex digits, not all zero.
std::string RandomWord() {
  thread_local absl::BitGen bits;
  return absl::StrFormat("%016x",
                         absl::Uniform<uint64_t>(bits, 1, ~uint64_t{0}));
}

}  // namespace

TraceContext TraceContext::Begin() {
  TraceContext trace;
  trace.id_ = RandomWord() + RandomWord();
  trace.flags_ = "00";
  return trace;
}

TraceContext TraceContext::Parse(absl::string_view text) {
  if (text.size() < kLength || text[2] != '-' || text[kParentAt - 1] != '-' ||
      text[kFlagsAt - 1] != '-') {
    return {};
  }
  const absl::string_view version = text.substr(0, 2);
  const absl::string_view id = text.substr(kIdAt, 32);
  const absl::string_view flags = text.substr(kFlagsAt, 2);
  const bool known = version == "00" && text.size() == kLength;
  const bool later = IsHex(version) && version != "00" && version != "ff" &&
                     (text.size() == kLength || text[kLength] == '-');
  if (!(known || later) || !IsId(id) || !IsId(text.substr(kParentAt, 16)) ||
      !IsHex(flags)) {
    return {};
  }
  TraceContext trace;
  trace.id_ = std::string(id);
  trace.flags_ = std::string(flags);
  return trace;
}

TraceContext TraceContext::Of(const grpc::ServerContextBase& context) {
  const auto said = context.client_metadata().find(kTraceparentKey);
  if (said == context.client_metadata().end()) return {};
  return Parse({said->second.data(), said->second.size()});
}

std::string TraceContext::Traceparent() const {
  return absl::StrCat("00-", id_, "-", RandomWord(), "-", flags_);
}

}  // namespace tacit
