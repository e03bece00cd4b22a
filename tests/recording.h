// What went over the links of a deployment without TLS: what is dealt, what is
// opened. For tests that no mask is used twice.
#ifndef TACIT_TESTS_RECORDING_H_
#define TACIT_TESTS_RECORDING_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/gates/session.h"
#include "tests/http2.h"
#include "tests/proxied.h"

namespace tacit {

// Thread-safe.
class Recording {
 public:
  // Keeps the first `kept_bytes` of each message: a frame between parties is
  // smaller than the least.
  static constexpr size_t kFrames = size_t{300} << 10;
  static constexpr size_t kAll = ~size_t{0};
  explicit Recording(size_t kept_bytes) : kept_bytes_(kept_bytes) {}

  // Sets taps on all links. Must outlive the deployment.
  void Attach(ProxiedDeployment::Options& options);

  // Messages of one gRPC stream in one direction, in order.
  using Stream = std::vector<std::string>;
  std::vector<Stream> Streams(const std::string& link, Toward toward);

  // What a test compares. Each is to be there once.
  std::vector<std::string> OpenedSessions();  // ids that the dealer gave out
  // Of parties' and gateways' seeds.
  std::vector<std::string> Seeds();
  // "party:id" of all streams of material that carried a header.
  std::vector<std::string> DealtSessions();
  // What parties opened to each other and gateways sent masked, the first
  // bytes, where there are enough of them to tell.
  std::vector<std::string> Masked();

 private:
  // Link, toward, connection, stream.
  using Key = std::tuple<std::string, Toward, int, uint32_t>;

  void See(const std::string& link, int connection, Toward toward,
           absl::string_view bytes);

  const size_t kept_bytes_;
  std::mutex mutex_;
  std::map<std::tuple<std::string, Toward, int>,
           std::unique_ptr<MessageReader>>
      readers_;                    // guarded by mutex_
  std::map<Key, Stream> streams_;  // guarded by mutex_
};

// The header that a stream of material begins with, if it came so far.
std::optional<SessionHeader> HeaderOf(const Recording::Stream& material);

// Those that come more than once.
std::vector<std::string> Repeated(std::vector<std::string> values);

}  // namespace tacit

#endif  // TACIT_TESTS_RECORDING_H_
