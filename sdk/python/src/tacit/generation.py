"""An answer as it is decoded."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tacit.errors import TacitError
from tacit.request import Request, Roles
from tacit.ring import MaskStream, to_signed, token_width
from tacit.sampler import Mt19937_64, Sampler
from tacit.session import Session
from tacit.text import TextStream
from tacit.v1 import plan_pb2

if TYPE_CHECKING:
    from tacit.client import Client

_UNIFORM_BITS = 24  # of the user's randomness for sampling at the parties
_UNIFORM_WIDTH = 64


@dataclass(frozen=True)
class GenerationOptions:
    max_tokens: int
    sampling: str
    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    seed: int
    stop: tuple[str, ...] = field(repr=False)


class Generation(Request, Iterator[str]):
    """An answer as it is decoded: pieces of text, valid UTF-8. SECRET.

    Tokens are computed as pieces are asked for: a party that waits for longer
    than its `deadlines.step` ends the session. Leaving early (close, or a `with`
    block) ends the session at every role. `finish_reason` is None until the end,
    then "length", "stop" or "cancelled".
    """

    def __init__(
        self,
        client: Client,
        prompt: str,
        options: GenerationOptions,
        faithful: bool,
        retries: int,
        deadline: float | None,
    ) -> None:
        super().__init__(client, faithful, retries, deadline)
        self.text = ""
        self.tokens: list[int] = []
        self.finish_reason: str | None = None
        self._options = options
        self._prompt = client._encode(prompt)
        self.prompt_tokens = len(self._prompt)
        client._check_length(self.prompt_tokens, options.max_tokens)
        self._new_sampler()  # checks the options
        client._roles(self._left())
        self._pieces = self._run()

    def __iter__(self) -> Generation:
        return self

    def __next__(self) -> str:
        return next(self._pieces)

    def __enter__(self) -> Generation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the answer and frees everything at all roles. From any thread; one
        that is waiting for a piece then sees the end."""
        self.cancel()
        try:
            self._pieces.close()
        except ValueError:
            pass  # runs in another thread, which cancel has woken
        if self.finish_reason is None:
            self.finish_reason = "cancelled"

    def _new_sampler(self) -> Sampler:
        o = self._options
        return Sampler(o.temperature, o.top_k, o.top_p, o.repetition_penalty, o.seed)

    def _run(self) -> Generator[str, None, None]:
        while True:
            try:
                with self._session() as (roles, session, masks):
                    yield from self._steps(roles, session, masks)
                return
            except TacitError as error:
                if self._cancelled.is_set():
                    self.finish_reason = "cancelled"
                    return
                self._before_retry(error, begun=bool(self.tokens))

    def _shape(self) -> plan_pb2.SessionShape:
        o = self._options
        shape = plan_pb2.SessionShape(
            prompt_tokens=[self.prompt_tokens],
            max_tokens=o.max_tokens,
            embedding_mode=plan_pb2.EMBEDDING_MODE_SECURE,
            sampling_mode=plan_pb2.SAMPLING_MODE_CLIENT,
        )
        if o.sampling == "secure":
            shape.sampling_mode = plan_pb2.SAMPLING_MODE_SECURE
            shape.secure_sampling.temperature = o.temperature
            shape.secure_sampling.top_k = o.top_k
            shape.secure_sampling.top_p = o.top_p
        return shape

    def _steps(
        self, roles: Roles, session: Session, masks: MaskStream
    ) -> Iterator[str]:
        o = self._options
        stream = TextStream(self._client._codec, o.stop)
        # Anew for each session: a seed gives the same tokens after a retry.
        sampler = self._new_sampler()
        rng = Mt19937_64(o.seed)
        history = list(self._prompt)
        fresh = history
        width = token_width(self._client._vocabulary)
        self.finish_reason = None
        reason = "length"
        for _ in range(o.max_tokens):
            session.send(masks.masked(np.array(fresh, np.uint64), width), width)
            if o.sampling == "secure" and o.temperature > 0:
                uniform = np.array([rng.next() >> (64 - _UNIFORM_BITS)], np.uint64)
                session.send(masks.masked(uniform, _UNIFORM_WIDTH), _UNIFORM_WIDTH)
            token = self._choose(roles, session, sampler, width, history)
            history.append(token)
            fresh = [token]
            self.tokens.append(token)
            piece = stream.add(token)
            self.text = stream.text
            if piece:
                yield piece
            if token in self._client._ends or stream.stopped():
                reason = "stop"
                break
        piece = stream.finish()
        self.text = stream.text
        if piece:
            yield piece
        self.finish_reason = reason

    def _choose(
        self,
        roles: Roles,
        session: Session,
        sampler: Sampler,
        width: int,
        history: list[int],
    ) -> int:
        vocabulary = self._client._vocabulary
        if self._options.sampling == "secure":
            token = int(to_signed(session.receive(1, width), width)[0])
            # A party that does not keep to the protocol could make it anything.
            return min(max(token, 0), vocabulary - 1)
        sums = session.receive(vocabulary, roles.logit_width)
        logits = np.ldexp(
            to_signed(sums, roles.logit_width).astype(np.float64), -roles.logit_frac
        )
        return sampler.next(logits, history)
