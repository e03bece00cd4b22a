#include "common/gates/linear.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"
#include "common/gates/plain.h"
#include "common/ring/elementwise.h"

namespace tacit {
namespace {

// The plain evaluator alone can see that a wire has left its bound.
void CheckPlain(Evaluator& ev, absl::string_view gate, const WordsRef& words,
                int width) {
  if (ev.is_plain() && ev.ok()) {
    static_cast<PlainEvaluator&>(ev).CheckBound(gate, *words, width);
  }
}

WordsRef Apply(Evaluator& ev, const WordsRef& in, size_t out_size, LinearFn fn,
               DeviceLinearFn device) {
  if (in == nullptr) return nullptr;
  auto out = std::make_shared<Words>(NewWords(ev, out_size));
  if (ev.accelerator() != nullptr) {
    device(*ev.accelerator(), *in, *out);
  } else {
    fn(*in, *out);
  }
  return out;
}

struct BinaryKernel {
  void (*host)(ConstWordSpan, ConstWordSpan, WordSpan);
  void (Accelerator::*device)(const Words&, const Words&, Words&);
};
constexpr BinaryKernel kAdd = {Add, &Accelerator::Add};
constexpr BinaryKernel kSub = {Sub, &Accelerator::Sub};

WordsRef Apply2(Evaluator& ev, const WordsRef& a, const WordsRef& b,
                const BinaryKernel& kernel) {
  if (a == nullptr || b == nullptr) return nullptr;
  auto out = std::make_shared<Words>(NewWords(ev, a->size()));
  if (ev.accelerator() != nullptr) {
    (ev.accelerator()->*kernel.device)(*a, *b, *out);
  } else {
    kernel.host(*a, *b, *out);
  }
  return out;
}

template <typename T>
bool CheckSame(Evaluator& ev, absl::string_view gate, const T& a, const T& b) {
  if (a.shape != b.shape) {
    ev.Reject(gate, absl::StrCat("shapes ", ToString(a.shape), " and ",
                                 ToString(b.shape), " differ"));
  } else if (a.frac != b.frac) {
    ev.Reject(gate, absl::StrCat("fraction counts ", a.frac, " and ", b.frac,
                                 " differ"));
  }
  return ev.ok();
}

Wire Combine(Evaluator& ev, absl::string_view gate, const Wire& a,
             const Wire& b, const BinaryKernel& kernel) {
  Wire out{a.shape, std::min(a.width, b.width), a.frac,
           a.mask_shared && b.mask_shared};
  if (!CheckSame(ev, gate, a, b)) return out;
  ev.Await(a);
  ev.Await(b);
  if (!ev.has_data()) return out;
  out.hat = Apply2(ev, a.hat, b.hat, kernel);
  // A party has a share of the sum's mask only where it has both.
  out.mask = Apply2(ev, a.mask, b.mask, kernel);
  CheckPlain(ev, gate, out.hat, out.width);
  return out;
}

Share Combine(Evaluator& ev, absl::string_view gate, const Share& a,
              const Share& b, const BinaryKernel& kernel) {
  Share out{a.shape, std::min(a.width, b.width), a.frac};
  if (!CheckSame(ev, gate, a, b) || !ev.has_data()) return out;
  out.part = Apply2(ev, a.part, b.part, kernel);
  return out;
}

WordsRef PlusScalar(Evaluator& ev, const Words& in, uint64_t scalar) {
  auto out = std::make_shared<Words>(NewWords(ev, in.size()));
  if (ev.accelerator() != nullptr) {
    ev.accelerator()->AddScalar(in, scalar, *out);
  } else {
    AddScalar(in, scalar, *out);
  }
  return out;
}

void ScaleBy(ConstWordSpan in, std::span<const int64_t> factors, WordSpan out) {
  for (size_t i = 0; i < in.size(); i += factors.size()) {
    for (size_t j = 0; j < factors.size(); ++j) {
      out[i + j] = in[i + j] * static_cast<uint64_t>(factors[j]);
    }
  }
}

void SumRows(ConstWordSpan in, size_t d, WordSpan out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = Sum(in.subspan(i * d, d));
}

void RepeatRows(ConstWordSpan in, size_t d, WordSpan out) {
  for (size_t i = 0; i < in.size(); ++i) {
    std::fill_n(out.begin() + i * d, d, in[i]);
  }
}

Shape DropLast(const Shape& shape) {
  return Shape(shape.begin(), shape.end() - 1);
}

template <typename T>
T NegateImpl(Evaluator& ev, const T& x) {
  return MapLinear(
      ev, "Negate", x, x.shape, x.frac,
      [](ConstWordSpan in, WordSpan out) { Negate(in, out); },
      [](Accelerator& device, const Words& in, Words& out) {
        device.Negate(in, out);
      });
}

template <typename T>
T MulPublicImpl(Evaluator& ev, const T& x, int64_t constant, int frac) {
  return MapLinear(
      ev, "MulPublic", x, x.shape, x.frac + frac,
      [constant](ConstWordSpan in, WordSpan out) {
        MulScalar(in, static_cast<uint64_t>(constant), out);
      },
      [constant](Accelerator& device, const Words& in, Words& out) {
        device.MulScalar(in, static_cast<uint64_t>(constant), out);
      });
}

template <typename T>
T SumLastImpl(Evaluator& ev, const T& x) {
  if (x.shape.empty()) {
    ev.Reject("SumLast", "a scalar has no last axis");
    return x;
  }
  const size_t d = x.shape.back();
  return MapLinear(
      ev, "SumLast", x, DropLast(x.shape), x.frac,
      [d](ConstWordSpan in, WordSpan out) { SumRows(in, d, out); },
      [d](Accelerator& device, const Words& in, Words& out) {
        device.SumLast(in, d, out);
      });
}

template <typename T>
T RepeatLastImpl(Evaluator& ev, const T& x, size_t d) {
  Shape shape = x.shape;
  shape.push_back(d);
  return MapLinear(
      ev, "RepeatLast", x, shape, x.frac,
      [d](ConstWordSpan in, WordSpan out) { RepeatRows(in, d, out); },
      [d](Accelerator& device, const Words& in, Words& out) {
        device.RepeatLast(in, d, out);
      });
}

template <typename T>
T GatherRowsImpl(Evaluator& ev, const T& x, std::span<const size_t> indices) {
  const size_t rows = x.shape.empty() ? 0 : x.shape[0];
  for (size_t i : indices) {
    if (i >= rows) {
      ev.Reject("GatherRows", absl::StrCat("row ", i, " of ", rows));
      return x;
    }
  }
  if (rows == 0) return x;
  Shape shape = x.shape;
  shape[0] = indices.size();
  const size_t row = x.size() / rows;
  return MapLinear(
      ev, "GatherRows", x, shape, x.frac,
      [&](ConstWordSpan in, WordSpan out) {
        for (size_t i = 0; i < indices.size(); ++i) {
          std::copy_n(in.begin() + indices[i] * row, row,
                      out.begin() + i * row);
        }
      },
      [&](Accelerator& device, const Words& in, Words& out) {
        device.GatherRows(in, row, indices, out);
      });
}

template <typename T>
T SliceLastImpl(Evaluator& ev, const T& x, size_t begin, size_t count) {
  const size_t d = x.shape.empty() ? 0 : x.shape.back();
  if (begin > d || count > d - begin) {
    ev.Reject("SliceLast", absl::StrCat("[", begin, ", ", begin + count,
                                        ") of an axis of ", d));
    return x;
  }
  Shape shape = x.shape;
  shape.back() = count;
  const size_t rows = d == 0 ? 0 : x.size() / d;
  return MapLinear(
      ev, "SliceLast", x, shape, x.frac,
      [&](ConstWordSpan in, WordSpan out) {
        for (size_t i = 0; i < rows; ++i) {
          std::copy_n(in.begin() + i * d + begin, count,
                      out.begin() + i * count);
        }
      },
      [&](Accelerator& device, const Words& in, Words& out) {
        device.PlaceColumns(in, d, 0, begin, count, count, out);
      });
}

template <typename T>
T TransposeImpl(Evaluator& ev, const T& x, std::span<const int> axes) {
  const size_t rank = x.shape.size();
  std::vector<bool> seen(rank, false);
  bool valid = axes.size() == rank;
  for (int axis : axes) {
    if (axis < 0 || axis >= static_cast<int>(rank) || seen[axis]) {
      valid = false;
      break;
    }
    seen[axis] = true;
  }
  if (!valid) {
    ev.Reject("Transpose", absl::StrCat("axes are no permutation of the axes ",
                                        "of ", ToString(x.shape)));
    return x;
  }
  Shape shape(rank), stride(rank, 1), walk(rank);
  for (size_t i = rank; i-- > 1;) stride[i - 1] = stride[i] * x.shape[i];
  for (size_t i = 0; i < rank; ++i) {
    shape[i] = x.shape[axes[i]];
    walk[i] = stride[axes[i]];
  }
  return MapLinear(
      ev, "Transpose", x, shape, x.frac,
      [&](ConstWordSpan in, WordSpan out) {
        Shape index(rank, 0);
        size_t from = 0;
        for (size_t i = 0; i < out.size(); ++i) {
          out[i] = in[from];
          for (size_t a = rank; a-- > 0;) {
            from += walk[a];
            if (++index[a] < shape[a]) break;
            from -= walk[a] * shape[a];
            index[a] = 0;
          }
        }
      },
      [&](Accelerator& device, const Words& in, Words& out) {
        device.Transpose(in, shape, walk, out);
      });
}

template <typename T>
bool CheckReshape(Evaluator& ev, const T& x, const Shape& shape) {
  if (NumElements(shape) == x.size()) return true;
  ev.Reject("Reshape",
            absl::StrCat(ToString(x.shape), " to ", ToString(shape)));
  return false;
}

template <typename T>
bool CheckNarrow(Evaluator& ev, const T& x, int width) {
  if (IsWidth(width) && width <= x.width) return true;
  ev.Reject("Narrow", absl::StrCat("width ", x.width, " to ", width));
  return false;
}

// Copies the parts' buffers one after the other; null if one has none.
template <typename T>
WordsRef Join(Evaluator& ev, std::span<const T> parts, WordsRef T::*member,
              size_t size) {
  std::vector<const Words*> buffers;
  for (const T& part : parts) {
    if (part.*member == nullptr) return nullptr;
    buffers.push_back((part.*member).get());
  }
  auto out = std::make_shared<Words>(NewWords(ev, size));
  if (ev.accelerator() != nullptr) {
    ev.accelerator()->Concat(buffers, *out);
    return out;
  }
  uint64_t* to = out->begin();
  for (const Words* words : buffers) {
    to = std::copy(words->begin(), words->end(), to);
  }
  return out;
}

template <typename T>
bool CheckConcat(Evaluator& ev, std::span<const T> parts, Shape& shape) {
  if (parts.empty() || parts[0].shape.empty()) {
    ev.Reject("Concat", "nothing to join");
    return false;
  }
  shape = parts[0].shape;
  for (const T& part : parts.subspan(1)) {
    if (part.shape.size() != shape.size() ||
        !std::equal(part.shape.begin() + 1, part.shape.end(),
                    shape.begin() + 1) ||
        part.width != parts[0].width || part.frac != parts[0].frac) {
      ev.Reject("Concat", absl::StrCat(ToString(part.shape), " does not join ",
                                       ToString(parts[0].shape)));
      return false;
    }
    shape[0] += part.shape[0];
  }
  return true;
}

}  // namespace

Wire MapLinear(Evaluator& ev, absl::string_view gate, const Wire& x,
               const Shape& shape, int frac, LinearFn fn,
               DeviceLinearFn device) {
  Wire out{shape, x.width, frac, x.mask_shared};
  ev.Await(x);
  if (!ev.has_data()) return out;
  out.hat = Apply(ev, x.hat, out.size(), fn, device);
  out.mask = Apply(ev, x.mask, out.size(), fn, device);
  CheckPlain(ev, gate, out.hat, out.width);
  return out;
}

Share MapLinear(Evaluator& ev, absl::string_view, const Share& x,
                const Shape& shape, int frac, LinearFn fn,
                DeviceLinearFn device) {
  Share out{shape, x.width, frac};
  if (ev.has_data()) out.part = Apply(ev, x.part, out.size(), fn, device);
  return out;
}

Wire Add(Evaluator& ev, const Wire& a, const Wire& b) {
  return Combine(ev, "Add", a, b, kAdd);
}
Wire Sub(Evaluator& ev, const Wire& a, const Wire& b) {
  return Combine(ev, "Sub", a, b, kSub);
}
Share Add(Evaluator& ev, const Share& a, const Share& b) {
  return Combine(ev, "Add", a, b, kAdd);
}
Share Sub(Evaluator& ev, const Share& a, const Share& b) {
  return Combine(ev, "Sub", a, b, kSub);
}
Wire Negate(Evaluator& ev, const Wire& x) { return NegateImpl(ev, x); }
Share Negate(Evaluator& ev, const Share& x) { return NegateImpl(ev, x); }

Wire AddPublic(Evaluator& ev, const Wire& x, int64_t constant) {
  Wire out{x.shape, x.width, x.frac, x.mask_shared};
  ev.Await(x);
  if (!ev.has_data()) return out;
  if (x.hat != nullptr) {
    out.hat = PlusScalar(ev, *x.hat, static_cast<uint64_t>(constant));
    CheckPlain(ev, "AddPublic", out.hat, x.width);
  }
  out.mask = x.mask;
  return out;
}

Share AddPublic(Evaluator& ev, const Share& x, int64_t constant) {
  Share out = x;
  // Added once: by party 0, or to the plain value.
  if (!ev.has_data() || x.part == nullptr ||
      (ev.is_party() && ev.party() == 1)) {
    return out;
  }
  out.part = PlusScalar(ev, *x.part, static_cast<uint64_t>(constant));
  return out;
}

Wire MulPublic(Evaluator& ev, const Wire& x, int64_t constant, int frac) {
  return MulPublicImpl(ev, x, constant, frac);
}
Share MulPublic(Evaluator& ev, const Share& x, int64_t constant, int frac) {
  return MulPublicImpl(ev, x, constant, frac);
}
Wire MulPublic(Evaluator& ev, const Wire& x, std::span<const int64_t> factors,
               int frac) {
  if (factors.empty() ? x.size() != 0 : x.size() % factors.size() != 0) {
    ev.Reject("MulPublic", absl::StrCat(factors.size(), " factors for shape ",
                                        ToString(x.shape)));
    return x;
  }
  return MapLinear(
      ev, "MulPublic", x, x.shape, x.frac + frac,
      [factors](ConstWordSpan in, WordSpan out) {
        if (!in.empty()) ScaleBy(in, factors, out);
      },
      [factors](Accelerator& device, const Words& in, Words& out) {
        device.MulRow(in, factors, out);
      });
}

Wire SumLast(Evaluator& ev, const Wire& x) { return SumLastImpl(ev, x); }
Share SumLast(Evaluator& ev, const Share& x) { return SumLastImpl(ev, x); }
Wire RepeatLast(Evaluator& ev, const Wire& x, size_t d) {
  return RepeatLastImpl(ev, x, d);
}
Share RepeatLast(Evaluator& ev, const Share& x, size_t d) {
  return RepeatLastImpl(ev, x, d);
}
Wire GatherRows(Evaluator& ev, const Wire& x, std::span<const size_t> indices) {
  return GatherRowsImpl(ev, x, indices);
}
Share GatherRows(Evaluator& ev, const Share& x,
                 std::span<const size_t> indices) {
  return GatherRowsImpl(ev, x, indices);
}
Wire SliceLast(Evaluator& ev, const Wire& x, size_t begin, size_t count) {
  return SliceLastImpl(ev, x, begin, count);
}
Share SliceLast(Evaluator& ev, const Share& x, size_t begin, size_t count) {
  return SliceLastImpl(ev, x, begin, count);
}
Wire Transpose(Evaluator& ev, const Wire& x, std::span<const int> axes) {
  return TransposeImpl(ev, x, axes);
}
Share Transpose(Evaluator& ev, const Share& x, std::span<const int> axes) {
  return TransposeImpl(ev, x, axes);
}

Wire Concat(Evaluator& ev, std::span<const Wire> parts) {
  Wire out;
  if (!CheckConcat(ev, parts, out.shape)) return out;
  out.width = parts[0].width;
  out.frac = parts[0].frac;
  out.mask_shared = true;
  for (const Wire& part : parts) {
    ev.Await(part);
    out.mask_shared = out.mask_shared && part.mask_shared;
  }
  if (!ev.has_data()) return out;
  out.hat = Join(ev, parts, &Wire::hat, out.size());
  out.mask = Join(ev, parts, &Wire::mask, out.size());
  return out;
}

Share Concat(Evaluator& ev, std::span<const Share> parts) {
  Share out;
  if (!CheckConcat(ev, parts, out.shape)) return out;
  out.width = parts[0].width;
  out.frac = parts[0].frac;
  if (ev.has_data()) out.part = Join(ev, parts, &Share::part, out.size());
  return out;
}

Wire Reshape(Evaluator& ev, const Wire& x, const Shape& shape) {
  Wire out = x;
  if (CheckReshape(ev, x, shape)) out.shape = shape;
  return out;
}
Share Reshape(Evaluator& ev, const Share& x, const Shape& shape) {
  Share out = x;
  if (CheckReshape(ev, x, shape)) out.shape = shape;
  return out;
}

Wire Narrow(Evaluator& ev, const Wire& x, int width) {
  Wire out = x;
  if (!CheckNarrow(ev, x, width)) return out;
  out.width = width;
  if (ev.has_data() && x.hat != nullptr) CheckPlain(ev, "Narrow", x.hat, width);
  return out;
}
Share Narrow(Evaluator& ev, const Share& x, int width) {
  Share out = x;
  if (CheckNarrow(ev, x, width)) out.width = width;
  return out;
}

Share Rescale(Evaluator& ev, const Share& x, int bits) {
  if (bits < 0 || !IsWidth(x.width + bits)) {
    ev.Reject("Rescale", absl::StrCat("width ", x.width, " + ", bits));
    return x;
  }
  Share out = MapLinear(
      ev, "Rescale", x, x.shape, x.frac + bits,
      [bits](ConstWordSpan in, WordSpan out) { ShiftLeft(in, bits, out); },
      [bits](Accelerator& device, const Words& in, Words& out) {
        device.ShiftLeft(in, bits, out);
      });
  out.width = x.width + bits;
  return out;
}

namespace {

// Words of this host, moved to where this role computes.
WordsRef Placed(Evaluator& ev, Words words) {
  if (ev.accelerator() != nullptr) words = ev.accelerator()->Upload(words);
  return std::make_shared<Words>(std::move(words));
}

}  // namespace

Wire Constant(Evaluator& ev, const Shape& shape, int width, int frac,
              std::span<const int64_t> values) {
  Wire out{shape, width, frac, /*mask_shared=*/true};
  if (values.size() != out.size()) {
    ev.Reject("Constant", absl::StrCat(values.size(), " values for shape ",
                                       ToString(shape)));
    return out;
  }
  if (!ev.has_data()) return out;
  out.mask = Placed(ev, Words::Zeroed(out.size()));
  if (ev.is_dealer()) return out;
  Words hat(out.size());
  std::copy(values.begin(), values.end(), hat.begin());
  out.hat = Placed(ev, std::move(hat));
  CheckPlain(ev, "Constant", out.hat, width);
  return out;
}

Wire ShareMask(Evaluator& ev, const Wire& x) {
  if (x.mask_shared) return x;
  Wire out = x;
  out.mask_shared = true;
  auto shares =
      std::make_shared<Words>(NewWords(ev, ev.is_party() ? x.size() : 0));
  const Words none;  // what a party has of the mask
  ev.RunBlocks(
      "ShareMask", {ShareField(x.width)}, x.size(),
      [&](DealBlock& block) {
        block.Share(std::span(*x.mask).subspan(block.begin(), block.count()));
      },
      [&](EvalBlock& block) {
        const Words part = block.Share();
        std::copy(part.begin(), part.end(), shares->begin() + block.begin());
      },
      [](PlainBlock&) {},
      [&](AcceleratorBlock& block) {
        block.Share(x.mask == nullptr ? none : *x.mask, *shares);
      });
  if (ev.is_party()) out.mask = std::move(shares);
  return out;
}

Share ToShare(Evaluator& ev, const Wire& wire) {
  const Wire x = ShareMask(ev, wire);
  Share out{x.shape, x.width, x.frac};
  ev.Await(x);
  if (!ev.has_data()) return out;
  if (ev.is_plain()) out.part = x.hat;
  if (ev.is_party()) {
    auto part = std::make_shared<Words>(NewWords(ev, x.size()));
    if (ev.accelerator() != nullptr) {
      ev.accelerator()->ToShare(*x.hat, *x.mask, *part);
    } else if (ev.party() == 1) {
      Sub(*x.hat, *x.mask, *part);
    } else {
      Negate(*x.mask, *part);
    }
    out.part = std::move(part);
  }
  return out;
}

}  // namespace tacit
