"""The same for asyncio: each request computes in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tacit.client import Client, Generation


class AsyncClient:
    """As Client. Cancelling the task that iterates ends the answer everywhere."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @staticmethod
    def from_config(path: str | Path) -> AsyncClient:
        return AsyncClient(Client.from_config(path))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._client.close)

    async def infer(self, prompt: str, **options: Any) -> AsyncIterator[str]:
        """Pieces of the answer; options and errors are Client.infer's."""
        answer = await asyncio.to_thread(self._client.infer, prompt, **options)
        try:
            while True:
                step = asyncio.ensure_future(asyncio.to_thread(_next, answer))
                try:
                    piece = await asyncio.shield(step)
                except asyncio.CancelledError:
                    answer.cancel()
                    await asyncio.wait([step])  # the generator is not re-entrant
                    raise
                if piece is None:
                    return
                yield piece
        finally:
            # Tells the dealer, which may take a moment: not on the event loop.
            await asyncio.shield(asyncio.to_thread(answer.close))


def _next(answer: Generation) -> str | None:
    return next(answer, None)
