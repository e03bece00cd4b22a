// Direct keys, m <= kMaxDirectBits: the bit strings themselves.
#ifndef TACIT_GPU_FSS_DPF_DIRECT_INL_H_
#define TACIT_GPU_FSS_DPF_DIRECT_INL_H_

#include <cstdint>

#include "gpu/fss/dpf.h"
#include "gpu/fss/half_tree-inl.h"
#include "gpu/fss/table_sum-inl.h"

namespace tacit::gpu {

inline constexpr int kDirectWords = (1 << kMaxDirectBits) / 64;

// A lane's bit strings as words. Strings shorter than a word are repeated until
// they fill it, so that rotating the word rotates the string.
template <class Aes>
struct DirectLanes {
  uint64_t bits[Aes::kBlocks][kDirectWords];
};

TACIT_HOST_DEVICE inline int DirectWordCount(int m) {
  return m <= 6 ? 1 : 1 << (m - 6);
}

TACIT_HOST_DEVICE inline uint64_t RepeatBits(uint64_t word, int m) {
  if (m >= 6) return word;
  word &= (uint64_t{1} << (1 << m)) - 1;
  for (int bits = 1 << m; bits < 64; bits *= 2) word |= word << bits;
  return word;
}

// From party 0's stream, whose blocks hold 16 / DirectBytes(m) strings, or of
// which a string takes several.
template <class Aes, int kKeys>
TACIT_HOST_DEVICE inline void DirectFromStream(
    const AesShared<Aes, kKeys>& shared, const Aes& aes, int m,
    const FieldLayout& field, const WarpTile<Aes>& tile,
    DirectLanes<Aes>& lanes) {
  const uint64_t bytes = DirectBytes(m);
  const int blocks = bytes <= 16 ? 1 : static_cast<int>(bytes / 16);
  uint64_t at[Aes::kBlocks], position[Aes::kBlocks];  // at: byte in the stream
  TACIT_UNROLL
  for (int b = 0; b < Aes::kBlocks; ++b) {
    const uint64_t e = tile.clamped(b, field.n);
    const FieldRecord record = RecordOf(field, e);
    at[b] = (e - record.first) * bytes;
    position[b] = record.stream + at[b] / 16;
  }
  for (int j = 0; j < blocks; ++j) {
    Block x[Aes::kBlocks];
    StreamBlocks(shared, aes, 0, position, x);
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) {
      ++position[b];
      if (m >= 7) {
        lanes.bits[b][2 * j] = Low(x[b]);
        lanes.bits[b][2 * j + 1] = High(x[b]);
      } else {
        const uint64_t word = (at[b] & 8) != 0 ? High(x[b]) : Low(x[b]);
        lanes.bits[b][0] = RepeatBits(word >> (8 * (at[b] & 7)), m);
      }
    }
  }
}

// `count` bytes from any address, the first the lowest.
TACIT_HOST_DEVICE inline uint64_t LoadBytes(const uint8_t* from, int count) {
  if (count == 8 && reinterpret_cast<uintptr_t>(from) % 8 == 0) {
    return *reinterpret_cast<const uint64_t*>(from);
  }
  uint64_t word = 0;
  for (int i = 0; i < count; ++i) word |= uint64_t{from[i]} << (8 * i);
  return word;
}

// From party 1's records.
template <class Aes>
TACIT_HOST_DEVICE inline void DirectFromRecords(const DpfBatch& keys,
                                                const WarpTile<Aes>& tile,
                                                DirectLanes<Aes>& lanes) {
  const uint64_t bytes = DirectBytes(keys.m);
  const int words = DirectWordCount(keys.m);
  TACIT_UNROLL
  for (int b = 0; b < Aes::kBlocks; ++b) {
    const uint64_t e = tile.clamped(b, keys.field.n);
    const FieldRecord record = RecordOf(keys.field, e);
    const uint8_t* from =
        keys.material + record.bytes + (e - record.first) * bytes;
    for (int w = 0; w < words; ++w) {
      lanes.bits[b][w] = RepeatBits(
          LoadBytes(from + 8 * w, static_cast<int>(bytes < 8 ? bytes : 8)),
          keys.m);
    }
  }
}

template <class Aes, int kKeys>
TACIT_HOST_DEVICE inline void LoadDirect(const AesShared<Aes, kKeys>& shared,
                                         const Aes& aes, const DpfBatch& keys,
                                         const WarpTile<Aes>& tile,
                                         DirectLanes<Aes>& lanes) {
  if (keys.party == 0) {
    DirectFromStream(shared, aes, keys.m, keys.field, tile, lanes);
  } else {
    DirectFromRecords(keys, tile, lanes);
  }
}

// fn(element, its bit string) for this thread's keys.
template <class Aes, int kKeys, class Fn>
TACIT_HOST_DEVICE inline void ForDirectKeys(const AesShared<Aes, kKeys>& shared,
                                            const Aes& aes,
                                            const DpfBatch& keys,
                                            const Thread& thread,
                                            const Fn& fn) {
  ForTiles<Aes>(thread, keys.field.n, [&](const WarpTile<Aes>& tile) {
    DirectLanes<Aes> lanes;
    LoadDirect(shared, aes, keys, tile, lanes);
    for (int b = 0; b < Aes::kBlocks; ++b) {
      if (tile.element(b) < keys.field.n) fn(tile.element(b), lanes.bits[b]);
    }
  });
}

// Party 1's string is party 0's with bit alpha flipped.
template <class AesT>
struct DirectGenKernel : AesKernel<DirectGenKernel<AesT>, AesT, 1> {
  using Aes = AesT;
  using Shared = AesShared<Aes, 1>;

  DpfGenArgs args;

  explicit DirectGenKernel(const DpfGenArgs& all) : args(all) {}

  TACIT_HOST_DEVICE const PrgKey& Key(int) const { return *args.key[0]; }
  TACIT_HOST_DEVICE void Work(const Shared& shared, const Aes& aes,
                              const Thread& thread) const {
    ForTiles<Aes>(thread, args.field[0].n, [&](const WarpTile<Aes>& tile) {
      DirectLanes<Aes> lanes;
      DirectFromStream(shared, aes, args.m, args.field[0], tile, lanes);
      for (int b = 0; b < Aes::kBlocks; ++b) {
        if (tile.element(b) < args.field[0].n) {
          Element(tile.element(b), lanes.bits[b]);
        }
      }
    });
  }

  TACIT_HOST_DEVICE void Element(uint64_t e, const uint64_t* bits) const {
    const uint64_t alpha = PointAt(args.alpha, e) & LowBits(args.m);
    const uint64_t bytes = DirectBytes(args.m);
    const FieldRecord record = RecordOf(args.field[1], e);
    uint8_t* to = args.material[1] + record.bytes + (e - record.first) * bytes;
    uint64_t found = 0;
    for (uint64_t w = 0; 8 * w < bytes; ++w) {
      // All ones in the word that holds bit alpha.
      const uint64_t here =
          uint64_t{0} - static_cast<uint64_t>(alpha >> 6 == w);
      const uint64_t unit = (uint64_t{1} << (alpha & 63)) & here;
      found |= bits[w] & unit;
      // A string shorter than a byte leaves the rest of it zero.
      const uint64_t keep = args.m < 6 ? LowBits(1 << args.m) : ~uint64_t{0};
      const uint64_t word = (bits[w] ^ unit) & keep;
      for (uint64_t i = 0; i < 8 && 8 * w + i < bytes; ++i) {
        to[8 * w + i] = static_cast<uint8_t>(word >> (8 * i));
      }
    }
    args.positive[e] = static_cast<uint8_t>(found != 0);
  }
};

// A party's bit strings of args.keys, one after the other. Kernel has
//   void Element(uint64_t e, const uint64_t* bits) const;
template <class Kernel, class AesT, class Args>
struct DirectKernel : AesKernel<Kernel, AesT, 1> {
  using Aes = AesT;
  using Shared = AesShared<Aes, 1>;

  Args args;

  explicit DirectKernel(const Args& all) : args(all) {}

  TACIT_HOST_DEVICE const PrgKey& Key(int) const { return *args.keys.key; }
  TACIT_HOST_DEVICE void Work(const Shared& shared, const Aes& aes,
                              const Thread& thread) const {
    ForDirectKeys(shared, aes, args.keys, thread,
                  [&](uint64_t e, const uint64_t* bits) {
                    static_cast<const Kernel&>(*this).Element(e, bits);
                  });
  }
};

template <class AesT>
struct DirectPathKernel
    : DirectKernel<DirectPathKernel<AesT>, AesT, DpfPathArgs> {
  using Base = DirectKernel<DirectPathKernel<AesT>, AesT, DpfPathArgs>;
  using Base::args;

  explicit DirectPathKernel(const DpfPathArgs& all) : Base(all) {}

  TACIT_HOST_DEVICE void Element(uint64_t e, const uint64_t* bits) const {
    const uint64_t at = PointAt(args.points, e) & LowBits(args.keys.m);
    const uint64_t unit = uint64_t{1} << (at & 63);
    const uint64_t below = unit | (unit - 1);  // bits 0..at
    uint64_t sum = 0;
    for (int w = 0; w < DirectWordCount(args.keys.m); ++w) {
      const bool here = at >> 6 == w, before = w < (at >> 6);  // public
      uint64_t mask = here ? unit : 0;
      if (args.output == PathOutput::kPrefix) {
        mask = here ? below : before ? ~uint64_t{0} : 0;
      }
      sum ^= bits[w] & mask;
    }
    args.out[e] = ParityOf(static_cast<uint32_t>(sum ^ sum >> 32));
  }
};

template <class AesT, int kTables>
struct DirectWindowKernel
    : DirectKernel<DirectWindowKernel<AesT, kTables>, AesT, DpfWindowArgs> {
  using Base =
      DirectKernel<DirectWindowKernel<AesT, kTables>, AesT, DpfWindowArgs>;
  using Base::args;

  explicit DirectWindowKernel(const DpfWindowArgs& all) : Base(all) {}

  TACIT_HOST_DEVICE void Element(uint64_t e, const uint64_t* bits) const {
    const uint64_t start = PointAt(args.start, e);
    const uint64_t mask = DirectWordCount(args.keys.m) - 1;
    TableSums<kTables> sums;
    for (uint64_t k = 0; k < args.length; k += 64) {
      const uint64_t w = (start >> 6) + k / 64;
      sums.Add(args, k, args.length - k,
               Funnel(bits[w & mask], bits[(w + 1) & mask], start));
    }
    sums.Store(args, e, /*first=*/true, /*last=*/true);
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_FSS_DPF_DIRECT_INL_H_
