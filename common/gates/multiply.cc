#include "common/gates/multiply.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"
#include "common/gates/linear.h"

namespace tacit {
namespace {

bool CheckWidth(Evaluator& ev, absl::string_view gate, const Wire& x,
                int width) {
  if (IsWidth(width) && width <= x.width) return true;
  ev.Reject(gate, absl::StrCat("width ", width, " of an input of ", x.width,
                               " bits: extend it first"));
  return false;
}

}  // namespace

Share Mul(Evaluator& ev, const Wire& left, const Wire& right, int width) {
  constexpr absl::string_view kGate = "Mul";
  Share out{left.shape, width, left.frac + right.frac};
  const bool repeats = left.shape != right.shape;
  if (repeats &&
      (left.shape.empty() ||
       Shape(left.shape.begin(), left.shape.end() - 1) != right.shape)) {
    ev.Reject(kGate, absl::StrCat("shapes ", ToString(left.shape), " and ",
                                  ToString(right.shape)));
    return out;
  }
  if (!CheckWidth(ev, kGate, left, width) ||
      !CheckWidth(ev, kGate, right, width)) {
    return out;
  }
  const Wire x = ShareMask(ev, left), y = ShareMask(ev, right);
  ev.Await(x);
  ev.Await(y);
  const size_t n = out.size();
  const size_t d = repeats ? left.shape.back() : 1;  // elements per y
  Words part = MakeWords(ev, n);
  ev.RunBlocks(
      kGate, {ShareField(width)}, n,
      [&](DealBlock& block) {
        Words product(block.count());
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          product[i] = (*x.mask)[e] * (*y.mask)[e / d];
        }
        block.Share(product);
      },
      [&](EvalBlock& block) {
        const Words dealt = block.Share();
        const uint64_t b = block.party();
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const uint64_t xh = (*x.hat)[e], yh = (*y.hat)[e / d];
          part[e] =
              xh * (b * yh - (*y.mask)[e / d]) - (*x.mask)[e] * yh + dealt[i];
        }
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          part[e] = (*x.hat)[e] * (*y.hat)[e / d];
        }
      },
      [&](AcceleratorBlock& block) { block.Mul(x, y, d, part); });
  SetWords(ev, std::move(part), out);
  return out;
}

Share Square(Evaluator& ev, const Wire& wire, int width) {
  constexpr absl::string_view kGate = "Square";
  Share out{wire.shape, width, 2 * wire.frac};
  if (!CheckWidth(ev, kGate, wire, width)) return out;
  const Wire x = ShareMask(ev, wire);
  ev.Await(x);
  Words part = MakeWords(ev, out.size());
  ev.RunBlocks(
      kGate, {ShareField(width)}, out.size(),
      [&](DealBlock& block) {
        Words product(block.count());
        for (size_t i = 0; i < block.count(); ++i) {
          const uint64_t r = (*x.mask)[block.begin() + i];
          product[i] = r * r;
        }
        block.Share(product);
      },
      [&](EvalBlock& block) {
        const Words dealt = block.Share();
        const uint64_t b = block.party();
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const uint64_t hat = (*x.hat)[e];
          part[e] = hat * (b * hat - 2 * (*x.mask)[e]) + dealt[i];
        }
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          part[e] = (*x.hat)[e] * (*x.hat)[e];
        }
      },
      [&](AcceleratorBlock& block) { block.Square(x, part); });
  SetWords(ev, std::move(part), out);
  return out;
}

Share SumSquares(Evaluator& ev, const Wire& wire, int width) {
  constexpr absl::string_view kGate = "SumSquares";
  Share out{{}, width, 2 * wire.frac};
  if (wire.shape.empty()) {
    ev.Reject(kGate, "a scalar has no last axis");
    return out;
  }
  out.shape = Shape(wire.shape.begin(), wire.shape.end() - 1);
  if (!CheckWidth(ev, kGate, wire, width)) return out;
  const Wire x = ShareMask(ev, wire);
  ev.Await(x);
  const size_t d = wire.shape.back();
  Words part = MakeWords(ev, out.size());
  ev.RunBlocks(
      kGate, {ShareField(width)}, out.size(),
      [&](DealBlock& block) {
        Words product = Words::Zeroed(block.count());
        for (size_t i = 0; i < block.count(); ++i) {
          const uint64_t* r = x.mask->data() + (block.begin() + i) * d;
          for (size_t j = 0; j < d; ++j) product[i] += r[j] * r[j];
        }
        block.Share(product);
      },
      [&](EvalBlock& block) {
        const Words dealt = block.Share();
        const uint64_t b = block.party();
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t row = block.begin() + i;
          const uint64_t* hat = x.hat->data() + row * d;
          const uint64_t* mask = x.mask->data() + row * d;
          uint64_t sum = dealt[i];
          for (size_t j = 0; j < d; ++j) {
            sum += hat[j] * (b * hat[j] - 2 * mask[j]);
          }
          part[row] = sum;
        }
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t row = block.begin() + i;
          const uint64_t* value = x.hat->data() + row * d;
          uint64_t sum = 0;
          for (size_t j = 0; j < d; ++j) sum += value[j] * value[j];
          part[row] = sum;
        }
      },
      [&](AcceleratorBlock& block) { block.SumSquares(x, d, part); });
  SetWords(ev, std::move(part), out);
  return out;
}

}  // namespace tacit
