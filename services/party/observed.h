// A party's links as its program sees them, with what it waits for measured.
#ifndef TACIT_SERVICES_PARTY_OBSERVED_H_
#define TACIT_SERVICES_PARTY_OBSERVED_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/channel/channel.h"
#include "common/gates/party.h"
#include "services/telemetry/metrics.h"

namespace tacit {

// Observes each round as Phase::kOpening. What it wraps must outlive it.
class ObservedChannel : public Channel {
 public:
  ObservedChannel(Channel& channel, Metrics& metrics)
      : channel_(channel), metrics_(metrics) {}

  absl::Status Exchange(std::span<const uint8_t> message,
                        std::span<uint8_t> reply) override {
    const PhaseTimer timer(metrics_, Phase::kOpening);
    return channel_.Exchange(message, reply);
  }
  void Abort(const absl::Status& status) override { channel_.Abort(status); }
  const Traffic& traffic() const override { return channel_.traffic(); }

 private:
  Channel& channel_;
  Metrics& metrics_;
};

// Adds up the time that the program waits for material.
class ObservedSource : public MaterialSource {
 public:
  explicit ObservedSource(MaterialSource& source) : source_(source) {}

  absl::StatusOr<std::span<const uint8_t>> Take(size_t bytes) override {
    const absl::Time begin = SteadyNow();
    auto record = source_.Take(bytes);
    waited_ += SteadyNow() - begin;
    return record;
  }
  void Release() override { source_.Release(); }
  absl::Status Finish() override { return source_.Finish(); }
  void Abort(const absl::Status& status) override { source_.Abort(status); }
  uint64_t bytes() const override { return source_.bytes(); }

  // Since the last call.
  absl::Duration TakeWaited() {
    return std::exchange(waited_, absl::ZeroDuration());
  }

 private:
  MaterialSource& source_;
  absl::Duration waited_;
};

// Observes what lies between outputs: the first as Phase::kPrefill, later ones
// as kDecode, and the waits for material in each as kMaterial. Counts
// `tokens`, those that an output stands for, as generated.
class ObservedLink : public GatewayLink {
 public:
  ObservedLink(GatewayLink& link, ObservedSource& source, Metrics& metrics,
               int64_t tokens)
      : link_(link), source_(source), metrics_(metrics), tokens_(tokens) {}

  absl::StatusOr<Words> Receive(size_t n, int width) override {
    // The gateway's time to choose a token is not this party's.
    const absl::Time begin = SteadyNow();
    auto words = link_.Receive(n, width);
    last_ += SteadyNow() - begin;
    return words;
  }
  absl::Status Send(Words share, int width) override {
    const absl::Time now = SteadyNow();
    metrics_.Observe(first_ ? Phase::kPrefill : Phase::kDecode, now - last_);
    metrics_.Observe(Phase::kMaterial, source_.TakeWaited());
    metrics_.AddTokens(TokenKind::kGenerated, tokens_);
    first_ = false;
    last_ = now;
    return link_.Send(std::move(share), width);
  }

 private:
  GatewayLink& link_;
  ObservedSource& source_;
  Metrics& metrics_;
  const int64_t tokens_;
  bool first_ = true;
  absl::Time last_ = SteadyNow();
};

}  // namespace tacit

#endif  // TACIT_SERVICES_PARTY_OBSERVED_H_
