"""The outcome of a call in a task that may be cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SettlingFuture(asyncio.Future[Any]):
    """The future of a call whose task is cancelled with the outcome of the call, and not before.

    It refuses a cancellation, so that the task goes on to wait, and becomes cancelled in the moment of the outcome.
    """

    _cancellation: tuple[Any] | None = None

    def cancel(self, msg: Any | None = None) -> bool:
        if self._cancellation is None and not self.done():
            self._cancellation = (msg,)
        return False

    def set_result(self, result: Any, /) -> None:
        if self._cancellation is None:
            super().set_result(result)
        else:
            super().cancel(*self._cancellation)

    def set_exception(self, exception: type[BaseException] | BaseException, /) -> None:
        if self._cancellation is None:
            super().set_exception(exception)
        else:
            super().cancel(*self._cancellation)


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
