"""What can go wrong, with a message that says what to do about it."""

from __future__ import annotations

import grpc

_RETRIABLE = {"UNAVAILABLE", "ABORTED", "DATA_LOSS", "NOT_FOUND", "ALREADY_EXISTS"}


class TacitError(Exception):
    """An error with a gRPC status code's name, such as "UNAVAILABLE".

    Neither prompts nor answers nor masks are in its message.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def retriable(self) -> bool:
        """Whether a fresh session may do better."""
        return self.code in _RETRIABLE


def from_rpc(role: str, error: grpc.RpcError) -> TacitError:
    """The error of a call to `role`."""
    code = error.code() if hasattr(error, "code") else None
    details = error.details() if hasattr(error, "details") else str(error)
    name = code.name if code is not None else "UNKNOWN"
    return TacitError(name, f"{role}: {(details or '')[:1024]}")
