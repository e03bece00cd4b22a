"""Text to tokens, and tokens to text as they come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tacit.errors import TacitError

_MAX_TEXT_BYTES = 8 << 20
_MAX_HELD_TOKENS = 16


def _is_control(token: dict[str, Any]) -> bool:
    """Whether an added token means something to the model that text should not
    be able to say. Files flag most of them as special, but not all."""
    text = str(token.get("content", ""))
    return bool(token.get("special")) or (
        len(text.encode()) >= 3
        and text.startswith("<")
        and text.endswith(">")
        and not any(c.isspace() for c in text)
    )


class TextCodec:
    """A model's tokenizer, as the folder of a gateway has it. Thread-safe.

    A control token that is spelled out in a prompt stays text: who writes a part
    of a prompt cannot end a turn or begin another's.
    """

    def __init__(self, folder: Path) -> None:
        """Raises NOT_FOUND or INVALID_ARGUMENT, naming the file."""
        file = folder / "tokenizer.json"
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
            # Some files ask for these; the caller decides on lengths.
            raw["truncation"] = raw["padding"] = None
            self._decoder = Tokenizer.from_str(json.dumps(raw))
            added = raw.get("added_tokens") or []
            control = [token for token in added if _is_control(token)]
            self._silent = {t["content"] for t in added if t.get("special")}
            self._control = {int(token["id"]) for token in control}
            for token in control:
                token["special"] = True
            self._encoder = Tokenizer.from_str(json.dumps(raw))
        except FileNotFoundError:
            raise TacitError("NOT_FOUND", f"{file} does not exist") from None
        except Exception as error:  # the library raises plain Exception
            raise TacitError("INVALID_ARGUMENT", f"{file}: {error}") from None
        for token in control:
            if self._encoder.token_to_id(token["content"]) != token["id"]:
                raise TacitError(
                    "INVALID_ARGUMENT",
                    f"{file}: added token {token['id']} is out of order",
                )
        self._encoder.encode_special_tokens = True
        # Every word that the vocabulary lacks becomes the unknown token.
        self._control.discard(self._unknown(folder, raw))

    def _unknown(self, folder: Path, raw: dict[str, Any]) -> int:
        names: list[Any] = [(raw.get("model") or {}).get("unk_token")]
        for file in ("special_tokens_map.json", "tokenizer_config.json"):
            try:
                value = json.loads((folder / file).read_text(encoding="utf-8"))
                names.append(value.get("unk_token"))
            except (OSError, ValueError, AttributeError):
                pass  # both files are optional
        for name in names:
            text = name.get("content") if isinstance(name, dict) else name
            found = self._encoder.token_to_id(text) if isinstance(text, str) else None
            if found is not None:
                return int(found)
        return -1

    def encode(self, text: str, what: str = "the prompt") -> list[int]:
        """Token ids with what the model wants around a text, such as BOS: SECRET.

        Raises INVALID_ARGUMENT for an empty text, one that is no Unicode or over
        8 MiB, or one that spells a control token of a vocabulary which cannot
        write that otherwise.
        """
        self._check(text, what)
        return list(self._encoder.encode(text).ids)

    def encode_pair(self, first: str, second: str) -> tuple[list[int], list[int]]:
        """Token ids of two texts with what the model wants around both, and which
        of the two each is of, 0 or 1: SECRET. Raises as encode."""
        self._check(first, "the text")
        self._check(second, "the second text")
        encoded = self._encoder.encode(first, second)
        return list(encoded.ids), list(encoded.type_ids)

    def _check(self, text: str, what: str) -> None:
        if not isinstance(text, str) or not text:
            raise TacitError("INVALID_ARGUMENT", f"{what} is empty, or no str")
        try:
            size = len(text.encode("utf-8"))
        except UnicodeEncodeError:
            raise TacitError(
                "INVALID_ARGUMENT", f"{what} has half a surrogate pair"
            ) from None
        if size > _MAX_TEXT_BYTES:
            raise TacitError(
                "INVALID_ARGUMENT",
                f"a text of {size} bytes; at most {_MAX_TEXT_BYTES} are encoded",
            )
        bare = self._encoder.encode(text, add_special_tokens=False).ids
        bad = self._control.intersection(bare)
        if bad:
            raise TacitError(
                "INVALID_ARGUMENT",
                f"{what} spells control token {min(bad)}, which cannot be written "
                "otherwise: leave it out",
            )

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens: SECRET."""
        return str(self._decoder.decode(list(ids)))

    def is_silent(self, token: int) -> bool:
        """Whether decoding passes over the id."""
        text = self._decoder.id_to_token(token)
        return text is None or text in self._silent


class TextStream:
    """Decodes the tokens of one answer, in pieces of whole characters."""

    def __init__(self, codec: TextCodec, stop: Sequence[str]) -> None:
        self._codec = codec
        self._stop = [text for text in stop if text]
        # What may still change the text: _ids[:_shown] is out and only context,
        # for a decoder may treat its first token in a special way.
        self._ids: list[int] = []
        self._shown = 0
        self.text = ""

    def add(self, token: int) -> str:
        """The piece that `token` completes, perhaps empty."""
        # As context, such ids would hide the tokens before them.
        if self._codec.is_silent(token):
            return ""
        self._ids.append(token)
        return self._take(len(self._ids) - self._shown >= _MAX_HELD_TOKENS)

    def finish(self) -> str:
        """What was held back; incomplete characters become U+FFFD."""
        return self._take(True)

    def stopped(self) -> bool:
        """Whether a stop text has come."""
        return any(text in self.text for text in self._stop)

    def _take(self, everything: bool) -> str:
        if self._shown == len(self._ids):
            return ""
        before = self._codec.decode(self._ids[: self._shown])
        after = self._codec.decode(self._ids)
        if not everything and after.endswith("\ufffd"):
            return ""
        if after.startswith(before):
            piece = after[len(before) :]
        else:  # a byte that breaks the character before it, which is out
            piece = self._codec.decode(self._ids[self._shown :])
        # Nothing to see yet: a space that the decoder strips from the front.
        # Stays as context for the next.
        if not piece and not everything and len(self._ids) < _MAX_HELD_TOKENS:
            return ""
        del self._ids[: self._shown]
        self._shown = len(self._ids)
        self.text += piece
        return piece
