"""What can go wrong, with a message that says what to do about it."""

from __future__ import annotations

import grpc

_RETRIABLE = {"UNAVAILABLE", "ABORTED", "DATA_LOSS", "NOT_FOUND", "ALREADY_EXISTS"}


class TacitError(Exception):
    """An error with a gRPC status code's name, such as "UNAVAILABLE".

    Neither prompts nor answers nor masks are in its message. Made with the code
    of one of the classes below, it is of that class.
    """

    def __new__(cls, code: str, message: str) -> TacitError:
        kind = _CLASSES.get(code, cls) if cls is TacitError else cls
        return super().__new__(kind, code, message)

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def retriable(self) -> bool:
        """Whether a fresh session may do better."""
        return self.code in _RETRIABLE


class InvalidArgument(TacitError):
    """An option, a prompt or a configuration that cannot work."""


class NotFound(TacitError):
    """A file, or a session at a role, that does not exist (any more)."""


class FailedPrecondition(TacitError):
    """The roles serve another model than the gateway's folder is for, or one that
    does something else than what was asked for."""


class PermissionDenied(TacitError):
    """Somebody else than the role answers, or the role refuses this gateway."""


class Unauthenticated(TacitError):
    """A certificate that does not verify."""


class ResourceExhausted(TacitError):
    """A role is full: try again later."""


class Unavailable(TacitError):
    """A role is out of reach or was lost."""


class DeadlineExceeded(TacitError):
    """The request took longer than it may, or a role is silent."""


class Cancelled(TacitError):
    """The request was cancelled."""


class DataLoss(TacitError):
    """A role sent something that the protocol does not have there."""


_CLASSES: dict[str, type[TacitError]] = {
    "INVALID_ARGUMENT": InvalidArgument,
    "NOT_FOUND": NotFound,
    "FAILED_PRECONDITION": FailedPrecondition,
    "PERMISSION_DENIED": PermissionDenied,
    "UNAUTHENTICATED": Unauthenticated,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "CANCELLED": Cancelled,
    "DATA_LOSS": DataLoss,
}


def from_rpc(role: str, error: grpc.RpcError) -> TacitError:
    """The error of a call to `role`."""
    code = error.code() if hasattr(error, "code") else None
    details = error.details() if hasattr(error, "details") else str(error)
    name = code.name if code is not None else "UNKNOWN"
    return TacitError(name, f"{role}: {(details or '')[:1024]}")
