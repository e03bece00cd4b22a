// What the gates' tests share; test code only.
#ifndef TACIT_GPU_ELEMENTWISE_GATE_TESTING_H_
#define TACIT_GPU_ELEMENTWISE_GATE_TESTING_H_

#include <string>
#include <vector>

#include "common/gates/linear.h"
#include "gpu/elementwise/gate_harness.h"
#include "gpu/fss/dpf.h"
#include "gpu/fss/dpf_dispatch.h"

namespace tacit::gpu {

// Of one record, and of several with a short last one.
inline constexpr size_t kCounts[] = {1, 129, 2500};

// Values of a wire of `width` bits that every gate takes: below 2^(width-2).
inline InputValue SmallValues(size_t n, int width, uint64_t seed,
                              bool non_negative = false) {
  std::mt19937_64 rng(seed);
  const int64_t bound = int64_t{1} << (std::min(width, 63) - 2);
  return {tacit::RandomValues(n, non_negative ? 0 : -bound, bound - 1, rng),
          width};
}

// An input opened anew, so that the parties hold shares of its mask.
inline Wire Opened(Evaluator& ev, Kept& kept, const std::string& name,
                   const tacit::Shape& shape, int width) {
  const Wire in = ev.Input(shape, width, 0);
  kept.Keep(name + "_in", in);
  const Wire x = ev.Open(ToShare(ev, in));
  ev.Await(x);
  kept.Keep(name, x);
  return x;
}
// What Opened dealt.
inline void DealOpened(GateRun& run, const std::string& name, size_t n,
                       int width) {
  const auto fields = run.Next({ShareField(width)}, n);
  run.Deal(fields[0], run.dealer().mask.at(name + "_in"));
}

inline DpfBatch BatchOf(const GateRun& run, const FieldPlace& field, int b) {
  return {b, field.field.width, field.layout[b], run.material(b).data(),
          &run.correlation(b)};
}

// Deals keys at `alpha`; returns `positive`.
inline Bits DealKeys(GateRun& run, const FieldPlace& field,
                     const Points& alpha) {
  Bits positive(field.layout[0].n);
  DpfGenArgs args;
  args.m = field.field.width;
  for (int b = 0; b < 2; ++b) {
    args.field[b] = field.layout[b];
    args.material[b] = run.dealt(b).data();
    args.key[b] = &run.correlation(b);
  }
  args.alpha = alpha;
  args.positive = positive.data();
  EXPECT_TRUE(DispatchGen(AesVariant::kTable1, args, HostLauncher()).ok());
  return positive;
}

inline Bits EvalPath(const GateRun& run, const FieldPlace& field, int b,
                     const Points& points,
                     PathOutput output = PathOutput::kPrefix) {
  Bits out(field.layout[b].n);
  const DpfPathArgs args{BatchOf(run, field, b), points, output, out.data()};
  EXPECT_TRUE(DispatchPath(AesVariant::kTable1, args, HostLauncher()).ok());
  return out;
}

template <class Op>
void RunHost(const Op& op, size_t n) {
  ASSERT_TRUE(RunOpOnHost(op, n).ok());
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_ELEMENTWISE_GATE_TESTING_H_
