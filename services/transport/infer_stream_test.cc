#include "services/transport/infer_stream.h"

#include <grpcpp/create_channel.h>

#include <future>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"
#include "services/transport/status.h"
#include "services/transport/testing.h"

namespace tacit {
namespace {

constexpr absl::StatusCode kCancelled = absl::StatusCode::kCancelled;
constexpr absl::StatusCode kDataLoss = absl::StatusCode::kDataLoss;
constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::Duration kLong = absl::Seconds(30);

Words Counting(size_t n, int width) {
  Words words(n);
  for (size_t i = 0; i < n; ++i) {
    words[i] = (i * 0x9E3779B97F4A7C15u) >> (64 - width);
  }
  return words;
}

bool Equal(const Words& a, const Words& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

PlanDigest TestPlan() {
  PlanDigest plan{};
  plan[31] = 9;
  return plan;
}

// A party that answers one call, and a gateway.
class InferStreamTest : public testing::Test {
 protected:
  static TransportOptions Options() {
    TransportOptions options;
    options.timeout = absl::Milliseconds(300);
    options.accept_timeout = absl::Milliseconds(300);
    return options;
  }
  std::unique_ptr<InferCall> Call() {
    v1::SessionShape shape;
    shape.add_prompt_tokens(5);
    shape.set_max_tokens(7);
    return dialer_.Start(TestSession(3), TestPlan(), shape);
  }
  std::unique_ptr<InferSession> Accept() { return started_.get_future().get(); }

  std::promise<std::unique_ptr<InferSession>> started_;
  TestInferenceService service_{Options(),
                                [this](std::unique_ptr<InferSession> session) {
                                  started_.set_value(std::move(session));
                                }};
  TestServer server_{Options(), Insecure(), {&service_}};
  InferDialer dialer_{server_.address(), Insecure().client, Options()};
};

TEST_F(InferStreamTest, CarriesStartInputsAndShares) {
  auto call = Call();
  auto session = Accept();
  EXPECT_EQ(session->session(), TestSession(3));
  EXPECT_EQ(session->plan(), TestPlan());
  EXPECT_EQ(session->shape().prompt_tokens(0), 5u);
  EXPECT_EQ(session->shape().max_tokens(), 7u);
  for (int width : {1, 16, 33, 64}) {
    for (size_t n : {0, 1, 5, 100'000}) {
      ASSERT_OK(call->SendInput(Counting(n, width), width));
      auto input = session->Receive(n, width);
      ASSERT_OK(input);
      EXPECT_TRUE(Equal(*input, Counting(n, width)));
      ASSERT_OK(session->Send(*std::move(input), width));
      auto share = call->ReceiveShare(n, width, kLong);
      ASSERT_OK(share);
      EXPECT_TRUE(Equal(*share, Counting(n, width)));
    }
  }
  session->Finish(absl::OkStatus());
  EXPECT_OK(call->Finish(kLong));
}

TEST_F(InferStreamTest, InputsMayGoAhead) {
  auto call = Call();
  auto session = Accept();
  for (uint64_t i = 0; i < 100; ++i) {
    const uint64_t word[1] = {i};
    ASSERT_OK(call->SendInput(word, 16));
  }
  for (uint64_t i = 0; i < 100; ++i) {
    auto input = session->Receive(1, 16);
    ASSERT_OK(input);
    EXPECT_EQ((*input)[0], i);
  }
}

TEST_F(InferStreamTest, NamesBothSizesOfAWrongInput) {
  auto call = Call();
  auto session = Accept();
  ASSERT_OK(call->SendInput(Counting(3, 16), 16));
  EXPECT_THAT(session->Receive(4, 16), StatusIs(kInvalid, "3 elements of 16"));
  ASSERT_OK(call->SendInput(Counting(4, 17), 17));
  EXPECT_THAT(session->Receive(4, 16), StatusIs(kInvalid, "4 elements of 17"));
}

TEST_F(InferStreamTest, NamesBothSizesOfAWrongShare) {
  auto call = Call();
  auto session = Accept();
  ASSERT_OK(session->Send(Counting(3, 16), 16));
  EXPECT_THAT(call->ReceiveShare(4, 16, kLong),
              StatusIs(kDataLoss, "3 elements of 16"));
}

TEST_F(InferStreamTest, HalfClosingMeansThatNoInputFollows) {
  auto call = Call();
  auto session = Accept();
  ASSERT_OK(call->SendInput(Counting(3, 16), 16));
  auto finish =
      std::async(std::launch::async, [&] { return call->Finish(kLong); });
  EXPECT_OK(session->Receive(3, 16));
  EXPECT_THAT(session->Receive(3, 16), StatusIs(kCancelled, "no more"));
  session->Finish(absl::OkStatus());
  EXPECT_OK(finish.get());
}

TEST_F(InferStreamTest, CancelReachesThePartyWithinASecond) {
  auto call = Call();
  auto session = Accept();
  std::promise<absl::Time> cancelled;
  session->OnCancel([&] { cancelled.set_value(absl::Now()); });
  const absl::Time before = absl::Now();
  call->Cancel(absl::CancelledError("enough"));
  EXPECT_LT(cancelled.get_future().get() - before, absl::Seconds(1));
  EXPECT_EQ(session->Receive(1, 16).status().code(), kCancelled);
  EXPECT_EQ(session->Send(Words(1), 16).code(), kCancelled);
  EXPECT_THAT(call->ReceiveShare(1, 16, kLong), StatusIs(kCancelled, "enough"));
  // Too late is told at once.
  bool called = false;
  session->OnCancel([&] { called = true; });
  EXPECT_TRUE(called);
}

TEST_F(InferStreamTest, AGatewayThatLeavesHasCancelled) {
  auto call = Call();
  auto session = Accept();
  std::promise<void> cancelled;
  session->OnCancel([&] { cancelled.set_value(); });
  call.reset();
  cancelled.get_future().get();
}

TEST_F(InferStreamTest, FinishedSessionsHearOfNoCancel) {
  auto call = Call();
  auto session = Accept();
  session->OnCancel([] { ADD_FAILURE() << "cancelled"; });
  session->Finish(absl::OkStatus());
  EXPECT_OK(call->Finish(kLong));
  call.reset();
  absl::SleepFor(absl::Milliseconds(20));
}

TEST_F(InferStreamTest, ASilentGatewayTimesOut) {
  auto call = Call();
  auto session = Accept();
  EXPECT_THAT(session->Receive(1, 16),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "300ms"));
}

TEST_F(InferStreamTest, ASilentPartyTimesOut) {
  auto call = Call();
  auto session = Accept();
  EXPECT_THAT(call->ReceiveShare(1, 16, absl::Milliseconds(20)),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "20ms"));
  EXPECT_EQ(call->Finish(absl::Milliseconds(20)).code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(InferStreamTest, ThePartysStatusComesBehindItsShares) {
  auto call = Call();
  auto session = Accept();
  ASSERT_OK(session->Send(Counting(3, 16), 16));
  session->Finish(absl::UnavailableError("lost the peer"));
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_OK(call->ReceiveShare(3, 16, kLong));
  EXPECT_THAT(call->ReceiveShare(3, 16, kLong),
              StatusIs(absl::StatusCode::kUnavailable, "lost the peer"));
  EXPECT_FALSE(call->SendInput(Counting(1, 16), 16).ok());
}

TEST_F(InferStreamTest, ADroppedSessionIsInternal) {
  auto call = Call();
  Accept().reset();
  EXPECT_EQ(call->ReceiveShare(1, 16, kLong).status().code(),
            absl::StatusCode::kInternal);
}

TEST_F(InferStreamTest, ALostServerIsUnavailable) {
  auto call = Call();
  auto session = Accept();
  std::thread stop([&] {
    // Ends once the session does.
    session->OnCancel([&] { session->Finish(absl::OkStatus()); });
    server_.Stop();
  });
  EXPECT_FALSE(call->ReceiveShare(1, 16, kLong).ok());
  stop.join();
}

TEST_F(InferStreamTest, FurtherOutputsAreDataLoss) {
  auto call = Call();
  auto session = Accept();
  ASSERT_OK(session->Send(Counting(3, 16), 16));
  EXPECT_THAT(call->Finish(kLong), StatusIs(kDataLoss, "further"));
}

// A gateway that does as it likes, through the generated stub.
class HostileGatewayTest : public InferStreamTest {
 protected:
  using Stream = grpc::ClientReaderWriter<v1::InferRequest, v1::InferResponse>;

  std::unique_ptr<Stream> Open() { return stub_->Infer(&context_); }
  static v1::InferRequest Start() {
    v1::InferRequest request;
    request.mutable_start()->set_session_id(std::string(16, 's'));
    request.mutable_start()->set_plan_digest(std::string(32, 'p'));
    request.mutable_start()->mutable_shape();
    return request;
  }
  static v1::InferRequest Input(uint64_t index, uint64_t count,
                                size_t packed_bytes) {
    v1::InferRequest request;
    v1::MaskedInput& input = *request.mutable_input();
    input.set_index(index);
    input.set_width(16);
    input.set_count(count);
    input.set_packed(std::string(packed_bytes, 'x'));
    return request;
  }

  const std::unique_ptr<v1::InferenceService::Stub> stub_ =
      v1::InferenceService::NewStub(
          grpc::CreateChannel(server_.address(), Insecure().client));
  grpc::ClientContext context_;
};

TEST_F(HostileGatewayTest, SpeaksProtobuf) {
  auto stream = Open();
  stream->Write(Start());
  stream->Write(Input(0, 3, 6));
  auto session = Accept();
  auto words = session->Receive(3, 16);
  ASSERT_OK(words);
  EXPECT_EQ((*words)[2], 0x7878u);
  ASSERT_OK(session->Send(*std::move(words), 16));
  v1::InferResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.output().packed(), "xxxxxx");
  EXPECT_EQ(response.output().count(), 3u);
  EXPECT_EQ(response.output().width(), 16u);
  session->Finish(absl::OkStatus());
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(HostileGatewayTest, ABadStartIsInvalid) {
  for (int bad = 0; bad < 4; ++bad) {
    v1::InferRequest start = Start();
    if (bad == 0) start = Input(0, 1, 2);
    if (bad == 1) start.mutable_start()->set_session_id("short");
    if (bad == 2) start.mutable_start()->clear_plan_digest();
    if (bad == 3) start.mutable_start()->clear_shape();
    grpc::ClientContext context;
    auto stream = stub_->Infer(&context);
    stream->Write(start);
    EXPECT_EQ(FromGrpcStatus(stream->Finish()).code(), kInvalid) << bad;
  }
}

TEST_F(HostileGatewayTest, ACallWithoutAStartEnds) {
  EXPECT_EQ(FromGrpcStatus(Open()->Finish()).code(),
            absl::StatusCode::kDeadlineExceeded);
  grpc::ClientContext context;
  auto stream = stub_->Infer(&context);
  stream->WritesDone();
  EXPECT_EQ(FromGrpcStatus(stream->Finish()).code(), kInvalid);
}

TEST_F(HostileGatewayTest, RejectsInputsOutOfTurnOrOfImpossibleSizes) {
  const std::vector<v1::InferRequest> bad = {Input(1, 3, 6),
                                             Input(0, 3, 5),
                                             Input(0, 3, 7),
                                             Input(0, 0, 6),
                                             Input(0, uint64_t{1} << 63, 6),
                                             Input(0, 3, 0),
                                             Start()};
  auto stream = Open();
  stream->Write(Start());
  auto session = Accept();
  stream->Write(bad[0]);
  EXPECT_EQ(session->Receive(3, 16).status().code(), kInvalid);
  for (size_t i = 1; i < bad.size(); ++i) {
    v1::InferRequest request = bad[i];
    if (request.has_input()) request.mutable_input()->set_index(i);
    stream->Write(request);
    EXPECT_EQ(session->Receive(3, 16).status().code(), kInvalid) << i;
  }
  context_.TryCancel();
}

}  // namespace
}  // namespace tacit
