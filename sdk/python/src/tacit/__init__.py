"""The user's side of Tacit: private inference from a dealer and two parties.

This process alone sees prompts and answers: run it on the user's own machine.
"""

from tacit.aio import AsyncClient
from tacit.classification import Classification, LabelScore
from tacit.client import Client
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
from tacit.generation import Generation

__all__ = [
    "AsyncClient",
    "Cancelled",
    "Classification",
    "Client",
    "DataLoss",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Generation",
    "InvalidArgument",
    "LabelScore",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "TacitError",
    "Unauthenticated",
    "Unavailable",
]
