// The reference: the same program on values, in the same fixed point.
#ifndef TACIT_COMMON_GATES_PLAIN_H_
#define TACIT_COMMON_GATES_PLAIN_H_

#include <deque>
#include <memory>
#include <vector>

#include "common/gates/evaluator.h"
#include "common/gates/session.h"

namespace tacit {

// Values are held as signed 64-bit integers that were never wrapped, so that a
// value outside the bound of its wire is an error (OUT_OF_RANGE, naming scope,
// gate and width) instead of a wrong result. The masks of the session decide
// stochastic rounding; with a fresh random session it is an accuracy study.
class PlainEvaluator : public Evaluator {
 public:
  static absl::StatusOr<std::unique_ptr<PlainEvaluator>> Create(
      const SessionSeeds& seeds, Rounding rounding, ThreadPool& pool);

  // The next input of the program: signed integers.
  void PushInput(Words values) { inputs_.push_back(std::move(values)); }
  std::vector<OutputShare> TakeOutputs() { return std::move(outputs_); }

  // Fails if a value lies outside [-2^(width-1), 2^(width-1)).
  void CheckBound(absl::string_view gate, std::span<const uint64_t> values,
                  int width);

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
  PlainEvaluator(Rounding rounding, ThreadPool& pool)
      : Evaluator(Role::kPlain, -1, rounding, pool) {}

  std::unique_ptr<PartyStreams> streams_[2];
  std::unique_ptr<Prg> gateway_;
  std::deque<Words> inputs_;
  std::vector<OutputShare> outputs_;
};

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_PLAIN_H_
