#include "common/gates/shuffle.h"

#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"
#include "common/ring/elementwise.h"

namespace tacit {
namespace {

Words Permuted(std::span<const uint64_t> in, size_t columns,
               const std::vector<size_t>& order) {
  Words out(in.size());
  for (size_t i = 0; i < order.size(); ++i) {
    std::copy_n(in.begin() + order[i] * columns, columns,
                out.begin() + i * columns);
  }
  return out;
}

// One half: party `permuter` permutes.
Share HalfShuffle(Evaluator& ev, const Share& x, int permuter) {
  constexpr absl::string_view kGate = "Shuffle";
  const size_t rows = x.shape[0], size = x.size();
  const size_t columns = rows == 0 ? 1 : size / rows;
  const int sender = 1 - permuter;
  const uint64_t order_at = ev.AllocatePermutation(PrgBlocks(rows));
  const uint64_t mask_at = ev.AllocatePermutation(PrgBlocks(size));
  ev.CountPermutationAes(permuter, PrgBlocks(rows));
  ev.CountPermutationAes(sender, PrgBlocks(size));
  Share out = x;
  out.part = nullptr;

  std::vector<size_t> order;
  if (ev.has_data() && ev.PermutationStream(permuter) != nullptr) {
    order = DrawPermutation(*ev.PermutationStream(permuter), order_at, rows);
  }
  // The sender's mask a; the dealer's pi(a). Drawn on this host, which knows
  // them; what is shared stays on the accelerator.
  Words mask(ev.has_data() && ev.PermutationStream(sender) != nullptr ? size
                                                                      : 0);
  if (!mask.empty()) {
    ev.PermutationStream(sender)->Fill(mask_at, std::span<uint64_t>(mask));
  }
  if (ev.has_data() && ev.is_dealer()) mask = Permuted(mask, columns, order);

  Accelerator* const device = ev.accelerator();
  if (device != nullptr && !mask.empty()) mask = device->Upload(mask);
  Words part = MakeWords(ev, size);
  ev.RunBlocks(
      kGate, {ShareField(x.width)}, size,
      [&](DealBlock& block) {
        block.Share(std::span(mask).subspan(block.begin(), block.count()));
      },
      [&](EvalBlock& block) {
        const Words dealt = block.Share();
        std::copy(dealt.begin(), dealt.end(), part.begin() + block.begin());
      },
      [](PlainBlock&) {},
      [&](AcceleratorBlock& block) { block.Share(mask, part); });
  Words message;
  const bool sends = ev.is_party() && ev.party() == sender && ev.has_data();
  if (sends) {
    message = Words(size);
    if (device != nullptr) {
      Words difference = device->NewWords(size);
      device->Sub(*x.part, mask, difference);
      device->Download(difference, message);
    } else {
      Sub(*x.part, mask, message);
    }
  }
  Words received = ev.Transfer(sender, message, size, x.width);
  if (!ev.has_data()) return out;
  if (ev.is_plain()) part = Permuted(*x.part, columns, order);
  if (ev.is_party() && !sends && device != nullptr) {
    const Words theirs = device->Upload(received);
    Words sum = device->NewWords(size), permuted = device->NewWords(size);
    device->Add(theirs, *x.part, sum);
    device->GatherRows(sum, columns, order, permuted);
    device->Add(part, permuted, sum);
    part = std::move(sum);
  } else if (ev.is_party() && !sends) {
    Add(received, *x.part, received);
    Add(part, Permuted(received, columns, order), part);
  }
  SetWords(ev, std::move(part), out);
  return out;
}

}  // namespace

std::vector<size_t> DrawPermutation(const Prg& stream, uint64_t position,
                                    size_t n) {
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  Words draws(n);
  stream.Fill(position, std::span<uint64_t>(draws));
  for (size_t i = n; i-- > 1;) {
    const size_t j = static_cast<size_t>(
        (static_cast<unsigned __int128>(draws[i]) * (i + 1)) >> 64);
    std::swap(order[i], order[j]);
  }
  return order;
}

Share Shuffle(Evaluator& ev, const Share& x) {
  if (x.shape.empty()) {
    ev.Reject("Shuffle", "a scalar has no rows");
    return x;
  }
  return HalfShuffle(ev, HalfShuffle(ev, x, /*permuter=*/0), /*permuter=*/1);
}

}  // namespace tacit
