#include "common/gates/schema.h"

#include <algorithm>
#include <utility>

#include "common/fss/dpf.h"
#include "common/fss/onehot_dpf.h"
#include "common/prg/prg.h"
#include "common/ring/bitpack.h"

namespace tacit {

Cost& Cost::operator+=(const Cost& other) {
  rounds += other.rounds;
  dealer_aes += other.dealer_aes;
  for (int b = 0; b < 2; ++b) {
    opened_bytes[b] += other.opened_bytes[b];
    material_bytes[b] += other.material_bytes[b];
    party_aes[b] += other.party_aes[b];
  }
  return *this;
}

Field ShareField(int width, size_t per_element) {
  Field field{Field::Kind::kShare, width};
  field.per_element = per_element;
  return field;
}

Field BitsField() { return Field{Field::Kind::kBits, 1}; }

Field DpfField(int domain_bits, int paths, std::vector<size_t> windows) {
  Field field{Field::Kind::kDpf, domain_bits};
  field.paths = paths;
  field.windows = std::move(windows);
  return field;
}

Field OneHotField(int domain_bits, int lane_width) {
  Field field{Field::Kind::kOneHot, domain_bits};
  field.lane_width = lane_width;
  return field;
}

size_t FieldBytes(const Field& field, int party, size_t count) {
  switch (field.kind) {
    case Field::Kind::kShare:
      return party == 0 ? 0
                        : PackedBytes(count * field.per_element, field.width);
    case Field::Kind::kBits:
      return party == 0 ? 0 : PackedBytes(count, 1);
    case Field::Kind::kDpf:
      return DpfKeyBytes(field.width, party, count);
    case Field::Kind::kOneHot:
      return OneHotKeyBytes(field.width, field.lane_width, count);
  }
  return 0;
}

uint64_t FieldPrgBlocks(const Field& field, size_t count) {
  switch (field.kind) {
    case Field::Kind::kShare:
      return PrgBlocks(count * field.per_element);
    case Field::Kind::kBits:
      return (count + 127) / 128;
    case Field::Kind::kDpf:
      return DpfPrgBlocks(field.width, count);
    case Field::Kind::kOneHot:
      return OneHotPrgBlocks(count);
  }
  return 0;
}

uint64_t FieldDealAes(const Field& field, size_t count) {
  const uint64_t expanded = FieldPrgBlocks(field, count);
  switch (field.kind) {
    case Field::Kind::kShare:
    case Field::Kind::kBits:
      return expanded;  // party 0's half
    case Field::Kind::kDpf:
      // Roots of both parties; of a direct key party 0's bits alone.
      return DpfGenAes(field.width, count) +
             expanded * (DpfIsDirect(field.width) ? 1 : 2);
    case Field::Kind::kOneHot:
      return OneHotGenAes(field.width, field.lane_width, count) + 2 * expanded;
  }
  return 0;
}

uint64_t FieldEvalAes(const Field& field, int party, size_t count) {
  const uint64_t expanded = FieldPrgBlocks(field, count);
  switch (field.kind) {
    case Field::Kind::kShare:
    case Field::Kind::kBits:
      return party == 0 ? expanded : 0;
    case Field::Kind::kDpf: {
      // Every use of the key expands the party's roots (or bits) anew.
      const bool expands = party == 0 || !DpfIsDirect(field.width);
      uint64_t aes = field.paths * DpfPathAes(field.width, count);
      for (size_t window : field.windows) {
        aes += DpfWindowAes(field.width, window, count);
      }
      const uint64_t uses = field.paths + field.windows.size();
      return aes + (expands ? uses * expanded : 0);
    }
    case Field::Kind::kOneHot:
      return OneHotEvalAes(field.width, field.lane_width, count) + expanded;
  }
  return 0;
}

size_t Schema::block() const {
  constexpr size_t kMaxBlock = 1024;
  constexpr size_t kRecordBytes = size_t{1} << 20;
  // Words that a party holds for an element weigh in, too.
  size_t element = 1;
  for (const Field& field : fields_) {
    element += FieldBytes(field, 1, 8) / 8 + 8 * field.per_element;
    if (field.kind == Field::Kind::kOneHot) element += size_t{8} << field.width;
  }
  const size_t fit = std::clamp(kRecordBytes / element, size_t{1}, kMaxBlock);
  if (fit >= 64) return fit / 64 * 64;
  return fit >= 8 ? fit / 8 * 8 : fit;
}

size_t Schema::RecordBytes(int party, size_t count) const {
  size_t bytes = 0;
  for (const Field& field : fields_) bytes += FieldBytes(field, party, count);
  return bytes;
}

uint64_t Schema::RecordPrgBlocks(size_t count) const {
  uint64_t blocks = 0;
  for (const Field& field : fields_) blocks += FieldPrgBlocks(field, count);
  return blocks;
}

Cost Schema::MaterialCost(size_t n) const {
  Cost cost;
  auto add = [&](size_t count, uint64_t times) {
    for (const Field& field : fields_) {
      cost.dealer_aes += times * FieldDealAes(field, count);
      for (int b = 0; b < 2; ++b) {
        cost.material_bytes[b] += times * FieldBytes(field, b, count);
        cost.party_aes[b] += times * FieldEvalAes(field, b, count);
      }
    }
  };
  add(block(), n / block());
  if (n % block() != 0) add(n % block(), 1);
  return cost;
}

}  // namespace tacit
