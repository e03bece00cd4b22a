#include "common/gates/evaluator.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/gates/accelerator.h"
#include "common/ring/bitpack.h"
#include "common/ring/elementwise.h"

namespace tacit {

DealBlock::DealBlock(const Schema& schema, size_t begin, size_t count,
                     const Prg* const prg[2], uint64_t position,
                     std::span<uint8_t> record0, std::span<uint8_t> record1)
    : schema_(schema),
      begin_(begin),
      count_(count),
      prg_(prg),
      position_(position),
      record_{record0, record1} {}

const Field& DealBlock::Next(Field::Kind kind) {
  const Field& field = schema_.fields()[next_++];
  assert(field.kind == kind);
  (void)kind;
  return field;
}

std::span<uint8_t> DealBlock::Take(int party, const Field& field) {
  const size_t bytes = FieldBytes(field, party, count_);
  const std::span<uint8_t> head = record_[party].first(bytes);
  record_[party] = record_[party].subspan(bytes);
  return head;
}

void DealBlock::Share(std::span<const uint64_t> values) {
  const Field& field = Next(Field::Kind::kShare);
  assert(values.size() == count_ * field.per_element);
  Words rest = Words::Copy(values);
  prg_[0]->SubtractFrom(position_, rest);
  Pack(rest, field.width, Take(1, field));
  position_ += FieldPrgBlocks(field, count_);
}

void DealBlock::Bits(std::span<const uint8_t> bits) {
  const Field& field = Next(Field::Kind::kBits);
  assert(bits.size() == count_);
  Bytes rest(count_);
  prg_[0]->FillBits(position_, rest);
  for (size_t i = 0; i < count_; ++i) rest[i] ^= bits[i];
  PackBits(rest, Take(1, field));
  position_ += FieldPrgBlocks(field, count_);
}

void DealBlock::Dpf(std::span<const uint64_t> alpha,
                    std::span<uint8_t> positive) {
  const Field& field = Next(Field::Kind::kDpf);
  assert(alpha.size() == count_ && positive.size() == count_);
  const std::span<uint8_t> key0 = Take(0, field), key1 = Take(1, field);
  DpfGen(field.width, alpha, *prg_[0], *prg_[1], position_, key0, key1,
         positive);
  position_ += FieldPrgBlocks(field, count_);
}

void DealBlock::OneHot(std::span<const uint64_t> alpha) {
  const Field& field = Next(Field::Kind::kOneHot);
  assert(alpha.size() == count_);
  const std::span<uint8_t> key0 = Take(0, field), key1 = Take(1, field);
  OneHotGen(field.width, field.lane_width, alpha, *prg_[0], *prg_[1], position_,
            key0);
  std::copy(key0.begin(), key0.end(), key1.begin());
  position_ += FieldPrgBlocks(field, count_);
}

EvalBlock::EvalBlock(const Schema& schema, size_t begin, size_t count,
                     int party, const Prg& prg, uint64_t position,
                     std::span<const uint8_t> record)
    : schema_(schema),
      begin_(begin),
      count_(count),
      party_(party),
      prg_(prg),
      position_(position),
      record_(record) {}

const Field& EvalBlock::Next(Field::Kind kind) {
  const Field& field = schema_.fields()[next_++];
  assert(field.kind == kind);
  (void)kind;
  return field;
}

Words EvalBlock::Share() {
  const Field& field = Next(Field::Kind::kShare);
  Words out(count_ * field.per_element);
  if (party_ == 0) {
    prg_.Fill(position_, std::span<uint64_t>(out));
  } else {
    const size_t bytes = FieldBytes(field, 1, count_);
    Unpack(record_.first(bytes), field.width, out);
    record_ = record_.subspan(bytes);
  }
  position_ += FieldPrgBlocks(field, count_);
  return out;
}

Bytes EvalBlock::Bits() {
  const Field& field = Next(Field::Kind::kBits);
  Bytes out(count_);
  if (party_ == 0) {
    prg_.FillBits(position_, out);
  } else {
    const size_t bytes = FieldBytes(field, 1, count_);
    UnpackBits(record_.first(bytes), out);
    record_ = record_.subspan(bytes);
  }
  position_ += FieldPrgBlocks(field, count_);
  return out;
}

DpfKeys EvalBlock::Dpf() {
  const Field& field = Next(Field::Kind::kDpf);
  const size_t bytes = FieldBytes(field, party_, count_);
  const DpfKeys keys{party_, field.width, count_, record_.first(bytes),
                     &prg_,  position_};
  record_ = record_.subspan(bytes);
  position_ += FieldPrgBlocks(field, count_);
  return keys;
}

OneHotKeys EvalBlock::OneHot() {
  const Field& field = Next(Field::Kind::kOneHot);
  const size_t bytes = FieldBytes(field, party_, count_);
  const OneHotKeys keys{party_,   field.width,          field.lane_width,
                        count_,   record_.first(bytes), &prg_,
                        position_};
  record_ = record_.subspan(bytes);
  position_ += FieldPrgBlocks(field, count_);
  return keys;
}

void Evaluator::Fail(absl::Status status) {
  if (status.ok() || !ok()) return;
  status_ = scope_.empty()
                ? std::move(status)
                : absl::Status(status.code(),
                               absl::StrCat(scope_, ": ", status.message()));
}

void Evaluator::Reject(absl::string_view gate, absl::string_view message) {
  Fail(absl::InvalidArgumentError(absl::StrCat(gate, ": ", message)));
}

Evaluator::Scope::Scope(Evaluator& ev, absl::string_view name)
    : ev_(ev), length_(ev.scope_.size()) {
  if (!ev.scope_.empty()) ev.scope_ += '.';
  absl::StrAppend(&ev.scope_, name);
}

Evaluator::Scope::~Scope() { ev_.scope_.resize(length_); }

size_t Evaluator::BlocksOnDevice(const Schema& schema) const {
  const size_t block = schema.block();
  const size_t bytes =
      schema.RecordBytes(0, block) + schema.RecordBytes(1, block);
  return std::max<size_t>(
      accelerator_->block_bytes() / std::max<size_t>(bytes, 1), 1);
}

uint64_t Evaluator::AllocateMask(uint64_t blocks) {
  return std::exchange(mask_position_, mask_position_ + blocks);
}
uint64_t Evaluator::AllocateInput(uint64_t blocks) {
  return std::exchange(input_position_, input_position_ + blocks);
}
uint64_t Evaluator::AllocateCorrelation(uint64_t blocks) {
  return std::exchange(correlation_position_, correlation_position_ + blocks);
}
void Evaluator::CountPermutationAes(int party, uint64_t blocks) {
  if (is_dealer() || is_cost()) cost_.dealer_aes += blocks;
  if (is_cost() || (is_party() && party_ == party)) {
    cost_.party_aes[party] += blocks;
  }
}
uint64_t Evaluator::AllocatePermutation(uint64_t blocks) {
  return std::exchange(permutation_position_, permutation_position_ + blocks);
}

}  // namespace tacit
