"""The store of an adapter, for both kinds of callers: LangGraph calls blocking methods from threads, and coroutines
from loops.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, TypeVar, Union

import throughline

from ... import Store as AsyncStore
from ... import sync

T = TypeVar("T")

#: An open store, blocking or not.
AnyStore = Union[AsyncStore, sync.Store]


class Stores:
    """One open store, as blocking callers and as coroutines use it."""

    def __init__(self, store: AnyStore) -> None:
        if isinstance(store, sync.Store):
            self.blocking, self.asynchronous = store, AsyncStore(store._engine.with_blocking(False))
        elif isinstance(store, AsyncStore):
            self.blocking, self.asynchronous = sync.Store(store._engine.with_blocking(True)), store
        else:
            raise TypeError(f"{store!r} is not an open store: pass one of throughline.open or throughline.sync.open")


class Opened(Generic[T]):
    """An adapter over a store of its own, for ``with`` and for ``async with``, which close the store."""

    def __init__(self, make: Callable[[AnyStore], T], url: str | os.PathLike[str], options: dict[str, Any]) -> None:
        self._make = make
        self._url = url
        self._options = options
        self._blocking: sync.Store | None = None
        self._asynchronous: AsyncStore | None = None

    def __enter__(self) -> T:
        self._blocking = sync.open(self._url, **self._options)
        return self._make(self._blocking)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._blocking is not None:
            self._blocking.close()

    async def __aenter__(self) -> T:
        self._asynchronous = await throughline.open(self._url, **self._options)
        return self._make(self._asynchronous)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._asynchronous is not None:
            await self._asynchronous.close()
