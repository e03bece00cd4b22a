#include "services/runtime/session_shape.h"

#include <cmath>
#include <set>
#include <string>

#include "common/base/status_matchers.h"
#include "common/models/bounds.h"
#include "common/models/testing.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr size_t kContext = 32;

ModelPlan PlanFor(Architecture architecture) {
  const ModelConfig config = SmallConfig(architecture);
  return *PlanOf(config,
                 {.context = kContext, .bounds = TypicalBounds(config)});
}

class SessionShapeTest : public testing::Test {
 protected:
  absl::StatusOr<SessionProgram> Read(const v1::SessionShape& shape,
                                      const ModelPlan& plan) const {
    return FromProto(shape, limits_, plan);
  }

  const ModelPlan decoder_ = PlanFor(Architecture::kLlama);
  const ModelPlan classifier_ = PlanFor(Architecture::kBertClassifier);
  ShapeLimits limits_;
};

GenerationShape Generation() {
  GenerationShape shape;
  shape.prompts = {3, 5};
  shape.steps = 4;
  return shape;
}

TEST_F(SessionShapeTest, ProgramsComeBackAsTheyWere) {
  GenerationShape secure = Generation();
  secure.sampling = SamplingSide::kSecure;
  secure.embedding = EmbeddingSide::kClient;
  secure.temperature = 0.5;
  secure.top_k = 7;
  secure.top_p = 0.9;
  std::set<std::string> keys;
  for (const GenerationShape& shape : {Generation(), secure}) {
    const SessionProgram program = {shape, Rounding::kFaithful};
    const auto back = Read(ToProto(program), decoder_);
    ASSERT_OK(back);
    EXPECT_EQ(back->rounding, Rounding::kFaithful);
    const auto& got = std::get<GenerationShape>(back->shape);
    EXPECT_EQ(got.prompts, shape.prompts);
    EXPECT_EQ(got.steps, shape.steps);
    EXPECT_EQ(got.sampling, shape.sampling);
    EXPECT_EQ(got.embedding, shape.embedding);
    EXPECT_EQ(got.temperature, shape.temperature);
    EXPECT_EQ(got.top_k, shape.top_k);
    EXPECT_EQ(got.top_p, shape.top_p);
    keys.insert(ShapeKey(program));
  }
  for (bool segments : {false, true}) {
    const SessionProgram program = {ClassificationShape{{3, 32}, segments},
                                    Rounding::kStochastic};
    const auto back = Read(ToProto(program), classifier_);
    ASSERT_OK(back);
    EXPECT_EQ(back->rounding, Rounding::kStochastic);
    const auto& got = std::get<ClassificationShape>(back->shape);
    EXPECT_EQ(got.lengths, (std::vector<size_t>{3, 32}));
    EXPECT_EQ(got.segments, segments);
    keys.insert(ShapeKey(program));
  }
  EXPECT_EQ(keys.size(), 4u) << "a ready session would serve another shape";
}

TEST_F(SessionShapeTest, TheOtherKindIsRefusedWithWhatToCall) {
  EXPECT_THAT(Read(ToProto({Generation(), {}}), classifier_).status(),
              StatusIs(kPrecondition, "call Classify"));
  EXPECT_THAT(
      Read(ToProto({ClassificationShape{{3}, false}, {}}), decoder_).status(),
      StatusIs(kPrecondition, "call Complete"));
}

TEST_F(SessionShapeTest, ClassificationTakesNoFieldsOfGeneration) {
  const v1::SessionShape good = ToProto({ClassificationShape{{3}, false}, {}});
  const auto expect = [&](const v1::SessionShape& shape, const char* field) {
    EXPECT_THAT(Read(shape, classifier_).status(), StatusIs(kInvalid, field));
  };
  v1::SessionShape shape = good;
  shape.set_max_tokens(1);
  expect(shape, "max_tokens: is for generation");
  shape = good;
  shape.set_sampling_mode(v1::SAMPLING_MODE_CLIENT);
  expect(shape, "sampling_mode: is for generation");
  shape = good;
  shape.mutable_secure_sampling();
  expect(shape, "secure_sampling: is for generation");
  shape = good;
  shape.set_embedding_mode(v1::EMBEDDING_MODE_SECURE);
  expect(shape, "embedding_mode: is for generation");
  shape = good;
  shape.clear_rounding();
  expect(shape, "rounding: not said");
}

TEST_F(SessionShapeTest, GenerationNeedsItsFields) {
  const v1::SessionShape good = ToProto({Generation(), {}});
  const auto expect = [&](const v1::SessionShape& shape, const char* field) {
    EXPECT_THAT(Read(shape, decoder_).status(), StatusIs(kInvalid, field));
  };
  v1::SessionShape shape = good;
  shape.clear_sampling_mode();
  expect(shape, "sampling_mode: not said");
  shape = good;
  shape.clear_embedding_mode();
  expect(shape, "embedding_mode: not said");
  shape = good;
  shape.set_rounding(static_cast<v1::Rounding>(9));
  expect(shape, "rounding: not said");
  shape = good;
  shape.set_max_tokens(0);
  expect(shape, "max-tokens");
  shape = good;
  shape.clear_prompt_tokens();
  expect(shape, "no prompt");
  shape = good;
  shape.set_prompt_tokens(0, 40);
  expect(shape, "context of 32");
  shape = good;
  shape.set_sampling_mode(v1::SAMPLING_MODE_SECURE);
  shape.mutable_secure_sampling()->set_temperature(NAN);
  expect(shape, "temperature");
  shape.mutable_secure_sampling()->set_temperature(1);
  expect(shape, "top_p");
}

TEST_F(SessionShapeTest, SizesAreBoundedForBothKinds) {
  limits_ = {.max_sequences = 2, .max_prompt_tokens = 6, .max_tokens = 8};
  const auto texts = [](std::vector<size_t> lengths) {
    return ToProto({ClassificationShape{std::move(lengths), false}, {}});
  };
  EXPECT_OK(Read(texts({6, 6}), classifier_));
  EXPECT_THAT(Read(texts({1, 1, 1}), classifier_).status(),
              StatusIs(kExhausted, "3 texts; the limit is 2"));
  EXPECT_THAT(Read(texts({7}), classifier_).status(),
              StatusIs(kExhausted, "7 tokens; the limit is 6"));
  EXPECT_THAT(Read(texts({0}), classifier_).status(),
              StatusIs(kInvalid, "a text of 0 tokens"));
  EXPECT_THAT(Read(texts({}), classifier_).status(),
              StatusIs(kInvalid, "no text"));
  limits_ = {};
  EXPECT_THAT(Read(texts({33}), classifier_).status(),
              StatusIs(kInvalid, "the plan has 1 to 32"));
  limits_ = {.max_sequences = 2, .max_prompt_tokens = 6, .max_tokens = 8};
  GenerationShape shape = Generation();
  shape.steps = 9;
  EXPECT_THAT(Read(ToProto({shape, {}}), decoder_).status(),
              StatusIs(kExhausted, "9 tokens to generate"));
}

}  // namespace
}  // namespace tacit
