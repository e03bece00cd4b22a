"""The same for asyncio: each request computes in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from tacit.classification import Classification
from tacit.client import Client
from tacit.generation import Generation


class AsyncClient:
    """As Client. Cancelling the task that iterates, or awaits, ends the request
    everywhere."""

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

    async def classify(
        self, text: str, text_pair: str | None = None, **options: Any
    ) -> Classification:
        """What the text is; options and errors are Client.classify's."""
        one = text if text_pair is None else (text, text_pair)
        return (await self.classify_batch([one], **options))[0]

    async def classify_batch(
        self, texts: Sequence[str | tuple[str, str]], **options: Any
    ) -> list[Classification]:
        """As Client.classify_batch."""
        request = await asyncio.to_thread(
            self._client._classify_request, texts, **options
        )
        running = asyncio.ensure_future(asyncio.to_thread(request.run))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            request.cancel()
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # was cancelled: not to be reported
            raise


def _next(answer: Generation) -> str | None:
    return next(answer, None)
