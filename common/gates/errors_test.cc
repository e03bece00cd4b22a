// What goes wrong ends in a status that says what, at every role, and in
// nothing else.
#include <thread>

#include "common/gates/compare.h"
#include "common/gates/dealer.h"
#include "common/gates/extend.h"
#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/multiply.h"
#include "common/gates/one_hot.h"
#include "common/gates/party.h"
#include "common/gates/select.h"
#include "common/gates/testing.h"
#include "common/gates/trunc_reduce.h"
#include "common/gates/windowed_lut.h"

namespace tacit {
namespace {

using testing::HasSubstr;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// The program's error on shapes alone: before anything is dealt.
absl::Status Declare(const Program& program) {
  return DeclaredCost(program).status();
}

TEST(BadProgramTest, WidthsOutside1To64AreRejected) {
  EXPECT_THAT(Declare([](Evaluator& ev) {
                const Wire x = ev.Input({3}, 64, 0);
                Mul(ev, x, x, 65);
              }),
              StatusIs(kInvalid, "Mul: width 65"));
  EXPECT_THAT(
      Declare([](Evaluator& ev) { Extend(ev, ev.Input({3}, 20, 0), 65); }),
      StatusIs(kInvalid, "Extend: from 20 to 65 bits"));
  EXPECT_THAT(
      Declare([](Evaluator& ev) { IsNegative(ev, ev.Input({3}, 20, 0), 0); }),
      StatusIs(kInvalid, "Compare: domain of 0 bits"));
  EXPECT_THAT(
      Declare([](Evaluator& ev) { TruncReduce(ev, ev.Input({3}, 20, 0), 20); }),
      StatusIs(kInvalid, "TruncReduce: 20 bits of a wire of 20"));
}

TEST(BadProgramTest, MismatchedShapesAreNamed) {
  EXPECT_THAT(Declare([](Evaluator& ev) {
                Add(ev, ev.Input({3}, 20, 0), ev.Input({4}, 20, 0));
              }),
              StatusIs(kInvalid, "Add: shapes [3] and [4] differ"));
  EXPECT_THAT(Declare([](Evaluator& ev) {
                Add(ev, ev.Input({3}, 20, 1), ev.Input({3}, 20, 0));
              }),
              StatusIs(kInvalid, "fraction counts 1 and 0"));
  const StaticMatrixShares w = TestMatrix({1, 2, 3, 4}, 2, 2, 0);
  EXPECT_THAT(Declare([&](Evaluator& ev) {
                MatMulStatic(ev, ev.Input({3, 3}, 20, 0), Pick(ev, w), 20);
              }),
              StatusIs(kInvalid, "MatMulStatic: input [3, 3], weights [2, 2]"));
}

TEST(BadProgramTest, RowsThatAStaticMatrixLacksAreRejected) {
  auto status = [](Layout layout, std::vector<size_t> rows, int width) {
    const StaticMatrixShares w = TestMatrix({1, 2, 3, 4}, 2, 2, 0, layout);
    return Declare(
        [&](Evaluator& ev) { FromStatic(ev, Pick(ev, w), rows, width); });
  };
  EXPECT_OK(status(Layout::kRowMajor, {1, 0, 1}, 64));
  EXPECT_THAT(status(Layout::kRowMajor, {1, 2}, 20),
              StatusIs(kInvalid, "FromStatic: row 2 of 2"));
  EXPECT_THAT(status(Layout::kRowMajor, {1}, 65),
              StatusIs(kInvalid, "FromStatic: width 65"));
  EXPECT_THAT(status(Layout::kTransposed, {1}, 20),
              StatusIs(kInvalid, "transposed"));
  StaticMatrix empty;
  empty.k = empty.n = 2;
  const std::vector<size_t> row = {1};
  EXPECT_THAT(
      StatusOfPlain([&](Evaluator& ev) { FromStatic(ev, empty, row, 20); }, {}),
      StatusIs(kInvalid, "FromStatic: this role has no weights"));
}

TEST(BadProgramTest, ATableWindowOutsideTheDomainIsRejected) {
  EXPECT_THAT(Declare([](Evaluator& ev) {
                const std::vector<int64_t> table(5);
                WindowedLut(ev, ev.Input({3}, 20, 0), 8, 124, table, 20, 0);
              }),
              StatusIs(kInvalid, "window of 5 entries from 124"));
  EXPECT_THAT(Declare([](Evaluator& ev) {
                WindowedLut(ev, ev.Input({3}, 20, 0), 8, 0, {}, 20, 0);
              }),
              StatusIs(kInvalid, "window of 0 entries"));
}

TEST(BadProgramTest, TheFirstErrorSticksAndNamesItsScope) {
  EXPECT_THAT(Declare([](Evaluator& ev) {
                const Evaluator::Scope layers(ev, "layers.3");
                const Wire x = ev.Input({3}, 20, 0);
                {
                  const Evaluator::Scope mlp(ev, "mlp");
                  Mul(ev, x, x, 21);
                }
                Mul(ev, x, x, 99);
              }),
              StatusIs(kInvalid, "layers.3.mlp: Mul: width 21"));
}

TEST(BadProgramTest, EveryRoleEndsWithTheSameError) {
  EXPECT_THAT(StatusOfRun(
                  [](Evaluator& ev) {
                    const Wire x = ev.Input({3}, 20, 0);
                    const Wire y = ev.Open(Square(ev, x, 20));
                    Mul(ev, y, y, 30);
                    ev.Output(ToShare(ev, y));
                  },
                  {{{1, 2, 3}, 20}}),
              StatusIs(kInvalid, "Mul: width 30"));
}

TEST(BadInputTest, TheGatewaySizesAreChecked) {
  EXPECT_THAT(StatusOfRun([](Evaluator& ev) { ev.Input({4}, 20, 0); },
                          {{{1, 2, 3}, 20}}),
              StatusIs(kInvalid, "3 elements of 20 bits where 4 of 20"));
}

TEST(PlainTest, AValueOutsideItsBoundNamesTheWire) {
  const auto out_of_range = absl::StatusCode::kOutOfRange;
  EXPECT_THAT(StatusOfPlain(
                  [](Evaluator& ev) {
                    const Evaluator::Scope scope(ev, "layers.0.mlp");
                    const Wire x = ev.Input({2}, 20, 0);
                    ev.Open(Square(ev, x, 20));
                  },
                  {{{3, 1000}, 20}}),
              StatusIs(out_of_range,
                       "layers.0.mlp: Open: a value does not fit "
                       "20 bits"));
  EXPECT_THAT(
      StatusOfPlain(
          [](Evaluator& ev) { IsNegative(ev, ev.Input({2}, 20, 0), 8); },
          {{{3, 128}, 20}}),
      StatusIs(out_of_range, "Compare"));
  EXPECT_THAT(
      StatusOfPlain([](Evaluator& ev) { Extend(ev, ev.Input({1}, 10, 0), 20); },
                    {{{256}, 10}}),
      StatusIs(out_of_range, "Extend"));
}

// ---- Material ----

// Keeps what a dealer wrote, to be changed and played back.
class Recorder : public MaterialSink {
 public:
  absl::StatusOr<std::span<uint8_t>> Reserve(size_t bytes) override {
    records.emplace_back(bytes);
    return std::span<uint8_t>(records.back());
  }
  absl::Status Commit() override { return absl::OkStatus(); }
  absl::Status Finish() override { return absl::OkStatus(); }
  void Abort(const absl::Status&) override {}
  uint64_t bytes() const override { return 0; }

  std::vector<std::vector<uint8_t>> records;
};

class Player : public MaterialSource {
 public:
  explicit Player(std::vector<std::vector<uint8_t>> records)
      : records_(std::move(records)) {}
  absl::StatusOr<std::span<const uint8_t>> Take(size_t bytes) override {
    if (next_ == records_.size()) return absl::DataLossError("material ends");
    if (records_[next_].size() != bytes) {
      return absl::DataLossError(
          absl::StrCat("material record of ", records_[next_].size(),
                       " bytes where ", bytes, " were expected"));
    }
    return std::span<const uint8_t>(records_[next_++]);
  }
  void Release() override {}
  absl::Status Finish() override {
    if (next_ == records_.size()) return absl::OkStatus();
    return absl::DataLossError("bytes of material are left over");
  }
  void Abort(const absl::Status&) override { aborted = true; }
  uint64_t bytes() const override { return 0; }

  bool aborted = false;

 private:
  std::vector<std::vector<uint8_t>> records_;
  size_t next_ = 0;
};

class NoInputs : public GatewayLink {
 public:
  absl::StatusOr<Words> Receive(size_t n, int) override {
    return Words::Zeroed(n);
  }
  absl::Status Send(Words, int) override { return absl::OkStatus(); }
};

class MaterialTest : public testing::Test {
 protected:
  static constexpr SessionId kSession = {1, 2, 3};
  static constexpr PlanDigest kPlan = {9};

  static void Work(Evaluator& ev) {
    const Wire x = ev.Input({10}, 32, 0);
    ev.Output(BitToShare(ev, IsNegative(ev, x, 32), 8));
  }

  void Deal(const Program& program, const PlanDigest& plan = kPlan) {
    sinks_[0].records.clear();
    sinks_[1].records.clear();
    auto dealer = DealerEvaluator::Create(TestSeeds(), kSession, plan,
                                          Rounding::kStochastic, sinks_[0],
                                          sinks_[1], InlinePool());
    ASSERT_OK(dealer);
    program(**dealer);
    ASSERT_OK((*dealer)->Finish());
  }

  absl::Status RunOne(int party, Channel& channel, SessionLedger& ledger,
                      bool& aborted) {
    Player source(sinks_[party].records);
    NoInputs inputs;
    auto ev =
        PartyEvaluator::Create({party, kSession, kPlan, Rounding::kStochastic},
                               channel, source, ledger, inputs, InlinePool());
    if (!ev.ok()) {
      channel.Abort(absl::UnavailableError("the peer failed to start"));
      return ev.status();
    }
    Work(**ev);
    const absl::Status status = (*ev)->Finish();
    aborted = source.aborted;
    return status;
  }

  // Both parties; status of each in statuses_.
  void RunBoth() {
    auto [channel0, channel1] = MakeInProcessChannel();
    std::thread peer([&, &channel1 = channel1] {
      statuses_[1] = RunOne(1, *channel1, ledger_[1], aborted_[1]);
    });
    statuses_[0] = RunOne(0, *channel0, ledger_[0], aborted_[0]);
    peer.join();
  }

  Recorder sinks_[2];
  MemorySessionLedger ledger_[2];
  absl::Status statuses_[2];
  bool aborted_[2] = {false, false};
};

TEST_F(MaterialTest, GoodMaterialWorks) {
  Deal(Work);
  RunBoth();
  EXPECT_OK(statuses_[0]);
  EXPECT_OK(statuses_[1]);
}

TEST_F(MaterialTest, UsedMaterialIsRefused) {
  Deal(Work);
  RunBoth();
  RunBoth();
  for (const absl::Status& status : statuses_) {
    EXPECT_THAT(status,
                StatusIs(absl::StatusCode::kAlreadyExists, "was used before"));
  }
}

TEST_F(MaterialTest, MaterialOfAnotherPlanIsRefused) {
  Deal(Work, PlanDigest{8});
  RunBoth();
  for (const absl::Status& status : statuses_) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition,
                                 "another plan"));
  }
}

TEST_F(MaterialTest, TheOtherPartysMaterialIsRefused) {
  Deal(Work);
  std::swap(sinks_[0].records, sinks_[1].records);
  RunBoth();
  EXPECT_THAT(statuses_[0], StatusIs(absl::StatusCode::kFailedPrecondition,
                                     "for party 1, this is party 0"));
}

TEST_F(MaterialTest, SomethingElseIsNoMaterial) {
  Deal(Work);
  for (Recorder& sink : sinks_) sink.records[0][0] ^= 1;
  RunBoth();
  EXPECT_THAT(statuses_[0],
              StatusIs(absl::StatusCode::kDataLoss, "session header"));
}

TEST_F(MaterialTest, ShortMaterialNamesTheGate) {
  Deal(Work);
  for (Recorder& sink : sinks_) sink.records.resize(1);
  RunBoth();
  for (int b = 0; b < 2; ++b) {
    EXPECT_THAT(statuses_[b], StatusIs(absl::StatusCode::kDataLoss, "Compare"));
    EXPECT_TRUE(aborted_[b]);
  }
}

TEST_F(MaterialTest, MaterialOfAnotherSizeNamesTheGateAndSizes) {
  Deal([](Evaluator& ev) {
    const Wire x = ev.Input({9}, 32, 0);
    ev.Output(BitToShare(ev, IsNegative(ev, x, 32), 8));
  });
  RunBoth();
  for (const absl::Status& status : statuses_) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, "Compare"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("were expected"));
  }
}

TEST_F(MaterialTest, LongMaterialIsNoticedAndNoResultComes) {
  Deal([](Evaluator& ev) {
    Work(ev);
    IsNegative(ev, ev.Input({10}, 32, 0), 32);
  });
  RunBoth();
  for (const absl::Status& status : statuses_) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, "left over"));
  }
}

// ---- Peers ----

// A party that answers with something else than the protocol.
class Tampering : public Channel {
 public:
  Tampering(std::unique_ptr<Channel> channel, size_t byte)
      : channel_(std::move(channel)), byte_(byte) {}
  absl::Status Exchange(std::span<const uint8_t> message,
                        std::span<uint8_t> reply) override {
    std::vector<uint8_t> changed(message.begin(), message.end());
    if (byte_ < changed.size()) {
      changed[byte_] ^= 1;
    } else {
      changed.pop_back();
    }
    return channel_->Exchange(changed, reply);
  }
  void Abort(const absl::Status& status) override { channel_->Abort(status); }
  const Traffic& traffic() const override { return channel_->traffic(); }

 private:
  std::unique_ptr<Channel> channel_;
  const size_t byte_;
};

class PeerTest : public MaterialTest,
                 public testing::WithParamInterface<size_t> {};

TEST_P(PeerTest, AMessageThatIsNotTheProtocolsIsAnError) {
  Deal(Work);
  auto [channel0, channel1] = MakeInProcessChannel();
  Tampering bad(std::move(channel1), GetParam());
  std::thread peer(
      [&] { statuses_[1] = RunOne(1, bad, ledger_[1], aborted_[1]); });
  statuses_[0] = RunOne(0, *channel0, ledger_[0], aborted_[0]);
  peer.join();
  EXPECT_THAT(statuses_[0], StatusIs(absl::StatusCode::kDataLoss, ""));
  EXPECT_TRUE(aborted_[0]);
}

// A bit of the step, of the digest; a byte too few.
INSTANTIATE_TEST_SUITE_P(Bytes, PeerTest, testing::Values(0, 8, 1 << 20));

TEST(DivergenceTest, ADamagedOpeningShowsAtTheNextOne) {
  // The payload's first bit is flipped on its way to party 0 only.
  class FlipOnce : public Channel {
   public:
    explicit FlipOnce(std::unique_ptr<Channel> channel)
        : channel_(std::move(channel)) {}
    absl::Status Exchange(std::span<const uint8_t> message,
                          std::span<uint8_t> reply) override {
      const absl::Status status = channel_->Exchange(message, reply);
      if (status.ok() && !done_) reply[kMessageHeaderBytes] ^= 1;
      done_ = true;
      return status;
    }
    void Abort(const absl::Status& status) override { channel_->Abort(status); }
    const Traffic& traffic() const override { return channel_->traffic(); }

   private:
    std::unique_ptr<Channel> channel_;
    bool done_ = false;
  };
  const Program program = [](Evaluator& ev) {
    Wire x = ev.Input({4}, 16, 0);
    for (int i = 0; i < 2; ++i) x = ev.Open(Square(ev, x, 16));
    ev.Output(ToShare(ev, x));
  };
  const PlanDigest plan = {};
  const SessionId session = {};
  auto [channel0, channel1] = MakeInProcessChannel();
  FlipOnce flipping(std::move(channel0));
  Recorder sinks[2];
  auto dealer =
      DealerEvaluator::Create(TestSeeds(), session, plan, Rounding::kStochastic,
                              sinks[0], sinks[1], InlinePool());
  ASSERT_OK(dealer);
  program(**dealer);
  absl::Status statuses[2];
  auto run = [&](int party, Channel& channel) {
    Player source(sinks[party].records);
    NoInputs inputs;
    MemorySessionLedger ledger;
    auto ev =
        PartyEvaluator::Create({party, session, plan, Rounding::kStochastic},
                               channel, source, ledger, inputs, InlinePool());
    ASSERT_OK(ev);
    program(**ev);
    statuses[party] = (*ev)->Finish();
  };
  std::thread peer([&, &channel1 = channel1] { run(1, *channel1); });
  run(0, flipping);
  peer.join();
  EXPECT_TRUE(absl::IsDataLoss(statuses[0]) || absl::IsDataLoss(statuses[1]))
      << statuses[0] << statuses[1];
  EXPECT_FALSE(statuses[0].ok());
  EXPECT_FALSE(statuses[1].ok());
}

TEST(SeedTest, ASeedSourceThatFailsStopsTheSession) {
  class Broken : public SeedSource {
    absl::StatusOr<Seed> Next() override {
      return absl::InternalError("no randomness");
    }
  };
  Broken broken;
  EXPECT_THAT(SessionSeeds::Generate(broken),
              StatusIs(absl::StatusCode::kInternal, "no randomness"));
  EXPECT_THAT(GenerateSessionId(broken),
              StatusIs(absl::StatusCode::kInternal, "no randomness"));
}

}  // namespace
}  // namespace tacit
