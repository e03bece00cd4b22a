#include "common/nn/rope.h"

#include <cmath>
#include <numeric>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/gates/linear.h"
#include "common/gates/trunc_reduce.h"

namespace tacit {
namespace {

// Fixed point in which (pi / 2)^2 still fits a signed word.
constexpr int kFixedBits = 60;
// round(pi / 2 * 2^60).
constexpr int64_t kHalfPi = 1811004864519280711;

int64_t MulFixed(int64_t a, int64_t b) {
  const __int128 product = static_cast<__int128>(a) * b;
  return static_cast<int64_t>((product + (int64_t{1} << (kFixedBits - 1))) >>
                              kFixedBits);
}

// 1 - a^2/(k+1)(k+2) (1 - a^2/(k+3)(k+4) (...)): cos for k = 0, sin / a for
// k = 1. Eleven terms leave (pi / 2)^22 / 22! < 2^-55.
int64_t Series(int64_t square, int k) {
  constexpr int64_t kOne = int64_t{1} << kFixedBits;
  int64_t sum = kOne;
  for (int i = 2 * 10 + k; i > k; i -= 2) {
    sum = kOne - MulFixed(square, sum) / (i * (i - 1));
  }
  return sum;
}

// A quarter turn: |cos|, |sin| of fraction / 2^62 of it.
Rotation FirstQuadrant(uint64_t fraction) {
  const __int128 product = static_cast<__int128>(fraction) * kHalfPi;
  const int64_t angle = static_cast<int64_t>(product >> 62);
  const int64_t square = MulFixed(angle, angle);
  return {Series(square, 0), MulFixed(angle, Series(square, 1))};
}

// [positions, pairs].
std::vector<Rotation> Rotations(const RopeParams& params,
                                std::span<const int64_t> positions) {
  constexpr double kPerTurn = 0.15915494309189535;  // 1 / (2 pi)
  std::vector<Rotation> rotations;
  rotations.reserve(positions.size() * params.inverse_frequency.size());
  for (int64_t position : positions) {
    for (double frequency : params.inverse_frequency) {
      // Turns per position; whole turns vanish modulo 2^64.
      const auto step =
          static_cast<uint64_t>(std::ldexp(frequency * kPerTurn, 64));
      // Scaled with bits to spare by one correctly rounded product: the same on
      // every machine.
      constexpr int kExtra = 16;
      const Rotation r = RotationOf(step * static_cast<uint64_t>(position),
                                    params.frac + kExtra);
      const auto scaled = [&](int64_t v) {
        return std::llround(
            std::ldexp(static_cast<double>(v) * params.scale, -kExtra));
      };
      rotations.push_back({scaled(r.cos), scaled(r.sin)});
    }
  }
  return rotations;
}

// cos, sin, cos, sin, ...
std::vector<int64_t> Flat(const std::vector<Rotation>& rotations) {
  std::vector<int64_t> flat;
  flat.reserve(2 * rotations.size());
  for (const Rotation& r : rotations) flat.insert(flat.end(), {r.cos, r.sin});
  return flat;
}

std::string Problem(const Shape& shape, const RopeParams& params,
                    size_t positions) {
  const size_t rank = shape.size(), pairs = params.inverse_frequency.size();
  if (rank < 3 || shape[rank - 3] != positions || 2 * pairs > shape[rank - 1]) {
    return absl::StrCat(positions, " positions and ", pairs,
                        " pairs for shape ", ToString(shape));
  }
  for (double frequency : params.inverse_frequency) {
    if (!(frequency >= 0 && frequency < 6.28)) {
      return absl::StrCat("frequency ", frequency);
    }
  }
  if (params.frac < 1 || params.frac > 24) {
    return absl::StrCat("cos of ", params.frac, " fraction bits");
  }
  if (!(std::abs(params.scale) < 256)) {
    return absl::StrCat("scale ", params.scale);
  }
  return "";
}

// Whether the arguments fit; else fails, naming the layer.
bool Check(Evaluator& ev, const Shape& shape, const RopeParams& params,
           size_t positions) {
  const std::string problem = Problem(shape, params, positions);
  if (!problem.empty()) ev.Fail(absl::InvalidArgumentError(problem));
  return ev.ok();
}

// The rotation of a wire or a share; its fraction count grows by params.frac.
// Requires checked arguments.
template <typename T>
T Rotate(Evaluator& ev, const T& x, const RopeParams& params,
         std::span<const int64_t> positions) {
  const std::vector<Rotation> rotations =
      ev.has_data() ? Rotations(params, positions) : std::vector<Rotation>();
  const size_t rank = x.shape.size();
  const size_t heads = x.shape[rank - 2], d = x.shape[rank - 1];
  const size_t pairs = params.inverse_frequency.size();
  // Elements of a pair: a at `stride * i`, b `distance` after it.
  const size_t stride = params.interleaved ? 2 : 1;
  const size_t distance = params.interleaved ? 1 : pairs;
  return MapLinear(
      ev, "Rotate", x, x.shape, x.frac + params.frac,
      [&](std::span<const uint64_t> in, std::span<uint64_t> out) {
        if (d == 0) return;
        for (size_t row = 0; row < in.size() / d; ++row) {
          const uint64_t* from = in.data() + row * d;
          uint64_t* to = out.data() + row * d;
          const Rotation* r =
              rotations.data() + row / heads % positions.size() * pairs;
          for (size_t i = 0; i < pairs; ++i) {
            const auto cos = static_cast<uint64_t>(r[i].cos);
            const auto sin = static_cast<uint64_t>(r[i].sin);
            const uint64_t a = from[stride * i];
            const uint64_t b = from[stride * i + distance];
            to[stride * i] = a * cos - b * sin;
            to[stride * i + distance] = b * cos + a * sin;
          }
          for (size_t i = 2 * pairs; i < d; ++i) to[i] = from[i] << params.frac;
        }
      },
      [&](Accelerator& device, const Words& in, Words& out) {
        device.Rotate(in, d, pairs, heads, positions.size(), params.interleaved,
                      params.frac, Flat(rotations), out);
      });
}

}  // namespace

Rotation RotationOf(uint64_t turn, int bits) {
  const Rotation r = FirstQuadrant(turn & ((uint64_t{1} << 62) - 1));
  const int shift = kFixedBits - bits;
  const auto round = [shift](int64_t v) {
    return (v + (int64_t{1} << (shift - 1))) >> shift;
  };
  const int64_t cos = round(r.cos), sin = round(r.sin);
  switch (turn >> 62) {
    case 0:
      return {cos, sin};
    case 1:
      return {-sin, cos};
    case 2:
      return {-cos, -sin};
    default:
      return {sin, -cos};
  }
}

Wire Rope(Evaluator& ev, const Wire& x, const RopeParams& params,
          std::span<const int64_t> positions, int drop) {
  const Evaluator::Scope scope(ev, "Rope");
  Wire out{x.shape, x.width - drop, x.frac + params.frac - drop};
  if (!Check(ev, x.shape, params, positions.size())) return out;
  if (drop < 0 || drop >= x.width) {
    ev.Fail(absl::InvalidArgumentError(
        absl::StrCat(drop, " bits dropped of a wire of ", x.width)));
    return out;
  }
  return TruncReduce(ev, Rotate(ev, x, params, positions), drop);
}

Wire Rope(Evaluator& ev, const Wire& x, const RopeParams& params,
          std::span<const int64_t> positions) {
  return Rope(ev, x, params, positions, params.frac);
}

Share Rope(Evaluator& ev, const Share& x, const RopeParams& params,
           std::span<const int64_t> positions) {
  const Evaluator::Scope scope(ev, "Rope");
  if (!Check(ev, x.shape, params, positions.size())) {
    return Share{x.shape, x.width, x.frac + params.frac};
  }
  return Rotate(ev, x, params, positions);
}

std::vector<int64_t> ConsecutivePositions(int64_t first, size_t count) {
  std::vector<int64_t> positions(count);
  std::iota(positions.begin(), positions.end(), first);
  return positions;
}

}  // namespace tacit
