"""What texts are, as a classifier sees them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tacit.errors import TacitError
from tacit.request import Request, Roles
from tacit.ring import MaskStream, to_signed, token_width
from tacit.session import Session
from tacit.v1 import plan_pb2

if TYPE_CHECKING:
    from tacit.client import Client


@dataclass(frozen=True)
class LabelScore:
    """How likely a label is. `probability` is the softmax of all labels' logits:
    of a model whose labels do not exclude each other, read the logits."""

    label: str
    logit: float
    probability: float


@dataclass(frozen=True)
class Classification:
    """What one text is. SECRET."""

    label: str = field(repr=False)  # the likeliest
    scores: tuple[LabelScore, ...] = field(repr=False)  # in the model's order
    tokens: int  # of the text, or of both


class ClassifyRequest(Request):
    """Texts that are classified in one pass."""

    def __init__(
        self,
        client: Client,
        texts: list[tuple[list[int], list[int]]],
        faithful: bool,
        retries: int,
        deadline: float | None,
    ) -> None:
        """`texts`: token ids of each, and segment ids, as many."""
        super().__init__(client, faithful, retries, deadline)
        self._lengths = [len(ids) for ids, _ in texts]
        self._tokens = _joined([ids for ids, _ in texts])
        self._segments = _joined([segments for _, segments in texts])
        # Without a pair all tokens are of segment 0, which is public then.
        self._pairs = bool(self._segments.any())

    def run(self) -> list[Classification]:
        """Blocks until the scores are there. Raises CANCELLED after cancel."""
        while True:
            try:
                with self._session() as (roles, session, masks):
                    logits = self._logits(roles, session, masks)
                return [
                    _classification(self._client.labels, row, length)
                    for row, length in zip(logits, self._lengths)
                ]
            except TacitError as error:
                if self._cancelled.is_set():
                    raise TacitError("CANCELLED", "the request was cancelled") from None
                # Logits come at the end and all at once.
                self._before_retry(error, begun=False)

    def _shape(self) -> plan_pb2.SessionShape:
        return plan_pb2.SessionShape(
            prompt_tokens=self._lengths,
            classification=plan_pb2.Classification(segments=self._pairs),
        )

    def _logits(
        self, roles: Roles, session: Session, masks: MaskStream
    ) -> npt.NDArray[np.float64]:
        client = self._client
        width = token_width(client._vocabulary)
        session.send(masks.masked(self._tokens, width), width)
        if self._pairs:
            width = token_width(client._segment_types)
            session.send(masks.masked(self._segments, width), width)
        count = len(self._lengths) * len(client.labels)
        sums = to_signed(session.receive(count, roles.logit_width), roles.logit_width)
        logits = np.ldexp(sums.astype(np.float64), -roles.logit_frac)
        return logits.reshape(len(self._lengths), len(client.labels))


def _joined(rows: list[list[int]]) -> npt.NDArray[np.uint64]:
    return np.array([one for row in rows for one in row], np.uint64)


def _classification(
    labels: tuple[str, ...], logits: npt.NDArray[np.float64], tokens: int
) -> Classification:
    weights = np.exp(logits - logits.max())
    probabilities = weights / weights.sum()
    scores = tuple(
        LabelScore(label, float(logit), float(probability))
        for label, logit, probability in zip(labels, logits, probabilities)
    )
    return Classification(labels[int(np.argmax(logits))], scores, tokens)
