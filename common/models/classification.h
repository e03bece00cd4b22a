// What dealer and parties run to classify texts, and the user's side of it.
#ifndef TACIT_COMMON_MODELS_CLASSIFICATION_H_
#define TACIT_COMMON_MODELS_CLASSIFICATION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/models/encoder.h"
#include "common/models/user_side.h"
#include "common/prg/prg.h"

namespace tacit {

// What is public about a batch of texts; the same at dealer, parties and
// gateway.
struct ClassificationShape {
  std::vector<size_t> lengths;  // tokens of each text
  // Whether segments are sent; without, all tokens are of segment 0.
  bool segments = false;

  size_t tokens() const;  // of all texts
};

// A batch as the user knows it: SECRET but for its shape.
struct TextBatch {
  std::vector<std::vector<int64_t>> tokens;
  std::vector<std::vector<int64_t>> segments;  // empty: all of segment 0
};

ClassificationShape ShapeOf(const TextBatch& texts);
// INVALID_ARGUMENT if there is no text, one is empty or longer than planned, or
// the model has no classifier.
absl::Status CheckShape(const EncoderPlan& plan,
                        const ClassificationShape& shape);
// Also INVALID_ARGUMENT if a token or segment is not the model's, or segments
// are not as many as tokens.
absl::Status CheckTexts(const EncoderPlan& plan, const TextBatch& texts);

// The program. Inputs: all texts' tokens, then their segments if there are any.
// Output: logits [texts, labels].
void Classify(Evaluator& ev, const EncoderPlan& plan,
              const EncoderMatrices& weights, const ClassificationShape& shape);

// The user's side: one step.
class ClassificationGateway final : public UserSide {
 public:
  // `masks` is the gateway's stream of the session (GatewayStream). `plan` must
  // outlive the gateway. Errors: CheckTexts's.
  static absl::StatusOr<std::unique_ptr<ClassificationGateway>> Create(
      const EncoderPlan& plan, const TextBatch& texts,
      std::unique_ptr<Prg> masks);

  size_t steps() const override { return 1; }
  std::vector<Message> InputsOf(size_t step) const override;
  Message output() const override;

  // Of each text: [labels]. Empty before they have come. SECRET.
  std::vector<std::vector<double>> TakeLogits();

 private:
  ClassificationGateway(const EncoderPlan& plan,
                        const ClassificationShape& shape,
                        std::unique_ptr<Prg> masks)
      : UserSide(std::move(masks)), plan_(plan), shape_(shape) {}

  void TakeOutput(std::unique_lock<std::mutex>& lock, const Words& sum,
                  int width) override;

  const EncoderPlan& plan_;
  const ClassificationShape shape_;
  std::vector<std::vector<double>> logits_;
};

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_CLASSIFICATION_H_
