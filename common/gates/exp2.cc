#include "common/gates/exp2.h"

#include <array>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"

namespace tacit {
namespace {

constexpr absl::string_view kGate = "Exp2";

// round(2^(-1/2^i) * 2^63) for i = 1 .. 32.
// Recompute: python3 -c "from decimal import *; getcontext().prec = 60;
//   [print(hex(int((Decimal(2) ** (Decimal(-1) / 2 ** i) * 2 ** 63)
//     .to_integral_value()))) for i in range(1, 33)]"
constexpr std::array<uint64_t, 32> kRoots = {
    0x5a827999fcef3242, 0x6ba27e656b4eb57a, 0x75606373ee921c97,
    0x7a92be8a92436616, 0x7d41d96db915019d, 0x7e9f06067a4360ba,
    0x7f4f08ae3dc7c426, 0x7fa765aca88f6453, 0x7fd3ab290e46d769,
    0x7fe9d3a8e07bf086, 0x7ff4e9597bed93ab, 0x7ffa748dff8dc61f,
    0x7ffd3a3f50020332, 0x7ffe9d1dbc0a75aa, 0x7fff4e8e6306ed59,
    0x7fffa74712c3cdfd, 0x7fffd3a381b1fa29, 0x7fffe9d1beed018a,
    0x7ffff4e8defb81d7, 0x7ffffa746f5f012f, 0x7ffffd3a37a7d0a8,
    0x7ffffe9d1bd1fc58, 0x7fffff4e8de8832d, 0x7fffffa746f422d7,
    0x7fffffd3a37a09bb, 0x7fffffe9d1bd02f2, 0x7ffffff4e8de80fe,
    0x7ffffffa746f4060, 0x7ffffffd3a37a028, 0x7ffffffe9d1bd012,
    0x7fffffff4e8de809, 0x7fffffffa746f404,
};

// Upper half of a product of fractions of 2^63, rounded.
uint64_t MulFraction(uint64_t a, uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>((product + (uint64_t{1} << 62)) >> 63);
}

// 2^F for every fraction F of f bits, at `bits` bits; made once in a process.
const std::vector<uint64_t>& Powers(int f, int bits) {
  static std::mutex mutex;
  static auto& made = *new std::map<std::pair<int, int>, std::vector<uint64_t>>;
  std::lock_guard<std::mutex> lock(mutex);
  std::vector<uint64_t>& powers = made[{f, bits}];  // stays where it is
  if (powers.empty()) {
    for (uint64_t i = 0; i < uint64_t{1} << f; ++i) {
      powers.push_back(PowerOfTwoFraction(i, f, +1, bits));
    }
  }
  return powers;
}

}  // namespace

std::span<const uint64_t> PowerOfTwoRoots() { return kRoots; }

uint64_t PowerOfTwoFraction(uint64_t fraction, int frac, int sign, int bits) {
  // 2^(f) = 2 * 2^-(1 - f).
  const bool positive = sign > 0;
  const uint64_t exponent =
      positive ? (uint64_t{1} << frac) - fraction : fraction;
  uint64_t power = uint64_t{1} << 63;
  for (int i = 1; i <= frac; ++i) {
    const uint64_t set = -((exponent >> (frac - i)) & 1);
    // The factor is a root or one: chosen without a branch.
    power = MulFraction(power,
                        (kRoots[i - 1] & set) | ((uint64_t{1} << 63) & ~set));
  }
  // exponent = 2^frac only for positive with fraction = 0: 2^-1.
  power >>= (exponent >> frac) & 1;
  const int drop = 63 - bits - (positive ? 1 : 0);
  return (power + (uint64_t{1} << (drop - 1))) >> drop;
}

Share Exp2(Evaluator& ev, const Wire& x, const Exp2Params& params) {
  const int f = x.frac, m = params.domain_bits, width = params.width();
  Share out{x.shape, width, params.out_frac()};
  if (f < 0 || f > 16 || params.mask_bits < 1 || params.mask_bits > 30 ||
      params.public_bits < 1 || params.public_bits > 30 ||
      params.min_exponent > 0 || params.max_exponent < 0 || !IsWidth(width)) {
    ev.Reject(kGate, absl::StrCat("fraction count ", f, ", result of ", width,
                                  " bits"));
    return out;
  }
  // T(k) = 2^(k - min): the window's entries are exact. One more above, since
  // the integer parts' difference exceeds floor(x) by one where F < R.
  const size_t length = params.max_exponent - params.min_exponent + 2;
  if (!CheckWindow(ev, kGate, x, f, m, params.min_exponent, length)) return out;
  ev.Await(x);
  const size_t n = out.size();
  const int64_t high = params.max_exponent + 1;
  std::vector<int64_t> table(length);
  for (size_t i = 0; i < length; ++i) table[i] = int64_t{1} << i;
  const auto window = WindowTables::Reversed({table});

  Words sums = MakeWords(ev, n);
  Bytes positive = MakeSigns(ev, n);
  ev.RunBlocks(
      kGate, {DpfField(m, /*paths=*/0, {length})}, n,
      [&](DealBlock& block) {
        Words alpha(block.count());
        for (size_t i = 0; i < block.count(); ++i) {
          alpha[i] = (*x.mask)[block.begin() + i] >> f;
        }
        block.Dpf(alpha,
                  std::span(positive).subspan(block.begin(), block.count()));
      },
      [&](EvalBlock& block) {
        Words start(block.count());
        for (size_t i = 0; i < block.count(); ++i) {
          start[i] =
              ((*x.hat)[block.begin() + i] >> f) - static_cast<uint64_t>(high);
        }
        const std::array<std::span<uint64_t>, 1> to = {
            std::span(sums).subspan(block.begin(), block.count())};
        DpfWindowSum(block.Dpf(), start, window, to);
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const int64_t v = static_cast<int64_t>((*x.hat)[e]);
          if (ToSigned(v, m + f) != v || (v >> f) > params.max_exponent) {
            block.OutOfBound();
          }
          const uint64_t r = (*x.mask)[e], hat = v + r;
          const int64_t k = ToSigned((hat >> f) - (r >> f), m);
          const bool inside = k >= params.min_exponent && k <= high;
          sums[e] = inside ? table[k - params.min_exponent] : 0;
        }
      },
      [&](AcceleratorBlock& block) {
        block.WindowSum(x, f, static_cast<uint64_t>(high), window.table(0),
                        sums, positive);
      });
  const SumRing ring(table, width);
  Share masked{x.shape, ring.width(), 0};
  SetWords(ev, std::move(sums), masked);
  const Wire u = ev.Open(masked);
  ev.Await(u);

  // F is public, so a table may be indexed by it.
  const std::vector<uint64_t>& powers = Powers(f, params.public_bits);
  Words part = MakeWords(ev, n);
  ev.RunBlocks(
      kGate, SumSchema(ring, width), n,
      [&](DealBlock& block) {
        Words factor(block.count());
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const uint64_t fraction = Reduce((*x.mask)[e], f);
          factor[i] = Sign(positive[e]) *
                      PowerOfTwoFraction(fraction, f, -1, params.mask_bits);
        }
        DealSum(block, ring, factor,
                std::span(*u.mask).subspan(block.begin(), block.count()));
      },
      [&](EvalBlock& block) {
        const std::span<uint64_t> to =
            std::span(part).subspan(block.begin(), block.count());
        EvalSum(block, ring,
                std::span(*u.hat).subspan(block.begin(), block.count()), to);
        for (size_t i = 0; i < block.count(); ++i) {
          to[i] *= powers[Reduce((*x.hat)[block.begin() + i], f)];
        }
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const uint64_t r = Reduce((*x.mask)[e], f);
          const uint64_t hat = Reduce((*x.hat)[e] + r, f);
          part[e] = powers[hat] * (*u.hat)[e] *
                    PowerOfTwoFraction(r, f, -1, params.mask_bits);
        }
      },
      [&](AcceleratorBlock& block) {
        block.FinishExp2(x, u, ring, positive, f, params.mask_bits, kRoots,
                         powers, part);
      });
  SetWords(ev, std::move(part), out);
  return out;
}

}  // namespace tacit
