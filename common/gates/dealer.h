// The dealer's evaluator: masks in, material out.
#ifndef TACIT_COMMON_GATES_DEALER_H_
#define TACIT_COMMON_GATES_DEALER_H_

#include <memory>
#include <vector>

#include "common/channel/channel.h"
#include "common/gates/evaluator.h"
#include "common/gates/session.h"

namespace tacit {

// Runs a program without any input and may run ahead of the parties as far as
// the sinks let it. SECRET: everything it holds.
class DealerEvaluator : public Evaluator {
 public:
  // Writes the session header to both sinks. The sinks, the pool and the
  // accelerator, if there is one, must outlive the evaluator. Errors: INTERNAL
  // from key derivation; the sinks'.
  static absl::StatusOr<std::unique_ptr<DealerEvaluator>> Create(
      const SessionSeeds& seeds, const SessionId& session,
      const PlanDigest& plan, Rounding rounding, MaterialSink& sink0,
      MaterialSink& sink1, ThreadPool& pool,
      Accelerator* accelerator = nullptr);

  // Ends both streams; returns the first error of the run.
  absl::Status Finish();

  void Fail(absl::Status status) override;
  Wire Open(const Share& x) override;
  BitWire Open(const BitShare& x) override;
  void Flush() override {}
  Wire Input(const Shape& shape, int width, int frac) override;
  void Output(const Share& x) override;
  void RunBlocks(absl::string_view gate, const Schema& schema, size_t n,
                 DealFn deal, EvalFn eval, PlainFn plain,
                 DeviceFn device) override;
  const Prg* PermutationStream(int party) const override {
    return &streams_[party]->permutation;
  }
  Words Transfer(int sender, std::span<const uint64_t> words, size_t n,
                 int width) override;
  Words Reveal(const Share& x) override;

 private:
  DealerEvaluator(Rounding rounding, MaterialSink& sink0, MaterialSink& sink1,
                  ThreadPool& pool, Accelerator* accelerator)
      : Evaluator(Role::kDealer, -1, rounding, pool, accelerator),
        sinks_{&sink0, &sink1} {}

  // The next `count` records, from that of element `begin` of n on; empty ones
  // where the party gets none.
  absl::Status Reserve(int party, const Schema& schema, size_t begin,
                       size_t count, size_t n,
                       std::vector<std::span<uint8_t>>& records);
  absl::Status Commit(absl::string_view gate);
  void RunOnDevice(absl::string_view gate, const Schema& schema, size_t n,
                   uint64_t position, DeviceFn device);

  MaterialSink* const sinks_[2];
  std::unique_ptr<PartyStreams> streams_[2];
  std::unique_ptr<Prg> gateway_;
};

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_DEALER_H_
