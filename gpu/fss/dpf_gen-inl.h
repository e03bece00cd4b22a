// Key generation: one thread to a key (to Aes::kBlocks of them).
#ifndef TACIT_GPU_FSS_DPF_GEN_INL_H_
#define TACIT_GPU_FSS_DPF_GEN_INL_H_

#include <cstdint>

#include "gpu/fss/dpf.h"
#include "gpu/fss/half_tree-inl.h"

namespace tacit::gpu {

// Both parties' root seeds: party 0's, and Delta, their difference, whose
// lowest bit is 1.
template <class Aes, int kKeys>
TACIT_HOST_DEVICE inline void GenRoots(const AesShared<Aes, kKeys>& shared,
                                       const Aes& aes,
                                       const uint64_t (&position)[Aes::kBlocks],
                                       Block (&s)[Aes::kBlocks],
                                       Block (&delta)[Aes::kBlocks]) {
  StreamBlocks(shared, aes, 0, position, s);
  StreamBlocks(shared, aes, 1, position, delta);
  TACIT_UNROLL
  for (int b = 0; b < Aes::kBlocks; ++b) {
    SetParty(s[b], 0);
    SetParty(delta[b], 1);
    delta[b] = Xor(delta[b], s[b]);
  }
}

// Half-Tree, Fig. 8, as GenLevels in common/fss: both parties' nodes on the
// path differ by Delta. sink(level, b, word) takes the correction words; s ends
// as party 0's leaves, h0 and h1 as the hashes of both parties' leaves.
template <class Aes, class Sink>
TACIT_HOST_DEVICE inline void GenLevels(
    const Aes& aes, const uint32_t* hash_key, int m, int levels,
    const uint64_t (&alpha)[Aes::kBlocks], const Block (&delta)[Aes::kBlocks],
    Block (&s)[Aes::kBlocks], Block (&h0)[Aes::kBlocks],
    Block (&h1)[Aes::kBlocks], const Sink& sink) {
  TACIT_NO_UNROLL
  for (int level = 0;; ++level) {
    Block other[Aes::kBlocks];
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) other[b] = Xor(s[b], delta[b]);
    Hash(aes, hash_key, s, h0);
    Hash(aes, hash_key, other, h1);
    if (level == levels) break;
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) {
      const uint32_t right = BitMask(alpha[b], m - 1 - level);
      // CW = H(s_0) xor H(s_1) xor (1 - alpha_i) Delta.
      const Block word = XorMasked(Xor(h0[b], h1[b]), delta[b], ~right);
      sink(level, b, word);
      // s_0 <- H(s_0) xor alpha_i s_0 xor t_0 CW.
      const Block child = XorMasked(h0[b], word, ControlMask(s[b]));
      s[b] = XorMasked(child, s[b], right);
    }
  }
}

// Keys of both parties at args.alpha. Kernel has
//   int Levels() const;                                   // of the tree
//   static KeyPlace PlaceAt(const FieldLayout&, int levels, uint64_t e);
//   void Leaves(tile, levels, alpha, s, h0, h1) const;    // stores the last
//   word
template <class Kernel, class AesT, class Args>
struct GenKernel : AesKernel<Kernel, AesT, 3> {
  using Aes = AesT;
  using Shared = AesShared<Aes, 3>;  // both streams, the hash
  using Blocks = Block[Aes::kBlocks];

  Args args;

  explicit GenKernel(const Args& all) : args(all) {}

  TACIT_HOST_DEVICE const PrgKey& Key(int k) const {
    return k < 2 ? *args.key[k] : HashKey();
  }
  TACIT_HOST_DEVICE void Work(const Shared& shared, const Aes& aes,
                              const Thread& thread) const {
    ForTiles<Aes>(thread, args.field[0].n,
                  [&](const WarpTile<Aes>& tile) { Keys(shared, aes, tile); });
  }

  TACIT_HOST_DEVICE void Keys(const Shared& shared, const Aes& aes,
                              const WarpTile<Aes>& tile) const {
    const Kernel& kernel = static_cast<const Kernel&>(*this);
    const int levels = kernel.Levels();
    uint64_t position[Aes::kBlocks], alpha[Aes::kBlocks];
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) {
      const uint64_t e = tile.clamped(b, args.field[0].n);
      position[b] = Kernel::PlaceAt(args.field[0], levels, e).stream;
      alpha[b] = PointAt(args.alpha, e);
    }
    Blocks s, delta, h0, h1;
    GenRoots(shared, aes, position, s, delta);
    GenLevels(aes, shared.keys[2], args.m, levels, alpha, delta, s, h0, h1,
              [&](int level, int b, const Block& word) {
                Store(tile, b, levels, level, word);
              });
    kernel.Leaves(tile, levels, alpha, s, h0, h1);
  }

  // To both parties, if there is such a key. Places are computed anew for each
  // level: integer work beside two calls of AES, and registers are what AES
  // needs.
  TACIT_HOST_DEVICE void Store(const WarpTile<Aes>& tile, int b, int levels,
                               int level, const Block& word) const {
    const uint64_t e = tile.element(b);
    if (e >= args.field[0].n) return;
    TACIT_UNROLL
    for (int party = 0; party < 2; ++party) {
      const KeyPlace place = Kernel::PlaceAt(args.field[party], levels, e);
      StoreBlock(word, args.material[party] + place.bytes +
                           static_cast<uint64_t>(level) * place.stride);
    }
  }
};

template <class AesT>
struct DpfGenKernel : GenKernel<DpfGenKernel<AesT>, AesT, DpfGenArgs> {
  using Base = GenKernel<DpfGenKernel<AesT>, AesT, DpfGenArgs>;
  using Aes = AesT;
  using Base::args;
  using typename Base::Blocks;

  explicit DpfGenKernel(const DpfGenArgs& all) : Base(all) {}

  TACIT_HOST_DEVICE int Levels() const { return DpfLevels(args.m); }
  TACIT_HOST_DEVICE static KeyPlace PlaceAt(const FieldLayout& field,
                                            int levels, uint64_t e) {
    return PlaceOf(field, levels, e);
  }

  TACIT_HOST_DEVICE void Leaves(const WarpTile<Aes>& tile, int levels,
                                const uint64_t (&alpha)[Aes::kBlocks],
                                const Blocks& s, const Blocks& h0,
                                const Blocks& h1) const {
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) {
      // CW_leaf = H(s_0) xor H(s_1) xor e_{alpha mod 128}.
      const Block unit = UnitBlock(alpha[b]);
      const Block word = Xor(Xor(h0[b], h1[b]), unit);
      this->Store(tile, b, levels, levels, word);
      if (tile.element(b) >= args.field[0].n) continue;
      const Block leaf = XorMasked(h0[b], word, ControlMask(s[b]));
      args.positive[tile.element(b)] = Parity(leaf, unit);
    }
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_FSS_DPF_GEN_INL_H_
