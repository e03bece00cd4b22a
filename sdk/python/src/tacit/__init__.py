"""The user's side of Tacit: private inference from a dealer and two parties.

This process alone sees prompts and answers: run it on the user's own machine.
"""

from tacit.aio import AsyncClient
from tacit.client import Client, Generation
from tacit.errors import (
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    TacitError,
    Unauthenticated,
    Unavailable,
)

__all__ = [
    "AsyncClient",
    "Cancelled",
    "Client",
    "DataLoss",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Generation",
    "InvalidArgument",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "TacitError",
    "Unauthenticated",
    "Unavailable",
]
