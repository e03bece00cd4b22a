"""Prompt in, text out."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tokenizers import Tokenizer

from tacit.config import ROLES, Config, load_config
from tacit.errors import TacitError, from_rpc
from tacit.ring import MaskStream, to_signed, token_width
from tacit.sampler import Mt19937_64, Sampler
from tacit.session import Session
from tacit.text import TextStream
from tacit.tls import check_role, open_channel
from tacit.v1 import dealer_pb2, plan_pb2

_UNIFORM_BITS = 24  # of the user's randomness for sampling at the parties
_UNIFORM_WIDTH = 64
_MAX_MESSAGE_BYTES = 64 << 20
_CALL_SECONDS = 10.0


@dataclass(frozen=True)
class _Model:
    digest: bytes
    vocabulary: int
    context: int
    logit_width: int
    logit_frac: int


@dataclass(frozen=True)
class _Options:
    max_tokens: int
    sampling: str
    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    seed: int
    stop: tuple[str, ...]
    faithful: bool
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
        self.prompt_tokens = 0
        self.sessions = 0  # with those that failed before the first token
        self.finish_reason: str | None = None
        self._client = client
        self._options = options
        self._prompt = client._encode(prompt)
        self.prompt_tokens = len(self._prompt)
        client._check_length(self.prompt_tokens, options.max_tokens)
        self._sampler = Sampler(
            options.temperature,
            options.top_k,
            options.top_p,
            options.repetition_penalty,
            options.seed,
        )
        if options.sampling == "secure" and options.repetition_penalty != 1:
            raise TacitError(
                "INVALID_ARGUMENT",
                "secure sampling has no repetition penalty: the parties do not know "
                "which tokens came before",
            )
        self._rng = Mt19937_64(options.seed)
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._cancelled = False
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
        with self._lock:
            self._cancelled = True
            session = self._session
        if session is not None:
            session.cancel(TacitError("CANCELLED", "the request was cancelled"))

    def close(self) -> None:
        """Ends the answer and frees everything at all roles."""
        self.cancel()
        self._pieces.close()

    def _run(self) -> Generator[str, None, None]:
        retries = 2
        while True:
            self.sessions += 1
            try:
                yield from self._attempt()
                return
            except TacitError as error:
                if self._cancelled:
                    self.finish_reason = "cancelled"
                    return
                left = self._left()
                if left is not None and left <= 0:
                    raise TacitError(
                        "DEADLINE_EXCEEDED", "the request took too long"
                    ) from None
                # Only with fresh masks, and only if nothing was given away.
                if self.tokens or retries == 0 or not error.retriable:
                    raise
                retries -= 1
                time.sleep(0.1 * 2 ** (1 - retries))

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
                plan_pb2.ROUNDING_FAITHFUL if o.faithful else plan_pb2.ROUNDING_STOCHASTIC
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
        client, o = self._client, self._options
        model = client._model()
        shape = self._shape()
        session_id, seed = client._open_session(model, shape, self._left())
        masks = MaskStream(seed)
        session = Session(
            client._party_channels,
            session_id,
            model.digest,
            shape,
            self._left(),
            client._config.step_timeout,
        )
        done = False
        try:
            with self._lock:
                self._session = session
                if self._cancelled:
                    raise TacitError("CANCELLED", "the request was cancelled")
            yield from self._steps(model, session, masks)
            session.finish()
            done = True
        finally:
            with self._lock:
                self._session = None
            if not done:
                session.cancel(TacitError("CANCELLED", "the gateway has left"))
                client._close_session(session_id)

    def _steps(
        self, model: _Model, session: Session, masks: MaskStream
    ) -> Iterator[str]:
        o = self._options
        stream = TextStream(self._client._tokenizer, o.stop)
        history = list(self._prompt)
        fresh = history
        width = token_width(model.vocabulary)
        self.finish_reason = None
        reason = "length"
        for _ in range(o.max_tokens):
            session.send(masks.masked(np.array(fresh, np.uint64), width), width)
            if o.sampling == "secure" and o.temperature > 0:
                uniform = np.array(
                    [self._rng.next() >> (64 - _UNIFORM_BITS)], np.uint64
                )
                session.send(masks.masked(uniform, _UNIFORM_WIDTH), _UNIFORM_WIDTH)
            token = self._choose(model, session, width, history)
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
        self, model: _Model, session: Session, width: int, history: list[int]
    ) -> int:
        if self._options.sampling == "secure":
            token = int(to_signed(session.receive(1, width), width)[0])
            # A party that does not keep to the protocol could make it anything.
            return min(max(token, 0), model.vocabulary - 1)
        sums = session.receive(model.vocabulary, model.logit_width)
        logits = np.ldexp(
            to_signed(sums, model.logit_width).astype(np.float64), -model.logit_frac
        )
        return self._sampler.next(logits, history)


class Client:
    """A user's connection to a dealer and two parties. Thread-safe.

    Reads the gateway's folder and certificate; calls nobody yet. Chat templates,
    batches and looking tokens up at the user's side are not in this SDK.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._checked: _Model | None = None
        folder = config.model
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises plain Exception
            raise TacitError(
                "NOT_FOUND", f"{folder / 'tokenizer.json'}: {error}"
            ) from None
        plan = _read_json(folder / "plan.json")
        self.model = str(plan.get("model", ""))
        model_config = _read_json(folder / "config.json")
        self._vocabulary = int(model_config.get("vocab_size", 0))
        ends = model_config.get("eos_token_id")
        self._ends = set(ends if isinstance(ends, list) else [ends]) - {None}
        self._channels = {
            role: open_channel(config, role, _MAX_MESSAGE_BYTES) for role in ROLES
        }
        self._party_channels = (self._channels["party0"], self._channels["party1"])

    @staticmethod
    def from_config(path: str | Path) -> Client:
        """From a gateway's YAML file, such as `tacit up --dir D` writes."""
        return Client(load_config(path))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; requests under way fail."""
        for channel in self._channels.values():
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
    ) -> Generation:
        """Continues `prompt`; iterate the result for its text.

        sampling: "client" (logits are opened to this process) or "secure" (the
        parties choose in secret). temperature 0 takes the likeliest token.
        timeout: seconds for all of it. A session that fails before its first
        token is tried again on a fresh one, with fresh masks.

        Raises TacitError, here or while iterating: INVALID_ARGUMENT,
        DEADLINE_EXCEEDED, FAILED_PRECONDITION if the roles serve another model,
        RESOURCE_EXHAUSTED, UNAVAILABLE.
        """
        if sampling not in ("client", "secure"):
            raise TacitError(
                "INVALID_ARGUMENT", f'sampling is "client" or "secure", not {sampling!r}'
            )
        if isinstance(stop, str):
            stop = [stop]
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
                deadline,
            ),
        )

    def check(self) -> None:
        """Raises unless all roles are there, are who they should be, and serve
        one plan, for this gateway's model."""
        with self._lock:
            self._checked = None
        self._model()

    def _encode(self, prompt: str) -> list[int]:
        if not prompt:
            raise TacitError("INVALID_ARGUMENT", "the prompt is empty")
        ids = list(self._tokenizer.encode(prompt).ids)
        if any(i >= self._vocabulary for i in ids):
            raise TacitError(
                "INVALID_ARGUMENT", "the tokenizer has more tokens than the model"
            )
        return ids

    def _check_length(self, prompt: int, max_tokens: int) -> None:
        if max_tokens < 1:
            raise TacitError("INVALID_ARGUMENT", "max_tokens must be at least 1")
        context = self._model().context
        # The last token is not fed back.
        if prompt + max_tokens - 1 > context:
            raise TacitError(
                "INVALID_ARGUMENT",
                f"{prompt} prompt tokens and {max_tokens} more do not fit the context "
                f"of {context}",
            )

    def _model(self) -> _Model:
        with self._lock:
            if self._checked is None:
                self._checked = self._ask()
            return self._checked

    def _ask(self) -> _Model:
        plans = {}
        for role in ROLES:
            check_role(self._config, role)
            get = self._channels[role].unary_unary(
                "/tacit.v1.PlanService/GetPlan",
                request_serializer=plan_pb2.GetPlanRequest.SerializeToString,
                response_deserializer=plan_pb2.GetPlanResponse.FromString,
            )
            try:
                plans[role] = get(plan_pb2.GetPlanRequest(), timeout=_CALL_SECONDS).plan
            except grpc.RpcError as error:
                raise from_rpc(role, error) from None
        first = plans[ROLES[0]]
        for role in ROLES[1:]:
            if plans[role].digest != first.digest:
                raise TacitError(
                    "FAILED_PRECONDITION",
                    f"{role} and the dealer serve different plans: provision again",
                )
        if (
            first.model_name != self.model
            or first.vocabulary_size != self._vocabulary
            or first.token_width_bits != token_width(self._vocabulary)
            or not 2 <= first.logit_width_bits <= 64
            or len(first.digest) != 32
        ):
            raise TacitError(
                "FAILED_PRECONDITION",
                f"the roles serve {first.model_name!r} with {first.vocabulary_size} "
                f"tokens, this gateway has {self.model!r} with {self._vocabulary}: "
                "provision again, or update this SDK",
            )
        return _Model(
            first.digest,
            first.vocabulary_size,
            first.context_tokens,
            first.logit_width_bits,
            first.logit_fraction_bits,
        )

    def _open_session(
        self, model: _Model, shape: plan_pb2.SessionShape, left: float | None
    ) -> tuple[bytes, bytes]:
        call = self._channels["dealer"].unary_unary(
            "/tacit.v1.DealerService/OpenSession",
            request_serializer=dealer_pb2.OpenSessionRequest.SerializeToString,
            response_deserializer=dealer_pb2.OpenSessionResponse.FromString,
        )
        timeout = self._config.step_timeout
        try:
            opened = call(
                dealer_pb2.OpenSessionRequest(plan_digest=model.digest, shape=shape),
                timeout=timeout if left is None else max(0.0, min(left, timeout)),
            )
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                with self._lock:
                    self._checked = None  # the roles were provisioned again
            raise from_rpc("the dealer", error) from None
        if len(opened.session_id) != 16 or len(opened.gateway_seed) != 32:
            raise TacitError("INTERNAL", "the dealer sent no session")
        return opened.session_id, opened.gateway_seed

    def _close_session(self, session_id: bytes) -> None:
        call = self._channels["dealer"].unary_unary(
            "/tacit.v1.DealerService/CloseSession",
            request_serializer=dealer_pb2.CloseSessionRequest.SerializeToString,
            response_deserializer=dealer_pb2.CloseSessionResponse.FromString,
        )
        try:
            call(dealer_pb2.CloseSessionRequest(session_id=session_id), timeout=1.0)
        except (grpc.RpcError, ValueError):
            pass  # the dealer notices by itself, later


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TacitError("NOT_FOUND", f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise TacitError("INVALID_ARGUMENT", f"{path} is no JSON object")
    return value
