#include "common/gates/matmul.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"
#include "common/gates/linear.h"
#include "common/ring/elementwise.h"

namespace tacit {
namespace {

// Whether this role holds what the gate needs of `w`.
bool HasWeights(const Evaluator& ev, const StaticMatrix& w) {
  switch (ev.role()) {
    case Role::kDealer:
    case Role::kPlain:
      return w.value != nullptr;
    case Role::kParty:
      return w.part != nullptr &&
             (w.mode == WeightMode::kDealerHeld || w.hat != nullptr);
    case Role::kCost:
      return true;
  }
  return false;
}

bool CheckStatic(Evaluator& ev, absl::string_view gate, const Wire& x,
                 const StaticMatrix& w, size_t inner, int width) {
  if (x.shape.empty() || x.shape.back() != inner) {
    ev.Reject(gate, absl::StrCat("input ", ToString(x.shape), ", weights [",
                                 w.k, ", ", w.n, "]"));
  } else if (!IsWidth(width) || width > x.width) {
    ev.Reject(gate, absl::StrCat("width ", width, " of an input of ", x.width,
                                 " bits"));
  } else if (!HasWeights(ev, w)) {
    ev.Reject(gate, "this role has no weights of this mode loaded");
  }
  return ev.ok();
}

// Deals shares of `words` at the dealer, adds them to `words` at a party: the
// last step of every product. [n]; the cost evaluator has no buffer.
void AddDealt(Evaluator& ev, absl::string_view gate, int width, size_t n,
              Words& words) {
  ev.RunBlocks(
      gate, {ShareField(width)}, n,
      [&](DealBlock& block) {
        block.Share(std::span(words).subspan(block.begin(), block.count()));
      },
      [&](EvalBlock& block) {
        const Words dealt = block.Share();
        const WordSpan to =
            std::span(words).subspan(block.begin(), block.count());
        Add(to, dealt, to);
      },
      [](PlainBlock&) {},
      [&](AcceleratorBlock& block) { block.AddShare(words); });
}

}  // namespace

Share MatMulStatic(Evaluator& ev, const Wire& input, const StaticMatrix& w,
                   int width) {
  constexpr absl::string_view kGate = "MatMulStatic";
  Share out{input.shape, width, input.frac + w.frac};
  if (!CheckStatic(ev, kGate, input, w, w.k, width)) return out;
  out.shape.back() = w.n;
  const bool blind = w.mode == WeightMode::kBlind;
  const Wire x = blind ? ShareMask(ev, input) : input;
  ev.Await(x);
  const size_t n = out.size();
  const size_t m = NumElements(Shape(x.shape.begin(), x.shape.end() - 1));
  Words product = NewWords(ev, ev.has_data() ? n : 0);
  Accelerator* const device = ev.accelerator();
  auto multiply = [&](const WordsRef& a, const WordsRef& b,
                      Accumulate accumulate = Accumulate::kOverwrite) {
    if (device != nullptr) {
      return device->MultiplyStatic(*a, m, w, b, width, accumulate, product);
    }
    ev.MultiplyStatic({.m = m,
                       .n = w.n,
                       .k = w.k,
                       .a = a->data(),
                       .lda = w.k,
                       .b = b->data(),
                       .ldb = w.ld(),
                       .b_layout = w.layout,
                       .c = product.data(),
                       .ldc = w.n,
                       .accumulate = accumulate});
  };
  if (ev.has_data()) {
    switch (ev.role()) {
      case Role::kDealer:  // -r_X W, or r_X r_W
        multiply(x.mask, w.value);
        if (blind) break;
        if (device != nullptr) {
          device->MulScalar(product, ~uint64_t{0}, product);
        } else {
          Negate(product, product);
        }
        break;
      case Role::kParty:
        multiply(x.hat, w.part);
        if (blind) multiply(x.mask, w.hat, Accumulate::kSubtract);
        break;
      case Role::kPlain:
        multiply(x.hat, w.value);
        break;
      case Role::kCost:
        break;
    }
  }
  AddDealt(ev, kGate, width, n, product);
  SetWords(ev, std::move(product), out);
  return out;
}

Share MulStatic(Evaluator& ev, const Wire& input, const StaticMatrix& w,
                int width) {
  constexpr absl::string_view kGate = "MulStatic";
  Share out{input.shape, width, input.frac + w.frac};
  if (!CheckStatic(ev, kGate, input, w, w.n, width)) return out;
  if (w.k != 1) {
    ev.Reject(kGate, absl::StrCat("weights [", w.k, ", ", w.n, "] are no row"));
    return out;
  }
  const bool blind = w.mode == WeightMode::kBlind;
  const Wire x = blind ? ShareMask(ev, input) : input;
  ev.Await(x);
  const size_t n = out.size(), d = w.n;
  Words part = MakeWords(ev, n);
  ev.RunBlocks(
      kGate, {ShareField(width)}, n,
      [&](DealBlock& block) {
        Words correction(block.count());
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const uint64_t product = (*x.mask)[e] * (*w.value)[e % d];
          correction[i] = blind ? product : -product;
        }
        block.Share(correction);
      },
      [&](EvalBlock& block) {
        const Words dealt = block.Share();
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          uint64_t z = (*x.hat)[e] * (*w.part)[e % d] + dealt[i];
          if (blind) z -= (*x.mask)[e] * (*w.hat)[e % d];
          part[e] = z;
        }
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          part[e] = (*x.hat)[e] * (*w.value)[e % d];
        }
      },
      [&](AcceleratorBlock& block) { block.MulStatic(x, w, part); });
  SetWords(ev, std::move(part), out);
  return out;
}

Share AddStatic(Evaluator& ev, const Share& x, const StaticMatrix& w) {
  constexpr absl::string_view kGate = "AddStatic";
  if (x.shape.empty() || x.shape.back() != w.n || w.k != 1) {
    ev.Reject(kGate, absl::StrCat("input ", ToString(x.shape), ", weights [",
                                  w.k, ", ", w.n, "]"));
  } else if (x.frac != w.frac) {
    ev.Reject(kGate, absl::StrCat("fraction counts ", x.frac, " and ", w.frac));
  } else if (!HasWeights(ev, w)) {
    ev.Reject(kGate, "this role has no weights of this mode loaded");
  }
  Share out = x;
  if (!ev.has_data() || ev.is_dealer()) return out;
  const WordsRef& row = ev.is_plain() ? w.value : w.part;
  auto part = std::make_shared<Words>(NewWords(ev, x.size()));
  if (ev.accelerator() != nullptr) {
    ev.accelerator()->AddRow(*x.part, w, row, *part);
  } else {
    for (size_t i = 0; i < x.size(); i += w.n) {
      Add(std::span(*x.part).subspan(i, w.n), *row,
          std::span(*part).subspan(i, w.n));
    }
  }
  out.part = std::move(part);
  return out;
}

Share FromStatic(Evaluator& ev, const StaticMatrix& w,
                 std::span<const size_t> rows, int width) {
  constexpr absl::string_view kGate = "FromStatic";
  Share out{{rows.size(), w.n}, width, w.frac};
  if (w.layout != Layout::kRowMajor || !IsWidth(width)) {
    ev.Reject(kGate,
              absl::StrCat("width ", width, " of a matrix in ",
                           w.layout == Layout::kRowMajor ? "row-major order"
                                                         : "transposed order"));
  } else if (!HasWeights(ev, w)) {
    ev.Reject(kGate, "this role has no weights of this mode loaded");
  }
  for (size_t row : rows) {
    if (row >= w.k) {
      ev.Reject(kGate, absl::StrCat("row ", row, " of ", w.k));
      break;
    }
  }
  if (!ev.has_data() || ev.is_dealer()) return out;
  const WordsRef& from = ev.is_plain() ? w.value : w.part;
  auto part = std::make_shared<Words>(NewWords(ev, out.size()));
  if (ev.accelerator() != nullptr) {
    ev.accelerator()->RowsOf(w, from, rows, *part);
  } else {
    for (size_t i = 0; i < rows.size(); ++i) {
      std::copy_n(from->begin() + rows[i] * w.n, w.n, part->begin() + i * w.n);
    }
  }
  out.part = std::move(part);
  return out;
}

namespace {

// A party's share of a wire with a shared mask: b X_hat - [r_X]_b.
Words Own(Evaluator& ev, const Wire& x) {
  Words own = NewWords(ev, x.size());
  if (ev.accelerator() != nullptr) {
    ev.accelerator()->ToShare(*x.hat, *x.mask, own);
  } else if (ev.party() == 1) {
    Sub(*x.hat, *x.mask, own);
  } else {
    Negate(*x.mask, own);
  }
  return own;
}

}  // namespace

Share MatMul(Evaluator& ev, const Wire& left, const Wire& right, Layout layout,
             int width) {
  constexpr absl::string_view kGate = "MatMul";
  Share out{{}, width, left.frac + right.frac};
  const bool ranks = left.shape.size() == 3 && right.shape.size() == 3;
  const int inner_axis = layout == Layout::kRowMajor ? 1 : 2;
  if (!ranks || left.shape[0] != right.shape[0] ||
      left.shape[2] != right.shape[inner_axis]) {
    ev.Reject(kGate, absl::StrCat("shapes ", ToString(left.shape), " and ",
                                  ToString(right.shape), " do not multiply"));
    return out;
  }
  if (!IsWidth(width) || width > left.width || width > right.width) {
    ev.Reject(kGate, absl::StrCat("width ", width, " of inputs of ", left.width,
                                  " and ", right.width, " bits"));
    return out;
  }
  const size_t batch = left.shape[0], m = left.shape[1], k = left.shape[2];
  const size_t n = right.shape[3 - inner_axis];
  out.shape = {batch, m, n};
  const Wire x = ShareMask(ev, left), y = ShareMask(ev, right);
  ev.Await(x);
  ev.Await(y);
  Words product = NewWords(ev, ev.has_data() ? out.size() : 0);
  Accelerator* const device = ev.accelerator();
  auto gemm = [&](const Words& a, const Words& b, Accumulate accumulate) {
    if (device != nullptr) {
      return device->Multiply(a, b, batch, m, n, k, layout, width, accumulate,
                              product);
    }
    for (size_t i = 0; i < batch; ++i) {
      Gemm({.m = m,
            .n = n,
            .k = k,
            .a = a.data() + i * m * k,
            .lda = k,
            .b = b.data() + i * k * n,
            .ldb = layout == Layout::kRowMajor ? n : k,
            .b_layout = layout,
            .c = product.data() + i * m * n,
            .ldc = n,
            .accumulate = accumulate},
           ev.pool());
    }
  };
  if (ev.has_data()) {
    switch (ev.role()) {
      case Role::kDealer:
        gemm(*x.mask, *y.mask, Accumulate::kOverwrite);
        break;
      case Role::kParty: {
        // (b X_hat - [r_X]_b) Y_hat - X_hat [r_Y]_b: two products, not three.
        const Words a = Own(ev, x);
        gemm(a, *y.hat, Accumulate::kOverwrite);
        gemm(*x.hat, *y.mask, Accumulate::kSubtract);
        break;
      }
      case Role::kPlain:
        gemm(*x.hat, *y.hat, Accumulate::kOverwrite);
        break;
      case Role::kCost:
        break;
    }
  }
  AddDealt(ev, kGate, width, out.size(), product);
  SetWords(ev, std::move(product), out);
  return out;
}

StaticMatrixShares ShareStaticMatrix(Words values, size_t k, size_t n, int frac,
                                     Layout layout, WeightMode mode,
                                     const Prg& stream0, const Prg& stream1) {
  StaticMatrix base;
  base.k = k;
  base.n = n;
  base.frac = frac;
  base.layout = layout;
  base.mode = mode;
  StaticMatrixShares out{base, {base, base}, base};

  auto value = std::make_shared<Words>(std::move(values));
  auto part0 = std::make_shared<Words>(value->size());
  auto part1 = std::make_shared<Words>(value->size());
  stream0.Fill(0, std::span<uint64_t>(*part0));
  out.plain.value = value;
  if (mode == WeightMode::kDealerHeld) {
    Sub(*value, *part0, *part1);
    out.dealer.value = value;
  } else {
    // r_W = [r_W]_0 + [r_W]_1; W_hat = W + r_W; W_b = b W_hat - [r_W]_b.
    stream1.Fill(0, std::span<uint64_t>(*part1));
    auto mask = std::make_shared<Words>(value->size());
    Add(*part0, *part1, *mask);
    auto hat = std::make_shared<Words>(value->size());
    Add(*value, *mask, *hat);
    Negate(*part0, *part0);
    Sub(*hat, *part1, *part1);
    out.dealer.value = mask;
    out.party[0].hat = out.party[1].hat = hat;
  }
  out.party[0].part = part0;
  out.party[1].part = part1;
  return out;
}

StaticMatrixShares ShareStaticMatrix(std::span<const int64_t> values, size_t k,
                                     size_t n, int frac, Layout layout,
                                     WeightMode mode, const Prg& stream0,
                                     const Prg& stream1) {
  Words words(values.size());
  std::copy(values.begin(), values.end(), words.begin());
  return ShareStaticMatrix(std::move(words), k, n, frac, layout, mode, stream0,
                           stream1);
}

}  // namespace tacit
