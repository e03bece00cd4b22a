// A party's evaluator: masked values and shares.
#ifndef TACIT_COMMON_GATES_PARTY_H_
#define TACIT_COMMON_GATES_PARTY_H_

#include <memory>
#include <vector>

#include "common/channel/channel.h"
#include "common/gates/evaluator.h"
#include "common/gates/session.h"

namespace tacit {

// Where a party's inputs come from: masked values, public to both parties.
class InputSource {
 public:
  virtual ~InputSource() = default;
  // The next input, n words modulo 2^width. INVALID_ARGUMENT, with both
  // sizes, if the gateway sent another number.
  virtual absl::StatusOr<Words> Next(size_t n, int width) = 0;
};

class PartyEvaluator : public Evaluator {
 public:
  struct Options {
    int party;
    SessionId session;
    PlanDigest plan;
    Rounding rounding;
  };

  // Takes the session header from `source`, checks it against `options` and
  // burns the session in `ledger`. All references must outlive the evaluator.
  // Errors: FAILED_PRECONDITION if the material is for another party, plan or
  //   session; ALREADY_EXISTS if the session was used; DATA_LOSS if it is no
  //   material at all; INTERNAL from key derivation.
  static absl::StatusOr<std::unique_ptr<PartyEvaluator>> Create(
      const Options& options, Channel& channel, MaterialSource& source,
      SessionLedger& ledger, InputSource& inputs, ThreadPool& pool);

  // Sends what waits and checks that no material is left; returns the first
  // error of the run.
  absl::Status Finish();
  // This party's output shares in program order, words modulo 2^width; what
  // the gateway gets. Only after a Finish that succeeded.
  std::vector<OutputShare> TakeOutputs() { return std::move(outputs_); }

  void Fail(absl::Status status) override;
  Wire Open(const Share& x) override;
  BitWire Open(const BitShare& x) override;
  void Flush() override;
  Wire Input(const Shape& shape, int width, int frac) override;
  void Output(const Share& x) override;
  void RunBlocks(absl::string_view gate, const Schema& schema, size_t n,
                 DealFn deal, EvalFn eval, PlainFn plain) override;
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
                 MaterialSource& source, InputSource& inputs, ThreadPool& pool)
      : Evaluator(Role::kParty, options.party, options.rounding, pool),
        channel_(channel),
        source_(source),
        inputs_(inputs) {}

  // One round with headers; `peer_bytes` of payload come back. Fails on a
  // diverged peer.
  absl::Status Exchange(Bytes& message, size_t peer_bytes, Bytes& reply);
  void Enqueue(Waiting waiting, OpeningRef& opening);

  Channel& channel_;
  MaterialSource& source_;
  InputSource& inputs_;
  std::unique_ptr<PartyStreams> streams_;
  std::vector<Waiting> waiting_;
  std::shared_ptr<Opening> opening_;  // of all in waiting_
  std::vector<OutputShare> outputs_;
  uint64_t step_ = 0;
  uint64_t digest_ = 0;
};

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_PARTY_H_
