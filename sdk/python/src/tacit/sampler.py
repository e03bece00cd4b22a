"""Choosing the next token from logits, as the C++ library does it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tacit.errors import TacitError


class Mt19937_64:
    """The 64-bit Mersenne Twister of C++'s std::mt19937_64.

    For the user's choice of text only: no key material comes from it.
    """

    _N, _M = 312, 156
    _MASK = (1 << 64) - 1

    def __init__(self, seed: int) -> None:
        state = [seed & self._MASK]
        for i in range(1, self._N):
            last = state[-1]
            state.append(
                (6364136223846793005 * (last ^ (last >> 62)) + i) & self._MASK
            )
        self._state = state
        self._at = self._N

    def next(self) -> int:
        if self._at == self._N:
            self._twist()
        x = self._state[self._at]
        self._at += 1
        x ^= (x >> 29) & 0x5555555555555555
        x ^= (x << 17) & 0x71D67FFFEDA60000
        x ^= (x << 37) & 0xFFF7EEE000000000
        return (x ^ (x >> 43)) & self._MASK

    def _twist(self) -> None:
        s = self._state
        for i in range(self._N):
            x = (s[i] & ~0x7FFFFFFF & self._MASK) | (s[(i + 1) % self._N] & 0x7FFFFFFF)
            s[i] = s[(i + self._M) % self._N] ^ (x >> 1)
            if x & 1:
                s[i] ^= 0xB5026F5AA96619E9
        self._at = 0


class Sampler:
    """Repetition penalty, temperature, top-k, top-p, in this order.

    Raises TacitError INVALID_ARGUMENT, naming the option that is out of range.
    """

    def __init__(
        self,
        temperature: float,
        top_k: int,
        top_p: float,
        repetition_penalty: float,
        seed: int,
    ) -> None:
        for name, value, ok in (
            ("temperature", temperature, 0 <= temperature <= 100),
            ("top_k", top_k, top_k >= 0),
            ("top_p", top_p, 0 < top_p <= 1),
            ("repetition_penalty", repetition_penalty, 0 < repetition_penalty <= 100),
        ):
            if not ok:
                raise TacitError("INVALID_ARGUMENT", f"{name} {value} is out of range")
        self._temperature = temperature
        self._top_k = top_k
        self._top_p = top_p
        self._penalty = repetition_penalty
        self._rng = Mt19937_64(seed)

    def next(self, logits: npt.NDArray[np.float64], history: Sequence[int]) -> int:
        """The token after `history`; logits [vocabulary], SECRET."""
        score = logits.copy()
        if self._penalty != 1:
            for token in set(history):
                value = score[token]
                score[token] = (
                    value / self._penalty if value > 0 else value * self._penalty
                )
        if self._temperature == 0:
            return int(np.argmax(score))
        # Descending; equal scores in the order of their ids.
        order = np.argsort(-score, kind="stable")
        if self._top_k:
            order = order[: self._top_k]
        first = score[order[0]]
        weight = [math.exp((score[i] - first) / self._temperature) for i in order]
        sums = np.cumsum(np.asarray(weight))
        # The fewest whose probabilities reach top_p, at least one.
        reached = np.nonzero(sums >= self._top_p * sums[-1])[0]
        count = int(reached[0]) + 1 if reached.size else len(weight)
        draw = math.ldexp(float(self._rng.next() >> 11), -53) * float(sums[count - 1])
        for i in range(count):
            draw -= weight[i]
            if draw < 0:
                return int(order[i])
        return int(order[count - 1])
