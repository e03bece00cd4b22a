// What computes a session's gates instead of this host: a device with memory of
// its own (the CUDA backend, gpu/session).
//
// With an accelerator, the buffers of wires, shares and bits lie in its memory
// (Buffer's `memory`): host code passes them on and never looks inside.
// Programs, checks, openings and the order of material stay the evaluators';
// gates hand the work on elements over. Every function enqueues, so that the
// host runs ahead; those that bring something back to the host wait.
//
// Errors stick, as in evaluators: after the first one nothing is done, and
// results are buffers of the right size without meaning. `status` tells it.
#ifndef TACIT_COMMON_GATES_ACCELERATOR_H_
#define TACIT_COMMON_GATES_ACCELERATOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/buffer.h"
#include "common/fss/dpf.h"
#include "common/gates/schema.h"
#include "common/gates/session.h"
#include "common/gates/values.h"
#include "common/ring/product.h"

namespace tacit {

struct InterpolatedTable;
class SumRing;

// A factor of MulExtend's kind: `offset` is 2^(n-2) for a signed range, n the
// wire's width, and 0 for a nonnegative one.
struct NarrowWire {
  const Wire& wire;
  uint64_t offset;
};

// A gate's elements [begin, begin + count) and their material. Every function
// does this role's side, the dealer's or a party's, of some of the gate's
// fields, which it takes in the order of the schema. Outputs are whole arrays,
// of which it writes these elements; those that the other role computes may be
// empty. Formulas stand with the gates.
class AcceleratorBlock {
 public:
  virtual ~AcceleratorBlock() = default;

  size_t begin() const { return begin_; }
  size_t count() const { return count_; }

  // A field of shares: the dealer deals `values`, a party takes its part to
  // `out`, or adds it.
  virtual void Share(const Words& values, Words& out) = 0;
  virtual void AddShare(Words& values) = 0;

  // extend.h. out: [n].
  virtual void Extend(const NarrowWire& x, Words& out) = 0;
  // multiply.h. An element of y serves d of x.
  virtual void Mul(const Wire& x, const Wire& y, size_t d, Words& out) = 0;
  virtual void Square(const Wire& x, Words& out) = 0;
  // Elements are rows of d.
  virtual void SumSquares(const Wire& x, size_t d, Words& out) = 0;
  // matmul.h: by the one row of w, repeated.
  virtual void MulStatic(const Wire& x, const StaticMatrix& w, Words& out) = 0;
  // mul_extend.h. y's element for x's element e is rows[e], or e / d if `rows`
  // is empty. `extends`: the product's ring is wider than x's.
  virtual void MulExtend(const NarrowWire& x, const Wire& y, size_t d,
                         std::span<const uint32_t> rows, bool extends,
                         Words& out) = 0;
  // x_more, y_more, both: whether these fields are there.
  virtual void MulExtendBoth(const NarrowWire& x, const NarrowWire& y,
                             bool x_more, bool y_more, bool both,
                             Words& out) = 0;
  // add_squares.h: sums and what they add to their rows' squares; at the dealer
  // sum := r_s. Then rows of d.
  virtual void AddSquares(const Wire& x, const NarrowWire& u, bool has_cross,
                          Words& sum, Words& square) = 0;
  virtual void SumOfSquares(const Words& sum, const Words& square, size_t d,
                            Words& out) = 0;
  // select.h. A bit serves d elements. Deals x's mask too if it is not shared.
  virtual void Select(const BitWire& bit, const Wire& x, size_t d,
                      Words& out) = 0;
  virtual void BitToShare(const BitWire& bit, Words& out) = 0;

  // compare.h, trunc_reduce.h. Keys' domains are those of the fields.
  virtual void IsNegative(const Wire& x, int m, Bytes& out) = 0;
  virtual void IsZero(const Wire& x, Bytes& out) = 0;
  virtual void InIntervals(const Wire& x, std::span<const int64_t> boundaries,
                           Bytes& out) = 0;
  virtual void Carry(const Wire& x, Bytes& out) = 0;

  // One key at r >> shift and the sum of `reversed` over the window
  // from (x_hat >> shift) - high: windowed_lut.h, exp2.h. `positive`: the
  // dealer's signs.
  virtual void WindowSum(const Wire& x, int shift, uint64_t high,
                         std::span<const uint64_t> reversed, Words& sums,
                         Bytes& positive) = 0;
  // SumSchema's fields, with the factor sigma; and sigma 2^(-R) times
  // powers[x_hat mod 2^f] (exp2.h), `roots` being PowerOfTwoRoots.
  virtual void FinishSum(const Wire& sum, const SumRing& ring,
                         const Bytes& positive, Words& out) = 0;
  virtual void FinishExp2(const Wire& x, const Wire& sum, const SumRing& ring,
                          const Bytes& positive, int f, int mask_bits,
                          std::span<const uint64_t> roots,
                          std::span<const uint64_t> powers, Words& out) = 0;

  // segmented.h: all keys; sums, bits and signs are [n, segments].
  struct Segment {
    int shift;
    uint64_t high;
    std::span<const uint64_t> reversed;
  };
  virtual void Segments(const Wire& x, std::span<const int64_t> boundaries,
                        std::span<const Segment> segments, Words& sums,
                        Bytes& bits, Bytes& positive) = 0;
  virtual void FinishSegments(const Wire& sums, const BitWire& bits,
                              const Bytes& positive, size_t segments,
                              Words& out) = 0;

  // one_hot.h. Elements are tokens; rows of `length` keys.
  virtual void OneHot(const Wire& t, int m, size_t size, int width,
                      Words& out) = 0;
  virtual void Histogram(const Wire& k, size_t length, size_t buckets,
                         Words& out) = 0;

  // interpolated.h. `high` is the first index above the window.
  virtual void InterpolatedKeys(const Wire& x, const InterpolatedTable& table,
                                const WindowTables& windows, bool has_tail,
                                uint64_t high, Words& sums, Words& slopes,
                                Bytes& above, Bytes& positive) = 0;
  struct InterpolatedSums {
    const Wire& sum;
    const Wire& slope;
    const BitWire& above;  // without a tail: nothing
    const SumRing& sum_ring;
    const SumRing& slope_ring;
    int tail_shift;
    bool extends;
    const Bytes& positive;
  };
  // T(x), or T(x) y: y null or a wire whose mask is shared.
  virtual void FinishInterpolated(const Wire& x, const InterpolatedTable& table,
                                  const InterpolatedSums& sums, const Wire* y,
                                  Words& out) = 0;

  // The dealer's end of the block: what was dealt, to each party's records.
  // Waits. Nothing else may be called afterwards.
  virtual void TakeRecords(std::span<const std::span<uint8_t>> records0,
                           std::span<const std::span<uint8_t>> records1) = 0;

 protected:
  AcceleratorBlock(size_t begin, size_t count) : begin_(begin), count_(count) {}

 private:
  const size_t begin_, count_;
};

class Accelerator {
 public:
  virtual ~Accelerator() = default;

  virtual absl::Status status() const = 0;

  // ---- Memory ----
  virtual Words NewWords(size_t n) = 0;
  virtual Bytes NewBytes(size_t n) = 0;
  virtual Words Upload(std::span<const uint64_t> host) = 0;
  // Waits.
  virtual void Download(const Words& from, std::span<uint64_t> host) = 0;

  // ---- Linear maps: linear.h. `out` is not `in`, and set whole. ----
  virtual void Add(const Words& a, const Words& b, Words& out) = 0;
  virtual void Sub(const Words& a, const Words& b, Words& out) = 0;
  virtual void Negate(const Words& in, Words& out) = 0;
  virtual void AddScalar(const Words& in, uint64_t scalar, Words& out) = 0;
  virtual void MulScalar(const Words& in, uint64_t scalar, Words& out) = 0;
  virtual void MulRow(const Words& in, std::span<const int64_t> factors,
                      Words& out) = 0;
  virtual void ShiftLeft(const Words& in, int bits, Words& out) = 0;
  // (in mod 2^width) >> bits.
  virtual void ShiftRight(const Words& in, int width, int bits, Words& out) = 0;
  virtual void SumLast(const Words& in, size_t d, Words& out) = 0;
  virtual void RepeatLast(const Words& in, size_t d, Words& out) = 0;
  // Rows of `row` words.
  virtual void GatherRows(const Words& in, size_t row,
                          std::span<const size_t> rows, Words& out) = 0;
  // Rows of `to` words: `count` words of each input row of `from` words, of the
  // row `first` and those after it, from column `begin` on; zeros behind them.
  virtual void PlaceColumns(const Words& in, size_t from, size_t first,
                            size_t begin, size_t count, size_t to,
                            Words& out) = 0;
  // out[target[i]] = in[i]; zeros elsewhere.
  virtual void Scatter(const Words& in, std::span<const size_t> target,
                       Words& out) = 0;
  // Rows of `row` words: out[s] = sum of in[start[s]] ... in[start[s + 1] - 1].
  virtual void SumSegments(const Words& in, std::span<const size_t> start,
                           size_t row, Words& out) = 0;
  // Each row of `columns` words times the matrix: out[r, j] = sum over i of
  // in[r, i] matrix[j * columns + i].
  virtual void MapRows(const Words& in, size_t columns,
                       std::span<const int64_t> matrix, Words& out) = 0;
  // out[i] = in at the place whose indices are i's of `shape`, `walk` apart.
  virtual void Transpose(const Words& in, std::span<const size_t> shape,
                         std::span<const size_t> walk, Words& out) = 0;
  // Parts one after the other.
  virtual void Concat(std::span<const Words* const> parts, Words& out) = 0;
  // rope.cc: rows of d, `pairs` rotated by [positions, pairs] cosines and
  // sines.
  virtual void Rotate(const Words& in, size_t d, size_t pairs, size_t heads,
                      size_t positions, bool interleaved, int frac,
                      std::span<const int64_t> rotations, Words& out) = 0;
  // b x_hat - [r]: a party's share of a wire.
  virtual void ToShare(const Words& hat, const Words& mask, Words& out) = 0;
  virtual void Not(const Bytes& in, Bytes& out) = 0;
  virtual void Xor(const Bytes& a, const Bytes& b, Bytes& out) = 0;
  // out[r, j] = in[r, j - 1] xor in[r, j], of rows of d; in[r, -1] = 1 at party
  // 0: sampling.cc.
  virtual void Turn(const Bytes& in, size_t d, Bytes& out) = 0;
  // Bits as words.
  virtual void Widen(const Bytes& in, Words& out) = 0;

  // ---- Products modulo 2^width ----
  // x [m, w.k] times `entries`, one of w's buffers, which is made resident on
  // the device at its first use.
  virtual void MultiplyStatic(const Words& x, size_t m, const StaticMatrix& w,
                              const WordsRef& entries, int width,
                              Accumulate accumulate, Words& out) = 0;
  // [batch, m, k] times [batch, k, n] or [batch, n, k].
  virtual void Multiply(const Words& a, const Words& b, size_t batch, size_t m,
                        size_t n, size_t k, Layout layout, int width,
                        Accumulate accumulate, Words& out) = 0;
  // in[.., j] + w[0, j], and rows of w.
  virtual void AddRow(const Words& in, const StaticMatrix& w,
                      const WordsRef& entries, Words& out) = 0;
  virtual void RowsOf(const StaticMatrix& w, const WordsRef& entries,
                      std::span<const size_t> rows, Words& out) = 0;

  // ---- Openings ----
  // A party's share of an opening's mask, the dealer's whole mask.
  virtual Words Mask(uint64_t position, size_t n) = 0;
  virtual Bytes BitMask(uint64_t position, size_t n) = 0;
  virtual Words InputMask(uint64_t position, size_t n) = 0;  // the dealer's
  // One opening of a message: words packed to `width` bits, or bits.
  struct Opened {
    int width;  // 0: bits
    Words* words;
    Bytes* bits;
    size_t bytes;  // in the message
  };
  // Waits for the message.
  virtual void PackOpenings(std::span<const Opened> openings,
                            std::span<uint8_t> message) = 0;
  // Adds the peer's parts: the opened values modulo 2^width.
  virtual void UnpackOpenings(std::span<const Opened> openings,
                              std::span<const uint8_t> message) = 0;

  // ---- Material ----
  // Elements of a gate whose records' bytes for both parties together stay
  // below this make one block.
  virtual size_t block_bytes() const = 0;
  // A block whose streams begin at `position`. A party's records are copied at
  // once: they may be wiped after the call.
  virtual std::unique_ptr<AcceleratorBlock> Deal(const Schema& schema,
                                                 size_t begin, size_t count,
                                                 uint64_t position) = 0;
  virtual std::unique_ptr<AcceleratorBlock> Eval(
      const Schema& schema, size_t begin, size_t count, uint64_t position,
      std::span<const std::span<const uint8_t>> records) = 0;

  // The session's streams, before anything else. `party` -1: the dealer's, with
  // both parties' seeds and the gateway's.
  virtual absl::Status Begin(int party, std::span<const Seed* const> seeds) = 0;
};

// Makes what party 0 or 1, or the dealer (-1), computes on. Called from the
// thread of the session's role. None: every role computes on this host.
using AcceleratorFactory =
    std::function<absl::StatusOr<std::unique_ptr<Accelerator>>(int party)>;

// The factory's for this role; null without a factory.
inline absl::StatusOr<std::unique_ptr<Accelerator>> MakeAccelerator(
    const AcceleratorFactory& factory, int party) {
  if (!factory) return nullptr;
  return factory(party);
}

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_ACCELERATOR_H_
