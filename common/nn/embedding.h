// Embedding lookup by secret token ids.
#ifndef TACIT_COMMON_NN_EMBEDDING_H_
#define TACIT_COMMON_NN_EMBEDDING_H_

#include <cstddef>

#include "common/gates/evaluator.h"

namespace tacit {

struct EmbeddingParams {
  // |entry| <= entry_bound, in units of 1.
  double entry_bound = 0;
  int width = 64;  // of the result, the residual stream's
  // One-hot words held at a time; longer inputs take a round more for each
  // part. The default is 128 MiB.
  size_t one_hot_words = size_t{1} << 24;
};

// Ring that just holds entries |x| <= bound of `frac` fraction bits as Extend
// needs them, |x| < 2^(n - 2); above 64 bits if there is none.
int EntryWidth(double bound, int frac);

// Bits of the wire in which the gateway sends token ids of a vocabulary: they
// are not negative, and a wire is signed.
int TokenWidth(size_t vocabulary);

// Rows of the matrix [vocabulary, d] for tokens [...]: share [..., d], the
// matrix' fraction count, over a ring of n bits that just holds entry_bound (as
// Extend needs it). OneHot, opened over that ring, MatMulStatic: a round for
// each part of the input, vocabulary * n / 8 bytes opened by each party for
// each token. The errors are those below.
Share EmbeddingRows(Evaluator& ev, const Wire& tokens,
                    const StaticMatrix& matrix, const EmbeddingParams& params);

// The same over Z_{2^width}: opened, then Extend; a round and d * n / 8 bytes
// more.
// Errors (sticky): INVALID_ARGUMENT, naming the layer, if the tokens' width is
//   not TokenWidth, on the matrix, or if width cannot hold an entry; in the
//   plain evaluator OUT_OF_RANGE if a token is no row or an entry breaks its
//   bound.
Share EmbeddingShare(Evaluator& ev, const Wire& tokens,
                     const StaticMatrix& matrix, const EmbeddingParams& params);

// The same, opened: one round more.
Wire Embedding(Evaluator& ev, const Wire& tokens, const StaticMatrix& matrix,
               const EmbeddingParams& params);

}  // namespace tacit

#endif  // TACIT_COMMON_NN_EMBEDDING_H_
