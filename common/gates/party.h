// A party's evaluator: masked values and shares.
#ifndef TACIT_COMMON_GATES_PARTY_H_
#define TACIT_COMMON_GATES_PARTY_H_

#include <memory>
#include <vector>

#include "common/channel/channel.h"
#include "common/gates/accelerator.h"
#include "common/gates/evaluator.h"
#include "common/gates/session.h"

namespace tacit {

// A party's side of its talk with the gateway.
class GatewayLink {
 public:
  virtual ~GatewayLink() = default;
  // The next input, masked and thus public to both parties: n words modulo
  // 2^width. INVALID_ARGUMENT, with both sizes, if the gateway sent another
  // number; CANCELLED if it wants no more.
  virtual absl::StatusOr<Words> Receive(size_t n, int width) = 0;
  // This party's share of an output: words modulo 2^width, SECRET.
  virtual absl::Status Send(Words share, int width) = 0;
};

class PartyEvaluator : public Evaluator {
 public:
  struct Options {
    int party;
    SessionId session;
    PlanDigest plan;
    Rounding rounding;
    Accelerator* accelerator = nullptr;  // outlives the evaluator
  };

  // Takes the session header from `source`, checks it against `options` and
  // burns the session in `ledger`. All references must outlive the evaluator.
  // Errors: FAILED_PRECONDITION if the material is for another party, plan or
  //   session; ALREADY_EXISTS if the session was used; DATA_LOSS if it is no
  //   material at all; INTERNAL from key derivation.
  static absl::StatusOr<std::unique_ptr<PartyEvaluator>> Create(
      const Options& options, Channel& channel, MaterialSource& source,
      SessionLedger& ledger, GatewayLink& gateway, ThreadPool& pool);

  // Sends what waits and checks that no material is left; returns the first
  // error of the run.
  absl::Status Finish();

  void Fail(absl::Status status) override;
  Wire Open(const Share& x) override;
  BitWire Open(const BitShare& x) override;
  void Flush() override;
  Wire Input(const Shape& shape, int width, int frac) override;
  void Output(const Share& x) override;
  void RunBlocks(absl::string_view gate, const Schema& schema, size_t n,
                 DealFn deal, EvalFn eval, PlainFn plain,
                 DeviceFn device) override;
  const Prg* PermutationStream(int party) const override {
    return party == this->party() ? &streams_->permutation : nullptr;
  }
  Words Transfer(int sender, std::span<const uint64_t> words, size_t n,
                 int width) override;
  Words Reveal(const Share& x) override;

 private:
  // hat holds this party's masked share until the peer's arrives.
  struct Waiting {
    int width;  // 0: bits
    std::shared_ptr<Words> words;
    std::shared_ptr<Bytes> bits;
    size_t bytes;
  };

  PartyEvaluator(const Options& options, Channel& channel,
                 MaterialSource& source, GatewayLink& gateway, ThreadPool& pool)
      : Evaluator(Role::kParty, options.party, options.rounding, pool,
                  options.accelerator),
        channel_(channel),
        source_(source),
        gateway_(gateway) {}

  void RunOnDevice(absl::string_view gate, const Schema& schema, size_t n,
                   uint64_t position, DeviceFn device);
  std::vector<Accelerator::Opened> WaitingOnDevice() const;
  // The message of all that waits, without its header, and what comes of the
  // peer's.
  void PackWaiting(std::span<uint8_t> payload);
  void UnpackWaiting(std::span<const uint8_t> payload);
  // The words on this host: themselves, or brought to `copy`.
  const Words& OnHost(const Words& words, Words& copy);
  // The next `count` records, from that of element `begin` of n on; empty ones
  // where this party gets none.
  absl::Status Take(absl::string_view gate, const Schema& schema, size_t begin,
                    size_t count, size_t n,
                    std::vector<std::span<const uint8_t>>& records);

  // One round with headers; `peer_bytes` of payload come back. Fails on a
  // diverged peer.
  absl::Status Exchange(Bytes& message, size_t peer_bytes, Bytes& reply);
  void Enqueue(Waiting waiting, OpeningRef& opening);

  Channel& channel_;
  MaterialSource& source_;
  GatewayLink& gateway_;
  std::unique_ptr<PartyStreams> streams_;
  std::vector<Waiting> waiting_;
  std::shared_ptr<Opening> opening_;  // of all in waiting_
  uint64_t step_ = 0;
  uint64_t digest_ = 0;
};

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_PARTY_H_
