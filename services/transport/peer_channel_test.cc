#include "services/transport/peer_channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/impl/codegen/sync_stream.h>

#include <random>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_matchers.h"
#include "common/channel/in_process.h"
#include "gtest/gtest.h"
#include "services/transport/frame.h"
#include "services/transport/status.h"
#include "services/transport/testing.h"

namespace tacit {
namespace {

constexpr absl::StatusCode kDataLoss = absl::StatusCode::kDataLoss;
constexpr absl::StatusCode kUnavailable = absl::StatusCode::kUnavailable;
constexpr absl::StatusCode kDeadline = absl::StatusCode::kDeadlineExceeded;
constexpr absl::StatusCode kAlreadyExists = absl::StatusCode::kAlreadyExists;

Bytes Text(absl::string_view text) {
  return Bytes::Copy(
      std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

Bytes RandomBytes(size_t n, uint64_t seed) {
  std::mt19937_64 rng(seed);
  Bytes bytes(n);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(rng());
  return bytes;
}

bool Equal(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// Both ends of a link, and whatever serves them.
class Ends {
 public:
  virtual ~Ends() = default;
  std::unique_ptr<Channel> end[2];
};

class InProcessEnds : public Ends {
 public:
  explicit InProcessEnds(absl::Duration timeout) {
    InProcessOptions options;
    options.timeout = timeout;
    auto [end0, end1] = MakeInProcessChannel(options);
    end[0] = std::move(end0);
    end[1] = std::move(end1);
  }
};

class GrpcEnds : public Ends {
 public:
  GrpcEnds(const TransportOptions& options, const TestCredentials& credentials)
      : service(options), server(options, credentials, {}, &service.service) {
    auto made =
        PeerDialer::Create(server.address(), credentials.client, options);
    EXPECT_OK(made);
    dialer = *std::move(made);
    end[0] = dialer->Dial(TestSession(1));
    auto accepted = service.registry.Accept(TestSession(1), absl::Seconds(30));
    EXPECT_OK(accepted);
    end[1] = *std::move(accepted);
  }
  ~GrpcEnds() override {
    end[0].reset();
    end[1].reset();
  }

  TestPartyService service;
  TestServer server;
  std::unique_ptr<PeerDialer> dialer;
};

struct LinkKind {
  const char* name;
  int stripes;  // 0: in process
  bool tls;
};

TransportOptions Options(int stripes, absl::Duration timeout) {
  TransportOptions options;
  options.stripes = stripes;
  options.frame_bytes = size_t{64} << 10;
  options.timeout = timeout;
  return options;
}

// What every link does, over the network or not.
class LinkTest : public testing::TestWithParam<LinkKind> {
 protected:
  static std::unique_ptr<Ends> Make(
      absl::Duration timeout = absl::Seconds(60)) {
    const LinkKind& kind = GetParam();
    if (kind.stripes == 0) return std::make_unique<InProcessEnds>(timeout);
    return std::make_unique<GrpcEnds>(
        Options(kind.stripes, timeout),
        kind.tls ? Tls(MakeSelfSigned()) : Insecure());
  }
};

TEST_P(LinkTest, ExchangesMessagesOfDifferentSizesAndCountsThem) {
  auto ends = Make();
  Bytes reply0(3), reply1(5);
  std::thread peer(
      [&] { ASSERT_OK(ends->end[1]->Exchange(Text("abc"), reply1)); });
  ASSERT_OK(ends->end[0]->Exchange(Text("hello"), reply0));
  peer.join();
  EXPECT_EQ(reply0[2], 'c');
  EXPECT_EQ(reply1[4], 'o');
  EXPECT_EQ(ends->end[0]->traffic().rounds, 1u);
  EXPECT_EQ(ends->end[0]->traffic().sent_bytes, 5u);
  EXPECT_EQ(ends->end[1]->traffic().sent_bytes, 3u);
}

TEST_P(LinkTest, CarriesEverySizeBothWays) {
  auto ends = Make();
  const size_t frame = size_t{64} << 10;
  const std::vector<std::pair<size_t, size_t>> sizes = {
      {0, 0},         {1, 0},         {0, 1},
      {frame - 1, 1}, {frame, frame}, {frame + 1, frame},
      {3, 7 * frame}, {8 * frame, 5}, {5 * frame + 3, 6 * frame + 1},
      {0, 2 * frame}, {17, 19},       {size_t{9} << 20, size_t{8} << 20}};
  auto run = [&](int b) {
    for (size_t i = 0; i < sizes.size(); ++i) {
      const size_t out = b == 0 ? sizes[i].first : sizes[i].second;
      const size_t in = b == 0 ? sizes[i].second : sizes[i].first;
      Bytes reply(in);
      ASSERT_OK(ends->end[b]->Exchange(RandomBytes(out, 2 * i + b), reply));
      ASSERT_TRUE(Equal(reply, RandomBytes(in, 2 * i + 1 - b))) << i;
    }
  };
  std::thread peer([&] { run(1); });
  run(0);
  peer.join();
}

TEST_P(LinkTest, NamesBothSizesWhenThePeerSendsFewerBytes) {
  auto ends = Make();
  std::thread peer([&] {
    Bytes reply(4);
    // The peer is told, too, once this end has seen the wrong size.
    (void)ends->end[1]->Exchange(Text("abc"), reply);
  });
  Bytes reply(8);
  EXPECT_THAT(ends->end[0]->Exchange(Text("abcd"), reply),
              StatusIs(kDataLoss, "3 bytes where 8 were expected"));
  peer.join();
}

TEST_P(LinkTest, TimesOutOnASilentPeer) {
  auto ends = Make(absl::Milliseconds(50));
  Bytes reply(1);
  EXPECT_THAT(ends->end[0]->Exchange(Text("x"), reply),
              StatusIs(kDeadline, "50ms"));
  // And stays failed, at both ends.
  EXPECT_FALSE(ends->end[0]->Exchange(Text("x"), reply).ok());
  // (The message that was sent in time may still count there.)
  (void)ends->end[1]->Exchange(Text("y"), reply);
  EXPECT_FALSE(ends->end[1]->Exchange(Text("y"), reply).ok());
}

TEST_P(LinkTest, LeavingWakesTheWaitingPeer) {
  for (int leaver : {0, 1}) {
    auto ends = Make();
    std::thread peer([&] {
      absl::SleepFor(absl::Milliseconds(20));
      ends->end[leaver].reset();
    });
    Bytes reply(1);
    EXPECT_THAT(ends->end[1 - leaver]->Exchange(Text("x"), reply),
                StatusIs(kUnavailable, "left"));
    peer.join();
  }
}

TEST_P(LinkTest, WhatWasSentBeforeLeavingArrives) {
  for (int leaver : {0, 1}) {
    auto ends = Make();
    const Bytes message = RandomBytes(size_t{2} << 20, leaver);
    std::thread peer([&] {
      Bytes reply(1);
      ASSERT_OK(ends->end[leaver]->Exchange(message, reply));
      ends->end[leaver].reset();
    });
    Bytes reply(message.size());
    ASSERT_OK(ends->end[1 - leaver]->Exchange(Text("x"), reply));
    EXPECT_TRUE(Equal(reply, message));
    peer.join();
    EXPECT_THAT(ends->end[1 - leaver]->Exchange(Text("x"), reply),
                StatusIs(kUnavailable, "left"));
  }
}

TEST_P(LinkTest, AbortCarriesTheStatusToAPeerThatWaits) {
  for (int aborter : {0, 1}) {
    auto ends = Make();
    std::thread other([&] {
      absl::SleepFor(absl::Milliseconds(20));
      ends->end[aborter]->Abort(absl::ResourceExhaustedError("out of widgets"));
      ends->end[aborter]->Abort(absl::InternalError("only the first counts"));
    });
    Bytes reply(1);
    EXPECT_THAT(
        ends->end[1 - aborter]->Exchange(Text("x"), reply),
        StatusIs(absl::StatusCode::kResourceExhausted, "out of widgets"));
    other.join();
    EXPECT_THAT(
        ends->end[aborter]->Exchange(Text("x"), reply),
        StatusIs(absl::StatusCode::kResourceExhausted, "out of widgets"));
  }
}

TEST_P(LinkTest, AbortWakesItsOwnEnd) {
  auto ends = Make();
  std::thread other([&] {
    absl::SleepFor(absl::Milliseconds(20));
    ends->end[0]->Abort(absl::CancelledError("enough"));
  });
  Bytes reply(1);
  EXPECT_THAT(ends->end[0]->Exchange(Text("x"), reply),
              StatusIs(absl::StatusCode::kCancelled, "enough"));
  other.join();
}

INSTANTIATE_TEST_SUITE_P(AllLinks, LinkTest,
                         testing::Values(LinkKind{"InProcess", 0, false},
                                         LinkKind{"OneStripe", 1, false},
                                         LinkKind{"ThreeStripes", 3, false},
                                         LinkKind{"TlsTwoStripes", 2, true}),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

// An abort that comes while nobody waits is told at the next round, however
// late that is.
TEST(PeerChannelTest, KeepsTheStatusOfAnAbortForALaterRound) {
  TransportOptions options = Options(2, absl::Seconds(30));
  options.linger = absl::Milliseconds(500);
  GrpcEnds ends(options, Insecure());
  ends.end[0]->Abort(absl::AbortedError("dealer is gone"));
  absl::SleepFor(absl::Seconds(1));
  Bytes reply(1);
  EXPECT_THAT(ends.end[1]->Exchange(Text("x"), reply),
              StatusIs(absl::StatusCode::kAborted, "dealer is gone"));
}

TEST(PeerChannelTest, ALostConnectionIsUnavailable) {
  GrpcEnds ends(Options(2, absl::Seconds(30)), Insecure());
  std::thread stop([&] {
    absl::SleepFor(absl::Milliseconds(20));
    ends.server.Stop();
  });
  Bytes reply(1);
  EXPECT_EQ(ends.end[0]->Exchange(Text("x"), reply).code(), kUnavailable);
  // What was sent before may still count.
  (void)ends.end[1]->Exchange(Text("x"), reply);
  EXPECT_EQ(ends.end[1]->Exchange(Text("x"), reply).code(), kUnavailable);
  stop.join();
}

TEST(PeerChannelTest, ASilentPortIsUnavailable) {
  auto dialer =
      PeerDialer::Create("127.0.0.1:1", grpc::InsecureChannelCredentials(), {});
  ASSERT_OK(dialer);
  auto channel = (*dialer)->Dial(TestSession(1));
  Bytes reply(1);
  EXPECT_EQ(channel->Exchange(Text("x"), reply).code(), kUnavailable);
}

TEST(PeerChannelTest, RunsManySessionsAtOnce) {
  const TransportOptions options = Options(2, absl::Seconds(60));
  TestPartyService service(options);
  TestServer server(options, Insecure(), {}, &service.service);
  auto dialer =
      PeerDialer::Create(server.address(), Insecure().client, options);
  ASSERT_OK(dialer);
  auto rounds = [](Channel& channel, int b, int s) {
    for (int round = 0; round < 20; ++round) {
      const size_t n = (round % 5) * 50'000 + s;
      Bytes reply(n);
      ASSERT_OK(
          channel.Exchange(RandomBytes(n, 100 * s + 2 * round + b), reply));
      ASSERT_TRUE(Equal(reply, RandomBytes(n, 100 * s + 2 * round + 1 - b)));
    }
  };
  std::vector<std::thread> threads;
  for (int s = 0; s < 16; ++s) {
    threads.emplace_back(
        [&, s] { rounds(*(*dialer)->Dial(TestSession(s)), 0, s); });
    threads.emplace_back([&, s] {
      auto channel = service.registry.Accept(TestSession(s), absl::Seconds(30));
      ASSERT_OK(channel);
      rounds(**channel, 1, s);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

class PeerRegistryTest : public testing::Test {
 protected:
  static TransportOptions Hasty() {
    TransportOptions options = Options(2, absl::Seconds(30));
    options.accept_timeout = absl::Milliseconds(50);
    options.max_waiting_sessions = 2;
    return options;
  }
  void SetUp() override {
    auto made =
        PeerDialer::Create(server_.address(), Insecure().client, options_);
    ASSERT_OK(made);
    dialer_ = *std::move(made);
  }
  absl::Status FirstExchange(Channel& channel) {
    Bytes reply(1);
    return channel.Exchange(Text("x"), reply);
  }

  const TransportOptions options_ = Hasty();
  TestPartyService service_{options_};
  TestServer server_{options_, Insecure(), {}, &service_.service};
  std::unique_ptr<PeerDialer> dialer_;
};

TEST_F(PeerRegistryTest, RefusesASessionThatNobodyWants) {
  auto channel = dialer_->Dial(TestSession(1));
  EXPECT_THAT(FirstExchange(*channel),
              StatusIs(absl::StatusCode::kNotFound, "nobody wants"));
}

TEST_F(PeerRegistryTest, AcceptTimesOut) {
  EXPECT_THAT(service_.registry.Accept(TestSession(1), absl::Milliseconds(20)),
              StatusIs(kDeadline, "20ms"));
}

TEST_F(PeerRegistryTest, WithdrawWakesAccept) {
  std::thread other([&] {
    absl::SleepFor(absl::Milliseconds(20));
    service_.registry.Withdraw(TestSession(1), absl::CancelledError("no more"));
  });
  EXPECT_THAT(service_.registry.Accept(TestSession(1), absl::Seconds(30)),
              StatusIs(absl::StatusCode::kCancelled, "no more"));
  other.join();
}

TEST_F(PeerRegistryTest, ShutdownWakesAcceptAndRefusesWhatComes) {
  std::thread other([&] {
    absl::SleepFor(absl::Milliseconds(20));
    service_.registry.Shutdown();
  });
  EXPECT_THAT(service_.registry.Accept(TestSession(1), absl::Seconds(30)),
              StatusIs(kUnavailable, "shutting down"));
  other.join();
  auto channel = dialer_->Dial(TestSession(2));
  EXPECT_THAT(FirstExchange(*channel), StatusIs(kUnavailable, "shutting down"));
}

TEST_F(PeerRegistryTest, RefusesASessionInUse) {
  auto first = dialer_->Dial(TestSession(1));
  auto accepted = service_.registry.Accept(TestSession(1), absl::Seconds(30));
  ASSERT_OK(accepted);
  auto second = dialer_->Dial(TestSession(1));
  EXPECT_EQ(FirstExchange(*second).code(), kAlreadyExists);
  EXPECT_EQ(service_.registry.Accept(TestSession(1), absl::Seconds(1))
                .status()
                .code(),
            kAlreadyExists);
  // The first is none the worse for it.
  std::thread peer([&] { EXPECT_OK(FirstExchange(**accepted)); });
  EXPECT_OK(FirstExchange(*first));
  peer.join();
}

TEST_F(PeerRegistryTest, BoundsTheSessionsThatWait) {
  auto a = dialer_->Dial(TestSession(1));
  auto b = dialer_->Dial(TestSession(2));
  absl::SleepFor(absl::Milliseconds(20));
  auto c = dialer_->Dial(TestSession(3));
  EXPECT_EQ(FirstExchange(*c).code(), absl::StatusCode::kResourceExhausted);
}

// A caller that does as it likes, against a well-behaved party 1.
class HostilePeerTest : public testing::Test {
 protected:
  static constexpr char kStripe[] = "/tacit.v1.PartyService/ExchangeStripe";
  using Stream = grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;

  struct Call {
    grpc::ClientContext context;
    std::unique_ptr<Stream> stream;
  };

  std::unique_ptr<Call> Open(
      const CallMetadata& metadata,
      const char* method = "/tacit.v1.PartyService/Exchange") {
    auto call = std::make_unique<Call>();
    for (const auto& [key, value] : metadata) {
      call->context.AddMetadata(key, value);
    }
    call->stream.reset(
        grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer,
                                                  grpc::ByteBuffer>::
            Create(channel_.get(),
                   grpc::internal::RpcMethod(
                       method, grpc::internal::RpcMethod::BIDI_STREAMING),
                   &call->context));
    return call;
  }
  CallMetadata Hello(int stripe = 0, int stripes = 1) const {
    const SessionId session = TestSession(session_);
    return {{"tacit-session-bin", std::string(session.begin(), session.end())},
            {"tacit-stripe", absl::StrCat(stripe)},
            {"tacit-stripes", absl::StrCat(stripes)},
            {"tacit-frame-bytes", absl::StrCat(size_t{64} << 10)}};
  }
  std::unique_ptr<Channel> Accept() {
    auto accepted =
        service_.registry.Accept(TestSession(session_), absl::Seconds(30));
    EXPECT_OK(accepted);
    return *std::move(accepted);
  }
  static grpc::ByteBuffer Raw(absl::string_view text) {
    return ToByteBuffer(Text(text));
  }

  // Party 1's status of a round for which it is sent `frames` and expects
  // `expected` bytes, after one that went well.
  absl::Status SecondRound(std::vector<grpc::ByteBuffer> frames,
                           size_t expected) {
    ++session_;
    auto call = Open(Hello());
    auto channel = Accept();
    call->stream->Write(EncodeFrame({0, 1, 0, 1}, Text("a")));
    Bytes first(1), second(expected);
    EXPECT_OK(channel->Exchange({}, first));
    for (grpc::ByteBuffer& frame : frames) call->stream->Write(frame);
    const absl::Status status = channel->Exchange({}, second);
    channel.reset();
    grpc::ByteBuffer ignored;
    while (call->stream->Read(&ignored)) {
    }
    // The caller is told as well.
    told_ = FromGrpcStatus(call->stream->Finish());
    return status;
  }

  uint8_t session_ = 0;
  absl::Status told_;  // what the last round's caller was told
  TestPartyService service_{{}};
  TestServer server_{{}, Insecure(), {}, &service_.service};
  const std::shared_ptr<grpc::Channel> channel_ =
      grpc::CreateChannel(server_.address(), Insecure().client);
};

TEST_F(HostilePeerTest, RefusesBadMetadata) {
  for (size_t i = 0; i < 4; ++i) {
    for (const char* value : {"", "-1", "99999999999999999999", "x"}) {
      CallMetadata hello = Hello();
      hello[i].second = value;
      auto call = Open(hello);
      EXPECT_EQ(call->stream->Finish().error_code(),
                grpc::StatusCode::INVALID_ARGUMENT)
          << hello[i].first << " " << value;
    }
    CallMetadata hello = Hello();
    hello.erase(hello.begin() + i);
    auto call = Open(hello);
    EXPECT_EQ(call->stream->Finish().error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
}

TEST_F(HostilePeerTest, RefusesAStripeTwiceAndStripesThatDiffer) {
  auto first = Open(Hello(0, 2));
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(Open(Hello(0, 2))->stream->Finish().error_code(),
            grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(Open(Hello(1, 3), kStripe)->stream->Finish().error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  auto second = Open(Hello(1, 2), kStripe);
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(Open(Hello(1, 2), kStripe)->stream->Finish().error_code(),
            grpc::StatusCode::ALREADY_EXISTS);
  first->context.TryCancel();
  second->context.TryCancel();
}

TEST_F(HostilePeerTest, RefusesAStripeByTheOthersMethod) {
  EXPECT_EQ(Open(Hello(0, 2), kStripe)->stream->Finish().error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Open(Hello(1, 2))->stream->Finish().error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(HostilePeerTest, TakesWellFormedFrames) {
  EXPECT_OK(SecondRound({EncodeFrame({1, 3, 0, 3}, Text("abc"))}, 3));
  EXPECT_THAT(told_, StatusIs(kUnavailable, "left"));
}

TEST_F(HostilePeerTest, RejectsAReplayedFrame) {
  EXPECT_THAT(SecondRound({EncodeFrame({0, 1, 0, 1}, Text("a"))}, 1),
              StatusIs(kDataLoss, "round 0 where 1 was expected"));
  EXPECT_THAT(told_, StatusIs(kDataLoss, "round 0 where 1 was expected"));
}

TEST_F(HostilePeerTest, RejectsAFrameOfALaterRound) {
  EXPECT_THAT(SecondRound({EncodeFrame({2, 1, 0, 1}, Text("a"))}, 1),
              StatusIs(kDataLoss, "round 2 where 1 was expected"));
}

TEST_F(HostilePeerTest, RejectsDuplicatedAndReorderedFramesOfAMessage) {
  const size_t frame = size_t{64} << 10;
  const Bytes payload = RandomBytes(frame, 1);
  EXPECT_THAT(SecondRound({EncodeFrame({1, 2 * frame, 0, frame}, payload),
                           EncodeFrame({1, 2 * frame, 0, frame}, payload)},
                          2 * frame),
              StatusIs(kDataLoss, "offset 0 where 65536 was expected"));
}

TEST_F(HostilePeerTest, RejectsAReorderedFirstFrame) {
  const size_t frame = size_t{64} << 10;
  EXPECT_THAT(SecondRound({EncodeFrame({1, 2 * frame, frame, frame},
                                       RandomBytes(frame, 1))},
                          2 * frame),
              StatusIs(kDataLoss, "offset 65536 where 0 was expected"));
}

TEST_F(HostilePeerTest, RejectsAMessageOfAnotherSize) {
  for (uint64_t size : {uint64_t{0}, uint64_t{1} << 31, uint64_t{1} << 63}) {
    EXPECT_THAT(SecondRound({EncodeFrame({1, size, 0, 3}, Text("abc"))}, 3),
                StatusIs(kDataLoss, absl::StrCat("message of ", size,
                                                 " bytes where 3"
                                                 " were")));
  }
}

TEST_F(HostilePeerTest, RejectsAPayloadOfAnotherSize) {
  EXPECT_THAT(SecondRound({EncodeFrame({1, 3, 0, 3}, Text("abcd"))}, 3),
              StatusIs(kDataLoss, "4 bytes where 3 were expected"));
  EXPECT_THAT(SecondRound({EncodeFrame({1, 3, 0, 3}, Text(""))}, 3),
              StatusIs(kDataLoss, "0 bytes where 3 were expected"));
}

TEST_F(HostilePeerTest, RejectsATruncatedFrameAtEveryLength) {
  const grpc::ByteBuffer frame = EncodeFrame({1, 3, 0, 3}, Text("abc"));
  grpc::Slice slice;
  ASSERT_TRUE(frame.DumpToSingleSlice(&slice).ok());
  for (size_t n = 0; n < slice.size(); ++n) {
    EXPECT_EQ(
        SecondRound({Raw(absl::string_view(
                        reinterpret_cast<const char*>(slice.begin()), n))},
                    3)
            .code(),
        kDataLoss)
        << n;
    EXPECT_EQ(told_.code(), kDataLoss);
  }
}

TEST_F(HostilePeerTest, RejectsGarbage) {
  std::mt19937_64 rng(3);
  for (int i = 0; i < 50; ++i) {
    const Bytes bytes = RandomBytes(rng() % 200, i);
    EXPECT_FALSE(SecondRound({Raw(absl::string_view(
                                 reinterpret_cast<const char*>(bytes.data()),
                                 bytes.size()))},
                             3)
                     .ok());
  }
}

TEST_F(HostilePeerTest, AMessageBeyondTheLimitOfGrpcEndsTheSession) {
  EXPECT_FALSE(
      SecondRound({ToByteBuffer(Bytes::Zeroed(size_t{5} << 20))}, 3).ok());
}

TEST_F(HostilePeerTest, ACallerThatResetsIsGone) {
  auto call = Open(Hello());
  auto channel = Accept();
  std::thread reset([&] {
    absl::SleepFor(absl::Milliseconds(20));
    call->context.TryCancel();
  });
  Bytes reply(1);
  EXPECT_THAT(channel->Exchange(Text("x"), reply),
              StatusIs(kUnavailable, "left"));
  reset.join();
  call->stream->Finish();
}

}  // namespace
}  // namespace tacit
