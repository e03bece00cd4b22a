// One gate's elements on a device (AcceleratorBlock): dealing and evaluating,
// composed of kernels.
#ifndef TACIT_GPU_SESSION_BLOCK_H_
#define TACIT_GPU_SESSION_BLOCK_H_

#include <vector>

#include "common/gates/accelerator.h"
#include "gpu/elementwise/schema_layout.h"
#include "gpu/session/session.h"

namespace tacit::gpu {

class GateBlock final : public AcceleratorBlock {
 public:
  // A dealer's block, and a party's with its records.
  GateBlock(Session& session, const Schema& schema, size_t begin, size_t count,
            uint64_t position);
  GateBlock(Session& session, const Schema& schema, size_t begin, size_t count,
            uint64_t position,
            std::span<const std::span<const uint8_t>> records);

  // block_products.cc
  void Share(const Words& values, Words& out) override;
  void AddShare(Words& values) override;
  void Extend(const NarrowWire& x, Words& out) override;
  void Mul(const Wire& x, const Wire& y, size_t d, Words& out) override;
  void Square(const Wire& x, Words& out) override;
  void SumSquares(const Wire& x, size_t d, Words& out) override;
  void MulStatic(const Wire& x, const StaticMatrix& w, Words& out) override;
  void MulExtend(const NarrowWire& x, const Wire& y, size_t d,
                 std::span<const uint32_t> rows, bool extends,
                 Words& out) override;
  void MulExtendBoth(const NarrowWire& x, const NarrowWire& y, bool x_more,
                     bool y_more, bool both, Words& out) override;
  void AddSquares(const Wire& x, const NarrowWire& u, bool has_cross,
                  Words& sum, Words& square) override;
  void SumOfSquares(const Words& sum, const Words& square, size_t d,
                    Words& out) override;
  void Select(const BitWire& bit, const Wire& x, size_t d, Words& out) override;
  void BitToShare(const BitWire& bit, Words& out) override;

  // block_tables.cc
  void IsNegative(const Wire& x, int m, Bytes& out) override;
  void IsZero(const Wire& x, Bytes& out) override;
  void InIntervals(const Wire& x, std::span<const int64_t> boundaries,
                   Bytes& out) override;
  void Carry(const Wire& x, Bytes& out) override;
  void WindowSum(const Wire& x, int shift, uint64_t high,
                 std::span<const uint64_t> reversed, Words& sums,
                 Bytes& positive) override;
  void FinishSum(const Wire& sum, const SumRing& ring, const Bytes& positive,
                 Words& out) override;
  void FinishExp2(const Wire& x, const Wire& sum, const SumRing& ring,
                  const Bytes& positive, int f, int mask_bits,
                  std::span<const uint64_t> roots,
                  std::span<const uint64_t> powers, Words& out) override;
  void Segments(const Wire& x, std::span<const int64_t> boundaries,
                std::span<const Segment> segments, Words& sums, Bytes& bits,
                Bytes& positive) override;
  void FinishSegments(const Wire& sums, const BitWire& bits,
                      const Bytes& positive, size_t segments,
                      Words& out) override;
  void OneHot(const Wire& t, int m, size_t size, int width,
              Words& out) override;
  void Histogram(const Wire& k, size_t length, size_t buckets,
                 Words& out) override;
  void InterpolatedKeys(const Wire& x, const InterpolatedTable& table,
                        const WindowTables& windows, bool has_tail,
                        uint64_t high, Words& sums, Words& slopes, Bytes& above,
                        Bytes& positive) override;
  void FinishInterpolated(const Wire& x, const InterpolatedTable& table,
                          const InterpolatedSums& sums, const Wire* y,
                          Words& out) override;

  void TakeRecords(std::span<const std::span<uint8_t>> records0,
                   std::span<const std::span<uint8_t>> records1) override;

 private:
  // The next field, in the schema's order. Requires that there is one.
  const FieldPlace& Next();

  // ---- What a side is made of. Pointers are to element begin(). ----

  // This role's words of a wire from element `begin` on: a party's opened
  // values and mask shares, the dealer's masks. Null if it has none.
  static const uint64_t* At(const WordsRef& words, size_t begin) {
    return words == nullptr ? nullptr : words->data() + begin;
  }
  static const uint8_t* At(const BytesRef& bits, size_t begin) {
    return bits == nullptr ? nullptr : bits->data() + begin;
  }

  // The dealer: deals the next field, of shares or bits; `values` given as an
  // object are lost.
  void DealShare(const uint64_t* values);
  void DealShare(Words values);
  void DealBits(Bytes bits);
  // A party: its shares of the next field.
  Words TakeShare();
  Bytes TakeBits();

  // The dealer: keys of the next field at `alpha`; positive[i * stride] is set
  // if `positive` is not null.
  void DealKeys(const Points& alpha, uint8_t* positive, size_t stride = 1);
  // A party: the keys of the next field, and what comes of them.
  DpfBatch TakeKeys();
  Bytes EvalPath(const DpfBatch& keys, const Points& points,
                 PathOutput output = PathOutput::kPrefix);
  void EvalWindow(const DpfBatch& keys, const Points& start,
                  std::span<const uint64_t> reversed, uint64_t* out,
                  size_t stride = 1);
  // Bits of all intervals, [count, intervals], of u = (x_hat mod 2^width) >>
  // shift.
  void EvalIntervals(const DpfBatch& keys, const uint64_t* hat, int width,
                     int shift, std::span<const int64_t> boundaries,
                     uint8_t* out);

  template <class Op>
  void Run(const Op& op, size_t n) {
    session_.Run(op, n);
  }
  void Run(const auto& op) { session_.Run(op, count()); }
  Words New(size_t n) { return session_.NewWords(n); }
  Words New() { return session_.NewWords(count()); }
  Bytes NewBits(size_t n) { return session_.NewBytes(n); }
  bool is_dealer() const { return session_.is_dealer(); }
  int party() const { return session_.party(); }

  Session& session_;
  std::vector<FieldPlace> fields_;
  size_t next_ = 0;
  // Records one after the other: a party's own, the dealer's of both. Eight
  // bytes more than they are, since unpacking reads whole words.
  Bytes material_[2];
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_SESSION_BLOCK_H_
