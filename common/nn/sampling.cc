#include "common/nn/sampling.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <numbers>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/compare.h"
#include "common/gates/exp2.h"
#include "common/gates/extend.h"
#include "common/gates/gate_util.h"
#include "common/gates/linear.h"
#include "common/gates/multiply.h"
#include "common/gates/select.h"
#include "common/gates/shuffle.h"
#include "common/gates/trunc_reduce.h"

namespace tacit {
namespace {

// The scope names the layer.
void RejectLayer(Evaluator& ev, const std::string& message) {
  ev.Fail(absl::InvalidArgumentError(message));
}

int BitWidth(uint64_t v) { return static_cast<int>(std::bit_width(v)); }

// What all layers here know of their logits.
struct Domain {
  size_t batch = 0, n = 0;
  int bits = 0;        // |logit| < 2^(bits - 1)
  int index_bits = 0;  // index < 2^index_bits
  Shape result;        // of a token: the logits' shape without candidates
};

bool MakeDomain(Evaluator& ev, const Wire& logits, double bound,
                Domain& domain) {
  const size_t rank = logits.shape.size();
  if (!ev.ok()) return false;
  if (rank < 1 || rank > 2 || logits.size() == 0 ||
      logits.shape.back() > size_t{1} << 30) {
    RejectLayer(ev, absl::StrCat("logits of shape ", ToString(logits.shape)));
    return false;
  }
  const double units = std::ceil(std::ldexp(bound, logits.frac));
  if (!(bound > 0) || !(units < 0x1p40)) {
    RejectLayer(ev, absl::StrCat("bound ", bound));
    return false;
  }
  domain.batch = rank == 2 ? logits.shape[0] : 1;
  domain.n = logits.shape.back();
  domain.bits = BitWidth(static_cast<uint64_t>(units) - 1) + 1;
  domain.index_bits = std::max(BitWidth(domain.n - 1), 1);
  domain.result = Shape(logits.shape.begin(), logits.shape.end() - 1);
  // A bit more for differences.
  if (domain.bits + 1 > logits.width) {
    RejectLayer(ev, absl::StrCat("bound ", bound, " takes ", domain.bits + 1,
                                 " bits, the wire has ", logits.width));
  }
  return ev.ok();
}

// The wire at `width` bits: narrowed, or extended and opened again.
Wire AtWidth(Evaluator& ev, const Wire& x, int width) {
  if (width <= x.width) return Narrow(ev, x, width);
  return ev.Open(Extend(ev, x, width));
}
Share ShareAtWidth(Evaluator& ev, const Wire& x, int width) {
  if (width <= x.width) return ToShare(ev, Narrow(ev, x, width));
  return Extend(ev, x, width);
}

// 0, 1, ..., n - 1 in each of `batch` rows, as a public wire [batch, n].
Wire Indices(Evaluator& ev, size_t batch, size_t n, int width, int frac) {
  std::vector<int64_t> values(batch * n);
  for (size_t i = 0; i < values.size(); ++i) values[i] = i % n;
  return Constant(ev, {batch, n}, width, frac, values);
}

// Columns [...] each, joined to rows: [size, columns].
template <typename T>
T Columns(Evaluator& ev, std::vector<T> columns) {
  const size_t n = columns[0].size();
  const int frac = columns[0].frac;
  for (T& column : columns) {
    column = Reshape(ev, column, {1, n});
    column.frac = frac;
  }
  return Transpose(ev, Concat(ev, std::span<const T>(columns)),
                   std::vector<int>{1, 0});
}

// Column c of x [..., columns]: [...].
template <typename T>
T Column(Evaluator& ev, const T& x, size_t c) {
  return Reshape(ev, SliceLast(ev, x, c, 1),
                 Shape(x.shape.begin(), x.shape.end() - 1));
}

// Sums of the first i + 1 elements of each row.
Share PrefixSums(Evaluator& ev, const Share& x) {
  const size_t d = x.shape.back();
  return MapLinear(
      ev, "PrefixSums", x, x.shape, x.frac,
      [d](std::span<const uint64_t> in, std::span<uint64_t> out) {
        uint64_t sum = 0;
        for (size_t i = 0; i < in.size(); ++i) {
          sum = i % d == 0 ? in[i] : sum + in[i];
          out[i] = sum;
        }
      },
      [d](Accelerator& device, const Words& in, Words& out) {
        std::vector<int64_t> up_to(d * d, 0);
        for (size_t j = 0; j < d; ++j) {
          std::fill_n(up_to.begin() + j * d, j + 1, 1);
        }
        device.MapRows(in, d, up_to, out);
      });
}

// Bits that both parties may learn: over Z_2, addition is exclusive or.
Words Reveal(Evaluator& ev, const BitShare& x) {
  Share share{x.shape, 1, 0};
  if (ev.has_data() && !ev.is_dealer()) {
    auto part = std::make_shared<Words>(NewWords(ev, x.size()));
    if (ev.accelerator() != nullptr) {
      ev.accelerator()->Widen(*x.part, *part);
    } else {
      std::copy(x.part->begin(), x.part->end(), part->begin());
    }
    share.part = std::move(part);
  }
  return ev.Reveal(share);
}

}  // namespace

Share Argmax(Evaluator& ev, const Wire& logits, double bound) {
  const Evaluator::Scope scope(ev, "Argmax");
  Domain domain;
  Share out{{}, 2, 0};
  if (!MakeDomain(ev, logits, bound, domain)) return out;
  const int index_width = domain.index_bits + 1;
  out.shape = domain.result;
  out.width = index_width;
  // Differences of values take a bit more.
  const int m = domain.bits + 1, width = std::max(m, index_width);
  const size_t batch = domain.batch;
  const Wire values = ShareMask(ev, AtWidth(ev, logits, width));
  // [candidates, batch, (value, index)]
  const std::vector<int> candidates_first = {1, 0, 2};
  Wire best = Columns<Wire>(
      ev, {values, Indices(ev, batch, domain.n, width, logits.frac)});
  best =
      Transpose(ev, Reshape(ev, best, {batch, domain.n, 2}), candidates_first);
  while (ev.ok() && best.shape[0] > 1) {
    const size_t count = best.shape[0], pairs = count / 2;
    std::vector<size_t> even(pairs), odd(pairs);
    for (size_t i = 0; i < pairs; ++i) {
      even[i] = 2 * i;
      odd[i] = 2 * i + 1;
    }
    const Wire first = GatherRows(ev, best, even);
    const Wire step = Sub(ev, GatherRows(ev, best, odd), first);
    // The second of a pair wins if it is larger: of equals, the first stays.
    const BitShare second = IsNegative(ev, Negate(ev, Column(ev, step, 0)), m);
    const Share gain = Select(ev, second, step, width);
    const Share winner = Add(ev, ToShare(ev, first), gain);
    const Wire winners = ev.Open(winner);
    if (count % 2 == 0) {
      best = winners;
    } else {
      const std::vector<size_t> last = {count - 1};
      best = Concat(ev, std::vector<Wire>{winners, GatherRows(ev, best, last)});
    }
  }
  if (!ev.ok()) return out;
  Share index = ToShare(ev, Narrow(ev, Column(ev, best, 1), index_width));
  index.frac = 0;
  return Reshape(ev, index, domain.result);
}

namespace {

// x [batch, n] less the k-th largest of its row, x.width >= domain.bits + 1.
Wire MinusThreshold(Evaluator& ev, const Wire& x, const Domain& domain,
                    size_t k) {
  constexpr int kDigitBits = 5;
  const size_t batch = domain.batch, n = domain.n;
  const int bits = domain.bits, m = bits + 1;
  // Counts less k.
  const int count_width = BitWidth(n) + 2;
  // z = x - threshold, for the threshold as far as it is known: at least k
  // candidates have z >= 0.
  Wire z = AddPublic(ev, x, int64_t{1} << (bits - 1));
  const int levels = (bits + kDigitBits - 1) / kDigitBits;
  int low = bits;  // bits of the threshold below what is known
  for (int level = levels; level > 0 && ev.ok(); --level) {
    const int digit = (low + level - 1) / level;  // as even as can be
    low -= digit;
    const size_t steps = (size_t{1} << digit) - 1;
    std::vector<int64_t> boundaries;
    for (size_t j = 1; j <= steps; ++j) {
      boundaries.push_back(static_cast<int64_t>(j) << low);
    }
    boundaries.push_back(int64_t{1} << bits);
    const Share inside =
        BitToShare(ev, InIntervals(ev, z, m, boundaries), count_width);
    // How many reach each boundary, less k.
    const Share counts = MapLinear(
        ev, "Count", inside, {batch, steps}, 0,
        [&](std::span<const uint64_t> in, std::span<uint64_t> out) {
          for (size_t row = 0; row < batch; ++row) {
            uint64_t* sum = out.data() + row * steps;
            std::fill_n(sum, steps, 0);
            for (size_t i = 0; i < n; ++i) {
              const uint64_t* from = in.data() + (row * n + i) * steps;
              for (size_t j = 0; j < steps; ++j) sum[j] += from[j];
            }
            for (size_t j = steps - 1; j-- > 0;) sum[j] += sum[j + 1];
          }
        },
        [&](Accelerator& device, const Words& in, Words& out) {
          std::vector<size_t> start(batch + 1);
          for (size_t row = 0; row <= batch; ++row) start[row] = row * n;
          Words sums = device.NewWords(batch * steps);
          device.SumSegments(in, start, steps, sums);
          std::vector<int64_t> from(steps * steps, 0);
          for (size_t j = 0; j < steps; ++j) {
            std::fill_n(from.begin() + j * steps + j, steps - j, 1);
          }
          device.MapRows(sums, steps, from, out);
        });
    const Wire excess =
        ev.Open(AddPublic(ev, counts, -static_cast<int64_t>(k)));
    const BitShare enough = Not(ev, IsNegative(ev, excess, count_width));
    Share step = MulPublic(ev, SumLast(ev, BitToShare(ev, enough, z.width)),
                           int64_t{1} << low);
    step.frac = z.frac;
    z = Sub(ev, z, RepeatLast(ev, ev.Open(step), n));
  }
  return z;
}

// Which rows stay, from bits that all parties have learnt: those above, and
// ties until there are k. At the dealer and for cost, any k rows.
std::vector<size_t> KeptRows(Evaluator& ev, const Words& codes,
                             const Domain& domain, size_t k) {
  std::vector<size_t> rows;
  rows.reserve(domain.batch * k);
  for (size_t row = 0; row < domain.batch; ++row) {
    const size_t begin = row * domain.n, want = rows.size() + k;
    if (codes.empty()) {
      for (size_t i = 0; i < k; ++i) rows.push_back(begin + i);
      continue;
    }
    for (uint64_t code : {2, 1}) {
      for (size_t i = 0; i < domain.n && rows.size() < want; ++i) {
        if (codes[begin + i] == code) rows.push_back(begin + i);
      }
    }
    if (rows.size() != want) {
      ev.Fail(absl::InternalError(
          absl::StrCat("fewer than ", k, " candidates reach the threshold")));
      rows.resize(want);
    }
  }
  return rows;
}

// Rows in descending order of keys [batch, k], which differ, from all
// comparisons of two.
std::vector<size_t> SortedRows(Evaluator& ev, const Wire& keys, int m) {
  const size_t batch = keys.shape[0], k = keys.shape[1];
  const size_t pairs = k * (k - 1) / 2;
  const Wire differences = MapLinear(
      ev, "Differences", keys, {batch, pairs}, keys.frac,
      [&](std::span<const uint64_t> in, std::span<uint64_t> out) {
        size_t at = 0;
        for (size_t row = 0; row < batch; ++row) {
          const uint64_t* key = in.data() + row * k;
          for (size_t i = 0; i < k; ++i) {
            for (size_t j = i + 1; j < k; ++j) out[at++] = key[i] - key[j];
          }
        }
      },
      [&](Accelerator& device, const Words& in, Words& out) {
        std::vector<size_t> first, second;
        for (size_t row = 0; row < batch; ++row) {
          for (size_t i = row * k; i < (row + 1) * k; ++i) {
            for (size_t j = i + 1; j < (row + 1) * k; ++j) {
              first.push_back(i);
              second.push_back(j);
            }
          }
        }
        Words a = device.NewWords(out.size());
        Words b = device.NewWords(out.size());
        device.GatherRows(in, 1, first, a);
        device.GatherRows(in, 1, second, b);
        device.Sub(a, b, out);
      });
  const Words smaller = Reveal(ev, IsNegative(ev, differences, m));
  std::vector<size_t> order(batch * k);
  if (smaller.size() != batch * pairs || !ev.has_data()) {
    std::iota(order.begin(), order.end(), size_t{0});
    return order;
  }
  size_t at = 0;
  for (size_t row = 0; row < batch; ++row) {
    std::vector<size_t> rank(k, 0);  // how many are larger
    for (size_t i = 0; i < k; ++i) {
      for (size_t j = i + 1; j < k; ++j) ++rank[smaller[at++] ? i : j];
    }
    for (size_t i = 0; i < k; ++i) order[row * k + rank[i]] = row * k + i;
  }
  return order;
}

TopKResult TopKOf(Evaluator& ev, const Wire& logits, const Domain& domain,
                  size_t k, int width) {
  const size_t batch = domain.batch, n = domain.n;
  const int bits = domain.bits;
  // Keys value 2^index_bits - index, and the difference of two.
  const int key_width = bits + domain.index_bits + 2;
  width = std::max(width, key_width);
  Shape shape = domain.result;
  shape.push_back(k);
  TopKResult out{{shape, width, logits.frac}, {shape, width, 0}};
  if (!IsWidth(width)) {
    RejectLayer(ev, absl::StrCat(n, " candidates of ", bits, " bits take ",
                                 width, " bits"));
    return out;
  }
  const Wire x = Reshape(ev, logits, {batch, n});
  const Wire z = MinusThreshold(ev, AtWidth(ev, x, bits + 1), domain, k);
  // 1 for a tie with the threshold, 2 above it.
  const std::vector<int64_t> boundaries = {0, 1, int64_t{1} << bits};
  const Share flags =
      BitToShare(ev, InIntervals(ev, z, bits + 1, boundaries), width);
  const Share codes = MapLinear(
      ev, "Codes", flags, {batch, n}, 0,
      [](std::span<const uint64_t> in, std::span<uint64_t> out) {
        for (size_t i = 0; i < out.size(); ++i) {
          out[i] = in[2 * i] + 2 * in[2 * i + 1];
        }
      },
      [](Accelerator& device, const Words& in, Words& out) {
        const std::vector<int64_t> code = {1, 2};
        device.MapRows(in, 2, code, out);
      });
  // From here on integers.
  Share values = ShareAtWidth(ev, x, width);
  values.frac = 0;
  const Share indices = ToShare(ev, Indices(ev, batch, n, width, 0));
  const Share table = Columns<Share>(ev, {values, indices, codes});
  std::vector<Share> shuffled;
  for (size_t row = 0; row < batch; ++row) {
    std::vector<size_t> rows(n);
    std::iota(rows.begin(), rows.end(), row * n);
    shuffled.push_back(Shuffle(ev, GatherRows(ev, table, rows)));
  }
  if (!ev.ok()) return out;
  const Share all = shuffled.size() == 1 ? shuffled[0] : Concat(ev, shuffled);
  const Words learnt = ev.Reveal(Narrow(ev, Column(ev, all, 2), 2));
  const Share kept = GatherRows(ev, all, KeptRows(ev, learnt, domain, k));

  Share sorted = kept;
  if (k > 1) {
    const Share key = Sub(
        ev, MulPublic(ev, Column(ev, kept, 0), int64_t{1} << domain.index_bits),
        Column(ev, kept, 1));
    const Wire keys =
        ev.Open(Reshape(ev, Narrow(ev, key, key_width), {batch, k}));
    sorted = GatherRows(ev, kept, SortedRows(ev, keys, key_width));
  }
  if (!ev.ok()) return out;
  out.values = Reshape(ev, Column(ev, sorted, 0), shape);
  out.values.frac = logits.frac;
  out.indices = Reshape(ev, Column(ev, sorted, 1), shape);
  return out;
}

bool CheckTopK(Evaluator& ev, const Domain& domain, size_t k) {
  if (k >= 1 && k <= domain.n && k <= kMaxTopK) return true;
  RejectLayer(ev, absl::StrCat("the ", k, " largest of ", domain.n,
                               "; at most ", kMaxTopK));
  return false;
}

}  // namespace

TopKResult TopK(Evaluator& ev, const Wire& logits, double bound, size_t k,
                int width) {
  const Evaluator::Scope scope(ev, "TopK");
  Domain domain;
  if (!MakeDomain(ev, logits, bound, domain) || !CheckTopK(ev, domain, k)) {
    Share none{logits.shape, 2, 0};
    if (!none.shape.empty()) none.shape.back() = k;
    return {none, none};
  }
  return TopKOf(ev, logits, domain, k, width);
}

namespace {

// How log2 e / temperature is applied, and the rings of what follows.
struct Scaling {
  int64_t factor;  // 16 bits, over 2^frac
  int frac;
  int width;  // of a difference of logits times the factor

  int ExponentFrac(int logit_frac) const {
    return std::min(12, logit_frac + frac);
  }
};

Scaling MakeScaling(const Domain& domain, int logit_frac, double temperature) {
  constexpr int kFactorBits = 16;
  const double factor = std::numbers::log2e / temperature;
  Scaling s;
  // For very low temperatures on few fraction bits: an integer.
  s.frac = std::max(0, kFactorBits - 1 - std::ilogb(factor));
  s.factor = std::llround(std::ldexp(factor, s.frac));
  // The integer part must have room for the window of Exp2, too.
  s.width =
      std::max(domain.bits + BitWidth(s.factor) + 1, logit_frac + s.frac + 7);
  return s;
}

// 2^x for x <= 0, of so many fraction bits and over a ring of so many bits that
// row sums and their product with u fit.
struct WeightRing {
  int frac, width;

  explicit WeightRing(size_t candidates) {
    const int sum_bits = BitWidth(candidates);
    // Sign, and rounding that takes a sum above 2^sum_bits.
    constexpr int kSpare = 3;
    frac = std::min(24, kMaxWidth - kUniformBits - sum_bits - kSpare);
    width = frac + sum_bits + kUniformBits + kSpare;
  }
};

Share Weights(Evaluator& ev, const Share& x, int exponent_frac,
              const WeightRing& ring) {
  const Wire wide = ev.Open(x);
  const Wire exponent = TruncReduce(ev, wide, wide.frac - exponent_frac);
  Exp2Params exp2;
  exp2.min_exponent = -24;
  exp2.max_exponent = 1;  // none is above 0; what rounding adds, and Extend
  exp2.domain_bits = exponent.width - exponent_frac;
  exp2.mask_bits = exp2.public_bits = 14;
  const Wire weight = ev.Open(Exp2(ev, exponent, exp2));
  return Extend(ev, TruncReduce(ev, weight, weight.frac - ring.frac),
                ring.width);
}

// 1 for the element at which a row of 1 ... 1 0 ... 0 turns to 0. Local.
BitShare Turn(Evaluator& ev, const BitShare& x) {
  BitShare out{x.shape};
  if (!ev.has_data() || x.part == nullptr) return out;
  const size_t d = x.shape.back();
  const uint8_t one = !ev.is_party() || ev.party() == 0;
  auto part = std::make_shared<Bytes>(NewBytes(ev, x.size()));
  if (ev.accelerator() != nullptr) {
    ev.accelerator()->Turn(*x.part, d, *part);
  } else {
    for (size_t i = 0; i < x.size(); ++i) {
      (*part)[i] = (*x.part)[i] ^ (i % d == 0 ? one : (*x.part)[i - 1]);
    }
  }
  out.part = std::move(part);
  return out;
}

// The candidates that top_p keeps, of weights in descending order: those before
// which less than top_p of the whole lies. Others get the weight 0.
Share KeepTopP(Evaluator& ev, const Share& weights, double top_p) {
  constexpr int kBits = 16;
  const auto factor = static_cast<int64_t>(std::ldexp(top_p, kBits));
  const size_t k = weights.shape.back();
  const Share before = Sub(ev, PrefixSums(ev, weights), weights);
  const Share part = MulPublic(ev, SumLast(ev, weights), factor);
  const Share excess = Sub(ev, MulPublic(ev, before, int64_t{1} << kBits),
                           RepeatLast(ev, part, k));
  const Wire opened = ev.Open(excess), weight = ev.Open(weights);
  return Select(ev, IsNegative(ev, opened, opened.width), weight,
                weights.width);
}

// 1{sum of the first i + 1 weights <= u times their sum}, for each i.
BitShare Passed(Evaluator& ev, const Share& weights, const Wire& u) {
  const size_t k = weights.shape.back();
  const int width = weights.width;
  const Wire total = ev.Open(SumLast(ev, weights));
  const Share product = Mul(ev, total, u, width);
  Share sums = PrefixSums(ev, weights);
  sums = MulPublic(ev, sums, int64_t{1} << kUniformBits, kUniformBits);
  // a <= b if a - b - 1 < 0.
  const Wire difference =
      ev.Open(AddPublic(ev, Sub(ev, sums, RepeatLast(ev, product, k)), -1));
  return IsNegative(ev, difference, width);
}

std::string Problem(const SampleParams& params, const Domain& domain,
                    const Wire& u) {
  if (!(params.temperature >= 1e-3 && params.temperature <= 1e3)) {
    return absl::StrCat("temperature ", params.temperature);
  }
  if (!(params.top_p > 0 && params.top_p <= 1)) {
    return absl::StrCat("top_p ", params.top_p);
  }
  if (params.top_p < 1 && params.top_k == 0 && domain.n > kMaxTopK) {
    return absl::StrCat("top_p of ", domain.n, " candidates needs a top_k");
  }
  if (u.shape != domain.result || u.width != kUniformWidth ||
      u.frac != kUniformBits) {
    return absl::StrCat("randomness of shape ", ToString(u.shape), ", ",
                        u.width, " bits, fraction ", u.frac, " for tokens ",
                        ToString(domain.result));
  }
  return "";
}

}  // namespace

Share Sample(Evaluator& ev, const Wire& logits, const Wire& u,
             const SampleParams& params) {
  if (params.temperature == 0) return Argmax(ev, logits, params.bound);
  const Evaluator::Scope scope(ev, "Sample");
  Domain domain;
  Share out{{}, 2, 0};
  if (!MakeDomain(ev, logits, params.bound, domain)) return out;
  out.shape = domain.result;
  out.width = domain.index_bits + 1;
  const std::string problem = Problem(params, domain, u);
  const bool sorts = params.top_k != 0 || params.top_p < 1;
  const size_t k =
      params.top_k == 0 ? domain.n : std::min(params.top_k, domain.n);
  if (!problem.empty()) {
    RejectLayer(ev, problem);
  } else if (sorts) {
    CheckTopK(ev, domain, k);
  }
  const Scaling scaling = MakeScaling(domain, logits.frac,
                                      problem.empty() ? params.temperature : 1);
  if (ev.ok() && !IsWidth(scaling.width)) {
    RejectLayer(ev, absl::StrCat("bound ", params.bound, " at temperature ",
                                 params.temperature, " takes ", scaling.width,
                                 " bits"));
  }
  if (!ev.ok()) return out;

  // Differences from the largest, and whose they are.
  const size_t batch = domain.batch;
  Share difference;
  Wire index;
  if (sorts) {
    const TopKResult top = TopKOf(ev, logits, domain, k, scaling.width);
    const Share values = Reshape(ev, top.values, {batch, k});
    const Share largest = Reshape(ev, SliceLast(ev, values, 0, 1), {batch});
    difference = Sub(ev, values, RepeatLast(ev, largest, k));
    index =
        ev.Open(Reshape(ev, Narrow(ev, top.indices, out.width), {batch, k}));
  } else {
    const Wire x = AtWidth(ev, Reshape(ev, logits, {batch, k}),
                           std::max(scaling.width, domain.bits + 1));
    difference = ToShare(ev, MinusThreshold(ev, x, domain, 1));
  }
  if (!ev.ok()) return out;
  const Share scaled = MulPublic(ev, Narrow(ev, difference, scaling.width),
                                 scaling.factor, scaling.frac);
  Share weights =
      Weights(ev, scaled, scaling.ExponentFrac(logits.frac), WeightRing(k));
  if (params.top_p < 1) weights = KeepTopP(ev, weights, params.top_p);
  const BitShare passed = Passed(ev, weights, Reshape(ev, u, {batch}));
  // Sorted, the candidate where `passed` ends; else how many it has passed.
  const Share token =
      sorts ? SumLast(ev, Select(ev, Turn(ev, passed), index, out.width))
            : SumLast(ev, BitToShare(ev, passed, out.width));
  return Reshape(ev, token, domain.result);
}

}  // namespace tacit
