from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

from .. import models as m
from .._settle import shielded
from .._throughline import DraftWriter, Engine, Message
from .._wire import Content
from ..errors import Invalid, ThroughlineError

_log = logging.getLogger("throughline")


class Draft:
    """A message that is written as it is generated::

        async with thread.draft() as draft:
            async for delta in stream:
                await draft.append(delta)
        print(draft.result.revision)

    ``append`` returns before the text is durable; a task of the core writes it in the background. The end of the block
    makes the message final, and waits until it is durable. If the block raises, or its task is cancelled, the message is
    abandoned with its text, also then durably.
    """

    __slots__ = ("_engine", "_options", "_result", "_thread", "_writer")

    def __init__(self, engine: Engine, thread: str, options: tuple[Any, ...]) -> None:
        self._engine = engine
        self._thread = thread
        self._options = options
        self._writer: DraftWriter | None = None
        self._result: m.ContentUpdated | None = None

    def _open(self) -> DraftWriter:
        if self._writer is None:
            raise Invalid("the draft is not open: use it in a with block, or call `start` first")
        return self._writer

    async def start(self) -> Draft:
        """Reserves the message. ``async with`` does this."""
        if self._writer is None:
            self._writer = await self._engine.reserve(self._thread, *self._options)
        return self

    async def __aenter__(self) -> Draft:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._result is not None or self._writer is None:
            return
        if kind is None:
            await shielded(self.finish())
        else:
            await shielded(self._abandon_quietly(kind.__name__))

    async def _abandon_quietly(self, reason: str) -> m.ContentUpdated | None:
        try:
            return await self.abandon(reason)
        except ThroughlineError as error:
            # The exception of the block is the one to report. A message that stays open is listed, and recovered later.
            _log.warning("draft %s in %s was not abandoned: %s", self.id, self._thread, error)
            return None

    @property
    def message(self) -> Message:
        """The message as it was reserved."""
        return self._open().message

    @property
    def id(self) -> str:
        """The id of the message."""
        return self._open().message.id

    @property
    def deduplicated(self) -> bool:
        """Whether an earlier call with the same key had reserved the message."""
        return self._open().deduplicated

    @property
    def committed(self) -> m.Watermark:
        """The durable part of the draft."""
        return m.Watermark(*self._open().committed)

    @property
    def result(self) -> m.ContentUpdated:
        """How the message ended. Raises ``Invalid`` before the end."""
        if self._result is None:
            raise Invalid("the draft has not ended")
        return self._result

    async def append(self, content: Content) -> None:
        """Appends a text, or further blocks. It waits only while the buffer is full, 4 MiB."""
        await self._open().append(content)

    async def replace(self, content: Content) -> None:
        """Replaces the whole content."""
        await self._open().replace(content)

    async def flush(self) -> m.Watermark:
        """Waits until everything that was appended is durable."""
        return m.Watermark(*await self._open().flush())

    async def finish(self) -> m.ContentUpdated:
        """Makes the message final. ``async with`` does this at the end of its block."""
        self._result = m.ContentUpdated(*await self._open().finish())
        return self._result

    async def abandon(self, reason: str) -> m.ContentUpdated:
        """Abandons the message, with a reason for people. Its text stays."""
        self._result = m.ContentUpdated(*await self._open().abandon(reason))
        return self._result
