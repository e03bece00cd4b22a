#include "gpu/session/session.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/status_macros.h"
#include "gpu/base/status.h"
#include "gpu/session/block.h"

namespace tacit::gpu {
namespace {

// keys_: the mask and correlation streams of party b at 2 b, of the gateway's
// inputs last. A party has its own two only.
constexpr int kKeys = 5;
constexpr int MaskOf(int b) { return 2 * b; }
constexpr int CorrelationOf(int b) { return 2 * b + 1; }
constexpr int kInputKey = 4;

}  // namespace

// Keeps the kernels for as long as there are buffers of theirs.
class Session::SessionMemory : public Memory {
 public:
  explicit SessionMemory(std::shared_ptr<Kernels> kernels)
      : kernels_(std::move(kernels)) {}
  void Free(void* block, size_t bytes) override {
    kernels_->Free(block, bytes);
  }

 private:
  const std::shared_ptr<Kernels> kernels_;
};

Session::Session(std::shared_ptr<Kernels> kernels, Weights& weights,
                 size_t block_bytes)
    : kernels_(kernels),
      memory_(std::make_shared<SessionMemory>(std::move(kernels))),
      weights_(weights),
      block_bytes_(block_bytes) {}
Session::~Session() = default;

absl::Status Session::status() const { return ToStatus(error_); }

bool Session::Ok(const Error& error) {
  if (error_.ok() && !error.ok()) error_ = error;
  return error_.ok();
}

absl::Status Session::Begin(int party, std::span<const Seed* const> seeds) {
  party_ = party;
  Bytes keys(kKeys * sizeof(PrgKey));
  auto expand = [&](const Seed& seed, int key) {
    ExpandPrgKey(seed.bytes().data(), *reinterpret_cast<PrgKey*>(
                                          keys.data() + key * sizeof(PrgKey)));
  };
  for (int b = 0; b < 2; ++b) {
    if (!is_dealer() && b != party) continue;
    ASSIGN_OR_RETURN(const StreamSeeds streams,
                     StreamSeeds::Derive(*seeds[is_dealer() ? b : 0]));
    expand(streams.mask, MaskOf(b));
    expand(streams.correlation, CorrelationOf(b));
  }
  if (is_dealer()) {
    ASSIGN_OR_RETURN(const Seed input, InputStreamSeed(*seeds[2]));
    expand(input, kInputKey);
  }
  keys_ = UploadBytes(keys.data(), keys.size());
  return status();
}

const PrgKey* Session::Key(int index) const {
  return reinterpret_cast<const PrgKey*>(keys_.data()) + index;
}
const PrgKey* Session::MaskKey() const {
  return Key(MaskOf(is_dealer() ? 0 : party_));
}
const PrgKey* Session::SecondMaskKey() const {
  return is_dealer() ? Key(MaskOf(1)) : nullptr;
}
const PrgKey* Session::correlation(int b) const {
  return Key(CorrelationOf(b));
}

void* Session::Allocate(size_t bytes) {
  if (!ok()) return nullptr;
  Result<void*> memory = kernels_->Allocate(bytes);
  return Ok(memory.error()) ? *memory : nullptr;
}

// After an error a buffer has its size and no memory.
Words Session::NewWords(size_t n) {
  if (n == 0) return Words();
  return Words(memory_, Allocate(n * sizeof(uint64_t)), n);
}
Bytes Session::NewBytes(size_t n) {
  if (n == 0) return Bytes();
  return Bytes(memory_, Allocate(n), n);
}

Words Session::Upload(std::span<const uint64_t> host) {
  Words words = NewWords(host.size());
  if (ok() && !host.empty()) {
    Ok(kernels_->ToDevice(words.data(), host.data(), host.size_bytes()));
  }
  return words;
}

Bytes Session::UploadBytes(const void* host, size_t bytes) {
  Bytes device = NewBytes(bytes);
  if (ok() && bytes > 0) Ok(kernels_->ToDevice(device.data(), host, bytes));
  return device;
}

Bytes Session::Material(std::span<const std::span<const uint8_t>> records,
                        size_t room) {
  if (!ok()) return Bytes(memory_, nullptr, room);
  Result<void*> memory = kernels_->Material(records, room);
  return Bytes(memory_, Ok(memory.error()) ? *memory : nullptr, room);
}

void Session::Download(const Words& from, std::span<uint64_t> host) {
  if (ok() && !host.empty()) {
    Ok(kernels_->ToHost(host.data(), from.data(), host.size_bytes()));
  }
}

const uint64_t* Session::Constants(std::span<const uint64_t> words) {
  const uint64_t hash = XXH3_64bits(words.data(), words.size_bytes());
  const auto [first, last] = constants_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    if (std::ranges::equal(it->second.first, words)) {
      return it->second.second.data();
    }
  }
  Words device = Upload(words);
  if (!ok()) return nullptr;
  const uint64_t* const data = device.data();
  constants_.emplace(
      hash, std::pair(std::vector<uint64_t>(words.begin(), words.end()),
                      std::move(device)));
  return data;
}

void Session::Add(const Words& a, const Words& b, Words& out) {
  Run(AddOp{a.data(), b.data(), out.data()}, out.size());
}
void Session::Sub(const Words& a, const Words& b, Words& out) {
  Run(SubOp{a.data(), b.data(), out.data()}, out.size());
}
void Session::Negate(const Words& in, Words& out) {
  Run(NegateOp{in.data(), out.data()}, out.size());
}
void Session::AddScalar(const Words& in, uint64_t scalar, Words& out) {
  Run(AddScalarOp{in.data(), scalar, out.data()}, out.size());
}
void Session::MulScalar(const Words& in, uint64_t scalar, Words& out) {
  Run(MulScalarOp{in.data(), scalar, out.data()}, out.size());
}
void Session::MulRow(const Words& in, std::span<const int64_t> factors,
                     Words& out) {
  const uint64_t* const row = Constants(AsWords(factors));
  Run(MulRowOp{in.data(), row, factors.size(), out.data()}, out.size());
}
void Session::ShiftLeft(const Words& in, int bits, Words& out) {
  Run(ShiftLeftOp{in.data(), bits, out.data()}, out.size());
}
void Session::ShiftRight(const Words& in, int width, int bits, Words& out) {
  Run(ShiftRightOp{in.data(), width, bits, out.data()}, out.size());
}

void Session::SumLast(const Words& in, size_t d, Words& out) {
  if (!ok() || out.empty()) return;
  Ok(kernels_->SumRows(WordTerm{in.data()}, out.size(), d, nullptr,
                       out.data()));
}

void Session::RepeatLast(const Words& in, size_t d, Words& out) {
  Run(RepeatLastOp{in.data(), d, out.data()}, out.size());
}

void Session::GatherRows(const Words& in, size_t row,
                         std::span<const size_t> rows, Words& out) {
  if (out.empty()) return;
  static_assert(sizeof(size_t) == sizeof(uint64_t));
  const Words from = Upload(rows);
  Run(GatherRowsOp{in.data(), from.data(), row, out.data()}, out.size());
}

void Session::PlaceColumns(const Words& in, size_t from, size_t first,
                           size_t begin, size_t count, size_t to, Words& out) {
  Run(PlaceColumnsOp{in.data(), from, first, begin, count, to, out.data()},
      out.size());
}

void Session::Scatter(const Words& in, std::span<const size_t> target,
                      Words& out) {
  if (!ok() || out.empty()) return;
  Ok(kernels_->Clear(out.data(), out.size() * sizeof(uint64_t)));
  const Words to = Upload(target);
  Run(ScatterOp{in.data(), to.data(), out.data()}, in.size());
}

void Session::SumSegments(const Words& in, std::span<const size_t> start,
                          size_t row, Words& out) {
  const Words from = Upload(start);
  Run(SumSegmentsOp{in.data(), from.data(), row, out.data()}, out.size());
}

void Session::MapRows(const Words& in, size_t columns,
                      std::span<const int64_t> matrix, Words& out) {
  if (out.empty()) return;
  const uint64_t* const entries = Constants(AsWords(matrix));
  Run(MapRowsOp{in.data(), entries, columns, matrix.size() / columns,
                out.data()},
      out.size());
}

void Session::Transpose(const Words& in, std::span<const size_t> shape,
                        std::span<const size_t> walk, Words& out) {
  constexpr size_t kMaxRank = TransposeOp::kMaxRank;
  if (shape.size() > kMaxRank) {
    Ok(Error(Code::kInvalidArgument,
             "Transpose: " + std::to_string(shape.size()) + " axes, at most " +
                 std::to_string(kMaxRank)));
    return;
  }
  TransposeOp op{in.data(), {1, 1, 1, 1}, {0, 0, 0, 0}, out.data()};
  const size_t skip = kMaxRank - shape.size();
  std::ranges::copy(shape, op.shape + skip);
  std::ranges::copy(walk, op.walk + skip);
  Run(op, out.size());
}

void Session::Concat(std::span<const Words* const> parts, Words& out) {
  uint64_t* to = out.data();
  for (const Words* part : parts) {
    if (!ok()) return;
    if (part->empty()) continue;
    Ok(kernels_->Copy(to, part->data(), part->size() * sizeof(uint64_t)));
    to += part->size();
  }
}

void Session::Rotate(const Words& in, size_t d, size_t pairs, size_t heads,
                     size_t positions, bool interleaved, int frac,
                     std::span<const int64_t> rotations, Words& out) {
  if (out.empty()) return;
  const Words table = Upload(AsWords(rotations));
  const RotateOp op{in.data(),   reinterpret_cast<const int64_t*>(table.data()),
                    d,           pairs,
                    heads,       positions,
                    interleaved, frac,
                    out.data()};
  Run(op, out.size() / d * op.items());
}

void Session::ToShare(const Words& hat, const Words& mask, Words& out) {
  Run(ToShareOp{party_, hat.data(), mask.data(), out.data()}, out.size());
}

void Session::Not(const Bytes& in, Bytes& out) {
  Run(NotBitsOp{in.data(), out.data()}, out.size());
}
void Session::Xor(const Bytes& a, const Bytes& b, Bytes& out) {
  Run(XorBitsOp{a.data(), b.data(), out.data()}, out.size());
}
void Session::Turn(const Bytes& in, size_t d, Bytes& out) {
  const uint8_t one = party_ == 0;
  Run(TurnBitsOp{in.data(), d, one, out.data()}, out.size());
}
void Session::Widen(const Bytes& in, Words& out) {
  Run(WidenOp{in.data(), out.data()}, out.size());
}

void Session::SumOfNothing(Accumulate accumulate, Words& out) {
  if (accumulate != Accumulate::kOverwrite) return;
  Ok(kernels_->Clear(out.data(), out.size() * sizeof(uint64_t)));
}

void Session::MultiplyStatic(const Words& x, size_t m, const StaticMatrix& w,
                             const WordsRef& entries, int width,
                             Accumulate accumulate, Words& out) {
  if (!ok() || out.empty()) return;
  if (w.k == 0) return SumOfNothing(accumulate, out);
  Result<Weights::Planes> planes = weights_.PlanesOf(w, entries, width);
  if (!Ok(planes.error())) return;
  RingProduct product;
  product.m = m;
  product.n = w.n;
  product.k = w.k;
  product.width = width;
  product.b_digits = planes->digits;
  product.a.words = x.data();
  product.a.ld = w.k;
  product.b.limbs = planes->limbs;
  product.c = out.data();
  product.ldc = w.n;
  product.accumulate = accumulate;
  Ok(kernels_->Multiply(product));
}

void Session::Multiply(const Words& a, const Words& b, size_t batch, size_t m,
                       size_t n, size_t k, Layout layout, int width,
                       Accumulate accumulate, Words& out) {
  if (!ok() || out.empty()) return;
  if (k == 0) return SumOfNothing(accumulate, out);
  RingProduct product;
  product.m = m;
  product.n = n;
  product.k = k;
  product.width = width;
  product.batch = batch;
  product.a.words = a.data();
  product.a.ld = k;
  product.a.batch_stride = m * k;
  product.b.words = b.data();
  product.b.ld = layout == Layout::kRowMajor ? n : k;
  product.b.batch_stride = k * n;
  product.b.layout = layout;
  product.c = out.data();
  product.ldc = n;
  product.c_batch_stride = m * n;
  product.accumulate = accumulate;
  Ok(kernels_->Multiply(product));
}

void Session::AddRow(const Words& in, const StaticMatrix& w,
                     const WordsRef& entries, Words& out) {
  if (out.empty()) return;
  if (const uint64_t* row = StaticWords(entries)) {
    Run(AddRowOp{in.data(), row, w.n, out.data()}, out.size());
  }
}

const uint64_t* Session::StaticWords(const WordsRef& entries) {
  if (!ok()) return nullptr;
  Result<const uint64_t*> words = weights_.WordsOf(entries);
  return Ok(words.error()) ? *words : nullptr;
}

void Session::RowsOf(const StaticMatrix& w, const WordsRef& entries,
                     std::span<const size_t> rows, Words& out) {
  if (out.empty()) return;
  if (const uint64_t* words = StaticWords(entries)) {
    const Words from = Upload(rows);
    Run(GatherRowsOp{words, from.data(), w.n, out.data()}, out.size());
  }
}

Words Session::Mask(uint64_t position, size_t n) {
  Words out = NewWords(n);
  if (!ok() || n == 0) return out;
  Ok(kernels_->ExpandWords({MaskKey(), SecondMaskKey(), OneRecord(n, position),
                            Combine::kStore, nullptr, out.data()}));
  return out;
}

Bytes Session::BitMask(uint64_t position, size_t n) {
  Bytes out = NewBytes(n);
  if (!ok() || n == 0) return out;
  Ok(kernels_->ExpandBits({MaskKey(), SecondMaskKey(), OneRecord(n, position),
                           nullptr, out.data()}));
  return out;
}

Words Session::InputMask(uint64_t position, size_t n) {
  Words out = NewWords(n);
  if (!ok() || n == 0) return out;
  Ok(kernels_->ExpandWords({Key(kInputKey), nullptr, OneRecord(n, position),
                            Combine::kStore, nullptr, out.data()}));
  return out;
}

void Session::PackOpenings(std::span<const Opened> openings,
                           std::span<uint8_t> message) {
  Bytes packed = NewBytes(message.size());
  uint8_t* const to = packed.data();
  size_t offset = 0;
  for (const Opened& one : openings) {
    if (one.width == 0) {
      const PackBitsOp op{one.bits->data(),
                          OneRecord(one.bits->size(), 0, offset), to};
      Run(op, op.items());
    } else {
      const PackOp op{one.words->data(),
                      OneRecord(one.words->size(), 0, offset), one.width, to};
      Run(op, op.items());
    }
    offset += one.bytes;
  }
  if (ok() && !message.empty()) {
    Ok(kernels_->ToHost(message.data(), to, message.size()));
  }
}

void Session::UnpackOpenings(std::span<const Opened> openings,
                             std::span<const uint8_t> message) {
  const Bytes packed = UploadBytes(message.data(), message.size());
  size_t offset = 0;
  for (const Opened& one : openings) {
    if (one.width == 0) {
      const size_t n = one.bits->size();
      Bytes theirs = NewBytes(n);
      Run(UnpackBitsOp{packed.data(), OneRecord(n, 0, offset), theirs.data()},
          n);
      Run(XorBitsOp{one.bits->data(), theirs.data(), one.bits->data()}, n);
    } else {
      const size_t n = one.words->size();
      Words theirs = NewWords(n);
      Run(UnpackOp{packed.data(), OneRecord(n, 0, offset), one.width,
                   theirs.data()},
          n);
      Run(OpenedOp{one.words->data(), theirs.data(), one.width,
                   one.words->data()},
          n);
    }
    offset += one.bytes;
  }
}

size_t Session::block_bytes() const { return block_bytes_; }

std::unique_ptr<AcceleratorBlock> Session::Deal(const Schema& schema,
                                                size_t begin, size_t count,
                                                uint64_t position) {
  return std::make_unique<GateBlock>(*this, schema, begin, count, position);
}

std::unique_ptr<AcceleratorBlock> Session::Eval(
    const Schema& schema, size_t begin, size_t count, uint64_t position,
    std::span<const std::span<const uint8_t>> records) {
  return std::make_unique<GateBlock>(*this, schema, begin, count, position,
                                     records);
}

}  // namespace tacit::gpu
