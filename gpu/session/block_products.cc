// Dealt shares and the gates without keys.
#include <array>

#include "common/gates/multiply.h"
#include "gpu/elementwise/deal_ops-inl.h"
#include "gpu/elementwise/gate_ops-inl.h"
#include "gpu/elementwise/product_ops-inl.h"
#include "gpu/session/block.h"

namespace tacit::gpu {
namespace {

NarrowHat HatOf(const NarrowWire& x, size_t begin) {
  return {x.wire.hat->data() + begin, x.wire.width, x.offset};
}

}  // namespace

void GateBlock::Share(const Words& values, Words& out) {
  if (is_dealer()) return DealShare(values.data() + begin());
  const Words part = TakeShare();
  if (!session_.ok() || count() == 0) return;
  session_.Ok(session_.kernels().Copy(out.data() + begin(), part.data(),
                                      count() * sizeof(uint64_t)));
}

void GateBlock::AddShare(Words& values) {
  uint64_t* const own = values.data() + begin();
  if (is_dealer()) return DealShare(own);
  const Words part = TakeShare();
  Run(AddOp{own, part.data(), own});
}

void GateBlock::Extend(const NarrowWire& x, Words& out) {
  if (is_dealer()) {
    Words mask = New(), msb = New();
    Run(DealExtendOp{At(x.wire.mask, begin()), x.wire.width, mask.data(),
                     msb.data()});
    DealShare(std::move(mask));
    DealShare(std::move(msb));
    return;
  }
  const Words mask = TakeShare(), msb = TakeShare();
  Run(ExtendOp{party(), HatOf(x, begin()), mask.data(), msb.data(),
               out.data() + begin()});
}

void GateBlock::Mul(const Wire& x, const Wire& y, size_t d, Words& out) {
  if (is_dealer()) {
    Words product = New();
    Run(DealMulOp{d, At(x.mask, begin()), y.mask->data(), product.data(),
                  begin()});
    return DealShare(std::move(product));
  }
  const Words dealt = TakeShare();
  Run(MulGateOp{party(), d, At(x.hat, begin()), At(x.mask, begin()),
                y.hat->data(), y.mask->data(), dealt.data(),
                out.data() + begin(), begin()});
}

void GateBlock::Square(const Wire& x, Words& out) {
  if (is_dealer()) {
    Words product = New();
    const uint64_t* const mask = At(x.mask, begin());
    Run(DealMulOp{1, mask, mask, product.data()});
    return DealShare(std::move(product));
  }
  const Words dealt = TakeShare();
  const SquareTerm term{party(), At(x.hat, begin()), At(x.mask, begin())};
  Run(SquareOp{term, dealt.data(), out.data() + begin()});
}

void GateBlock::SumSquares(const Wire& x, size_t d, Words& out) {
  const size_t first = begin() * d;
  if (is_dealer()) {
    Words sums = New();
    if (session_.ok()) {
      session_.Ok(session_.kernels().SumRows(SelfSquareTerm{At(x.mask, first)},
                                             count(), d, nullptr, sums.data()));
    }
    return DealShare(std::move(sums));
  }
  const Words dealt = TakeShare();
  if (!session_.ok()) return;
  const SquareTerm term{party(), At(x.hat, first), At(x.mask, first)};
  session_.Ok(session_.kernels().SumRows(term, count(), d, dealt.data(),
                                         out.data() + begin()));
}

void GateBlock::MulStatic(const Wire& x, const StaticMatrix& w, Words& out) {
  const bool blind = w.mode == WeightMode::kBlind;
  const uint64_t* const mask = At(x.mask, begin());
  if (is_dealer()) {
    Words product = New();
    if (const uint64_t* row = session_.StaticWords(w.value)) {
      Run(MulStaticOp{mask, row, w.n, begin(), !blind, nullptr,
                      product.data()});
    }
    return DealShare(std::move(product));
  }
  const Words dealt = TakeShare();
  uint64_t* const to = out.data() + begin();
  if (const uint64_t* row = session_.StaticWords(w.part)) {
    Run(MulStaticOp{At(x.hat, begin()), row, w.n, begin(), false, dealt.data(),
                    to});
  }
  if (!blind) return;
  if (const uint64_t* row = session_.StaticWords(w.hat)) {
    Run(MulStaticOp{mask, row, w.n, begin(), true, to, to});
  }
}

void GateBlock::MulExtend(const NarrowWire& x, const Wire& y, size_t d,
                          std::span<const uint32_t> rows, bool extends,
                          Words& out) {
  Bytes uploaded;
  const uint32_t* row = nullptr;
  if (!rows.empty()) {
    uploaded =
        session_.UploadBytes(rows.data() + begin(), count() * sizeof(uint32_t));
    row = reinterpret_cast<const uint32_t*>(uploaded.data());
  }
  if (is_dealer()) {
    Words mask = New(), product = New();
    Words msb = New(extends ? count() : 0);
    Words msb_product = New(extends ? count() : 0);
    Run(DealMulExtendOp{x.wire.width, d, row, At(x.wire.mask, begin()),
                        y.mask->data(), mask.data(), product.data(), msb.data(),
                        msb_product.data(), begin()});
    DealShare(std::move(mask));
    DealShare(std::move(product));
    if (!extends) return;
    DealShare(std::move(msb));
    DealShare(std::move(msb_product));
    return;
  }
  const Words mask = TakeShare(), product = TakeShare();
  const Words msb = extends ? TakeShare() : Words();
  const Words msb_product = extends ? TakeShare() : Words();
  Run(MulExtendOp{party(), HatOf(x, begin()), d, row, y.hat->data(),
                  y.mask->data(), mask.data(), product.data(), msb.data(),
                  msb_product.data(), out.data() + begin(), begin()});
}

void GateBlock::MulExtendBoth(const NarrowWire& x, const NarrowWire& y,
                              bool x_more, bool y_more, bool both, Words& out) {
  // In the order of the fields; those that are not there stay empty.
  const bool there[] = {true, true, true, x_more, x_more, y_more, y_more, both};
  std::array<Words, 8> v;
  if (is_dealer()) {
    for (size_t k = 0; k < v.size(); ++k) v[k] = New(there[k] ? count() : 0);
    Run(DealMulExtendBothOp{
        x.wire.width, y.wire.width, At(x.wire.mask, begin()),
        At(y.wire.mask, begin()), v[0].data(), v[1].data(), v[2].data(),
        v[3].data(), v[4].data(), v[5].data(), v[6].data(), v[7].data()});
    for (size_t k = 0; k < v.size(); ++k) {
      if (there[k]) DealShare(std::move(v[k]));
    }
    return;
  }
  for (size_t k = 0; k < v.size(); ++k) {
    if (there[k]) v[k] = TakeShare();
  }
  Run(MulExtendBothOp{party(), HatOf(x, begin()), HatOf(y, begin()),
                      v[0].data(), v[1].data(), v[2].data(), v[3].data(),
                      v[4].data(), v[5].data(), v[6].data(), v[7].data(),
                      out.data() + begin()});
}

void GateBlock::AddSquares(const Wire& x, const NarrowWire& u, bool has_cross,
                           Words& sum, Words& square) {
  uint64_t* const to = sum.data() + begin();
  if (is_dealer()) {
    Words mask = New(), msb = New(), cross = New(has_cross ? count() : 0);
    Run(DealAddSquaresOp{u.wire.width, At(x.mask, begin()),
                         At(u.wire.mask, begin()), mask.data(), msb.data(),
                         cross.data(), to});
    DealShare(std::move(mask));
    DealShare(std::move(msb));
    if (has_cross) DealShare(std::move(cross));
    return;
  }
  const Words mask = TakeShare(), msb = TakeShare();
  const Words cross = has_cross ? TakeShare() : Words();
  Run(AddSquaresOp{party(), HatOf(u, begin()), At(x.hat, begin()),
                   At(x.mask, begin()), mask.data(), msb.data(), cross.data(),
                   to, square.data() + begin()});
}

void GateBlock::SumOfSquares(const Words& sum, const Words& square, size_t d,
                             Words& out) {
  const size_t first = begin() * d;
  if (is_dealer()) {
    Words sums = New();
    if (session_.ok()) {
      session_.Ok(session_.kernels().SumRows(SelfSquareTerm{sum.data() + first},
                                             count(), d, nullptr, sums.data()));
    }
    return DealShare(std::move(sums));
  }
  const Words dealt = TakeShare();
  if (!session_.ok()) return;
  session_.Ok(session_.kernels().SumRows(WordTerm{square.data() + first},
                                         count(), d, dealt.data(),
                                         out.data() + begin()));
}

void GateBlock::Select(const BitWire& bit, const Wire& x, size_t d,
                       Words& out) {
  const uint64_t* const mask = At(x.mask, begin());
  if (is_dealer()) {
    Words rho = New(), product = New();
    Run(DealSelectOp{d, bit.mask->data(), mask, rho.data(), product.data(),
                     begin()});
    DealShare(std::move(rho));
    DealShare(std::move(product));
    if (!x.mask_shared) DealShare(mask);
    return;
  }
  const Words rho = TakeShare(), product = TakeShare();
  const Words dealt = x.mask_shared ? Words() : TakeShare();
  Run(SelectOp{party(), d, bit.hat->data(), At(x.hat, begin()),
               x.mask_shared ? mask : dealt.data(), rho.data(), product.data(),
               out.data() + begin(), begin()});
}

void GateBlock::BitToShare(const BitWire& bit, Words& out) {
  if (is_dealer()) {
    Words rho = New();
    Run(DealSelectOp{1, At(bit.mask, begin()), nullptr, rho.data(), nullptr});
    return DealShare(std::move(rho));
  }
  const Words rho = TakeShare();
  Run(BitToShareOp{party(), At(bit.hat, begin()), rho.data(),
                   out.data() + begin()});
}

}  // namespace tacit::gpu
