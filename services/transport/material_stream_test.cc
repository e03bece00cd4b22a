#include "services/transport/material_stream.h"

#include <grpcpp/create_channel.h>

#include <cstring>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"
#include "services/transport/testing.h"

namespace tacit {
namespace {

constexpr absl::StatusCode kDataLoss = absl::StatusCode::kDataLoss;
constexpr absl::StatusCode kUnavailable = absl::StatusCode::kUnavailable;

TransportOptions Small() {
  TransportOptions options;
  options.timeout = absl::Seconds(30);
  options.material_chunk_bytes = size_t{16} << 10;
  options.material_capacity = size_t{64} << 10;
  return options;
}

TransportOptions Impatient() {
  TransportOptions options = Small();
  options.timeout = absl::Milliseconds(100);
  return options;
}

// A dealer, one party, one stream.
struct Stream {
  explicit Stream(const TransportOptions& options = Small(),
                  const TestCredentials& credentials = Insecure())
      : server(options, credentials, {&service}),
        outbox(service.Add(TestSession(1), 0, options)),
        sink(outbox->MakeSink()) {
    auto made =
        MaterialDialer::Create(server.address(), credentials.client, options);
    EXPECT_OK(made);
    dialer = *std::move(made);
  }
  std::unique_ptr<MaterialSource> Open() {
    return dialer->Open(TestSession(1), 0);
  }
  absl::Status Put(size_t bytes, uint8_t value = 0) {
    auto record = sink->Reserve(bytes);
    if (!record.ok()) return record.status();
    if (bytes != 0) std::memset(record->data(), value, bytes);
    return sink->Commit();
  }

  TestDealerService service;
  TestServer server;
  std::shared_ptr<MaterialOutbox> outbox;
  std::unique_ptr<MaterialSink> sink;
  std::unique_ptr<MaterialDialer> dialer;
};

TEST(MaterialStreamTest, DeliversRecordsInOrder) {
  Stream stream;
  auto source = stream.Open();
  for (uint8_t i = 0; i < 3; ++i) {
    auto record = stream.sink->Reserve(i + 1);
    ASSERT_OK(record);
    (*record)[i] = i;
  }
  ASSERT_OK(stream.sink->Commit());
  ASSERT_OK(stream.sink->Finish());
  for (uint8_t i = 0; i < 3; ++i) {
    auto record = source->Take(i + 1);
    ASSERT_OK(record);
    EXPECT_EQ((*record)[i], i);
  }
  source->Release();
  EXPECT_OK(source->Finish());
  EXPECT_EQ(source->bytes(), 6u);
  EXPECT_EQ(stream.sink->bytes(), 6u);
}

// Records of many sizes, some larger than chunks and than all that may wait,
// with several outstanding at both ends.
void CheckManyRecords(const TestCredentials& credentials) {
  Stream stream(Small(), credentials);
  std::mt19937_64 rng(5);
  std::vector<size_t> sizes = {0, 1, 1 << 20, 16 << 10, (16 << 10) - 8, 7, 0};
  for (int i = 0; i < 500; ++i) sizes.push_back(rng() % 30'000);
  std::thread dealer([&] {
    for (size_t i = 0; i < sizes.size(); ++i) {
      auto record = stream.sink->Reserve(sizes[i]);
      ASSERT_OK(record);
      if (sizes[i] != 0) std::memset(record->data(), i & 0xFF, sizes[i]);
      if (i % 3 == 0) {
        ASSERT_OK(stream.sink->Commit());
      }
    }
    ASSERT_OK(stream.sink->Commit());
    ASSERT_OK(stream.sink->Finish());
    // The stream outlives its sink.
    stream.sink.reset();
  });
  auto source = stream.Open();
  std::vector<std::span<const uint8_t>> records;
  for (size_t i = 0; i < sizes.size(); ++i) {
    auto record = source->Take(sizes[i]);
    ASSERT_OK(record);
    records.push_back(*record);
    if (records.size() < 4) continue;
    for (size_t k = 0; k < records.size(); ++k) {
      for (uint8_t byte : records[k]) {
        ASSERT_EQ(byte, (i + 1 - records.size() + k) & 0xFF);
      }
    }
    records.clear();
    source->Release();
  }
  EXPECT_OK(source->Finish());
  dealer.join();
}

TEST(MaterialStreamTest, DeliversRecordsOfAllSizes) {
  CheckManyRecords(Insecure());
}

TEST(MaterialStreamTest, DeliversThemOverTls) {
  CheckManyRecords(Tls(MakeSelfSigned()));
}

TEST(MaterialStreamTest, WhatWasDealtBeforeThePartyCameIsDelivered) {
  Stream stream;
  ASSERT_OK(stream.Put(5, 7));
  ASSERT_OK(stream.sink->Finish());
  stream.sink.reset();
  EXPECT_EQ(stream.outbox->buffered_bytes(), 13u);
  EXPECT_FALSE(stream.outbox->taken());
  auto source = stream.Open();
  auto record = source->Take(5);
  ASSERT_OK(record);
  EXPECT_EQ((*record)[4], 7);
  EXPECT_OK(source->Finish());
  EXPECT_TRUE(stream.outbox->taken());
}

TEST(MaterialStreamTest, NamesBothSizesOfAWrongRecord) {
  Stream stream;
  auto source = stream.Open();
  ASSERT_OK(stream.Put(10));
  EXPECT_THAT(source->Take(12),
              StatusIs(kDataLoss, "10 bytes where 12 were expected"));
  EXPECT_FALSE(source->Take(10).ok());
}

TEST(MaterialStreamTest, SaysThatTheStreamEnded) {
  Stream stream;
  auto source = stream.Open();
  ASSERT_OK(stream.sink->Finish());
  EXPECT_THAT(source->Take(1), StatusIs(kDataLoss, "ends"));
}

TEST(MaterialStreamTest, SaysThatMaterialIsLeftOver) {
  Stream stream;
  auto source = stream.Open();
  ASSERT_OK(stream.Put(7));
  ASSERT_OK(stream.sink->Finish());
  EXPECT_THAT(source->Finish(), StatusIs(kDataLoss, "7 bytes"));
}

TEST(MaterialStreamTest, RefusesARecordBeyondTheLimit) {
  TransportOptions options = Small();
  options.max_record_bytes = 100;
  Stream stream(options);
  EXPECT_EQ(stream.sink->Reserve(101).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(MaterialStreamTest, DealerBlocksAtTheCapacityAndTimesOut) {
  Stream stream(Impatient());
  ASSERT_OK(stream.Put(200'000));  // larger than the capacity: alone
  EXPECT_THAT(stream.Put(1),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "no material"));
}

TEST(MaterialStreamTest, APartyThatDoesNotReadHoldsTheDealerUp) {
  Stream stream(Impatient());
  auto source = stream.Open();
  absl::Status status;
  size_t put = 0;
  for (; put < (size_t{64} << 20) && status.ok(); put += 10'000) {
    status = stream.Put(10'000);
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  // Both capacities and what HTTP/2 takes.
  EXPECT_LT(put, size_t{16} << 20);
}

TEST(MaterialStreamTest, ALostReaderWakesTheDealer) {
  Stream stream;
  auto source = stream.Open();
  ASSERT_OK(stream.Put(1));
  ASSERT_OK(source->Take(1));
  std::thread reader([&] {
    absl::SleepFor(absl::Milliseconds(20));
    source.reset();
  });
  absl::Status status;
  while (status.ok()) status = stream.Put(10'000);
  EXPECT_THAT(status, StatusIs(kUnavailable, "party has left"));
  reader.join();
}

TEST(MaterialStreamTest, ASilentDealerTimesOut) {
  Stream stream(Impatient());
  auto source = stream.Open();
  EXPECT_THAT(source->Take(1), StatusIs(absl::StatusCode::kDeadlineExceeded,
                                        "no material from the dealer"));
}

TEST(MaterialStreamTest, TheDealersAbortReachesThePartyBehindItsRecords) {
  Stream stream;
  auto source = stream.Open();
  ASSERT_OK(stream.Put(9));
  ASSERT_OK(source->Take(9));
  stream.sink->Abort(absl::AbortedError("dealer: out of luck"));
  EXPECT_THAT(source->Take(1),
              StatusIs(absl::StatusCode::kAborted, "out of luck"));
  EXPECT_THAT(stream.Put(1),
              StatusIs(absl::StatusCode::kAborted, "out of luck"));
}

TEST(MaterialStreamTest, ASinkThatGoesEarlyIsUnavailable) {
  Stream stream;
  auto source = stream.Open();
  ASSERT_OK(stream.Put(9));
  ASSERT_OK(source->Take(9));
  stream.sink.reset();
  EXPECT_THAT(source->Take(1), StatusIs(kUnavailable, "dealer has left"));
}

TEST(MaterialStreamTest, AbortWakesItsOwnEnd) {
  Stream stream;
  auto source = stream.Open();
  std::thread other([&] {
    absl::SleepFor(absl::Milliseconds(20));
    source->Abort(absl::CancelledError("enough"));
  });
  EXPECT_THAT(source->Take(1),
              StatusIs(absl::StatusCode::kCancelled, "enough"));
  other.join();
}

TEST(MaterialStreamTest, ALostConnectionIsUnavailable) {
  Stream stream;
  auto source = stream.Open();
  ASSERT_OK(stream.Put(9));
  ASSERT_OK(source->Take(9));
  stream.server.Stop();
  EXPECT_EQ(source->Take(1).status().code(), kUnavailable);
  EXPECT_THAT(stream.Put(1), StatusIs(kUnavailable, "left"));
}

TEST(MaterialStreamTest, MaterialIsSentOnce) {
  Stream stream;
  auto first = stream.Open();
  ASSERT_OK(stream.Put(9));
  ASSERT_OK(first->Take(9));
  auto second = stream.Open();
  EXPECT_EQ(second->Take(9).status().code(), absl::StatusCode::kAlreadyExists);
  ASSERT_OK(stream.Put(8));
  EXPECT_OK(first->Take(8));
}

TEST(MaterialStreamTest, AnUnknownSessionIsNotFound) {
  Stream stream;
  auto source = stream.dialer->Open(TestSession(2), 0);
  EXPECT_EQ(source->Take(1).status().code(), absl::StatusCode::kNotFound);
}

// A dealer that sends whatever it likes.
class HostileDealer : public DealerServiceBase {
 public:
  explicit HostileDealer(std::vector<grpc::ByteBuffer> chunks)
      : chunks_(std::move(chunks)) {}

  WriteReactor* StreamMaterial(grpc::CallbackServerContext*,
                               const grpc::ByteBuffer*) override {
    class Reactor : public WriteReactor {
     public:
      explicit Reactor(const std::vector<grpc::ByteBuffer>& chunks)
          : chunks_(chunks) {
        Next();
      }
      void OnWriteDone(bool) override {
        TACIT_OUT_OF_GRPC(this);
        Next();
      }
      void OnDone() override { delete this; }

     private:
      void Next() {
        if (next_ == chunks_.size()) return Finish(grpc::Status::OK);
        const grpc::ByteBuffer* const chunk = &chunks_[next_++];
        TACIT_INTO_GRPC(this);
        StartWrite(chunk);
      }
      const std::vector<grpc::ByteBuffer> chunks_;
      size_t next_ = 0;
    };
    return new Reactor(chunks_);
  }

 private:
  const std::vector<grpc::ByteBuffer> chunks_;
};

absl::Status TakeFrom(std::vector<grpc::ByteBuffer> chunks, size_t bytes) {
  HostileDealer dealer(std::move(chunks));
  TestServer server({}, Insecure(), {&dealer});
  auto dialer = MaterialDialer::Create(server.address(), Insecure().client, {});
  if (!dialer.ok()) return dialer.status();
  return (*dialer)->Open(TestSession(1), 0)->Take(bytes).status();
}

grpc::ByteBuffer Chunk(std::initializer_list<uint8_t> bytes) {
  return ToByteBuffer(Bytes::Copy(std::span(bytes.begin(), bytes.size())));
}

TEST(HostileDealerTest, TakesARecordInPieces) {
  EXPECT_OK(TakeFrom({Chunk({0x0A, 3, 2, 0, 0}),
                      Chunk({0x0A, 6, 0, 0, 0, 0, 0, 5}), Chunk({0x0A, 1, 6})},
                     2));
}

TEST(HostileDealerTest, MalformedChunksAreDataLoss) {
  for (const grpc::ByteBuffer& chunk :
       {Chunk({}), Chunk({0x0A}), Chunk({0x0A, 0}), Chunk({0x0A, 2, 1}),
        Chunk({0x0A, 1, 1, 1}), Chunk({0x12, 1, 1}), Chunk({0x0A, 0x80}),
        Chunk({0x0A, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
               0x80})}) {
    EXPECT_EQ(TakeFrom({chunk}, 1).code(), kDataLoss);
  }
}

TEST(HostileDealerTest, ATruncatedRecordIsDataLoss) {
  EXPECT_THAT(TakeFrom({Chunk({0x0A, 3, 2, 0, 0})}, 2),
              StatusIs(kDataLoss, "inside a record"));
  EXPECT_THAT(TakeFrom({Chunk({0x0A, 9, 2, 0, 0, 0, 0, 0, 0, 0, 7})}, 2),
              StatusIs(kDataLoss, "inside a record"));
}

TEST(HostileDealerTest, AHugeRecordIsRefusedBeforeMemoryIsTaken) {
  EXPECT_THAT(
      TakeFrom({Chunk({0x0A, 8, 0, 0, 0, 0, 0, 0, 0, 0x80})}, 2),
      StatusIs(kDataLoss, "9223372036854775808 bytes where 2 were expected"));
}

}  // namespace
}  // namespace tacit
