// What dealer and parties run to generate text, and the user's side of it.
#ifndef TACIT_COMMON_MODELS_GENERATION_H_
#define TACIT_COMMON_MODELS_GENERATION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/buffer.h"
#include "common/gates/evaluator.h"
#include "common/models/decoder.h"
#include "common/models/sampler.h"
#include "common/models/user_side.h"
#include "common/prg/prg.h"

namespace tacit {

// Where the next token is chosen: by the user, who then sees the logits, or
// between the parties, so that the user learns the token and nothing else of
// the logits (see nn/sampling.h).
enum class SamplingSide { kClient, kSecure };
// Where tokens are looked up in the embedding: between the parties, or by the
// user, who then holds the embedding's table.
enum class EmbeddingSide { kSecure, kClient };

// What is public about a generation; the same at dealer, parties and gateway.
struct GenerationShape {
  std::vector<size_t> prompts;  // tokens of each sequence of the batch
  size_t steps = 1;             // tokens generated for each
  SamplingSide sampling = SamplingSide::kClient;
  EmbeddingSide embedding = EmbeddingSide::kSecure;
  // kSecure: as in SamplingOptions.
  double temperature = 0;
  size_t top_k = 0;
  double top_p = 1;

  size_t prompt_tokens() const;
};

// The sampling's parameters are in it only where the parties draw.
GenerationShape MakeShape(const std::vector<std::vector<int64_t>>& prompts,
                          size_t steps, SamplingSide sampling,
                          EmbeddingSide embedding,
                          const SamplingOptions& options);

// Errors: INVALID_ARGUMENT if there is no prompt, an empty one, no step, or
//   more positions than the plan's context holds (the last token is not fed
//   back); if secure sampling's parameters are out of range.
absl::Status CheckShape(const DecoderPlan& plan, const GenerationShape& shape);

// The program: prefill, then a step for each further token; sequences in step,
// those that have ended too. Inputs, step by step: the tokens (or embedded
// rows); with secure sampling, the user's randomness. Outputs: logits
// [sequences, vocab], or tokens [sequences].
void Generate(Evaluator& ev, const DecoderPlan& plan,
              const DecoderMatrices& weights, const GenerationShape& shape);
// One step of it: inputs, a pass over lengths[i] new tokens of each sequence,
// the output.
void GenerateStep(Evaluator& ev, const DecoderPlan& plan,
                  const DecoderMatrices& weights, const GenerationShape& shape,
                  std::span<const size_t> lengths, DecoderCache& cache);

struct GenerationOptions {
  SamplingOptions sampling;
  std::vector<int64_t> stop_tokens;
};

struct GeneratedSequence {
  std::vector<int64_t> tokens;  // the stop token included
  // Five largest logits of the first step: (id, logit), descending; not with
  // secure sampling.
  std::vector<std::pair<int64_t, double>> first_step_top;
};

// The user's side: chooses (or reads) the next token from what the parties'
// shares add up to.
class GenerationGateway final : public UserSide {
 public:
  // What a token's embedding is, for EmbeddingSide::kClient: [hidden] integers
  // with the plan's residual_frac for `token` at `position`.
  using EmbedFn = std::function<void(int64_t token, size_t position,
                                     std::span<int64_t> row)>;
  // Called for each new token, from a link's thread; false ends the sequence.
  // It may take its time, and call End.
  using TokenFn = std::function<bool(size_t sequence, int64_t token)>;

  // `masks` is the gateway's stream of the session (GatewayStream). `plan` must
  // outlive the gateway.
  // Errors: CheckShape's; INVALID_ARGUMENT for a token outside the vocabulary,
  //   bad sampling options, an option that the side of the sampling does not
  //   have, or a missing `embed`; INTERNAL without randomness.
  static absl::StatusOr<std::unique_ptr<GenerationGateway>> Create(
      const DecoderPlan& plan, const GenerationShape& shape,
      const std::vector<std::vector<int64_t>>& prompts,
      const GenerationOptions& options, std::unique_ptr<Prg> masks,
      TokenFn on_token, EmbedFn embed = {});

  size_t steps() const override { return shape_.steps; }
  std::vector<Message> InputsOf(size_t step) const override;
  Message output() const override;

  std::vector<GeneratedSequence> TakeSequences();

 private:
  GenerationGateway(const DecoderPlan& plan, const GenerationShape& shape,
                    const GenerationOptions& options,
                    std::unique_ptr<Prg> masks, TokenFn on_token, EmbedFn embed)
      : UserSide(std::move(masks)),
        plan_(plan),
        shape_(shape),
        options_(options),
        on_token_(std::move(on_token)),
        embed_(std::move(embed)),
        rng_(options.sampling.seed) {}

  // All with mutex_ held.
  // Inputs of a step: each sequence's next tokens.
  void PushStep(const std::vector<std::vector<int64_t>>& tokens);
  void TakeOutput(std::unique_lock<std::mutex>& lock, const Words& sum,
                  int width) override;
  int64_t ChooseFrom(const Words& sum, int width, size_t sequence);
  void AddToken(std::unique_lock<std::mutex>& lock, size_t sequence,
                int64_t token);

  const DecoderPlan& plan_;
  const GenerationShape shape_;
  const GenerationOptions options_;
  const TokenFn on_token_;
  const EmbedFn embed_;

  std::vector<TokenSampler> samplers_;  // of each sequence
  std::mt19937_64 rng_;  // the user's randomness for secure sampling: what text
                         // it is, no key material
  std::vector<std::vector<int64_t>> history_;
  std::vector<bool> ended_;
  std::vector<GeneratedSequence> sequences_;
};

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_GENERATION_H_
