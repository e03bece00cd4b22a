"""The user's side of Tacit: private inference from a dealer and two parties.

This process alone sees prompts and answers: run it on the user's own machine.
"""

from tacit.aio import AsyncClient
from tacit.client import Client, Generation
from tacit.errors import TacitError

__all__ = ["AsyncClient", "Client", "Generation", "TacitError"]
