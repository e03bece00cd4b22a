#include "common/nn/embedding.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/fss/onehot_dpf.h"
#include "common/gates/extend.h"
#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/one_hot.h"

namespace tacit {
int EntryWidth(double bound, int frac) {
  if (frac < 0 || !(bound > 0)) return kMaxWidth + 1;
  const double units = std::ceil(std::ldexp(bound, frac));
  if (!(units < 0x1p60)) return kMaxWidth + 1;
  int width = 2;
  while (static_cast<uint64_t>(units) >> (width - 2) != 0) ++width;
  return width;
}

int TokenWidth(size_t vocabulary) {
  int bits = 1;
  while (bits < 63 && (vocabulary - 1) >> bits != 0) ++bits;
  return bits + 1;
}

Share EmbeddingRows(Evaluator& ev, const Wire& tokens,
                    const StaticMatrix& matrix, const EmbeddingParams& params) {
  const Evaluator::Scope scope(ev, "Embedding");
  const size_t vocabulary = matrix.k, n = tokens.size();
  const int width = EntryWidth(params.entry_bound, matrix.frac);
  Share out{tokens.shape, std::min(width, kMaxWidth), matrix.frac};
  out.shape.push_back(matrix.n);
  if (!ev.ok()) return out;
  if (vocabulary == 0 || tokens.width != TokenWidth(vocabulary) ||
      tokens.width - 1 > kMaxOneHotBits || params.one_hot_words == 0) {
    ev.Fail(absl::InvalidArgumentError(
        absl::StrCat(vocabulary, " rows, tokens of ", tokens.width, " bits")));
    return out;
  }
  if (!IsWidth(params.width) || width > params.width) {
    ev.Fail(absl::InvalidArgumentError(
        absl::StrCat("entries up to ", params.entry_bound, " of ", matrix.frac,
                     " fraction bits take ", width, " bits, the result has ",
                     params.width)));
    return out;
  }
  const size_t part = std::max<size_t>(params.one_hot_words / vocabulary, 1);
  const Wire flat = Reshape(ev, tokens, {n});
  std::vector<Share> rows;
  // Once for no tokens at all, so that the result has a shape.
  for (size_t begin = 0; begin == 0 || begin < n; begin += part) {
    const Wire some = SliceLast(ev, flat, begin, std::min(part, n - begin));
    const Wire one_hot =
        ev.Open(OneHot(ev, some, tokens.width - 1, vocabulary, width));
    rows.push_back(MatMulStatic(ev, one_hot, matrix, width));
  }
  return Reshape(ev, rows.size() == 1 ? rows[0] : Concat(ev, rows), out.shape);
}

Share EmbeddingShare(Evaluator& ev, const Wire& tokens,
                     const StaticMatrix& matrix,
                     const EmbeddingParams& params) {
  const Share rows = EmbeddingRows(ev, tokens, matrix, params);
  const Evaluator::Scope scope(ev, "Embedding");
  if (!ev.ok()) return Share{rows.shape, params.width, rows.frac};
  return Extend(ev, ev.Open(rows), params.width);
}

Wire Embedding(Evaluator& ev, const Wire& tokens, const StaticMatrix& matrix,
               const EmbeddingParams& params) {
  return ev.Open(EmbeddingShare(ev, tokens, matrix, params));
}

}  // namespace tacit
