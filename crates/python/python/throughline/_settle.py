"""The end of a draft in a task that may be cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def shielded(settling: Coroutine[Any, Any, T]) -> T:
    """Awaits ``settling`` to its end, also while its caller is cancelled, and then cancels the caller."""
    task = asyncio.ensure_future(settling)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
        except Exception:
            break
    if cancelled is not None:
        # The settlement has its outcome; its error, if any, is the context of the cancellation.
        raise cancelled from task.exception()
    return task.result()


def settled(outcome: T) -> T:
    """Returns the outcome of a blocking call, which nothing cancels."""
    return outcome
