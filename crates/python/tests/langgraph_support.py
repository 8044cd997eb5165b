"""Shared parts of the tests of the LangGraph adapter: checkpoints, configs, and a store that counts its calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langgraph.checkpoint.base import Checkpoint, CheckpointTuple
from throughline import sync
from throughline.adapters.langgraph import ThroughlineSaver


def checkpoint(id: str, **values: Any) -> Checkpoint:
    return {
        "v": 4,
        "id": id,
        "ts": "2026-01-01T00:00:00+00:00",
        "channel_values": values,
        "channel_versions": {name: "1" for name in values},
        "versions_seen": {},
        "updated_channels": None,
    }


def config(thread: Any = "t", ns: str = "", id: str | None = None) -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, **({"checkpoint_id": id} if id else {})}}


def save(
    saver: ThroughlineSaver, id: str, *, parent: str | None = None, thread: Any = "t", ns: str = "", **metadata: Any
) -> Any:
    return saver.put(
        config(thread, ns, parent), checkpoint(id, value=id), {"source": "loop", "step": 1, **metadata}, {}
    )


def ids(found: Any) -> list[str]:
    return [each.checkpoint["id"] for each in found]


def writes(found: CheckpointTuple | None) -> list[tuple[str, str, Any]]:
    assert found is not None and found.pending_writes is not None
    return found.pending_writes


class _CountingThread:
    def __init__(self, thread: sync.Thread, calls: list[str]) -> None:
        self._thread, self._calls = thread, calls

    def __getattr__(self, name: str) -> Any:
        self._calls.append(name)
        return getattr(self._thread, name)


class CountingStore:
    """A blocking store that records the calls of an adapter."""

    def __init__(self, store: sync.Store, calls: list[str]) -> None:
        self._store, self._calls = store, calls

    def thread(self, id: str) -> Any:
        return _CountingThread(self._store.thread(id), self._calls)

    def __getattr__(self, name: str) -> Any:
        self._calls.append(name)
        return getattr(self._store, name)


@contextmanager
def counted(adapter: Any) -> Iterator[list[str]]:
    """Records the calls that an adapter makes in the block."""
    calls: list[str] = []
    store = adapter._stores.blocking
    adapter._stores.blocking = CountingStore(store, calls)
    try:
        yield calls
    finally:
        adapter._stores.blocking = store
