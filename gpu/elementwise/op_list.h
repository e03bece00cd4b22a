// All ops that RunOp takes.
#ifndef TACIT_GPU_ELEMENTWISE_OP_LIST_H_
#define TACIT_GPU_ELEMENTWISE_OP_LIST_H_

#include "gpu/elementwise/deal_ops-inl.h"
#include "gpu/elementwise/gate_ops-inl.h"
#include "gpu/elementwise/interpolated_ops-inl.h"
#include "gpu/elementwise/pack_ops-inl.h"
#include "gpu/elementwise/product_ops-inl.h"
#include "gpu/elementwise/ring_ops-inl.h"

// clang-format does not settle on such a list.
// clang-format off
#define TACIT_GPU_OPS(X) \
  X(AddOp) X(SubOp) X(MulOp) X(MulAddOp) X(MulSubOp) X(NegateOp) \
  X(AddScalarOp) X(MulScalarOp) X(ShiftRightOp) X(ShiftLeftOp) X(ReduceOp) \
  X(MulRowOp) X(RepeatLastOp) X(GatherRowsOp) X(SliceLastOp) X(TransposeOp) \
  X(PlaceColumnsOp) X(ScatterOp) X(SumSegmentsOp) X(MapRowsOp) X(AddRowOp) \
  X(TurnBitsOp) X(SpreadBitsOp) X(WidenOp) X(MulStaticOp) \
  X(RotateOp) X(PackOp) X(UnpackOp) X(PackBitsOp) X(UnpackBitsOp) \
  X(OpenedOp) X(XorBitsOp) X(NotBitsOp) X(ToShareOp) X(CompareOp) \
  X(IntervalOp) X(ExtendOp) X(SelectOp) X(BitToShareOp) X(MulGateOp) \
  X(SquareOp) X(MulExtendOp) X(MulExtendBothOp) X(AddSquaresOp) \
  X(WindowSumOp) X(MulPowerOp) X(SegmentedOp) X(HistogramOp) \
  X(InterpolatedOp) X(MsbBitOp) X(DealExtendOp) X(DealSelectOp) X(DealMulOp) \
  X(DealMulExtendOp) X(DealMulExtendBothOp) X(DealAddSquaresOp) X(SignOp) \
  X(DealWindowSumOp) X(DealExp2Op) X(DealSegmentedOp) X(DealHistogramOp) \
  X(DealInterpolatedOp)
// clang-format on

// Instantiates RunOp and SumRows for all that they take: for the two files that
// define them, with a device and without.
#define TACIT_GPU_RUN_OP(Op) \
  template Error RunOp<Op>(const Op&, size_t, StreamHandle);
#define TACIT_GPU_SUM_ROWS(Term)                                             \
  template Error SumRows<Term>(const Term&, size_t, size_t, const uint64_t*, \
                               uint64_t*, StreamHandle);
#define TACIT_GPU_INSTANTIATE_OPS() \
  TACIT_GPU_OPS(TACIT_GPU_RUN_OP)   \
  TACIT_GPU_SUM_ROWS(WordTerm)      \
  TACIT_GPU_SUM_ROWS(SquareTerm)    \
  TACIT_GPU_SUM_ROWS(SelfSquareTerm)

#endif  // TACIT_GPU_ELEMENTWISE_OP_LIST_H_
