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

template <class AesT>
struct DpfGenKernel : AesKernel<DpfGenKernel<AesT>, AesT, 3> {
  using Aes = AesT;
  using Shared = AesShared<Aes, 3>;  // both streams, the hash

  DpfGenArgs args;

  explicit DpfGenKernel(const DpfGenArgs& all) : args(all) {}

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
    const int levels = DpfLevels(args.m);
    const uint64_t n = args.field[0].n;
    uint64_t position[Aes::kBlocks], alpha[Aes::kBlocks];
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) {
      const uint64_t e = tile.clamped(b, n);
      position[b] = PlaceOf(args.field[0], levels, e).stream;
      alpha[b] = PointAt(args.alpha, e);
    }
    Block s[Aes::kBlocks], delta[Aes::kBlocks];
    GenRoots(shared, aes, position, s, delta);
    Block h0[Aes::kBlocks], h1[Aes::kBlocks];
    const auto store = [&](int level, int b, const Block& word) {
      if (tile.element(b) < n) Store(tile.element(b), levels, level, word);
    };
    GenLevels(aes, shared.keys[2], args.m, levels, alpha, delta, s, h0, h1,
              store);
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) {
      // CW_leaf = H(s_0) xor H(s_1) xor e_{alpha mod 128}.
      const Block unit = UnitBlock(alpha[b]);
      const Block word = Xor(Xor(h0[b], h1[b]), unit);
      store(levels, b, word);
      if (tile.element(b) >= n) continue;
      const Block leaf = XorMasked(h0[b], word, ControlMask(s[b]));
      args.positive[tile.element(b)] = Parity(leaf, unit);
    }
  }

  // To both parties. Places are computed anew for each level: integer work
  // beside two calls of AES, and registers are what AES needs.
  TACIT_HOST_DEVICE void Store(uint64_t e, int levels, int level,
                               const Block& word) const {
    TACIT_UNROLL
    for (int party = 0; party < 2; ++party) {
      const KeyPlace place = PlaceOf(args.field[party], levels, e);
      StoreBlock(word, args.material[party] + place.bytes +
                           static_cast<uint64_t>(level) * place.stride);
    }
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_FSS_DPF_GEN_INL_H_
