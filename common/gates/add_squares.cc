#include "common/gates/add_squares.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"
#include "common/gates/linear.h"

namespace tacit {
namespace {

constexpr absl::string_view kGate = "AddSquares";

bool Check(Evaluator& ev, const Wire& x, const Wire& u, int square_bits) {
  if (x.shape.empty() || x.shape != u.shape || x.frac != u.frac) {
    ev.Reject(kGate, absl::StrCat("shapes ", ToString(x.shape), " and ",
                                  ToString(u.shape), ", fraction counts ",
                                  x.frac, " and ", u.frac));
  } else if (u.width < 2 || u.width >= x.width || !IsWidth(square_bits) ||
             square_bits > x.width) {
    ev.Reject(kGate, absl::StrCat("a wire of ", x.width, " bits, an update of ",
                                  u.width, ", squares of ", square_bits,
                                  ": the update must be the narrower one"));
  }
  return ev.ok();
}

// The elements' step: sums, and what each adds to its row's sum of squares but
// for r_s^2. Blocks of elements do not align with rows, so these contributions
// are added up afterwards.
class Elements {
 public:
  Elements(Evaluator& ev, const Wire& x, const Wire& u, Range range,
           int square_bits)
      : ev_(ev),
        x_(x),
        u_(u),
        n_(u.width),
        offset_(range == Range::kSigned ? uint64_t{1} << (n_ - 2) : 0),
        cross_bits_(square_bits - n_ - 1),
        // On an accelerator the dealer keeps r_s there.
        sum_(ev.accelerator() != nullptr && ev.is_dealer()
                 ? NewWords(ev, ev.ok() ? x.size() : 0)
                 : MakeWords(ev, x.size())),
        square_(MakeWords(ev, x.size())) {}

  void Run() {
    std::vector<Field> fields = {ShareField(x_.width),
                                 ShareField(x_.width - n_)};
    if (has_cross()) fields.push_back(ShareField(cross_bits_));
    ev_.RunBlocks(
        kGate, Schema(std::move(fields)), x_.size(),
        [this](DealBlock& block) { Deal(block); },
        [this](EvalBlock& block) { Eval(block); },
        [this](PlainBlock& block) { Plain(block); },
        [this](AcceleratorBlock& block) {
          block.AddSquares(x_, {u_, offset_}, has_cross(), sum_, square_);
        });
  }

  // r_s; at the dealer.
  uint64_t SumMask(size_t e) const { return (*x_.mask)[e] + UpdateMask(e); }
  // [..., d].
  const Words& sum() const { return sum_; }
  const Words& squares() const { return square_; }
  Words TakeSum() { return std::move(sum_); }

 private:
  // Whether 2^(n+1) w mu (...) reaches into the squares' ring.
  bool has_cross() const { return cross_bits_ > 0; }
  uint64_t UpdateMask(size_t e) const { return Reduce((*u_.mask)[e], n_); }

  void Deal(DealBlock& block) const {
    const size_t count = block.count();
    Words mask(count), msb(count), cross(count);
    for (size_t i = 0; i < count; ++i) {
      const size_t e = block.begin() + i;
      mask[i] = UpdateMask(e);
      msb[i] = mask[i] >> (n_ - 1);
      cross[i] = msb[i] * SumMask(e);
    }
    block.Share(mask);
    block.Share(msb);
    if (has_cross()) block.Share(cross);
  }

  void Eval(EvalBlock& block) {
    const Words mask = block.Share(), msb = block.Share();
    const Words cross = has_cross() ? block.Share() : Words();
    const uint64_t b = block.party();
    for (size_t i = 0; i < block.count(); ++i) {
      const size_t e = block.begin() + i;
      const uint64_t shifted = Reduce((*u_.hat)[e] + offset_, n_);
      const uint64_t hat = (*x_.hat)[e] + shifted - offset_;
      const uint64_t sum_mask = (*x_.mask)[e] + mask[i];
      const uint64_t wraps = 1 - (shifted >> (n_ - 1));
      const uint64_t carry = wraps * msb[i];
      sum_[e] = b * hat - sum_mask + (carry << n_);
      square_[e] = hat * (b * hat - 2 * sum_mask);
      if (!has_cross()) continue;
      // 2 n may be 64 bits and more.
      square_[e] += (((carry * hat - wraps * cross[i]) << 1) + (carry << n_))
                    << n_;
    }
  }

  void Plain(PlainBlock& block) {
    for (size_t i = 0; i < block.count(); ++i) {
      const size_t e = block.begin() + i;
      const uint64_t v = (*u_.hat)[e];
      if (((v + offset_) >> (n_ - 1)) != 0) block.OutOfBound();
      sum_[e] = (*x_.hat)[e] + v;
      square_[e] = sum_[e] * sum_[e];
    }
  }

  Evaluator& ev_;
  const Wire& x_;
  const Wire& u_;
  const int n_;
  const uint64_t offset_;
  const int cross_bits_;
  Words sum_, square_;
};

// Adds up rows of d contributions, and the dealt sums of r_s^2.
Words SumRows(Evaluator& ev, const Elements& elements, size_t rows, size_t d,
              int width) {
  Words part = MakeWords(ev, rows);
  auto sum = [&](size_t row) {
    uint64_t total = 0;
    for (uint64_t v : std::span(elements.squares()).subspan(row * d, d)) {
      total += v;
    }
    return total;
  };
  ev.RunBlocks(
      kGate, {ShareField(width)}, rows,
      [&](DealBlock& block) {
        Words squares = Words::Zeroed(block.count());
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t begin = (block.begin() + i) * d;
          for (size_t e = begin; e < begin + d; ++e) {
            const uint64_t mask = elements.SumMask(e);
            squares[i] += mask * mask;
          }
        }
        block.Share(squares);
      },
      [&](EvalBlock& block) {
        const Words dealt = block.Share();
        for (size_t i = 0; i < block.count(); ++i) {
          part[block.begin() + i] = sum(block.begin() + i) + dealt[i];
        }
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          part[block.begin() + i] = sum(block.begin() + i);
        }
      },
      [&](AcceleratorBlock& block) {
        block.SumOfSquares(elements.sum(), elements.squares(), d, part);
      });
  return part;
}

}  // namespace

SumAndSquares AddSquares(Evaluator& ev, const Wire& wire, const Wire& u,
                         Range range, int square_bits) {
  SumAndSquares out{Share{wire.shape, wire.width, wire.frac},
                    Share{wire.shape, square_bits, 2 * wire.frac}};
  // Before the check: what comes after an error relies on shapes.
  if (!wire.shape.empty()) out.squares.shape.pop_back();
  if (!Check(ev, wire, u, square_bits)) return out;
  const Wire x = ShareMask(ev, wire);
  ev.Await(x);
  ev.Await(u);
  Elements elements(ev, x, u, range, square_bits);
  elements.Run();
  Words squares =
      SumRows(ev, elements, out.squares.size(), wire.shape.back(), square_bits);
  SetWords(ev, std::move(squares), out.squares);
  SetWords(ev, elements.TakeSum(), out.sum);
  return out;
}

}  // namespace tacit
