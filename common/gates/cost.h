// The declared cost of a program, from shapes alone.
#ifndef TACIT_COMMON_GATES_COST_H_
#define TACIT_COMMON_GATES_COST_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/gates/evaluator.h"

namespace tacit {

// Runs a program without any data and adds up what its gates declare; rounds
// count as the parties' do, openings that wait together being one. Its cost()
// equals what a real run counts.
class CostEvaluator : public Evaluator {
 public:
  explicit CostEvaluator(Rounding rounding);

  // Counts the round of openings that still wait.
  const Cost& Finish() {
    Flush();
    return cost();
  }

  // The same by the scopes in which it came up, in the order in which they
  // first did; a round belongs to the scope that waited for it.
  const std::vector<std::pair<std::string, Cost>>& by_scope() const {
    return by_scope_;
  }

  Wire Open(const Share& x) override;
  BitWire Open(const BitShare& x) override;
  void Flush() override;
  Wire Input(const Shape& shape, int width, int frac) override;
  void Output(const Share&) override {}
  void RunBlocks(absl::string_view gate, const Schema& schema, size_t n,
                 DealFn deal, EvalFn eval, PlainFn plain,
                 DeviceFn device) override;
  const Prg* PermutationStream(int) const override { return nullptr; }
  Words Transfer(int sender, std::span<const uint64_t> words, size_t n,
                 int width) override;
  Words Reveal(const Share& x) override;

 private:
  void CountRound();
  void Count(const Cost& cost);

  std::shared_ptr<Opening> opening_;
  std::vector<std::pair<std::string, Cost>> by_scope_;
};

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_COST_H_
