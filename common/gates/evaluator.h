// One program, several evaluators.
//
// A layer or model is ordinary code over `Evaluator&`: it calls gates, which
// take and return wires and shares. Four evaluators run the same code:
//
//   dealer  carries masks, emits material for both parties in program order;
//   party   carries masked values and shares, takes its material in the same
//           order, talks to its peer in openings only;
//   plain   carries the values themselves in the same fixed point. With the
//           dealer's seeds it reproduces every rounding bit, so the secure
//           result equals the plain one bit for bit;
//   cost    carries nothing and adds up what the gates declare.
//
// Control flow of a program depends on public data only.
//
// Errors: the first one sticks. Later gates do nothing and return values of the
// right shape without contents; `Outputs` then returns the error. So a program
// reads like the model, and its caller checks one status. An error aborts the
// party's channel and material, wiping what was taken.
#ifndef TACIT_COMMON_GATES_EVALUATOR_H_
#define TACIT_COMMON_GATES_EVALUATOR_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/buffer.h"
#include "common/base/thread_pool.h"
#include "common/fss/dpf.h"
#include "common/fss/onehot_dpf.h"
#include "common/gates/accelerator.h"
#include "common/gates/schema.h"
#include "common/gates/values.h"
#include "common/prg/prg.h"
#include "common/ring/gemm.h"
#include "common/ring/gemm_batcher.h"

namespace tacit {

enum class Role { kDealer, kParty, kPlain, kCost };

// How TruncReduce rounds. SECURITY.md says what the choice means.
enum class Rounding {
  kStochastic,  // floor plus a carry that depends on the mask: unbiased, free
  kFaithful,    // floor, at the price of a comparison and two rounds
};

// ---- One record's elements, as the three sides of a gate see them. ----
// Fields are written and read in the order of the gate's schema.

class DealBlock {
 public:
  DealBlock(const Schema& schema, size_t begin, size_t count,
            const Prg* const prg[2], uint64_t position,
            std::span<uint8_t> record0, std::span<uint8_t> record1);

  size_t begin() const { return begin_; }
  size_t count() const { return count_; }

  // The next field is kShare: deals shares of values, [count, per_element].
  void Share(std::span<const uint64_t> values);
  // kBits: XOR shares of bits, [count].
  void Bits(std::span<const uint8_t> bits);
  // kDpf: keys at alpha, [count]; see DpfGen for `positive`.
  void Dpf(std::span<const uint64_t> alpha, std::span<uint8_t> positive);
  // kOneHot: keys at alpha.
  void OneHot(std::span<const uint64_t> alpha);

 private:
  const Field& Next(Field::Kind kind);
  std::span<uint8_t> Take(int party, const Field& field);

  const Schema& schema_;
  const size_t begin_, count_;
  const Prg* const* prg_;
  uint64_t position_;
  std::span<uint8_t> record_[2];
  size_t next_ = 0;
};

class EvalBlock {
 public:
  EvalBlock(const Schema& schema, size_t begin, size_t count, int party,
            const Prg& prg, uint64_t position, std::span<const uint8_t> record);

  size_t begin() const { return begin_; }
  size_t count() const { return count_; }
  int party() const { return party_; }

  Words Share();  // [count, per_element]; words represent residues
  Bytes Bits();   // [count]
  DpfKeys Dpf();
  OneHotKeys OneHot();

 private:
  const Field& Next(Field::Kind kind);

  const Schema& schema_;
  const size_t begin_, count_;
  const int party_;
  const Prg& prg_;
  uint64_t position_;
  std::span<const uint8_t> record_;
  size_t next_ = 0;
};

class PlainBlock {
 public:
  PlainBlock(size_t begin, size_t count, std::atomic<bool>& out_of_bound)
      : begin_(begin), count_(count), out_of_bound_(out_of_bound) {}

  size_t begin() const { return begin_; }
  size_t count() const { return count_; }
  // Some value breaks the bound that the plan gave its wire.
  void OutOfBound() { out_of_bound_ = true; }

 private:
  const size_t begin_, count_;
  std::atomic<bool>& out_of_bound_;
};

// An output's words modulo 2^width: a party's share, or the plain value.
struct OutputShare {
  Words words;
  int width;
};

using DealFn = absl::FunctionRef<void(DealBlock&)>;
using EvalFn = absl::FunctionRef<void(EvalBlock&)>;
using PlainFn = absl::FunctionRef<void(PlainBlock&)>;
using DeviceFn = absl::FunctionRef<void(AcceleratorBlock&)>;

class Evaluator {
 public:
  virtual ~Evaluator() = default;
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  Role role() const { return role_; }
  bool is_dealer() const { return role_ == Role::kDealer; }
  bool is_party() const { return role_ == Role::kParty; }
  bool is_plain() const { return role_ == Role::kPlain; }
  bool is_cost() const { return role_ == Role::kCost; }
  // Party 0 or 1. Requires is_party().
  int party() const { return party_; }
  // Whether buffers hold anything: false for cost, and after an error.
  bool has_data() const { return ok() && role_ != Role::kCost; }

  Rounding rounding() const { return rounding_; }
  ThreadPool& pool() const { return pool_; }
  // Where this role computes and its values lie; null: on this host.
  Accelerator* accelerator() const { return accelerator_; }

  // Lets this role's sessions multiply by static weights together, from
  // here on; each on its own otherwise. Must outlive the evaluator.
  void ShareProducts(GemmBatcher& batcher) { products_.emplace(batcher); }
  // Marks the start of a step that multiplies static weights by `rows` rows,
  // once its input is there; may wait for other sessions (gemm_batcher.h).
  void BeginStep(size_t rows) {
    if (products_.has_value() && ok()) products_->BeginStep(rows);
  }
  // Gemm by a static matrix of the model, for gates.
  void MultiplyStatic(const GemmArgs& args) {
    if (!products_.has_value()) return Gemm(args, pool_);
    products_->Multiply(args, pool_);
  }

  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }
  // Records `status`, prefixed with the current scope, if it is the first
  // error; ignored if OK.
  virtual void Fail(absl::Status status);
  // Fail with INVALID_ARGUMENT("gate: message").
  void Reject(absl::string_view gate, absl::string_view message);

  // Names what runs until the guard goes: "layers.3.mlp".
  class Scope {
   public:
    Scope(Evaluator& ev, absl::string_view name);
    ~Scope();

   private:
    Evaluator& ev_;
    const size_t length_;
  };
  const std::string& scope() const { return scope_; }

  // ---- Communication ----

  // Share to wire. The message waits until its result is needed or Flush is
  // called, so that openings that do not depend on each other share a round.
  virtual Wire Open(const Share& x) = 0;
  virtual BitWire Open(const BitShare& x) = 0;
  // Sends all waiting openings: one round, none if nothing waits.
  virtual void Flush() = 0;
  // Makes `hat` readable. Every gate calls it for what it reads.
  void Await(const Wire& x) { AwaitOpening(x.opening); }
  void Await(const BitWire& x) { AwaitOpening(x.opening); }

  // A value that the gateway masked. Its mask is known to the dealer and the
  // gateway; the parties hold no share of it.
  virtual Wire Input(const Shape& shape, int width, int frac) = 0;
  // Sends x to the gateway, who alone adds the two shares.
  virtual void Output(const Share& x) = 0;

  // ---- For gates ----

  // The material of a gate over n elements: `deal` fills records, `eval` reads
  // them, `plain` computes the same from values. Only the one of this role is
  // called, on disjoint blocks that cover [0, n), from several threads; with an
  // accelerator `device` instead of either of the first two.
  virtual void RunBlocks(absl::string_view gate, const Schema& schema, size_t n,
                         DealFn deal, EvalFn eval, PlainFn plain,
                         DeviceFn device) = 0;

  // Streams of party b's permutations, where this role knows them (dealer and
  // plain both, a party its own), else null; and the next position in them.
  virtual const Prg* PermutationStream(int party) const = 0;
  uint64_t AllocatePermutation(uint64_t blocks);
  // Declares AES calls on party b's stream there, by b and by the dealer.
  void CountPermutationAes(int party, uint64_t blocks);

  // A message in one direction, outside openings (Shuffle): party `sender`
  // sends n words of `width` bits, packed. Returns them at the receiving
  // party, nothing elsewhere. One round.
  virtual Words Transfer(int sender, std::span<const uint64_t> words, size_t n,
                         int width) = 0;

  // What both parties learn, in one round: the values modulo 2^width, at the
  // parties and the plain evaluator; nothing at the dealer, whose program must
  // not depend on them. Only for values that are independent of all inputs,
  // such as comparisons after a Shuffle.
  virtual Words Reveal(const Share& x) = 0;

  // Declared cost so far.
  const Cost& cost() const { return cost_; }

 protected:
  Evaluator(Role role, int party, Rounding rounding, ThreadPool& pool,
            Accelerator* accelerator = nullptr)
      : role_(role),
        party_(party),
        rounding_(rounding),
        pool_(pool),
        accelerator_(accelerator) {}

  void AwaitOpening(const OpeningRef& opening) {
    if (opening != nullptr && !opening->done) Flush();
  }
  // How many of a gate's records an accelerator takes at a time.
  size_t BlocksOnDevice(const Schema& schema) const;
  // Positions in the streams; the same in every role.
  uint64_t AllocateMask(uint64_t blocks);
  uint64_t AllocateInput(uint64_t blocks);
  uint64_t AllocateCorrelation(uint64_t blocks);

  absl::Status status_;
  std::string scope_;
  Cost cost_;

 private:
  const Role role_;
  const int party_;
  const Rounding rounding_;
  ThreadPool& pool_;
  Accelerator* const accelerator_;
  std::optional<GemmBatcher::Member> products_;
  uint64_t mask_position_ = 0;
  uint64_t input_position_ = 0;
  uint64_t correlation_position_ = 0;
  uint64_t permutation_position_ = 0;
};

// Bytes before the payload of each message between the parties: a step number
// and a digest of all that was opened before (see party.cc).
inline constexpr size_t kMessageHeaderBytes = 16;

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_EVALUATOR_H_
