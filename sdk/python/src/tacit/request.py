"""What requests of every kind do: sessions, retries, deadlines, cancelling."""

from __future__ import annotations

import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

from tacit.errors import TacitError
from tacit.ring import MaskStream
from tacit.session import Session
from tacit.v1 import plan_pb2

if TYPE_CHECKING:
    from tacit.client import Client

# gRPC's clock and ours may differ by so much at the end of a deadline, seconds.
CLOCK_SLACK = 0.05


@dataclass(frozen=True)
class Roles:
    """What the roles said of themselves, beyond what the gateway's folder says."""

    logit_width: int
    logit_frac: int
    channels: dict[str, grpc.Channel] = field(repr=False)


class Request(ABC):
    """One request: a session, or several until one does not fail."""

    def __init__(
        self, client: Client, faithful: bool, retries: int, deadline: float | None
    ) -> None:
        """`deadline` is on the monotonic clock."""
        self.sessions = 0  # with those that failed
        self.trace_id = secrets.token_hex(16)  # in the logs of all roles
        self._client = client
        self._faithful = faithful
        self._retries = retries
        self._deadline = deadline
        self._lock = threading.Lock()
        self._on_cancel: Callable[[], object] | None = None  # guarded by _lock
        self._cancelled = threading.Event()

    @abstractmethod
    def _shape(self) -> plan_pb2.SessionShape:
        """The session's shape, but for the rounding."""

    def cancel(self) -> None:
        """Ends the request at once, from any thread."""
        self._cancelled.set()
        with self._lock:
            on_cancel = self._on_cancel
        if on_cancel is not None:
            on_cancel()

    def _watch(self, on_cancel: Callable[[], object] | None) -> None:
        """What cancel calls from now on."""
        with self._lock:
            self._on_cancel = on_cancel
        if on_cancel is not None and self._cancelled.is_set():
            on_cancel()

    def _traceparent(self) -> tuple[tuple[str, str], ...]:
        """The request's trace (W3C Trace Context), as metadata of a call."""
        return (("traceparent", f"00-{self.trace_id}-{secrets.token_hex(8)}-00"),)

    def _left(self) -> float | None:
        return None if self._deadline is None else self._deadline - time.monotonic()

    def _before_retry(self, error: TacitError, begun: bool) -> None:
        """Waits until a fresh session, with fresh masks, may do better; raises if
        none may, or if something was given away (`begun`)."""
        if error.code == "UNAVAILABLE":
            self._client._forget()
        left = self._left()
        if left is not None and left <= CLOCK_SLACK:
            raise TacitError("DEADLINE_EXCEEDED", "the request took too long") from None
        if begun or self.sessions > self._retries or not error.retriable:
            raise error
        pause = 0.1 * 4 ** (self.sessions - 1)
        self._cancelled.wait(pause if left is None else min(pause, left))

    @contextmanager
    def _session(self) -> Iterator[tuple[Roles, Session, MaskStream]]:
        """A fresh session at all roles, which ends well if the body does, and is
        given up everywhere if not."""
        self.sessions += 1
        client = self._client
        roles = client._roles(self._left())
        shape = self._shape()
        shape.rounding = (
            plan_pb2.ROUNDING_FAITHFUL
            if self._faithful
            else plan_pb2.ROUNDING_STOCHASTIC
        )
        session_id, seed = client._open_session(
            roles, shape, self._left(), self._watch, self._traceparent()
        )
        session: Session | None = None
        done = False
        try:
            session = Session(
                (roles.channels["party0"], roles.channels["party1"]),
                session_id,
                client._digest,
                shape,
                self._left(),
                client._config.step_timeout,
                self._traceparent(),
            )
            left_early = TacitError("CANCELLED", "the request was cancelled")
            self._watch(lambda: session.cancel(left_early))
            yield roles, session, MaskStream(seed)
            session.finish()
            done = True
        finally:
            self._watch(None)
            if not done:
                if session is not None:
                    session.cancel(TacitError("CANCELLED", "the gateway has left"))
                client._close_session(roles, session_id)
