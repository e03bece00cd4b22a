// Runs a program of common/gates with all its roles, keeping what the ops need
// to repeat it: material, wires and shares; test code only.
#ifndef TACIT_GPU_ELEMENTWISE_GATE_HARNESS_H_
#define TACIT_GPU_ELEMENTWISE_GATE_HARNESS_H_

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/channel/in_process.h"
#include "common/gates/dealer.h"
#include "common/gates/party.h"
#include "common/gates/testing.h"
#include "gpu/elementwise/backends.h"
#include "gpu/elementwise/map.h"
#include "gpu/elementwise/material.h"
#include "gpu/elementwise/schema_layout.h"
#include "gtest/gtest.h"

namespace tacit::gpu {

using Vec = std::vector<uint64_t>;
using Bits = std::vector<uint8_t>;

// A material stream that is kept.
class RecordedSink : public MaterialSink {
 public:
  absl::StatusOr<std::span<uint8_t>> Reserve(size_t bytes) override {
    return std::span(open_.emplace_back(bytes));
  }
  absl::Status Commit() override {
    for (const Bits& record : open_) {
      all_.insert(all_.end(), record.begin(), record.end());
    }
    open_.clear();
    return absl::OkStatus();
  }
  absl::Status Finish() override { return absl::OkStatus(); }
  void Abort(const absl::Status&) override {}
  uint64_t bytes() const override { return all_.size(); }
  const Bits& all() const { return all_; }

 private:
  std::deque<Bits> open_;
  Bits all_;
};

class RecordedSource : public MaterialSource {
 public:
  explicit RecordedSource(const Bits& all) : all_(all) {}
  absl::StatusOr<std::span<const uint8_t>> Take(size_t bytes) override {
    if (bytes > all_.size() - at_) return absl::DataLossError("too short");
    at_ += bytes;
    return std::span<const uint8_t>(all_).subspan(at_ - bytes, bytes);
  }
  void Release() override {}
  absl::Status Finish() override { return absl::OkStatus(); }
  void Abort(const absl::Status&) override {}
  uint64_t bytes() const override { return at_; }

 private:
  const Bits& all_;
  size_t at_ = 0;
};

class FixedGateway : public GatewayLink {
 public:
  explicit FixedGateway(std::vector<Vec> hats) : hats_(std::move(hats)) {}
  absl::StatusOr<Words> Receive(size_t, int) override {
    return Words::Copy(hats_.at(next_++));
  }
  absl::Status Send(Words, int) override { return absl::OkStatus(); }

 private:
  std::vector<Vec> hats_;
  size_t next_ = 0;
};

// One role's wires and shares by name.
struct Kept {
  std::map<std::string, Vec> hat, mask, part;
  std::map<std::string, Bits> bits;

  void Keep(const std::string& name, const Wire& x) {
    if (x.hat != nullptr) hat[name] = Vec(x.hat->begin(), x.hat->end());
    if (x.mask != nullptr) mask[name] = Vec(x.mask->begin(), x.mask->end());
  }
  void Keep(const std::string& name, const Share& x) {
    if (x.part != nullptr) part[name] = Vec(x.part->begin(), x.part->end());
  }
  void Keep(const std::string& name, const BitShare& x) {
    if (x.part != nullptr) bits[name] = Bits(x.part->begin(), x.part->end());
  }
};

using KeepingProgram = std::function<void(Evaluator&, Kept&)>;

inline PrgKey StreamKey(const Seed& seed, const char* label) {
  const absl::StatusOr<Seed> derived = DeriveSeed(seed, label);
  EXPECT_OK(derived);
  PrgKey key;
  ExpandPrgKey(derived->bytes().data(), key);
  return key;
}

class GateRun {
 public:
  // All inputs are random words of `width` bits: masked values are uniform
  // whatever they hide, and the formulas hold for all of them.
  GateRun(const KeepingProgram& program, const std::vector<InputValue>& inputs)
      : seeds_(TestSeeds()) {
    for (int b = 0; b < 2; ++b) {
      correlation_[b] = StreamKey(seeds_.party[b], "tacit/v1/correlation");
      mask_[b] = StreamKey(seeds_.party[b], "tacit/v1/mask");
      cursor_.bytes[b] = SessionHeader::kBytes;
    }
    RunDealer(program);
    RunParties(program, inputs);
    for (int b = 0; b < 2; ++b) {
      material_[b] = sinks_[b].all();
      material_[b].resize((material_[b].size() + 15) / 8 * 8, 0);
      dealt_[b] = Bits(material_[b].size(), 0);
      std::copy_n(material_[b].begin(), SessionHeader::kBytes,
                  dealt_[b].begin());
    }
  }

  const Kept& dealer() const { return kept_[2]; }
  const Kept& party(int b) const { return kept_[b]; }
  const PrgKey& correlation(int b) const { return correlation_[b]; }
  const PrgKey& mask_stream(int b) const { return mask_[b]; }
  const Bits& material(int b) const { return material_[b]; }
  Bits& dealt(int b) { return dealt_[b]; }

  // The next gate's fields. The order of calls is the program's.
  std::vector<FieldPlace> Next(const Schema& schema, size_t n) {
    return PlaceFields(schema, n, cursor_);
  }

  Vec Take(const FieldPlace& field, int b) const {
    Vec out(field.layout[b].n, 42);
    EXPECT_TRUE(TakeShare(HostBackend(), b, field.layout[b], field.field.width,
                          &correlation_[b], material_[b].data(), out.data())
                    .ok());
    return out;
  }
  Bits TakeBit(const FieldPlace& field, int b) const {
    Bits out(field.layout[b].n, 42);
    EXPECT_TRUE(TakeBits(HostBackend(), b, field.layout[b], &correlation_[b],
                         material_[b].data(), out.data())
                    .ok());
    return out;
  }
  void Deal(const FieldPlace& field, const Vec& values) {
    Vec scratch(values.size());
    ASSERT_EQ(values.size(), field.layout[1].n);
    ASSERT_TRUE(DealShare(HostBackend(), field.layout[1], field.field.width,
                          &correlation_[0], values.data(), scratch.data(),
                          dealt_[1].data())
                    .ok());
  }
  void DealBit(const FieldPlace& field, const Bits& bits) {
    Bits scratch(bits.size());
    ASSERT_TRUE(DealBits(HostBackend(), field.layout[1], &correlation_[0],
                         bits.data(), scratch.data(), dealt_[1].data())
                    .ok());
  }
  // Masks of the next opening of n words or bits; as the parties' streams and
  // the dealer give them (b = 2: both).
  Vec OpeningMask(size_t n, int b, uint64_t position) const {
    Vec out(n);
    EXPECT_TRUE(
        HostBackend()
            .ExpandWords({&mask_[b == 1 ? 1 : 0], b == 2 ? &mask_[1] : nullptr,
                          OneRecord(n, position), Combine::kStore, nullptr,
                          out.data()})
            .ok());
    return out;
  }
  Bits OpeningBitMask(size_t n, int b, uint64_t position) const {
    Bits out(n);
    EXPECT_TRUE(
        HostBackend()
            .ExpandBits({&mask_[b == 1 ? 1 : 0], b == 2 ? &mask_[1] : nullptr,
                         OneRecord(n, position), nullptr, out.data()})
            .ok());
    return out;
  }
  // Everything that was dealt is what the program's dealer sent.
  void ExpectAllDealt() const {
    for (int b = 0; b < 2; ++b) EXPECT_EQ(dealt_[b], material_[b]) << b;
    for (int b = 0; b < 2; ++b) {
      EXPECT_EQ(cursor_.bytes[b], sinks_[b].all().size()) << b;
    }
  }

 private:
  void RunDealer(const KeepingProgram& program) {
    ThreadPool pool(1);
    auto dealer = DealerEvaluator::Create(seeds_, {}, {}, Rounding::kStochastic,
                                          sinks_[0], sinks_[1], pool);
    ASSERT_OK(dealer);
    program(**dealer, kept_[2]);
    EXPECT_OK((*dealer)->Finish());
  }
  void RunParties(const KeepingProgram& program,
                  const std::vector<InputValue>& inputs) {
    absl::StatusOr<std::unique_ptr<Prg>> stream = GatewayStream(seeds_.gateway);
    ASSERT_OK(stream);
    std::vector<Vec> hats;
    uint64_t position = 0;
    for (const InputValue& input : inputs) {
      Vec hat(input.values.size());
      (*stream)->Fill(position, std::span(hat));
      position += PrgBlocks(hat.size());
      for (size_t i = 0; i < hat.size(); ++i) {
        hat[i] = Reduce(hat[i] + static_cast<uint64_t>(input.values[i]),
                        input.width);
      }
      hats.push_back(std::move(hat));
    }
    auto [channel0, channel1] = MakeInProcessChannel();
    Channel* channels[2] = {channel0.get(), channel1.get()};
    const auto run = [&](int b) {
      ThreadPool pool(1);
      RecordedSource source(sinks_[b].all());
      FixedGateway gateway(hats);
      MemorySessionLedger ledger;
      auto party =
          PartyEvaluator::Create({b, {}, {}, Rounding::kStochastic},
                                 *channels[b], source, ledger, gateway, pool);
      EXPECT_OK(party);
      if (!party.ok()) return;
      program(**party, kept_[b]);
      EXPECT_OK((*party)->Finish());
    };
    std::thread other([&] { run(1); });
    run(0);
    other.join();
  }

  SessionSeeds seeds_;
  PrgKey correlation_[2], mask_[2];
  RecordedSink sinks_[2];
  Bits material_[2], dealt_[2];
  MaterialCursor cursor_;
  Kept kept_[3];
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_ELEMENTWISE_GATE_HARNESS_H_
