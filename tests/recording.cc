#include "tests/recording.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/gates/evaluator.h"
#include "tacit/v1/dealer.pb.h"
#include "tacit/v1/inference.pb.h"
#include "tacit/v1/party.pb.h"

namespace tacit {
namespace {

constexpr size_t kLengthBytes = 8;  // before each record of material
constexpr size_t kLeastBytes = 16;  // that tell values apart
constexpr size_t kComparedBytes = 32;

std::string Hex(absl::string_view bytes) {
  return absl::BytesToHexString(bytes);
}

void AddMasked(absl::string_view bytes, std::vector<std::string>& out) {
  if (bytes.size() < kLeastBytes) return;
  out.push_back(Hex(bytes.substr(0, kComparedBytes)));
}

}  // namespace

void Recording::Attach(ProxiedDeployment::Options& options) {
  for (const std::string link : kLinks) {
    Proxy::Options& proxy = options.proxies[link];
    proxy.frames = true;
    proxy.tap = [this, link](int connection, Toward toward,
                             absl::string_view bytes) {
      See(link, connection, toward, bytes);
    };
  }
}

void Recording::See(const std::string& link, int connection, Toward toward,
                    absl::string_view bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto& reader = readers_[{link, toward, connection}];
  if (reader == nullptr) {
    reader = std::make_unique<MessageReader>(
        toward, [=, this](uint32_t stream, absl::string_view message) {
          streams_[{link, toward, connection, stream}].push_back(
              std::string(message.substr(0, kept_bytes_)));
        });
  }
  reader->Add(bytes);
}

std::vector<Recording::Stream> Recording::Streams(const std::string& link,
                                                  Toward toward) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Stream> streams;
  for (const auto& [key, stream] : streams_) {
    if (std::get<0>(key) == link && std::get<1>(key) == toward) {
      streams.push_back(stream);
    }
  }
  return streams;
}

std::vector<std::string> Recording::OpenedSessions() {
  std::vector<std::string> ids;
  for (const Stream& stream : Streams("gateway-dealer", Toward::kClient)) {
    v1::OpenSessionResponse response;
    if (stream.empty() || !response.ParseFromString(stream[0])) continue;
    if (!response.session_id().empty()) ids.push_back(response.session_id());
  }
  return ids;
}

std::vector<std::string> Recording::Seeds() {
  std::vector<std::string> seeds;
  for (const Stream& stream : Streams("gateway-dealer", Toward::kClient)) {
    v1::OpenSessionResponse response;
    if (stream.empty() || !response.ParseFromString(stream[0])) continue;
    if (!response.gateway_seed().empty()) {
      seeds.push_back(Hex(response.gateway_seed()));
    }
  }
  for (const char* link : {"party0-dealer", "party1-dealer"}) {
    for (const Stream& stream : Streams(link, Toward::kClient)) {
      const auto header = HeaderOf(stream);
      if (!header.has_value()) continue;
      const auto& bytes = header->seed.bytes();
      seeds.push_back(Hex(absl::string_view(
          reinterpret_cast<const char*>(bytes.data()), bytes.size())));
    }
  }
  return seeds;
}

std::vector<std::string> Recording::DealtSessions() {
  std::vector<std::string> sessions;
  for (const char* link : {"party0-dealer", "party1-dealer"}) {
    for (const Stream& stream : Streams(link, Toward::kClient)) {
      const auto header = HeaderOf(stream);
      if (!header.has_value()) continue;
      sessions.push_back(absl::StrCat(
          header->party, ":",
          Hex(absl::string_view(
              reinterpret_cast<const char*>(header->session.data()),
              header->session.size()))));
    }
  }
  return sessions;
}

std::vector<std::string> Recording::Masked() {
  std::vector<std::string> masked;
  for (Toward toward : {Toward::kServer, Toward::kClient}) {
    for (const Stream& stream : Streams("party0-party1", toward)) {
      for (const std::string& message : stream) {
        v1::ExchangeRequest frame;
        if (!frame.ParseFromString(message)) continue;
        absl::string_view payload = frame.payload();
        if (frame.offset() == 0) {
          payload.remove_prefix(std::min(payload.size(), kMessageHeaderBytes));
        }
        AddMasked(payload, masked);
      }
    }
  }
  // The same values go to both parties: one is enough.
  for (const Stream& stream : Streams("gateway-party0", Toward::kServer)) {
    for (const std::string& message : stream) {
      v1::InferRequest request;
      if (request.ParseFromString(message)) {
        AddMasked(request.input().packed(), masked);
      }
    }
  }
  return masked;
}

std::optional<SessionHeader> HeaderOf(const Recording::Stream& material) {
  if (material.empty()) return std::nullopt;
  // The message may have been cut: its field's tag and length come first.
  size_t at = 1;
  const std::string& message = material[0];
  while (at < message.size() && (message[at] & 0x80) != 0) ++at;
  at += 1 + kLengthBytes;
  if (message.size() < at + SessionHeader::kBytes) return std::nullopt;
  const auto header = SessionHeader::Read(
      {reinterpret_cast<const uint8_t*>(message.data()) + at,
       SessionHeader::kBytes});
  return header.ok() ? std::optional<SessionHeader>(*header) : std::nullopt;
}

std::vector<std::string> Repeated(std::vector<std::string> values) {
  std::sort(values.begin(), values.end());
  std::vector<std::string> repeated;
  for (size_t i = 1; i < values.size(); ++i) {
    if (values[i] == values[i - 1]) repeated.push_back(values[i]);
  }
  return repeated;
}

}  // namespace tacit
