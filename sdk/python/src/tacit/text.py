"""Tokens to text as they come."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer


class TextStream:
    """Decodes the tokens of one answer, in pieces of whole characters."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stop = [text for text in stop if text]
        self._ids: list[int] = []
        # What comes before _read is out; from _prefix on it is context, for a
        # decoder may treat its first token in a special way.
        self._prefix = 0
        self._read = 0
        self.text = ""

    def add(self, token: int) -> str:
        """The piece that `token` completes, perhaps empty."""
        self._ids.append(token)
        return self._take(False)

    def finish(self) -> str:
        """What was held back; incomplete characters become U+FFFD."""
        return self._take(True)

    def stopped(self) -> bool:
        """Whether a stop text has come."""
        return any(text in self.text for text in self._stop)

    def _take(self, everything: bool) -> str:
        before = self._tokenizer.decode(self._ids[self._prefix : self._read])
        after = self._tokenizer.decode(self._ids[self._prefix :])
        if len(after) <= len(before) or (after.endswith("\ufffd") and not everything):
            return ""
        piece = after[len(before) :]
        self._prefix, self._read = self._read, len(self._ids)
        self.text += piece
        return piece
