// All roles of one session as threads of this process.
//
// For tests, benchmarks and `tacit run --in-process`. Every role has its own
// evaluator and sees its own secrets only; what passes between them passes
// through the channels that the services implement over the network.
#ifndef TACIT_COMMON_GATES_TWO_PARTY_H_
#define TACIT_COMMON_GATES_TWO_PARTY_H_

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "common/channel/in_process.h"
#include "common/gates/accelerator.h"
#include "common/gates/evaluator.h"
#include "common/gates/matmul.h"
#include "common/gates/party.h"
#include "common/gates/session.h"

namespace tacit {

// What all roles run. Role-specific weights: see Pick.
using Program = std::function<void(Evaluator&)>;

// A plain input value, as the gateway knows it.
struct InputValue {
  std::vector<int64_t> values;
  int width;
};

struct TwoPartyOptions {
  Rounding rounding = Rounding::kStochastic;
  PlanDigest plan = {};
  int threads = 1;  // of each role
  // Deal everything before the parties start, instead of streaming: separates
  // the two phases' times at the price of holding all material.
  bool prefetch = false;
  InProcessOptions channel;
  AcceleratorFactory accelerator;  // none: all roles compute on this host
  // Sees every message that `party` sends to its peer, header included; called
  // from that party's thread. For tests of what a party's peer learns.
  std::function<void(int party, std::span<const uint8_t> message)> observer;
};

struct TwoPartyResult {
  // Outputs in program order, as signed integers of their width.
  std::vector<std::vector<int64_t>> outputs;
  // Counted: rounds and bytes by the channels, AES by the evaluators.
  Cost counted;
  double seconds_deal = 0;        // the dealer's wall clock
  double seconds_online[2] = {};  // each party's
  double seconds_total = 0;
};

// How the roles of a session ended, and what they counted.
struct RolesResult {
  absl::Status dealer;
  absl::Status party[2];
  Cost counted;
  double seconds_deal = 0;
  double seconds_online[2] = {};

  // A party that failed names the cause; its peer and the dealer saw the
  // consequences.
  absl::Status FirstError() const;
};

// Runs the program with dealer and parties as threads, each party with its own
// link to the gateway. `ended` is called from a party's thread when it is done,
// so that a gateway can wake the other one.
// Errors: those of starting; the roles' are in the result.
absl::StatusOr<RolesResult> RunRoles(
    const TwoPartyOptions& options, const SessionSeeds& seeds,
    const Program& program, GatewayLink& gateway0, GatewayLink& gateway1,
    const std::function<void(int party, const absl::Status&)>& ended = {});

// RunRoles with inputs that are known before, and all outputs.
// Errors: the first role's that failed; a party's before the dealer's.
absl::StatusOr<TwoPartyResult> RunTwoParty(
    const TwoPartyOptions& options, const SessionSeeds& seeds,
    const Program& program, const std::vector<InputValue>& inputs);

// The reference: outputs of the plain evaluator under the same seeds.
absl::StatusOr<std::vector<std::vector<int64_t>>> RunPlain(
    const TwoPartyOptions& options, const SessionSeeds& seeds,
    const Program& program, const std::vector<InputValue>& inputs);

// Declared cost, without any data.
absl::StatusOr<Cost> DeclaredCost(const Program& program,
                                  Rounding rounding = Rounding::kStochastic);

// The matrix as this evaluator's role holds it.
const StaticMatrix& Pick(const Evaluator& ev, const StaticMatrixShares& shares);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_TWO_PARTY_H_
