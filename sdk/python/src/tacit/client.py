"""Prompt in, text out."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from tacit.config import ROLES, Config, load_config
from tacit.errors import TacitError, from_rpc
from tacit.ring import MaskStream, to_signed, token_width
from tacit.sampler import Mt19937_64, Sampler
from tacit.session import Session
from tacit.text import TextCodec, TextStream
from tacit.tls import check_role, open_channel
from tacit.v1 import dealer_pb2, plan_pb2

_UNIFORM_BITS = 24  # of the user's randomness for sampling at the parties
_UNIFORM_WIDTH = 64
_MAX_MESSAGE_BYTES = 64 << 20
_CALL_SECONDS = 10.0
_MAX_TOP_K = 1024  # of sampling at the parties
# gRPC's clock and ours may differ by so much at the end of a deadline, seconds.
_CLOCK_SLACK = 0.05


@dataclass(frozen=True)
class _Roles:
    """What the roles said of themselves, beyond what the gateway's folder says."""

    logit_width: int
    logit_frac: int
    channels: dict[str, grpc.Channel] = field(repr=False)


@dataclass(frozen=True)
class _Options:
    max_tokens: int
    sampling: str
    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    seed: int
    stop: tuple[str, ...] = field(repr=False)
    faithful: bool
    retries: int
    deadline: float | None  # on the monotonic clock


class Generation(Iterator[str]):
    """An answer as it is decoded: pieces of text, valid UTF-8. SECRET.

    Tokens are computed as pieces are asked for: a party that waits for longer
    than its `deadlines.step` ends the session. Leaving early (close, or a `with`
    block) ends the session at every role. `finish_reason` is None until the end,
    then "length", "stop" or "cancelled".
    """

    def __init__(self, client: Client, prompt: str, options: _Options) -> None:
        self.text = ""
        self.tokens: list[int] = []
        self.sessions = 0  # with those that failed before the first token
        self.finish_reason: str | None = None
        self._client = client
        self._options = options
        self._prompt = client._encode(prompt)
        self.prompt_tokens = len(self._prompt)
        client._check_length(self.prompt_tokens, options.max_tokens)
        self._new_sampler()  # checks the options
        client._roles(self._left())
        self._lock = threading.Lock()
        self._on_cancel: Callable[[], object] | None = None  # guarded by _lock
        self._cancelled = threading.Event()
        self._pieces = self._run()

    def __iter__(self) -> Generation:
        return self

    def __next__(self) -> str:
        return next(self._pieces)

    def __enter__(self) -> Generation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cancel(self) -> None:
        """Ends the answer at once, from any thread."""
        self._cancelled.set()
        with self._lock:
            on_cancel = self._on_cancel
        if on_cancel is not None:
            on_cancel()

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

    def _watch(self, on_cancel: Callable[[], object] | None) -> None:
        """What cancel calls from now on."""
        with self._lock:
            self._on_cancel = on_cancel
        if on_cancel is not None and self._cancelled.is_set():
            on_cancel()

    def _new_sampler(self) -> Sampler:
        o = self._options
        return Sampler(
            o.temperature, o.top_k, o.top_p, o.repetition_penalty, o.seed
        )

    def _run(self) -> Generator[str, None, None]:
        attempt = 0
        while True:
            self.sessions += 1
            try:
                yield from self._attempt()
                return
            except TacitError as error:
                if self._cancelled.is_set():
                    self.finish_reason = "cancelled"
                    return
                if error.code == "UNAVAILABLE":
                    self._client._forget()
                left = self._left()
                if left is not None and left <= _CLOCK_SLACK:
                    raise TacitError(
                        "DEADLINE_EXCEEDED", "the request took too long"
                    ) from None
                # Only with fresh masks, and only if nothing was given away.
                if self.tokens or attempt >= self._options.retries:
                    raise
                if not error.retriable:
                    raise
                pause = 0.1 * 2**attempt
                self._cancelled.wait(pause if left is None else min(pause, left))
                attempt += 1

    def _left(self) -> float | None:
        deadline = self._options.deadline
        return None if deadline is None else deadline - time.monotonic()

    def _shape(self) -> plan_pb2.SessionShape:
        o = self._options
        shape = plan_pb2.SessionShape(
            prompt_tokens=[self.prompt_tokens],
            max_tokens=o.max_tokens,
            embedding_mode=plan_pb2.EMBEDDING_MODE_SECURE,
            rounding=(
                plan_pb2.ROUNDING_FAITHFUL
                if o.faithful
                else plan_pb2.ROUNDING_STOCHASTIC
            ),
            sampling_mode=plan_pb2.SAMPLING_MODE_CLIENT,
        )
        if o.sampling == "secure":
            shape.sampling_mode = plan_pb2.SAMPLING_MODE_SECURE
            shape.secure_sampling.temperature = o.temperature
            shape.secure_sampling.top_k = o.top_k
            shape.secure_sampling.top_p = o.top_p
        return shape

    def _attempt(self) -> Iterator[str]:
        client = self._client
        roles = client._roles(self._left())
        shape = self._shape()
        session_id, seed = client._open_session(
            roles, shape, self._left(), self._watch
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
            )
            left_early = TacitError("CANCELLED", "the request was cancelled")
            self._watch(lambda: session.cancel(left_early))
            yield from self._steps(roles, session, MaskStream(seed))
            session.finish()
            done = True
        finally:
            self._watch(None)
            if not done:
                if session is not None:
                    session.cancel(TacitError("CANCELLED", "the gateway has left"))
                client._close_session(roles, session_id)

    def _steps(
        self, roles: _Roles, session: Session, masks: MaskStream
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
                uniform = np.array(
                    [rng.next() >> (64 - _UNIFORM_BITS)], np.uint64
                )
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
        roles: _Roles,
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


class Client:
    """A user's connection to a dealer and two parties. Thread-safe.

    Reads the gateway's folder and certificate; calls nobody yet. Chat templates,
    batches and looking tokens up at the user's side are not in this SDK.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._checking = threading.Lock()  # held while roles are asked
        self._checked: _Roles | None = None  # guarded by _lock
        self._closed = False  # guarded by _lock
        # By role, with the certificate that the channel trusts; and those of
        # certificates that were replaced, which sessions may still use.
        self._channels: dict[str, tuple[bytes | None, grpc.Channel]] = {}
        self._replaced: list[grpc.Channel] = []
        folder = config.model
        self._codec = TextCodec(folder)
        plan = _read_json(folder / "plan.json")
        self.model = str(plan.get("model", ""))
        self._digest = session_digest(plan, folder / "plan.json")
        self.context = _positive(plan, "context", folder / "plan.json")
        settings = _read_json(folder / "config.json")
        self._vocabulary = _positive(settings, "vocab_size", folder / "config.json")
        generation = folder / "generation_config.json"
        if generation.exists():  # the more exact one about tokens
            settings.update(_read_json(generation))
        ends = settings.get("eos_token_id")
        self._ends = set(ends if isinstance(ends, list) else [ends]) - {None}

    @staticmethod
    def from_config(path: str | Path) -> Client:
        """From a gateway's YAML file, such as `tacit up --dir D` writes."""
        return Client(load_config(path))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; requests under way end with CANCELLED."""
        with self._lock:
            self._closed = True
            self._checked = None
            channels = [channel for _, channel in self._channels.values()]
            channels += self._replaced
            self._channels = {}
            self._replaced = []
        for channel in channels:
            channel.close()

    def infer(
        self,
        prompt: str,
        *,
        max_tokens: int = 64,
        sampling: str = "client",
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        faithful_rounding: bool = False,
        timeout: float | None = None,
        retries: int = 2,
    ) -> Generation:
        """Continues `prompt`; iterate the result for its text.

        sampling: "client" (logits are opened to this process) or "secure" (the
        parties choose in secret). temperature 0 takes the likeliest token.
        seed: the same gives the same tokens as with the `tacit` program. stop:
        texts that end the answer. timeout: seconds for all of it. A session that
        fails before its first token is tried again, `retries` times, on a fresh
        one with fresh masks.

        Raises TacitError, here or while iterating: INVALID_ARGUMENT,
        DEADLINE_EXCEEDED, FAILED_PRECONDITION if the roles serve another model,
        RESOURCE_EXHAUSTED, UNAVAILABLE.
        """
        if sampling not in ("client", "secure"):
            raise TacitError(
                "INVALID_ARGUMENT",
                f'sampling is "client" or "secure", not {sampling!r}',
            )
        if isinstance(stop, str):
            stop = [stop]
        for name, value, least, most in (
            ("max_tokens", max_tokens, 1, 2**32 - 1),
            ("top_k", top_k, 0, _MAX_TOP_K if sampling == "secure" else 2**63 - 1),
            ("seed", seed, 0, 2**64 - 1),
            ("retries", retries, 0, 100),
        ):
            if not isinstance(value, int) or not least <= value <= most:
                raise TacitError(
                    "INVALID_ARGUMENT",
                    f"{name} is an integer from {least} to {most}, not {value!r}",
                )
        if timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
            raise TacitError(
                "INVALID_ARGUMENT", f"timeout is in seconds above 0, not {timeout!r}"
            )
        if sampling == "secure" and repetition_penalty != 1:
            raise TacitError(
                "INVALID_ARGUMENT",
                "secure sampling has no repetition penalty: the parties do not know "
                "which tokens came before",
            )
        all_of_many = top_k == 0 and self._vocabulary > _MAX_TOP_K
        if sampling == "secure" and temperature > 0 and top_p < 1 and all_of_many:
            raise TacitError(
                "INVALID_ARGUMENT",
                f"secure sampling with top_p needs a top_k of at most {_MAX_TOP_K}",
            )
        deadline = None if timeout is None else time.monotonic() + timeout
        return Generation(
            self,
            prompt,
            _Options(
                max_tokens,
                sampling,
                temperature,
                top_k,
                top_p,
                repetition_penalty,
                seed,
                tuple(stop),
                faithful_rounding,
                retries,
                deadline,
            ),
        )

    def check(self, timeout: float | None = None) -> None:
        """Raises unless all roles are there, are who they should be, and serve
        what this gateway's folder was provisioned for."""
        self._forget()
        self._roles(timeout)

    def _encode(self, prompt: str) -> list[int]:
        ids = self._codec.encode(prompt)
        if any(i >= self._vocabulary for i in ids):
            raise TacitError(
                "INVALID_ARGUMENT", "the tokenizer has more tokens than the model"
            )
        if not ids:
            raise TacitError("INVALID_ARGUMENT", "the prompt has no token")
        return ids

    def _check_length(self, prompt: int, max_tokens: int) -> None:
        # The last token is not fed back.
        if prompt + max_tokens - 1 > self.context:
            raise TacitError(
                "INVALID_ARGUMENT",
                f"{prompt} prompt tokens and {max_tokens} more do not fit the context "
                f"of {self.context}",
            )

    def _forget(self) -> None:
        """Has the roles checked again: one may have been replaced."""
        with self._lock:
            self._checked = None

    def _roles(self, left: float | None) -> _Roles:
        """The roles, checked; asks them unless that was done. Waits no longer
        than `left` seconds."""
        end = None if left is None else time.monotonic() + left
        if not self._checking.acquire(timeout=-1 if left is None else max(left, 0)):
            raise TacitError("DEADLINE_EXCEEDED", "the roles do not answer in time")
        try:
            with self._lock:
                if self._checked is not None:
                    return self._checked
            try:
                roles = self._ask(end)
            except TacitError:
                # A handshake that runs out of time looks like an absent role.
                if end is not None and end - time.monotonic() <= _CLOCK_SLACK:
                    raise TacitError(
                        "DEADLINE_EXCEEDED", "the roles do not answer in time"
                    ) from None
                raise
            with self._lock:
                self._checked = roles
            return roles
        finally:
            self._checking.release()

    def _channel(self, role: str, timeout: float) -> grpc.Channel:
        """A channel to `role` as it is now."""
        certificate = check_role(self._config, role, timeout)
        with self._lock:
            if self._closed:
                raise TacitError("CANCELLED", "the client is closed")
            known = self._channels.get(role)
            if known is not None and known[0] == certificate:
                return known[1]
            channel = open_channel(self._config, role, certificate, _MAX_MESSAGE_BYTES)
            if known is not None:
                self._replaced.append(known[1])
            self._channels[role] = (certificate, channel)
            return channel

    def _ask(self, end: float | None) -> _Roles:
        def patience() -> float:
            left = _CALL_SECONDS if end is None else end - time.monotonic()
            if left <= 0:
                raise TacitError("DEADLINE_EXCEEDED", "the roles do not answer in time")
            return min(left, _CALL_SECONDS)

        plans = {}
        channels = {}
        for role in ROLES:
            channels[role] = self._channel(role, patience())
            get = _method(
                channels[role], "PlanService/GetPlan", plan_pb2.GetPlanResponse
            )
            try:
                plans[role] = get(plan_pb2.GetPlanRequest(), timeout=patience()).plan
            except grpc.RpcError as error:
                raise from_rpc(role, error) from None
            except ValueError:  # what gRPC says of a closed channel
                raise TacitError("CANCELLED", "the client is closed") from None
        first = plans[ROLES[0]]
        for role, plan in plans.items():
            if plan.digest != self._digest:
                raise TacitError(
                    "FAILED_PRECONDITION",
                    f"{role} serves another plan of {plan.model_name!r} than this "
                    f"gateway's folder is for, {self.model!r}: use the folders that "
                    "one `tacit provision` wrote",
                )
            if (
                plan.vocabulary_size != self._vocabulary
                or plan.token_width_bits != token_width(self._vocabulary)
                or plan.context_tokens != self.context
                or not 2 <= plan.logit_width_bits <= 64
                or plan.logit_width_bits != first.logit_width_bits
                or not 0 <= plan.logit_fraction_bits <= 62
                or plan.logit_fraction_bits != first.logit_fraction_bits
            ):
                raise TacitError(
                    "FAILED_PRECONDITION",
                    f"{role} reports other sizes than this gateway's folder or the "
                    "dealer: provision again, or update this SDK",
                )
        return _Roles(first.logit_width_bits, first.logit_fraction_bits, channels)

    def _open_session(
        self,
        roles: _Roles,
        shape: plan_pb2.SessionShape,
        left: float | None,
        watch: Callable[[Callable[[], object] | None], None],
    ) -> tuple[bytes, bytes]:
        """The session's id and the seed of its masks: SECRET. `watch` is told how
        to cancel the call."""
        call = _method(
            roles.channels["dealer"],
            "DealerService/OpenSession",
            dealer_pb2.OpenSessionResponse,
        )
        timeout = self._config.step_timeout
        try:
            opening = call.future(
                dealer_pb2.OpenSessionRequest(plan_digest=self._digest, shape=shape),
                timeout=timeout if left is None else max(0.0, min(left, timeout)),
            )
            watch(opening.cancel)
            opened = opening.result()
        except grpc.FutureCancelledError:
            raise TacitError("CANCELLED", "the request was cancelled") from None
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                self._forget()  # the roles were provisioned again
            raise from_rpc("the dealer", error) from None
        except ValueError:  # what gRPC says of a closed channel
            raise TacitError("CANCELLED", "the client is closed") from None
        finally:
            watch(None)
        if len(opened.session_id) != 16 or len(opened.gateway_seed) != 32:
            raise TacitError("INTERNAL", "the dealer sent no session")
        return opened.session_id, opened.gateway_seed

    def _close_session(self, roles: _Roles, session_id: bytes) -> None:
        call = _method(
            roles.channels["dealer"],
            "DealerService/CloseSession",
            dealer_pb2.CloseSessionResponse,
        )
        try:
            call(dealer_pb2.CloseSessionRequest(session_id=session_id), timeout=1.0)
        except (grpc.RpcError, ValueError):
            pass  # the dealer notices by itself, later


def _method(channel: grpc.Channel, name: str, response: Any) -> Any:
    """A call of one message each way, on `channel`."""
    return channel.unary_unary(
        f"/tacit.v1.{name}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=response.FromString,
    )


def session_digest(plan: dict[str, Any], file: Path) -> bytes:
    """What the roles call the plan of plan.json, 32 bytes: its own digest, the
    run of provisioning and how the weights are held, hashed.

    Raises INVALID_ARGUMENT, naming the field. The plan's own digest is taken from
    the file: only the C++ program can compute it.
    """
    values = []
    for name, size in (("digest", 32), ("provision", 16)):
        value = plan.get(name)
        try:
            good = isinstance(value, str) and len(bytes.fromhex(value)) == size
        except ValueError:
            good = False
        if not good:
            raise TacitError(
                "INVALID_ARGUMENT", f"{file}: {name} is no {size} bytes in hex"
            )
        values.append(str(value).lower())
    weights = plan.get("weights")
    if weights not in ("dealer-held", "blind"):
        raise TacitError("INVALID_ARGUMENT", f"{file}: weights are {weights!r}")
    text = f"tacit provision 1 {values[0]} {values[1]} {weights}"
    return hashlib.sha256(text.encode()).digest()


def _positive(values: dict[str, Any], name: str, file: Path) -> int:
    value = values.get(name)
    if not isinstance(value, int) or value < 1:
        raise TacitError("INVALID_ARGUMENT", f"{file}: {name} is no number above 0")
    return value


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TacitError("NOT_FOUND", f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise TacitError("INVALID_ARGUMENT", f"{path} is no JSON object")
    return value
