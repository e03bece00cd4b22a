#include "common/gates/segmented.h"

#include <array>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"

namespace tacit {
namespace {

constexpr absl::string_view kGate = "Segmented";

// Low index bits that tell a segment's entries apart.
int IndexBits(const SegmentedTable& table, size_t segment) {
  return std::bit_width(table.table[segment].size() - 1);
}

std::shared_ptr<const WindowTables> Window(const SegmentedTable& table,
                                           size_t segment) {
  return std::make_shared<WindowTables>(
      WindowTables::Reversed({table.table[segment]}));
}

bool Check(Evaluator& ev, const Wire& x, const SegmentedTable& table,
           int width) {
  const size_t segments = table.table.size();
  if (segments == 0 || table.shift.size() != segments ||
      table.boundaries.size() != segments + 1 || !IsWidth(width)) {
    ev.Reject(kGate, absl::StrCat(segments, " tables, ", table.shift.size(),
                                  " shifts, ", table.boundaries.size(),
                                  " boundaries, width ", width));
    return false;
  }
  if (table.domain_bits < 1 || table.domain_bits > x.width) {
    ev.Reject(kGate, absl::StrCat("domain of ", table.domain_bits,
                                  " bits for a wire of ", x.width));
    return false;
  }
  if (!CheckBoundaries(ev, kGate, table.domain_bits, table.boundaries)) {
    return false;
  }
  for (size_t i = 0; i < segments; ++i) {
    const int shift = table.shift[i];
    const bool valid = shift >= 0 && shift < x.width;
    // Indices of the segment's first and last element, and the overlap.
    const int64_t entries = valid ? ((table.boundaries[i + 1] - 1) >> shift) -
                                        (table.boundaries[i] >> shift) + 2
                                  : 0;
    if (!valid || static_cast<int64_t>(table.table[i].size()) != entries) {
      ev.Reject(kGate, absl::StrCat("segment ", i, " has ",
                                    table.table[i].size(), " entries, shift ",
                                    shift, "; ", entries, " are needed"));
      return false;
    }
    if (IndexBits(table, i) > x.width - shift) {
      ev.Reject(kGate,
                absl::StrCat("segment ", i, " needs ", IndexBits(table, i),
                             " bits above ", shift, " of a wire of ", x.width));
      return false;
    }
  }
  return true;
}

}  // namespace

void PrepareWindows(SegmentedTable& table) {
  table.windows.clear();
  for (size_t i = 0; i < table.table.size(); ++i) {
    table.windows.push_back(Window(table, i));
  }
}

Share Segmented(Evaluator& ev, const Wire& x, const SegmentedTable& table,
                int width) {
  Share out{x.shape, width, table.out_frac};
  if (!Check(ev, x, table, width)) return out;
  ev.Await(x);
  const size_t n = out.size(), segments = table.table.size();
  const int m = table.domain_bits;

  std::vector<Field> keys = {DpfField(m, static_cast<int>(segments) + 1)};
  std::vector<std::shared_ptr<const WindowTables>> windows = table.windows;
  std::vector<int64_t> low(segments), high(segments);  // of indices, inclusive
  std::vector<AcceleratorBlock::Segment> pieces;
  for (size_t i = 0; i < segments; ++i) {
    const size_t length = table.table[i].size();
    keys.push_back(DpfField(IndexBits(table, i), /*paths=*/0, {length}));
    if (table.windows.empty()) windows.push_back(Window(table, i));
    low[i] = table.boundaries[i] >> table.shift[i];
    high[i] = low[i] + static_cast<int64_t>(length) - 1;
    pieces.push_back(
        {table.shift[i], static_cast<uint64_t>(high[i]), windows[i]->table(0)});
  }
  // index(words): the truncated wire of segment i.
  auto index = [&](const Words& words, const auto& block, size_t i) {
    Words u(block.count());
    for (size_t e = 0; e < u.size(); ++e) {
      u[e] = Reduce(words[block.begin() + e], x.width) >> table.shift[i];
    }
    return u;
  };

  // [n, segments]: sigma_i * table_i, the segment bits, the dealer's signs.
  Words sums = MakeWords(ev, n * segments);
  Bytes bits = MakeBits(ev, n * segments);
  Bytes positive = MakeSigns(ev, n * segments);
  ev.RunBlocks(
      kGate, Schema(keys), n,
      [&](DealBlock& block) {
        const size_t count = block.count();
        Bytes sign(count);
        block.Dpf(std::span(*x.mask).subspan(block.begin(), count), sign);
        for (size_t i = 0; i < segments; ++i) {
          block.Dpf(index(*x.mask, block, i), sign);
          for (size_t e = 0; e < count; ++e) {
            positive[(block.begin() + e) * segments + i] = sign[e];
          }
        }
      },
      [&](EvalBlock& block) {
        const size_t begin = block.begin(), count = block.count();
        EvalIntervals(
            block.Dpf(), std::span(*x.hat).subspan(begin, count),
            table.boundaries,
            std::span(bits).subspan(begin * segments, count * segments));
        Words sum(count);
        for (size_t i = 0; i < segments; ++i) {
          Words start = index(*x.hat, block, i);
          for (uint64_t& u : start) u -= static_cast<uint64_t>(high[i]);
          const std::array<std::span<uint64_t>, 1> to = {sum};
          DpfWindowSum(block.Dpf(), start, *windows[i], to);
          for (size_t e = 0; e < count; ++e) {
            sums[(begin + e) * segments + i] = sum[e];
          }
        }
      },
      [&](PlainBlock& block) {
        for (size_t e = block.begin(); e < block.begin() + block.count(); ++e) {
          const uint64_t value = (*x.hat)[e], r = (*x.mask)[e];
          const int64_t v = static_cast<int64_t>(value);
          if (ToSigned(value, m) != v || v < table.boundaries.front() ||
              v >= table.boundaries.back()) {
            block.OutOfBound();
          }
          for (size_t i = 0; i < segments; ++i) {
            const int k = table.shift[i];
            const uint64_t carry = (Reduce(value, k) + Reduce(r, k)) >> k;
            const int64_t u = (v >> k) + static_cast<int64_t>(carry);
            const bool inside =
                table.boundaries[i] <= v && v < table.boundaries[i + 1];
            bits[e * segments + i] = inside;
            sums[e * segments + i] = inside ? table.table[i][u - low[i]] : 0;
          }
        }
      },
      [&](AcceleratorBlock& block) {
        block.Segments(x, table.boundaries, pieces, sums, bits, positive);
      });
  Shape wide = x.shape;
  wide.push_back(segments);
  Share sum_share{wide, width, 0};
  BitShare bit_share{wide};
  SetWords(ev, std::move(sums), sum_share);
  SetBits(ev, std::move(bits), bit_share);
  const Wire u = ev.Open(sum_share);
  const BitWire bit = ev.Open(bit_share);
  ev.Await(u);

  Words part = MakeWords(ev, n);
  const Field field = ShareField(width, segments);
  ev.RunBlocks(
      kGate, {field, field, field, field}, n,
      [&](DealBlock& block) {
        const size_t size = block.count() * segments;
        const size_t begin = block.begin() * segments;
        Words sigma(size), product(size), tau_sigma(size), tau_product(size);
        for (size_t i = 0; i < size; ++i) {
          sigma[i] = Sign(positive[begin + i]);
          product[i] = sigma[i] * (*u.mask)[begin + i];
          tau_sigma[i] = (*bit.mask)[begin + i] * sigma[i];
          tau_product[i] = (*bit.mask)[begin + i] * product[i];
        }
        block.Share(sigma);
        block.Share(product);
        block.Share(tau_sigma);
        block.Share(tau_product);
      },
      [&](EvalBlock& block) {
        const Words sigma = block.Share(), product = block.Share();
        const Words tau_sigma = block.Share(), tau_product = block.Share();
        const size_t begin = block.begin() * segments;
        for (size_t e = 0; e < block.count(); ++e) {
          uint64_t sum = 0;
          for (size_t i = e * segments; i < (e + 1) * segments; ++i) {
            const uint64_t hat = (*u.hat)[begin + i];
            // tau sigma (u_hat - rho); the bit is tau or its complement.
            const uint64_t masked = tau_sigma[i] * hat - tau_product[i];
            sum += (*bit.hat)[begin + i] ? sigma[i] * hat - product[i] - masked
                                         : masked;
          }
          part[block.begin() + e] = sum;
        }
      },
      [&](PlainBlock& block) {
        for (size_t e = block.begin(); e < block.begin() + block.count(); ++e) {
          uint64_t sum = 0;
          for (size_t i = 0; i < segments; ++i) {
            sum += (*u.hat)[e * segments + i];
          }
          part[e] = sum;
        }
      },
      [&](AcceleratorBlock& block) {
        block.FinishSegments(u, bit, positive, segments, part);
      });
  SetWords(ev, std::move(part), out);
  return out;
}

}  // namespace tacit
