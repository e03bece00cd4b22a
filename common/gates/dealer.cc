#include "common/gates/dealer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/gates/accelerator.h"
#include "common/gates/opening_cost.h"

namespace tacit {

absl::StatusOr<std::unique_ptr<DealerEvaluator>> DealerEvaluator::Create(
    const SessionSeeds& seeds, const SessionId& session, const PlanDigest& plan,
    Rounding rounding, MaterialSink& sink0, MaterialSink& sink1,
    ThreadPool& pool, Accelerator* accelerator) {
  std::unique_ptr<DealerEvaluator> dealer(
      new DealerEvaluator(rounding, sink0, sink1, pool, accelerator));
  for (int b = 0; b < 2; ++b) {
    ASSIGN_OR_RETURN(dealer->streams_[b], PartyStreams::Create(seeds.party[b]));
    ASSIGN_OR_RETURN(std::span<uint8_t> record,
                     dealer->sinks_[b]->Reserve(SessionHeader::kBytes));
    SessionHeader{b, session, plan, seeds.party[b]}.Write(record);
    RETURN_IF_ERROR(dealer->sinks_[b]->Commit());
    dealer->cost_.material_bytes[b] += SessionHeader::kBytes;
  }
  ASSIGN_OR_RETURN(dealer->gateway_, GatewayStream(seeds.gateway));
  if (accelerator != nullptr) {
    const Seed* const all[] = {&seeds.party[0], &seeds.party[1],
                               &seeds.gateway};
    RETURN_IF_ERROR(accelerator->Begin(-1, all));
  }
  return dealer;
}

absl::Status DealerEvaluator::Finish() {
  for (MaterialSink* sink : sinks_) {
    if (ok()) Fail(sink->Finish());
  }
  return status();
}

void DealerEvaluator::Fail(absl::Status status) {
  if (status.ok() || !ok()) return;
  Evaluator::Fail(std::move(status));
  for (MaterialSink* sink : sinks_) {
    sink->Abort(absl::Status(status_.code(),
                             absl::StrCat("dealer: ", status_.message())));
  }
}

Wire DealerEvaluator::Open(const Share& x) {
  Wire wire{x.shape, x.width, x.frac, /*mask_shared=*/true};
  if (!ok()) return wire;
  const uint64_t position = AllocateMask(PrgBlocks(wire.size()));
  auto mask = std::make_shared<Words>();
  if (accelerator() != nullptr) {
    *mask = accelerator()->Mask(position, wire.size());
  } else {
    *mask = Words(wire.size());
    pool().ParallelFor(wire.size(), kOpeningGrain, [&](size_t i, size_t end) {
      FillMask(streams_, position + i / 2,
               std::span(*mask).subspan(i, end - i));
    });
  }
  wire.mask = std::move(mask);
  cost_ += OpeningCost(wire.size(), wire.width);
  return wire;
}

BitWire DealerEvaluator::Open(const BitShare& x) {
  BitWire wire{x.shape};
  if (!ok()) return wire;
  const size_t n = wire.size();
  const uint64_t position = AllocateMask(BitPrgBlocks(n));
  auto mask = std::make_shared<Bytes>();
  if (accelerator() != nullptr) {
    *mask = accelerator()->BitMask(position, n);
  } else {
    *mask = Bytes(n);
    FillBitMask(streams_, position, *mask);
  }
  wire.mask = std::move(mask);
  cost_ += BitOpeningCost(n);
  return wire;
}

Wire DealerEvaluator::Input(const Shape& shape, int width, int frac) {
  Wire wire{shape, width, frac};
  if (!ok()) return wire;
  const uint64_t position = AllocateInput(PrgBlocks(wire.size()));
  auto mask = std::make_shared<Words>();
  if (accelerator() != nullptr) {
    *mask = accelerator()->InputMask(position, wire.size());
  } else {
    *mask = Words(wire.size());
    gateway_->Fill(position, std::span<uint64_t>(*mask));
  }
  wire.mask = std::move(mask);
  cost_.dealer_aes += PrgBlocks(wire.size());
  return wire;
}

void DealerEvaluator::Output(const Share&) {}

void DealerEvaluator::RunBlocks(absl::string_view gate, const Schema& schema,
                                size_t n, DealFn deal, EvalFn, PlainFn,
                                DeviceFn device) {
  if (!ok() || n == 0) return;
  const size_t block = schema.block();
  const size_t blocks = (n + block - 1) / block;
  const uint64_t per_block = schema.RecordPrgBlocks(block);
  const uint64_t position =
      AllocateCorrelation((blocks - 1) * per_block +
                          schema.RecordPrgBlocks(n - (blocks - 1) * block));
  if (accelerator() != nullptr) {
    return RunOnDevice(gate, schema, n, position, device);
  }
  const Prg* const prg[2] = {&streams_[0]->correlation,
                             &streams_[1]->correlation};
  // A wave of records at a time: enough for every thread, and no more memory
  // than that however large n is.
  const size_t wave =
      pool().threads() > 1 ? 2 * static_cast<size_t>(pool().threads()) : 1;
  std::vector<std::span<uint8_t>> records[2];
  for (size_t first = 0; first < blocks; first += wave) {
    const size_t count = std::min(wave, blocks - first);
    for (int b = 0; b < 2; ++b) {
      if (absl::Status status =
              Reserve(b, schema, first * block, count, n, records[b]);
          !status.ok()) {
        return Fail(status);
      }
    }
    pool().ParallelFor(count, 1, [&](size_t i, size_t end) {
      for (; i < end; ++i) {
        const size_t begin = (first + i) * block;
        DealBlock one(schema, begin, std::min(block, n - begin), prg,
                      position + (first + i) * per_block, records[0][i],
                      records[1][i]);
        deal(one);
      }
    });
    if (absl::Status status = Commit(gate); !status.ok()) return Fail(status);
  }
  cost_.dealer_aes += schema.MaterialCost(n).dealer_aes;
}

absl::Status DealerEvaluator::Reserve(
    int party, const Schema& schema, size_t begin, size_t count, size_t n,
    std::vector<std::span<uint8_t>>& records) {
  const size_t block = schema.block();
  records.assign(count, {});
  for (size_t i = 0; i < count; ++i) {
    const size_t elements = std::min(block, n - (begin + i * block));
    const size_t bytes = schema.RecordBytes(party, elements);
    if (bytes == 0) continue;
    ASSIGN_OR_RETURN(records[i], sinks_[party]->Reserve(bytes));
    cost_.material_bytes[party] += bytes;
  }
  return absl::OkStatus();
}

absl::Status DealerEvaluator::Commit(absl::string_view gate) {
  for (MaterialSink* sink : sinks_) {
    if (absl::Status status = sink->Commit(); !status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat(gate, ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

void DealerEvaluator::RunOnDevice(absl::string_view gate, const Schema& schema,
                                  size_t n, uint64_t position,
                                  DeviceFn device) {
  const size_t block = schema.block();
  const size_t blocks = (n + block - 1) / block;
  const size_t most = BlocksOnDevice(schema);
  std::vector<std::span<uint8_t>> records[2];
  for (size_t first = 0; first < blocks; first += most) {
    const size_t begin = first * block;
    const size_t end = std::min(n, (first + most) * block);
    const std::unique_ptr<AcceleratorBlock> one =
        accelerator()->Deal(schema, begin, end - begin,
                            position + first * schema.RecordPrgBlocks(block));
    device(*one);
    for (int b = 0; b < 2; ++b) {
      if (absl::Status status = Reserve(
              b, schema, begin, std::min(most, blocks - first), n, records[b]);
          !status.ok()) {
        return Fail(status);
      }
    }
    one->TakeRecords(records[0], records[1]);
    if (absl::Status status = accelerator()->status(); !status.ok()) {
      return Fail(absl::Status(status.code(),
                               absl::StrCat(gate, ": ", status.message())));
    }
    if (absl::Status status = Commit(gate); !status.ok()) return Fail(status);
  }
  cost_.dealer_aes += schema.MaterialCost(n).dealer_aes;
}

Words DealerEvaluator::Reveal(const Share&) { return Words(); }

Words DealerEvaluator::Transfer(int, std::span<const uint64_t>, size_t, int) {
  return Words();
}

}  // namespace tacit
