"""Text in, text or labels out."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc

from tacit.classification import Classification, ClassifyRequest
from tacit.config import ROLES, Config, load_config
from tacit.errors import TacitError, from_rpc
from tacit.generation import Generation, GenerationOptions
from tacit.request import CLOCK_SLACK, Roles
from tacit.ring import token_width
from tacit.text import TextCodec
from tacit.tls import check_role, open_channel
from tacit.v1 import dealer_pb2, plan_pb2

_MAX_MESSAGE_BYTES = 64 << 20
_CALL_SECONDS = 10.0
_MAX_TOP_K = 1024  # of sampling at the parties
_CLASSIFIER = "BertForSequenceClassification"


class Client:
    """A user's connection to a dealer and two parties. Thread-safe.

    Reads the gateway's folder and certificate; calls nobody yet. Chat templates,
    batches of prompts and looking tokens up at the user's side are not in this
    SDK. `labels` are a classifier's, in the order of scores; other models have
    none.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._checking = threading.Lock()  # held while roles are asked
        self._checked: Roles | None = None  # guarded by _lock
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
        self.labels: tuple[str, ...] = ()
        self._segment_types = 1
        if _CLASSIFIER in (settings.get("architectures") or []):
            self.labels = _labels(settings, folder / "config.json")
            settings.setdefault("type_vocab_size", 2)
            self._segment_types = _positive(
                settings, "type_vocab_size", folder / "config.json"
            )
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
        retries: int = 3,
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
        self._check_kind(classifies=False)
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
        ):
            _check_integer(name, value, least, most)
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
        deadline = _deadline(timeout, retries)
        return Generation(
            self,
            prompt,
            GenerationOptions(
                max_tokens,
                sampling,
                temperature,
                top_k,
                top_p,
                repetition_penalty,
                seed,
                tuple(stop),
            ),
            faithful_rounding,
            retries,
            deadline,
        )

    def classify(
        self,
        text: str,
        text_pair: str | None = None,
        *,
        faithful_rounding: bool = False,
        timeout: float | None = None,
        retries: int = 3,
    ) -> Classification:
        """What `text` is, or what it and `text_pair` are together.

        timeout: seconds for all of it. A session that fails is tried again,
        `retries` times, on a fresh one with fresh masks.

        Raises TacitError: INVALID_ARGUMENT for a text that is empty or longer than
        the model takes; FAILED_PRECONDITION if the model is no classifier, or the
        roles serve another; DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAVAILABLE.
        """
        one = text if text_pair is None else (text, text_pair)
        return self.classify_batch(
            [one],
            faithful_rounding=faithful_rounding,
            timeout=timeout,
            retries=retries,
        )[0]

    def classify_batch(
        self,
        texts: Sequence[str | tuple[str, str]],
        *,
        faithful_rounding: bool = False,
        timeout: float | None = None,
        retries: int = 3,
    ) -> list[Classification]:
        """Up to 64 texts, or pairs of texts, in one pass; in their order."""
        return self._classify_request(texts, faithful_rounding, timeout, retries).run()

    def _classify_request(
        self,
        texts: Sequence[str | tuple[str, str]],
        faithful_rounding: bool = False,
        timeout: float | None = None,
        retries: int = 3,
    ) -> ClassifyRequest:
        self._check_kind(classifies=True)
        deadline = _deadline(timeout, retries)
        if isinstance(texts, str) or not texts:
            raise TacitError("INVALID_ARGUMENT", "there is no sequence of texts")
        encoded = [self._encode_text(one) for one in texts]
        return ClassifyRequest(self, encoded, faithful_rounding, retries, deadline)

    def check(self, timeout: float | None = None) -> None:
        """Raises unless all roles are there, are who they should be, and serve
        what this gateway's folder was provisioned for."""
        self._forget()
        self._roles(timeout)

    def _check_kind(self, classifies: bool) -> None:
        if classifies == bool(self.labels):
            return
        raise TacitError(
            "FAILED_PRECONDITION",
            "the model continues texts and does not classify them: call infer"
            if classifies
            else "the model classifies texts and cannot continue them: call classify",
        )

    def _encode(self, prompt: str) -> list[int]:
        ids = self._codec.encode(prompt)
        self._check_ids(ids)
        return ids

    def _encode_text(self, text: str | tuple[str, str]) -> tuple[list[int], list[int]]:
        if isinstance(text, tuple):
            if len(text) != 2:
                raise TacitError("INVALID_ARGUMENT", "a pair is two texts")
            ids, segments = self._codec.encode_pair(*text)
        else:
            ids = self._codec.encode(text, "the text")
            segments = [0] * len(ids)
        self._check_ids(ids)
        if len(ids) > self.context:
            raise TacitError(
                "INVALID_ARGUMENT",
                f"a text of {len(ids)} tokens; the model takes 1 to {self.context}",
            )
        if any(segment >= self._segment_types for segment in segments):
            raise TacitError("INVALID_ARGUMENT", "the model knows no pairs of texts")
        return ids, segments

    def _check_ids(self, ids: list[int]) -> None:
        if any(i >= self._vocabulary for i in ids):
            raise TacitError(
                "INVALID_ARGUMENT", "the tokenizer has more tokens than the model"
            )
        if not ids:
            raise TacitError("INVALID_ARGUMENT", "the prompt has no token")

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

    def _roles(self, left: float | None) -> Roles:
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
                if end is not None and end - time.monotonic() <= CLOCK_SLACK:
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

    def _ask(self, end: float | None) -> Roles:
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
                or not self._is_served_kind(plan)
            ):
                raise TacitError(
                    "FAILED_PRECONDITION",
                    f"{role} reports other sizes or labels than this gateway's folder "
                    "or the dealer: provision again, or update this SDK",
                )
        return Roles(first.logit_width_bits, first.logit_fraction_bits, channels)

    def _is_served_kind(self, plan: plan_pb2.PlanSummary) -> bool:
        classifies = plan.model_kind == plan_pb2.MODEL_KIND_CLASSIFIER
        if not self.labels:
            return not classifies
        return (
            classifies
            and tuple(plan.labels) == self.labels
            and plan.segment_width_bits == token_width(self._segment_types)
        )

    def _open_session(
        self,
        roles: Roles,
        shape: plan_pb2.SessionShape,
        left: float | None,
        watch: Callable[[Callable[[], object] | None], None],
        metadata: tuple[tuple[str, str], ...],
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
                metadata=metadata,
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

    def _close_session(self, roles: Roles, session_id: bytes) -> None:
        call = _method(
            roles.channels["dealer"],
            "DealerService/CloseSession",
            dealer_pb2.CloseSessionResponse,
        )
        try:
            call(dealer_pb2.CloseSessionRequest(session_id=session_id), timeout=1.0)
        except (grpc.RpcError, ValueError):
            pass  # the dealer notices by itself, later


def _check_integer(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or not least <= value <= most:
        raise TacitError(
            "INVALID_ARGUMENT",
            f"{name} is an integer from {least} to {most}, not {value!r}",
        )


def _deadline(timeout: float | None, retries: object) -> float | None:
    """On the monotonic clock. Checks both."""
    _check_integer("retries", retries, 0, 100)
    if timeout is None:
        return None
    if not (timeout > 0 and math.isfinite(timeout)):
        raise TacitError(
            "INVALID_ARGUMENT", f"timeout is in seconds above 0, not {timeout!r}"
        )
    return time.monotonic() + timeout


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


def _labels(settings: dict[str, Any], file: Path) -> tuple[str, ...]:
    """In order: id2label, or LABEL_0 and so on for num_labels."""
    names = settings.get("id2label")
    if names is None:
        count = _positive({"num_labels": 2, **settings}, "num_labels", file)
        return tuple(f"LABEL_{i}" for i in range(count))
    if isinstance(names, dict) and names:
        labels = [names.get(str(i)) for i in range(len(names))]
        if all(isinstance(label, str) for label in labels):
            return tuple(map(str, labels))
    raise TacitError(
        "INVALID_ARGUMENT", f"{file}: id2label is no object of labels by ids from 0 on"
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TacitError("NOT_FOUND", f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise TacitError("INVALID_ARGUMENT", f"{path} is no JSON object")
    return value
