// A session's gates on a device: the accelerator of common/gates.
#ifndef TACIT_GPU_SESSION_SESSION_H_
#define TACIT_GPU_SESSION_SESSION_H_

#include <memory>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/accelerator.h"
#include "gpu/prg/prg_key.h"
#include "gpu/session/kernels.h"
#include "gpu/session/weights.h"

namespace tacit::gpu {

// Used by one thread, whose device is the one that `kernels` runs on.
class Session final : public Accelerator {
 public:
  static constexpr size_t kBlockBytes = size_t{64} << 20;

  // `weights` outlives the session and is of the same device. Gates whose
  // material takes more than `block_bytes` run in several blocks.
  Session(std::shared_ptr<Kernels> kernels, Weights& weights,
          size_t block_bytes = kBlockBytes);
  ~Session() override;

  absl::Status status() const override;

  Words NewWords(size_t n) override;
  Bytes NewBytes(size_t n) override;
  Words Upload(std::span<const uint64_t> host) override;
  void Download(const Words& from, std::span<uint64_t> host) override;

  void Add(const Words& a, const Words& b, Words& out) override;
  void Sub(const Words& a, const Words& b, Words& out) override;
  void Negate(const Words& in, Words& out) override;
  void AddScalar(const Words& in, uint64_t scalar, Words& out) override;
  void MulScalar(const Words& in, uint64_t scalar, Words& out) override;
  void MulRow(const Words& in, std::span<const int64_t> factors,
              Words& out) override;
  void ShiftLeft(const Words& in, int bits, Words& out) override;
  void ShiftRight(const Words& in, int width, int bits, Words& out) override;
  void SumLast(const Words& in, size_t d, Words& out) override;
  void RepeatLast(const Words& in, size_t d, Words& out) override;
  void GatherRows(const Words& in, size_t row, std::span<const size_t> rows,
                  Words& out) override;
  void PlaceColumns(const Words& in, size_t from, size_t first, size_t begin,
                    size_t count, size_t to, Words& out) override;
  void Scatter(const Words& in, std::span<const size_t> target,
               Words& out) override;
  void SumSegments(const Words& in, std::span<const size_t> start, size_t row,
                   Words& out) override;
  void MapRows(const Words& in, size_t columns, std::span<const int64_t> matrix,
               Words& out) override;
  void Transpose(const Words& in, std::span<const size_t> shape,
                 std::span<const size_t> walk, Words& out) override;
  void Concat(std::span<const Words* const> parts, Words& out) override;
  void Rotate(const Words& in, size_t d, size_t pairs, size_t heads,
              size_t positions, bool interleaved, int frac,
              std::span<const int64_t> rotations, Words& out) override;
  void ToShare(const Words& hat, const Words& mask, Words& out) override;
  void Not(const Bytes& in, Bytes& out) override;
  void Xor(const Bytes& a, const Bytes& b, Bytes& out) override;
  void Turn(const Bytes& in, size_t d, Bytes& out) override;
  void Widen(const Bytes& in, Words& out) override;

  void MultiplyStatic(const Words& x, size_t m, const StaticMatrix& w,
                      const WordsRef& entries, int width, Accumulate accumulate,
                      Words& out) override;
  void Multiply(const Words& a, const Words& b, size_t batch, size_t m,
                size_t n, size_t k, Layout layout, int width,
                Accumulate accumulate, Words& out) override;
  void AddRow(const Words& in, const StaticMatrix& w, const WordsRef& entries,
              Words& out) override;
  void RowsOf(const StaticMatrix& w, const WordsRef& entries,
              std::span<const size_t> rows, Words& out) override;

  Words Mask(uint64_t position, size_t n) override;
  Bytes BitMask(uint64_t position, size_t n) override;
  Words InputMask(uint64_t position, size_t n) override;
  void PackOpenings(std::span<const Opened> openings,
                    std::span<uint8_t> message) override;
  void UnpackOpenings(std::span<const Opened> openings,
                      std::span<const uint8_t> message) override;

  size_t block_bytes() const override;
  std::unique_ptr<AcceleratorBlock> Deal(const Schema& schema, size_t begin,
                                         size_t count,
                                         uint64_t position) override;
  std::unique_ptr<AcceleratorBlock> Eval(
      const Schema& schema, size_t begin, size_t count, uint64_t position,
      std::span<const std::span<const uint8_t>> records) override;

  absl::Status Begin(int party, std::span<const Seed* const> seeds) override;

  // ---- For blocks ----

  bool ok() const { return error_.ok(); }
  // Whether nothing has failed; records the first error.
  bool Ok(const Error& error);
  Kernels& kernels() { return *kernels_; }
  int party() const { return party_; }  // -1: the dealer
  bool is_dealer() const { return party_ < 0; }
  // Runs op(i) for i < n.
  template <class Op>
  void Run(const Op& op, size_t n) {
    if (ok() && n > 0) Ok(kernels_->RunOp(op, n));
  }
  // Party b's stream of correlated values.
  const PrgKey* correlation(int b) const;
  // Public words that gates use again and again (tables, factors), on the
  // device for as long as the session is; null after an error.
  const uint64_t* Constants(std::span<const uint64_t> words);
  // A static matrix's words, for what uses its rows; null after an error.
  const uint64_t* StaticWords(const WordsRef& entries);
  // Records on the device: Kernels::Material.
  Bytes Material(std::span<const std::span<const uint8_t>> records,
                 size_t room);
  // What an op reads once: row numbers.
  Bytes UploadBytes(const void* host, size_t bytes);

 private:
  class SessionMemory;

  void* Allocate(size_t bytes);
  // Number `index` of the session's streams, as session.cc numbers them.
  const PrgKey* Key(int index) const;
  // Of openings' masks: a party's own stream, both parties' at the dealer.
  const PrgKey* MaskKey() const;
  const PrgKey* SecondMaskKey() const;
  // A product of no terms.
  void SumOfNothing(Accumulate accumulate, Words& out);
  std::span<const uint64_t> AsWords(std::span<const int64_t> values) const {
    return {reinterpret_cast<const uint64_t*>(values.data()), values.size()};
  }

  const std::shared_ptr<Kernels> kernels_;
  const std::shared_ptr<Memory> memory_;
  Weights& weights_;
  const size_t block_bytes_;
  Error error_;
  int party_ = 0;
  Bytes keys_;  // PrgKey[kKeys], as session.cc numbers them
  std::unordered_multimap<uint64_t, std::pair<std::vector<uint64_t>, Words>>
      constants_;
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_SESSION_SESSION_H_
