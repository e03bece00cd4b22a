#include "common/channel/in_process.h"

#include <string>
#include <thread>

#include "common/base/buffer.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

Bytes Text(absl::string_view text) {
  return Bytes::Copy(
      std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

InProcessOptions Impatient() {
  InProcessOptions options;
  options.timeout = absl::Milliseconds(50);
  return options;
}

TEST(InProcessChannelTest, ExchangesMessagesOfDifferentSizesAndCountsThem) {
  auto [end0, end1] = MakeInProcessChannel();
  Bytes reply0(3), reply1(5);
  std::thread peer(
      [&, &end1 = end1] { ASSERT_OK(end1->Exchange(Text("abc"), reply1)); });
  ASSERT_OK(end0->Exchange(Text("hello"), reply0));
  peer.join();
  EXPECT_EQ(reply0[2], 'c');
  EXPECT_EQ(reply1[4], 'o');
  EXPECT_EQ(end0->traffic().rounds, 1u);
  EXPECT_EQ(end0->traffic().sent_bytes, 5u);
  EXPECT_EQ(end1->traffic().sent_bytes, 3u);
}

TEST(InProcessChannelTest, NamesBothSizesWhenThePeerSendsFewerBytes) {
  auto [end0, end1] = MakeInProcessChannel();
  std::thread peer([&end1 = end1] {
    Bytes reply(4);
    // The peer is told, too, once this end has seen the wrong size.
    (void)end1->Exchange(Text("abc"), reply);
  });
  Bytes reply(8);
  EXPECT_THAT(
      end0->Exchange(Text("abcd"), reply),
      StatusIs(absl::StatusCode::kDataLoss, "3 bytes where 8 were expected"));
  peer.join();
}

TEST(InProcessChannelTest, TimesOutOnASilentPeer) {
  auto [end0, end1] = MakeInProcessChannel(Impatient());
  Bytes reply(1);
  EXPECT_THAT(end0->Exchange(Text("x"), reply),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "50ms"));
  // And stays failed, at both ends.
  EXPECT_FALSE(end1->Exchange(Text("x"), reply).ok());
}

TEST(InProcessChannelTest, LeavingWakesTheWaitingPeer) {
  auto [end0, end1] = MakeInProcessChannel();
  std::thread peer([end1 = std::move(end1)]() mutable { end1.reset(); });
  Bytes reply(1);
  EXPECT_THAT(end0->Exchange(Text("x"), reply),
              StatusIs(absl::StatusCode::kUnavailable, "left"));
  peer.join();
}

TEST(InProcessMaterialTest, DeliversRecordsInOrder) {
  auto [sink, source] = MakeInProcessMaterial();
  for (uint8_t i = 0; i < 3; ++i) {
    auto record = sink->Reserve(i + 1);
    ASSERT_OK(record);
    (*record)[i] = i;
  }
  ASSERT_OK(sink->Commit());
  ASSERT_OK(sink->Finish());
  for (uint8_t i = 0; i < 3; ++i) {
    auto record = source->Take(i + 1);
    ASSERT_OK(record);
    EXPECT_EQ((*record)[i], i);
  }
  source->Release();
  EXPECT_OK(source->Finish());
  EXPECT_EQ(source->bytes(), 6u);
  EXPECT_EQ(sink->bytes(), 6u);
}

TEST(InProcessMaterialTest, NamesBothSizesOfAWrongRecord) {
  auto [sink, source] = MakeInProcessMaterial();
  ASSERT_OK(sink->Reserve(10));
  ASSERT_OK(sink->Commit());
  EXPECT_THAT(source->Take(12), StatusIs(absl::StatusCode::kDataLoss,
                                         "10 bytes where 12 were expected"));
}

TEST(InProcessMaterialTest, SaysThatTheStreamEnded) {
  auto [sink, source] = MakeInProcessMaterial();
  ASSERT_OK(sink->Finish());
  EXPECT_THAT(source->Take(1), StatusIs(absl::StatusCode::kDataLoss, "ends"));
}

TEST(InProcessMaterialTest, SaysThatMaterialIsLeftOver) {
  auto [sink, source] = MakeInProcessMaterial();
  ASSERT_OK(sink->Reserve(7));
  ASSERT_OK(sink->Commit());
  ASSERT_OK(sink->Finish());
  EXPECT_THAT(source->Finish(),
              StatusIs(absl::StatusCode::kDataLoss, "7 bytes"));
}

TEST(InProcessMaterialTest, DealerBlocksAtTheCapacityAndTimesOut) {
  InProcessOptions options = Impatient();
  options.material_capacity = 100;
  auto [sink, source] = MakeInProcessMaterial(options);
  ASSERT_OK(sink->Reserve(1000));  // larger than the capacity: alone
  ASSERT_OK(sink->Commit());
  ASSERT_OK(sink->Reserve(1));
  EXPECT_THAT(sink->Commit(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "no material"));
}

TEST(InProcessMaterialTest, ALostReaderWakesTheDealer) {
  InProcessOptions options;
  options.material_capacity = 1;
  auto [sink, source] = MakeInProcessMaterial(options);
  ASSERT_OK(sink->Reserve(1));
  ASSERT_OK(sink->Commit());
  std::thread reader(
      [source = std::move(source)]() mutable { source.reset(); });
  ASSERT_OK(sink->Reserve(1));
  EXPECT_THAT(sink->Commit(),
              StatusIs(absl::StatusCode::kUnavailable, "party has left"));
  reader.join();
}

}  // namespace
}  // namespace tacit
