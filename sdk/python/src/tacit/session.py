"""One session at both parties: masked inputs out, output shares back."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from tacit.errors import TacitError, from_rpc
from tacit.ring import Words, pack, unpack
from tacit.v1 import inference_pb2 as pb
from tacit.v1 import plan_pb2

_METHOD = "/tacit.v1.InferenceService/Infer"


class Session:
    """Both calls of a session. Used by one thread, but for cancel.

    If one party's call ends with an error, the other's is cancelled, and the
    first error is the one that is raised.
    """

    def __init__(
        self,
        channels: tuple[grpc.Channel, grpc.Channel],
        session_id: bytes,
        digest: bytes,
        shape: plan_pb2.SessionShape,
        timeout: float | None,
        step_timeout: float,
        metadata: tuple[tuple[str, str], ...],
    ) -> None:
        self._step_timeout = step_timeout
        self._lock = threading.Lock()
        self._error: TacitError | None = None
        self._inputs = 0
        self._outputs = 0
        self._queues: tuple[queue.SimpleQueue[pb.InferRequest | None], ...] = (
            queue.SimpleQueue(),
            queue.SimpleQueue(),
        )
        start = pb.InferRequest(
            start=pb.InferStart(session_id=session_id, plan_digest=digest, shape=shape)
        )
        self._calls: list[grpc.Call] = []
        for party in range(2):
            self._queues[party].put(start)
            try:
                call = channels[party].stream_stream(
                    _METHOD,
                    request_serializer=pb.InferRequest.SerializeToString,
                    response_deserializer=pb.InferResponse.FromString,
                )(self._requests(party), timeout=timeout, metadata=metadata)
            except ValueError:  # what gRPC says of a closed channel
                closed = TacitError("CANCELLED", "the client is closed")
                self.cancel(closed)
                raise closed from None
            self._calls.append(call)
        for party in range(2):
            self._watch(party)

    def _requests(self, party: int) -> Iterator[pb.InferRequest]:
        while (request := self._queues[party].get()) is not None:
            yield request

    def _watch(self, party: int) -> None:
        call = self._calls[party]

        def ended() -> None:
            if call.code() != grpc.StatusCode.OK:
                self.cancel(from_rpc(f"party {party}", call))

        if not call.add_callback(ended):
            ended()

    def cancel(self, why: TacitError) -> None:
        """Ends both calls; the first reason counts. Thread-safe."""
        with self._lock:
            if self._error is None:
                self._error = why
        for mailbox in self._queues:
            mailbox.put(None)
        for call in self._calls:
            call.cancel()

    def send(self, hat: Words, width: int) -> None:
        """Sends a masked input, modulo 2^width, to both parties."""
        request = pb.InferRequest(
            input=pb.MaskedInput(
                index=self._inputs,
                width=width,
                count=hat.size,
                packed=pack(hat, width),
            )
        )
        self._inputs += 1
        for mailbox in self._queues:
            mailbox.put(request)

    def receive(self, count: int, width: int) -> Words:
        """The next output, the sum of both shares: SECRET.

        Raises DATA_LOSS if a party sent something else, DEADLINE_EXCEEDED if it
        is silent, else what ended a call.
        """
        total: Words | None = None
        for party, call in enumerate(self._calls):
            share = self._share(party, call, count, width)
            total = share if total is None else total + share
        self._outputs += 1
        assert total is not None
        return total

    @contextmanager
    def _unless_silent(self, what: str) -> Iterator[None]:
        """Ends the session if the body takes longer than a step may."""
        silence = threading.Timer(
            self._step_timeout, self.cancel, [TacitError("DEADLINE_EXCEEDED", what)]
        )
        silence.daemon = True
        silence.start()
        try:
            yield
        finally:
            silence.cancel()

    def _share(self, party: int, call: grpc.Call, count: int, width: int) -> Words:
        role = f"party {party}"
        try:
            with self._unless_silent(f"no output from {role} in time"):
                output = next(call).output
        except StopIteration:
            raise self._reason(
                TacitError("DATA_LOSS", f"{role} ended before the last output")
            ) from None
        except grpc.RpcError as error:
            raise self._reason(from_rpc(role, error)) from None
        if (output.index, output.width, output.count) != (self._outputs, width, count):
            raise TacitError(
                "DATA_LOSS",
                f"{role} sent output {output.index} of {output.count} words of "
                f"{output.width} bits, not {self._outputs} of {count} of {width}",
            )
        try:
            return unpack(output.packed, count, width)
        except ValueError as error:
            raise TacitError("DATA_LOSS", f"{role} sent {error}") from None

    def _reason(self, error: TacitError) -> TacitError:
        with self._lock:
            return self._error or error

    def finish(self) -> None:
        """Half-closes and waits until both parties have ended with OK."""
        for mailbox in self._queues:
            mailbox.put(None)
        for party, call in enumerate(self._calls):
            role = f"party {party}"
            try:
                with self._unless_silent(f"{role} does not finish"):
                    for _ in call:
                        raise TacitError("DATA_LOSS", f"{role} sent more outputs")
            except grpc.RpcError as error:
                raise self._reason(from_rpc(role, error)) from None
