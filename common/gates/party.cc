#include "common/gates/party.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/gates/accelerator.h"
#include "common/gates/gate_util.h"
#include "common/gates/opening_cost.h"
#include "common/ring/bitpack.h"
#include "common/ring/elementwise.h"

namespace tacit {
namespace {

// Before the payload of each message. `digest` covers everything that was
// opened before this step, so that two parties that have diverged (another
// plan, a lost message, a wrong bit) notice at the next opening. It guards
// against faults, not against a malicious party.
struct MessageHeader {
  uint64_t step;
  uint64_t digest;
};
static_assert(sizeof(MessageHeader) == kMessageHeaderBytes);

absl::Status Annotate(absl::string_view gate, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(gate, ": ", status.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PartyEvaluator>> PartyEvaluator::Create(
    const Options& options, Channel& channel, MaterialSource& source,
    SessionLedger& ledger, GatewayLink& gateway, ThreadPool& pool) {
  if (options.party != 0 && options.party != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("party must be 0 or 1, not ", options.party));
  }
  ASSIGN_OR_RETURN(std::span<const uint8_t> record,
                   source.Take(SessionHeader::kBytes));
  ASSIGN_OR_RETURN(const SessionHeader header, SessionHeader::Read(record));
  if (header.party != options.party) {
    return absl::FailedPreconditionError(
        absl::StrCat("material is for party ", header.party, ", this is party ",
                     options.party));
  }
  if (header.plan != options.plan) {
    return absl::FailedPreconditionError(
        "material was dealt for another plan: load the same plan at the dealer "
        "and at both parties");
  }
  if (header.session != options.session) {
    return absl::FailedPreconditionError("material is for another session");
  }
  RETURN_IF_ERROR(ledger.Use(header.session));
  std::unique_ptr<PartyEvaluator> party(
      new PartyEvaluator(options, channel, source, gateway, pool));
  ASSIGN_OR_RETURN(party->streams_, PartyStreams::Create(header.seed));
  if (options.accelerator != nullptr) {
    const Seed* const seeds[] = {&header.seed};
    RETURN_IF_ERROR(options.accelerator->Begin(options.party, seeds));
  }
  source.Release();
  party->cost_.material_bytes[options.party] += SessionHeader::kBytes;
  return party;
}

absl::Status PartyEvaluator::Finish() {
  Flush();
  if (ok()) Fail(source_.Finish());
  return status();
}

void PartyEvaluator::Fail(absl::Status status) {
  if (status.ok() || !ok()) return;
  Evaluator::Fail(std::move(status));
  channel_.Abort(absl::UnavailableError(
      absl::StrCat("the peer failed: ", status_.message())));
  source_.Abort(absl::UnavailableError(
      absl::StrCat("party ", party(), ": ", status_.message())));
  waiting_.clear();
}

void PartyEvaluator::Enqueue(Waiting waiting, OpeningRef& opening) {
  if (opening_ == nullptr) opening_ = std::make_shared<Opening>();
  opening = opening_;
  waiting_.push_back(std::move(waiting));
}

Wire PartyEvaluator::Open(const Share& x) {
  Wire wire{x.shape, x.width, x.frac, /*mask_shared=*/true};
  if (!ok()) return wire;
  const size_t n = wire.size();
  const uint64_t position = AllocateMask(PrgBlocks(n));
  auto mask = std::make_shared<Words>();
  auto hat = std::make_shared<Words>(NewWords(*this, n));
  if (accelerator() != nullptr) {
    *mask = accelerator()->Mask(position, n);
    accelerator()->Add(*mask, *x.part, *hat);
  } else {
    *mask = Words(n);
    pool().ParallelFor(n, kOpeningGrain, [&](size_t i, size_t end) {
      const std::span<uint64_t> part = std::span(*mask).subspan(i, end - i);
      streams_->mask.Fill(position + i / 2, part);
      Add(part, std::span(*x.part).subspan(i, end - i),
          std::span(*hat).subspan(i, end - i));
    });
  }
  Enqueue({x.width, hat, nullptr, PackedBytes(n, x.width)}, wire.opening);
  wire.mask = std::move(mask);
  wire.hat = std::move(hat);
  Cost cost = OpeningCost(n, x.width);
  cost_.party_aes[party()] += cost.party_aes[party()];
  return wire;
}

BitWire PartyEvaluator::Open(const BitShare& x) {
  BitWire wire{x.shape};
  if (!ok()) return wire;
  const size_t n = wire.size();
  const uint64_t position = AllocateMask(BitPrgBlocks(n));
  auto mask = std::make_shared<Bytes>();
  auto hat = std::make_shared<Bytes>(NewBytes(*this, n));
  if (accelerator() != nullptr) {
    *mask = accelerator()->BitMask(position, n);
    accelerator()->Xor(*mask, *x.part, *hat);
  } else {
    *mask = Bytes(n);
    streams_->mask.FillBits(position, *mask);
    for (size_t i = 0; i < n; ++i) (*hat)[i] = (*x.part)[i] ^ (*mask)[i];
  }
  Enqueue({0, nullptr, hat, PackedBytes(n, 1)}, wire.opening);
  wire.mask = std::move(mask);
  wire.hat = std::move(hat);
  cost_.party_aes[party()] += BitPrgBlocks(n);
  return wire;
}

absl::Status PartyEvaluator::Exchange(Bytes& message, size_t peer_bytes,
                                      Bytes& reply) {
  const MessageHeader mine{step_, digest_};
  std::memcpy(message.data(), &mine, sizeof(mine));
  reply = Bytes(kMessageHeaderBytes + peer_bytes);
  cost_.opened_bytes[party()] += message.size();
  ++cost_.rounds;
  RETURN_IF_ERROR(channel_.Exchange(message, reply));
  MessageHeader theirs;
  std::memcpy(&theirs, reply.data(), sizeof(theirs));
  if (theirs.step != mine.step || theirs.digest != mine.digest) {
    return absl::DataLossError(
        absl::StrCat("the parties have diverged before opening ", mine.step,
                     " (the peer is "
                     "at ",
                     theirs.step,
                     "): they run different plans, or a message was "
                     "lost or damaged"));
  }
  // In the order of the parties, so that both digest the same bytes.
  const Bytes& first = party() == 0 ? message : reply;
  const Bytes& second = party() == 0 ? reply : message;
  digest_ = XXH3_64bits_withSeed(first.data(), first.size(), digest_);
  digest_ = XXH3_64bits_withSeed(second.data(), second.size(), digest_);
  ++step_;
  return absl::OkStatus();
}

void PartyEvaluator::Flush() {
  if (!ok() || waiting_.empty()) return;
  size_t bytes = 0;
  for (const Waiting& w : waiting_) bytes += w.bytes;
  Bytes message(kMessageHeaderBytes + bytes);
  PackWaiting(std::span(message).subspan(kMessageHeaderBytes));
  if (!ok()) return;
  Bytes reply;
  if (absl::Status status = Exchange(message, bytes, reply); !status.ok()) {
    return Fail(Annotate("Open", status));
  }
  UnpackWaiting(std::span<const uint8_t>(reply).subspan(kMessageHeaderBytes));
  waiting_.clear();
  opening_->done = true;
  opening_.reset();
}

std::vector<Accelerator::Opened> PartyEvaluator::WaitingOnDevice() const {
  std::vector<Accelerator::Opened> openings;
  for (const Waiting& w : waiting_) {
    openings.push_back({w.width, w.words.get(), w.bits.get(), w.bytes});
  }
  return openings;
}

void PartyEvaluator::PackWaiting(std::span<uint8_t> payload) {
  if (accelerator() != nullptr) {
    accelerator()->PackOpenings(WaitingOnDevice(), payload);
    return Fail(accelerator()->status());
  }
  size_t offset = 0;
  for (const Waiting& w : waiting_) {
    const std::span<uint8_t> out = payload.subspan(offset, w.bytes);
    if (w.width == 0) {
      PackBits(*w.bits, out);
    } else {
      Pack(*w.words, w.width, out);
    }
    offset += w.bytes;
  }
}

void PartyEvaluator::UnpackWaiting(std::span<const uint8_t> payload) {
  if (accelerator() != nullptr) {
    accelerator()->UnpackOpenings(WaitingOnDevice(), payload);
    return Fail(accelerator()->status());
  }
  size_t offset = 0;
  for (const Waiting& w : waiting_) {
    const std::span<const uint8_t> in = payload.subspan(offset, w.bytes);
    if (w.width == 0) {
      Bytes theirs(w.bits->size());
      UnpackBits(in, theirs);
      for (size_t i = 0; i < theirs.size(); ++i) (*w.bits)[i] ^= theirs[i];
    } else {
      Words theirs(w.words->size());
      Unpack(in, w.width, theirs);
      Add(*w.words, theirs, *w.words);
      // Above the width the parties' words differ: keep what was opened.
      ReduceAll(*w.words, w.width, *w.words);
    }
    offset += w.bytes;
  }
}

const Words& PartyEvaluator::OnHost(const Words& words, Words& copy) {
  if (accelerator() == nullptr) return words;
  copy = Words(words.size());
  accelerator()->Download(words, copy);
  Fail(accelerator()->status());
  return copy;
}

Wire PartyEvaluator::Input(const Shape& shape, int width, int frac) {
  Wire wire{shape, width, frac};
  if (!ok()) return wire;
  absl::StatusOr<Words> hat = gateway_.Receive(wire.size(), width);
  if (!hat.ok()) {
    Fail(Annotate("Input", hat.status()));
    return wire;
  }
  if (hat->size() != wire.size()) {
    Reject("Input", absl::StrCat(hat->size(), " elements where shape ",
                                 ToString(shape), " has ", wire.size()));
    return wire;
  }
  if (accelerator() != nullptr) *hat = accelerator()->Upload(*hat);
  wire.hat = std::make_shared<Words>(*std::move(hat));
  return wire;
}

void PartyEvaluator::Output(const Share& x) {
  if (!ok()) return;
  Words copy, words(x.size());
  const Words& part = OnHost(*x.part, copy);
  if (!ok()) return;
  ReduceAll(part, x.width, words);
  if (absl::Status status = gateway_.Send(std::move(words), x.width);
      !status.ok()) {
    Fail(Annotate("Output", status));
  }
}

void PartyEvaluator::RunBlocks(absl::string_view gate, const Schema& schema,
                               size_t n, DealFn, EvalFn eval, PlainFn,
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
  const size_t wave =
      pool().threads() > 1 ? 2 * static_cast<size_t>(pool().threads()) : 1;
  std::vector<std::span<const uint8_t>> records;
  for (size_t first = 0; first < blocks; first += wave) {
    const size_t count = std::min(wave, blocks - first);
    if (absl::Status status =
            Take(gate, schema, first * block, count, n, records);
        !status.ok()) {
      return Fail(status);
    }
    pool().ParallelFor(count, 1, [&](size_t i, size_t end) {
      for (; i < end; ++i) {
        const size_t begin = (first + i) * block;
        EvalBlock one(schema, begin, std::min(block, n - begin), party(),
                      streams_->correlation, position + (first + i) * per_block,
                      records[i]);
        eval(one);
      }
    });
    source_.Release();
  }
  cost_.party_aes[party()] += schema.MaterialCost(n).party_aes[party()];
}

absl::Status PartyEvaluator::Take(
    absl::string_view gate, const Schema& schema, size_t begin, size_t count,
    size_t n, std::vector<std::span<const uint8_t>>& records) {
  const size_t block = schema.block();
  records.assign(count, {});
  for (size_t i = 0; i < count; ++i) {
    const size_t element = begin + i * block;
    const size_t bytes =
        schema.RecordBytes(party(), std::min(block, n - element));
    if (bytes == 0) continue;
    absl::StatusOr<std::span<const uint8_t>> record = source_.Take(bytes);
    if (!record.ok()) {
      return Annotate(absl::StrCat(gate, ", element ", element, " of ", n),
                      record.status());
    }
    records[i] = *record;
    cost_.material_bytes[party()] += bytes;
  }
  return absl::OkStatus();
}

void PartyEvaluator::RunOnDevice(absl::string_view gate, const Schema& schema,
                                 size_t n, uint64_t position, DeviceFn device) {
  const size_t block = schema.block();
  const size_t blocks = (n + block - 1) / block;
  const size_t most = BlocksOnDevice(schema);
  std::vector<std::span<const uint8_t>> records;
  for (size_t first = 0; first < blocks; first += most) {
    const size_t begin = first * block;
    const size_t end = std::min(n, (first + most) * block);
    if (absl::Status status = Take(gate, schema, begin,
                                   std::min(most, blocks - first), n, records);
        !status.ok()) {
      return Fail(status);
    }
    const std::unique_ptr<AcceleratorBlock> one = accelerator()->Eval(
        schema, begin, end - begin,
        position + first * schema.RecordPrgBlocks(block), records);
    source_.Release();
    device(*one);
    if (absl::Status status = accelerator()->status(); !status.ok()) {
      return Fail(Annotate(gate, status));
    }
  }
  cost_.party_aes[party()] += schema.MaterialCost(n).party_aes[party()];
}

Words PartyEvaluator::Reveal(const Share& x) {
  if (!ok()) return Words();
  Words copy;
  const Words& part = OnHost(*x.part, copy);
  if (!ok()) return Words();
  const size_t bytes = PackedBytes(x.size(), x.width);
  Bytes message(kMessageHeaderBytes + bytes), reply;
  Pack(part, x.width, std::span(message).subspan(kMessageHeaderBytes));
  if (absl::Status status = Exchange(message, bytes, reply); !status.ok()) {
    Fail(Annotate("Reveal", status));
    return Words();
  }
  Words values(x.size());
  Unpack(std::span<const uint8_t>(reply).subspan(kMessageHeaderBytes), x.width,
         values);
  Add(part, values, values);
  ReduceAll(values, x.width, values);
  return values;
}

Words PartyEvaluator::Transfer(int sender, std::span<const uint64_t> words,
                               size_t n, int width) {
  if (!ok()) return Words();
  const bool sends = sender == party();
  const size_t bytes = PackedBytes(n, width);
  Bytes message(kMessageHeaderBytes + (sends ? bytes : 0)), reply;
  if (sends)
    Pack(words, width, std::span(message).subspan(kMessageHeaderBytes));
  if (absl::Status status = Exchange(message, sends ? 0 : bytes, reply);
      !status.ok()) {
    Fail(Annotate("Transfer", status));
    return Words();
  }
  if (sends) return Words();
  Words received(n);
  Unpack(std::span<const uint8_t>(reply).subspan(kMessageHeaderBytes), width,
         received);
  return received;
}

}  // namespace tacit
