#include "common/gates/interpolated.h"

#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"
#include "common/gates/linear.h"
#include "common/ring/elementwise.h"

namespace tacit {
namespace {

bool CheckTail(Evaluator& ev, absl::string_view gate, const Wire& x,
               const InterpolatedTable& table, int width) {
  if (!table.identity_above) return true;
  const int shift = table.out_frac - x.frac;
  // The form of an extended x holds from 0 on only, but above the window u is
  // at least its end, and x at least u - 1 steps.
  const bool negative =
      table.low + static_cast<int64_t>(table.value.size()) < 1;
  if (table.constant_above != 0) {
    ev.Reject(gate, "an identity and a constant above the window");
  } else if (shift < 0 || shift >= width ||
             (negative && width - shift > x.width)) {
    ev.Reject(gate,
              absl::StrCat("width ", width, " with an identity of ", shift,
                           " more fraction bits", negative ? " below zero" : "",
                           " for a wire of ", x.width, " bits"));
  }
  return ev.ok();
}

bool Check(Evaluator& ev, absl::string_view gate, const Wire& x,
           const InterpolatedTable& table, int width) {
  if (!CheckWindow(ev, gate, x, table.step_bits, table.domain_bits, table.low,
                   table.value.size())) {
    return false;
  }
  if (table.slope.size() != table.value.size()) {
    ev.Reject(gate, absl::StrCat(table.value.size(), " values, ",
                                 table.slope.size(), " slopes"));
  } else if (!IsWidth(width) || table.value_shift < 0 ||
             table.value_shift >= width) {
    ev.Reject(gate, absl::StrCat("width ", width, ", value shift ",
                                 table.value_shift));
  }
  return ev.ok() && CheckTail(ev, gate, x, table, width);
}

// The largest |2^value_shift value + slope e_hat|, which is linear in e_hat, so
// largest at an end of [0, 2^step_bits). At most 2^63 - 1, which stands for
// everything above.
int64_t LargestSum(const InterpolatedTable& table) {
  constexpr __int128 kMost = INT64_MAX;
  const __int128 end = (__int128{1} << table.step_bits) - 1;
  __int128 largest = 0;
  for (size_t i = 0; i < table.value.size(); ++i) {
    const __int128 first = static_cast<__int128>(table.value[i])
                           << table.value_shift;
    const __int128 last = first + end * table.slope[i];
    largest = std::max({largest, first, -first, last, -last});
  }
  return static_cast<int64_t>(std::min(largest, kMost));
}

std::shared_ptr<const WindowTables> Windows(const InterpolatedTable& table) {
  return std::make_shared<WindowTables>(
      WindowTables::Reversed({table.value, table.slope}));
}

// What lies above the window is a multiple of 2^this.
int TailShift(const Wire& x, const InterpolatedTable& table, int width) {
  if (table.identity_above) return table.out_frac - x.frac;
  const uint64_t above = static_cast<uint64_t>(table.constant_above);
  return std::min(std::countr_zero(above), width - 1);
}

// The function's result as a linear form: the sum over terms of
// coefficient * [value] * 2^shift, and a public constant.
class Form {
 public:
  // One Words of a block's elements for each term.
  using Columns = std::vector<Words>;
  struct Public {
    Columns coefficients;
    Words constant;
  };

  // Deals the keys and lets the openings wait. Requires checked arguments that
  // outlive the form.
  Form(Evaluator& ev, absl::string_view gate, const Wire& x,
       const InterpolatedTable& table, int width)
      : x_(x),
        table_(table),
        width_(width),
        windows_(table.windows ? table.windows : Windows(table)),
        has_tail_(table.identity_above || table.constant_above != 0),
        tail_shift_(TailShift(x, table, width)),
        sum_ring_(std::array{LargestSum(table)}, width),
        slope_ring_(table.slope, width) {
    Open(ev, gate);
  }

  // Makes the opened sums readable.
  void Await(Evaluator& ev) const {
    ev.Await(sum_);
    ev.Await(slope_);
    if (has_tail_) ev.Await(above_);
  }

  // Of each term, in order.
  std::vector<int> Shifts() const;
  // The dealer's, the parties' and the plain evaluator's side of a block.
  Columns Values(const DealBlock& block) const;
  Public Coefficients(const EvalBlock& block) const;
  Words Plain(const PlainBlock& block) const;
  // T(x), times y if it is not null, on an accelerator.
  void Finish(AcceleratorBlock& block, const Wire* y, Words& out) const {
    block.FinishInterpolated(x_, table_,
                             {sum_, slope_, above_, sum_ring_, slope_ring_,
                              tail_shift_, extends(), positive_},
                             y, out);
  }

 private:
  uint64_t high() const {  // first u above the window
    return static_cast<uint64_t>(table_.low) + table_.value.size();
  }
  // Whether an identity's wire is narrower than its place in the result.
  bool extends() const {
    return table_.identity_above && width_ - tail_shift_ > x_.width;
  }
  uint64_t StepPart(uint64_t word) const {
    return Reduce(word, table_.step_bits);
  }
  // u's masked value and mask, from the bits above the step.
  Words Index(std::span<const uint64_t> words) const;

  void Open(Evaluator& ev, absl::string_view gate);
  void EvalKeys(EvalBlock& block, Words& sums, Words& slopes,
                Bytes& above) const;
  void PlainSums(PlainBlock& block, Words& sums, Words& slopes,
                 Bytes& above) const;
  void IdentityValues(size_t begin, Columns& out, WordSpan rest) const;
  void IdentityCoefficients(size_t begin, Public& out) const;
  void ConstantCoefficients(size_t begin, Public& out) const;

  const Wire& x_;
  const InterpolatedTable& table_;
  const int width_;
  const std::shared_ptr<const WindowTables> windows_;
  const bool has_tail_;
  const int tail_shift_;
  const SumRing sum_ring_, slope_ring_;
  Bytes positive_;
  Wire sum_, slope_;  // p and w
  BitWire above_;
};

Words Form::Index(std::span<const uint64_t> words) const {
  Words u(words.size());
  for (size_t i = 0; i < words.size(); ++i) {
    u[i] = Reduce(words[i], x_.width) >> table_.step_bits;
  }
  return u;
}

void Form::EvalKeys(EvalBlock& block, Words& sums, Words& slopes,
                    Bytes& above) const {
  const size_t begin = block.begin(), count = block.count();
  const std::span<const uint64_t> hat =
      std::span(*x_.hat).subspan(begin, count);
  Words start = Index(hat);
  const DpfKeys keys = block.Dpf();
  if (has_tail_) {
    // For m = 64, 2^(m-1) is the most negative number: same residue.
    const std::array<int64_t, 2> ends = {
        static_cast<int64_t>(high()),
        static_cast<int64_t>(uint64_t{1} << (table_.domain_bits - 1))};
    EvalIntervals(keys, start, ends, std::span(above).subspan(begin, count));
  }
  for (uint64_t& u : start) u -= high() - 1;
  const std::array<std::span<uint64_t>, 2> to = {
      std::span(sums).subspan(begin, count),
      std::span(slopes).subspan(begin, count)};
  DpfWindowSum(keys, start, *windows_, to);
  for (size_t i = 0; i < count; ++i) {
    to[0][i] = (to[0][i] << table_.value_shift) + to[1][i] * StepPart(hat[i]);
  }
}

void Form::PlainSums(PlainBlock& block, Words& sums, Words& slopes,
                     Bytes& above) const {
  const int k = table_.step_bits;
  for (size_t i = 0; i < block.count(); ++i) {
    const size_t e = block.begin() + i;
    const uint64_t v = (*x_.hat)[e], mask = (*x_.mask)[e];
    const uint64_t carry = (StepPart(v) + StepPart(mask)) >> k;
    const int64_t u =
        (static_cast<int64_t>(v) >> k) + static_cast<int64_t>(carry);
    if (ToSigned(u, table_.domain_bits) != u) block.OutOfBound();
    const int64_t end = static_cast<int64_t>(high());
    const bool inside = u >= table_.low && u < end;
    const int64_t at = inside ? u - table_.low : 0;
    const uint64_t value = inside ? table_.value[at] : 0;
    const uint64_t slope = inside ? table_.slope[at] : 0;
    sums[e] = (value << table_.value_shift) + slope * StepPart(v + mask);
    slopes[e] = slope;
    if (has_tail_) above[e] = u >= end;
  }
}

void Form::Open(Evaluator& ev, absl::string_view gate) {
  ev.Await(x_);
  const size_t n = x_.size();
  Words sums = MakeWords(ev, n), slopes = MakeWords(ev, n);
  Bytes above = MakeBits(ev, has_tail_ ? n : 0);
  positive_ = MakeSigns(ev, n);
  ev.RunBlocks(
      gate,
      {DpfField(table_.domain_bits, has_tail_ ? 2 : 0, {table_.value.size()})},
      n,
      [&](DealBlock& block) {
        const size_t begin = block.begin(), count = block.count();
        block.Dpf(Index(std::span(*x_.mask).subspan(begin, count)),
                  std::span(positive_).subspan(begin, count));
      },
      [&](EvalBlock& block) { EvalKeys(block, sums, slopes, above); },
      [&](PlainBlock& block) { PlainSums(block, sums, slopes, above); },
      [&](AcceleratorBlock& block) {
        block.InterpolatedKeys(x_, table_, *windows_, has_tail_, high(), sums,
                               slopes, above, positive_);
      });
  Share sum{x_.shape, sum_ring_.width()}, slope{x_.shape, slope_ring_.width()};
  SetWords(ev, std::move(sums), sum);
  SetWords(ev, std::move(slopes), slope);
  sum_ = ev.Open(sum);
  slope_ = ev.Open(slope);
  if (!has_tail_) return;
  BitShare bit{x_.shape};
  SetBits(ev, std::move(above), bit);
  above_ = ev.Open(bit);
}

std::vector<int> Form::Shifts() const {
  std::vector<int> shifts = {0, 0, 0};
  if (sum_ring_.extends()) shifts.push_back(sum_ring_.width());
  if (slope_ring_.extends()) shifts.push_back(slope_ring_.width());
  if (has_tail_) shifts.push_back(tail_shift_);
  if (table_.identity_above) shifts.push_back(tail_shift_);
  if (extends()) shifts.insert(shifts.end(), 2, tail_shift_ + x_.width);
  return shifts;
}

Form::Columns Form::Values(const DealBlock& block) const {
  const size_t begin = block.begin(), count = block.count();
  Words sigma(count), sigma_e(count), rest(count), sum_msb(count),
      slope_msb(count), rho(count);
  for (size_t i = 0; i < count; ++i) {
    const size_t e = begin + i;
    const uint64_t rho_p = (*sum_.mask)[e], rho_w = (*slope_.mask)[e];
    const uint64_t low = StepPart((*x_.mask)[e]);
    sigma[i] = Sign(positive_[e]);
    sigma_e[i] = sigma[i] * low;
    rest[i] =
        sigma[i] * (low * slope_ring_.Mask(rho_w) - sum_ring_.Mask(rho_p));
    sum_msb[i] = sigma[i] * sum_ring_.Msb(rho_p);
    slope_msb[i] = sigma_e[i] * slope_ring_.Msb(rho_w);
    if (has_tail_) rho[i] = (*above_.mask)[e];
  }
  Columns out;
  out.push_back(std::move(sigma));
  out.push_back(std::move(sigma_e));
  out.push_back(std::move(rest));
  if (sum_ring_.extends()) out.push_back(std::move(sum_msb));
  if (slope_ring_.extends()) out.push_back(std::move(slope_msb));
  if (has_tail_) out.push_back(std::move(rho));
  if (table_.identity_above) IdentityValues(begin, out, out[2]);
  return out;
}

void Form::IdentityValues(size_t begin, Columns& out, WordSpan rest) const {
  const size_t count = rest.size();
  const int n = x_.width;
  Words mask(count), first(count), second(count);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t rho = (*above_.mask)[begin + i];
    const uint64_t r = Reduce((*x_.mask)[begin + i], n);
    const uint64_t msb = r >> (n - 1);
    rest[i] -= (rho * r) << tail_shift_;
    mask[i] = (2 * rho - 1) * r;
    first[i] = rho * msb;
    second[i] = (1 - 2 * rho) * msb;
  }
  out.push_back(std::move(mask));
  if (!extends()) return;
  out.push_back(std::move(first));
  out.push_back(std::move(second));
}

Form::Public Form::Coefficients(const EvalBlock& block) const {
  const size_t begin = block.begin(), count = block.count();
  Words sum(count), slope(count), one(count), sum_wraps(count),
      slope_wraps(count);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t p = (*sum_.hat)[begin + i], w = (*slope_.hat)[begin + i];
    sum[i] = sum_ring_.Value(p);
    slope[i] = -slope_ring_.Value(w);
    one[i] = 1;
    sum_wraps[i] = sum_ring_.Wraps(p);
    slope_wraps[i] = -slope_ring_.Wraps(w);
  }
  Public out{{}, Words::Zeroed(count)};
  out.coefficients.push_back(std::move(sum));
  out.coefficients.push_back(std::move(slope));
  out.coefficients.push_back(std::move(one));
  if (sum_ring_.extends()) out.coefficients.push_back(std::move(sum_wraps));
  if (slope_ring_.extends()) out.coefficients.push_back(std::move(slope_wraps));
  if (table_.identity_above) {
    IdentityCoefficients(begin, out);
  } else if (has_tail_) {
    ConstantCoefficients(begin, out);
  }
  return out;
}

void Form::IdentityCoefficients(size_t begin, Public& out) const {
  const size_t count = out.constant.size();
  const int n = x_.width;
  Words bit(count), mask(count), first(count), second(count);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t hat = Reduce((*x_.hat)[begin + i], n);
    const uint64_t g = (*above_.hat)[begin + i];
    const uint64_t wraps = 1 - (hat >> (n - 1));
    bit[i] = (1 - 2 * g) * hat;
    mask[i] = g;
    first[i] = wraps;
    second[i] = wraps * g;
    out.constant[i] = (g * hat) << tail_shift_;
  }
  out.coefficients.push_back(std::move(bit));
  out.coefficients.push_back(std::move(mask));
  if (!extends()) return;
  out.coefficients.push_back(std::move(first));
  out.coefficients.push_back(std::move(second));
}

void Form::ConstantCoefficients(size_t begin, Public& out) const {
  const uint64_t above = static_cast<uint64_t>(table_.constant_above);
  Words bit(out.constant.size());
  for (size_t i = 0; i < bit.size(); ++i) {
    const uint64_t g = (*above_.hat)[begin + i];
    bit[i] = (1 - 2 * g) * (above >> tail_shift_);
    out.constant[i] = g * above;
  }
  out.coefficients.push_back(std::move(bit));
}

Words Form::Plain(const PlainBlock& block) const {
  Words out(block.count());
  for (size_t i = 0; i < block.count(); ++i) {
    const size_t e = block.begin() + i;
    out[i] = (*sum_.hat)[e] - (*slope_.hat)[e] * StepPart((*x_.mask)[e]);
    if (!has_tail_ || !(*above_.hat)[e]) continue;
    out[i] += table_.identity_above
                  ? (*x_.hat)[e] << tail_shift_
                  : static_cast<uint64_t>(table_.constant_above);
  }
  return out;
}

// `copies` of the ring that each term needs.
Schema FormSchema(const std::vector<int>& shifts, int width, int copies) {
  std::vector<Field> fields;
  for (int shift : shifts) {
    fields.insert(fields.end(), copies, ShareField(width - shift));
  }
  return Schema(std::move(fields));
}

}  // namespace

void PrepareWindows(InterpolatedTable& table) {
  table.windows = Windows(table);
}

Share Interpolated(Evaluator& ev, const Wire& x, const InterpolatedTable& table,
                   int width) {
  constexpr absl::string_view kGate = "Interpolated";
  Share out{x.shape, width, table.out_frac};
  if (!Check(ev, kGate, x, table, width)) return out;
  const Form form(ev, kGate, x, table, width);
  form.Await(ev);
  const std::vector<int> shifts = form.Shifts();
  Words part = MakeWords(ev, out.size());
  ev.RunBlocks(
      kGate, FormSchema(shifts, width, 1), out.size(),
      [&](DealBlock& block) {
        for (const Words& value : form.Values(block)) block.Share(value);
      },
      [&](EvalBlock& block) {
        const Form::Public known = form.Coefficients(block);
        const uint64_t first = block.party() == 0;  // adds what is public
        uint64_t* z = part.data() + block.begin();
        for (size_t i = 0; i < block.count(); ++i) {
          z[i] = first * known.constant[i];
        }
        for (size_t j = 0; j < shifts.size(); ++j) {
          const Words& c = known.coefficients[j];
          const Words dealt = block.Share();
          for (size_t i = 0; i < block.count(); ++i) {
            z[i] += (c[i] * dealt[i]) << shifts[j];
          }
        }
      },
      [&](PlainBlock& block) {
        const Words value = form.Plain(block);
        std::copy(value.begin(), value.end(), part.begin() + block.begin());
      },
      [&](AcceleratorBlock& block) { form.Finish(block, nullptr, part); });
  SetWords(ev, std::move(part), out);
  return out;
}

Share InterpolatedTimes(Evaluator& ev, const Wire& x, const Wire& y_wire,
                        const InterpolatedTable& table, int width) {
  constexpr absl::string_view kGate = "InterpolatedTimes";
  Share out{x.shape, width, table.out_frac + y_wire.frac};
  if (!Check(ev, kGate, x, table, width)) return out;
  if (x.shape != y_wire.shape || width > y_wire.width) {
    ev.Reject(kGate,
              absl::StrCat("width ", width, ", shapes ", ToString(x.shape),
                           " and ", ToString(y_wire.shape), ", the latter of ",
                           y_wire.width, " bits"));
    return out;
  }
  const Form form(ev, kGate, x, table, width);
  const Wire y = ShareMask(ev, y_wire);
  ev.Await(y);  // with the form's openings, if it still waits
  form.Await(ev);
  const std::vector<int> shifts = form.Shifts();
  Words part = MakeWords(ev, out.size());
  ev.RunBlocks(
      kGate, FormSchema(shifts, width, 2), out.size(),
      [&](DealBlock& block) {
        const uint64_t* mask = y.mask->data() + block.begin();
        for (Words& value : form.Values(block)) {
          block.Share(value);
          for (size_t i = 0; i < value.size(); ++i) value[i] *= mask[i];
          block.Share(value);
        }
      },
      [&](EvalBlock& block) {
        const Form::Public known = form.Coefficients(block);
        const uint64_t b = block.party();
        const uint64_t* hat = y.hat->data() + block.begin();
        const uint64_t* mask = y.mask->data() + block.begin();
        uint64_t* z = part.data() + block.begin();
        for (size_t i = 0; i < block.count(); ++i) {
          z[i] = known.constant[i] * (b * hat[i] - mask[i]);
        }
        for (size_t j = 0; j < shifts.size(); ++j) {
          const Words& c = known.coefficients[j];
          const Words dealt = block.Share(), product = block.Share();
          for (size_t i = 0; i < block.count(); ++i) {
            z[i] += (c[i] * (hat[i] * dealt[i] - product[i])) << shifts[j];
          }
        }
      },
      [&](PlainBlock& block) {
        const Words value = form.Plain(block);
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          part[e] = value[i] * (*y.hat)[e];
        }
      },
      [&](AcceleratorBlock& block) { form.Finish(block, &y, part); });
  SetWords(ev, std::move(part), out);
  return out;
}

}  // namespace tacit
