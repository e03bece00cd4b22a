#include "gpu/session/block.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "gpu/elementwise/deal_ops-inl.h"
#include "gpu/elementwise/gate_ops-inl.h"
#include "gpu/elementwise/material.h"

namespace tacit::gpu {
namespace {

// Unpacking reads whole words.
constexpr size_t kSlack = 8;

size_t TotalBytes(const auto& records) {
  size_t bytes = 0;
  for (const auto& record : records) bytes += record.size();
  return bytes;
}

}  // namespace

GateBlock::GateBlock(Session& session, const Schema& schema, size_t begin,
                     size_t count, uint64_t position)
    : AcceleratorBlock(begin, count), session_(session) {
  MaterialCursor cursor{position};
  fields_ = PlaceFields(schema, count, cursor);
  for (int b = 0; b < 2; ++b) {
    if (cursor.bytes[b] > 0) {
      material_[b] = session.NewBytes(cursor.bytes[b] + kSlack);
    }
  }
}

GateBlock::GateBlock(Session& session, const Schema& schema, size_t begin,
                     size_t count, uint64_t position,
                     std::span<const std::span<const uint8_t>> records)
    : AcceleratorBlock(begin, count), session_(session) {
  MaterialCursor cursor{position};
  fields_ = PlaceFields(schema, count, cursor);
  const size_t bytes = TotalBytes(records);
  if (bytes == 0) return;
  material_[party()] = session.Material(records, bytes + kSlack);
}

const FieldPlace& GateBlock::Next() { return fields_[next_++]; }

void GateBlock::DealShare(const uint64_t* values) {
  const FieldPlace& field = Next();
  const FieldLayout& layout = field.layout[1];
  Words rest = New(layout.n);
  if (!session_.ok() || layout.n == 0) return;
  session_.Ok(gpu::DealShare(session_.kernels(), layout, field.field.width,
                             session_.correlation(0), values, rest.data(),
                             material_[1].data()));
}

void GateBlock::DealShare(Words values) { DealShare(values.data()); }

void GateBlock::DealBits(Bytes bits) {
  const FieldLayout& layout = Next().layout[1];
  if (!session_.ok() || layout.n == 0) return;
  session_.Ok(gpu::DealBits(session_.kernels(), layout, session_.correlation(0),
                            bits.data(), bits.data(), material_[1].data()));
}

Words GateBlock::TakeShare() {
  const FieldPlace& field = Next();
  const FieldLayout& layout = field.layout[party()];
  Words out = New(layout.n);
  if (!session_.ok() || layout.n == 0) return out;
  session_.Ok(gpu::TakeShare(session_.kernels(), party(), layout,
                             field.field.width, session_.correlation(0),
                             material_[1].data(), out.data()));
  return out;
}

Bytes GateBlock::TakeBits() {
  const FieldLayout& layout = Next().layout[party()];
  Bytes out = NewBits(layout.n);
  if (!session_.ok() || layout.n == 0) return out;
  session_.Ok(gpu::TakeBits(session_.kernels(), party(), layout,
                            session_.correlation(0), material_[1].data(),
                            out.data()));
  return out;
}

void GateBlock::DealKeys(const Points& alpha, uint8_t* positive,
                         size_t stride) {
  const FieldPlace& field = Next();
  Bytes signs = NewBits(count());
  if (!session_.ok() || count() == 0) return;
  DpfGenArgs args;
  args.m = field.field.width;
  for (int b = 0; b < 2; ++b) {
    args.field[b] = field.layout[b];
    args.material[b] = material_[b].data();
    args.key[b] = session_.correlation(b);
  }
  args.alpha = alpha;
  args.positive = positive != nullptr && stride == 1 ? positive : signs.data();
  session_.Ok(session_.kernels().DpfGen(args));
  if (positive != nullptr && stride != 1) {
    Run(SpreadBitsOp{signs.data(), stride, positive});
  }
}

DpfBatch GateBlock::TakeKeys() {
  const FieldPlace& field = Next();
  return {party(), field.field.width, field.layout[party()],
          material_[party()].data(), session_.correlation(party())};
}

Bytes GateBlock::EvalPath(const DpfBatch& keys, const Points& points,
                          PathOutput output) {
  Bytes out = NewBits(count());
  if (session_.ok() && count() > 0) {
    session_.Ok(
        session_.kernels().DpfEvalPath({keys, points, output, out.data()}));
  }
  return out;
}

void GateBlock::EvalWindow(const DpfBatch& keys, const Points& start,
                           std::span<const uint64_t> reversed, uint64_t* out,
                           size_t stride) {
  const uint64_t* const table = session_.Constants(reversed);
  if (!session_.ok() || count() == 0) return;
  DpfWindowArgs args;
  args.keys = keys;
  args.start = start;
  args.length = reversed.size();
  args.tables[0] = table;
  args.out[0] = out;
  args.out_stride = stride;
  session_.Ok(session_.kernels().DpfWindowSum(args));
}

void GateBlock::EvalIntervals(const DpfBatch& keys, const uint64_t* hat,
                              int width, int shift,
                              std::span<const int64_t> boundaries,
                              uint8_t* out) {
  // Each boundary's path serves the intervals on both its sides.
  const size_t intervals = boundaries.size() - 1;
  auto path = [&](int64_t boundary) {
    return EvalPath(keys, {hat, width, shift, static_cast<uint64_t>(boundary)});
  };
  Bytes upper = path(boundaries[0]);
  for (size_t k = 0; k < intervals; ++k) {
    Bytes lower = path(boundaries[k + 1]);
    Run(IntervalOp{party(), keys.m, hat, width, shift,
                   static_cast<uint64_t>(boundaries[k]),
                   static_cast<uint64_t>(boundaries[k + 1]), upper.data(),
                   lower.data(), intervals, out + k});
    upper = std::move(lower);
  }
}

void GateBlock::TakeRecords(std::span<const std::span<uint8_t>> records0,
                            std::span<const std::span<uint8_t>> records1) {
  const std::span<const std::span<uint8_t>> records[2] = {records0, records1};
  for (int b = 0; b < 2; ++b) {
    const size_t bytes = TotalBytes(records[b]);
    if (!session_.ok() || bytes == 0) continue;
    Bytes host(bytes);
    session_.Ok(
        session_.kernels().ToHost(host.data(), material_[b].data(), bytes));
    size_t offset = 0;
    for (const std::span<uint8_t> record : records[b]) {
      std::memcpy(record.data(), host.data() + offset, record.size());
      offset += record.size();
    }
  }
}

}  // namespace tacit::gpu
