from __future__ import annotations

from collections import deque

from .. import _calls as calls
from .. import models as m
from .._throughline import Feed


class Changes:
    """The changes of a store or a thread after a position, in order, for ``async for``.

    With ``wait`` the iteration waits for future changes, and never ends by itself. Otherwise it ends at the present end.
    """

    __slots__ = ("_buffer", "_feed", "_position", "_wait")

    def __init__(self, feed: Feed, wait: bool) -> None:
        self._feed = feed
        self._wait = wait
        self._buffer: deque[m.Change] = deque()
        self._position = feed.position

    @property
    def position(self) -> int:
        """The position of the last change that was returned: a reader that starts again continues after it."""
        return self._position

    def __aiter__(self) -> Changes:
        return self

    async def __anext__(self) -> m.Change:
        while not self._buffer:
            batch: bytes = await self._feed.next_batch(self._wait)
            self._buffer.extend(calls.changes(batch))
            if not self._buffer and not self._wait:
                self._position = self._feed.position
                raise StopAsyncIteration
        change = self._buffer.popleft()
        self._position = change.position
        return change
