"""The history of delta channels: the ancestors of a checkpoint up to the values that its channels start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.checkpoint.base import DeltaChannelHistory, PendingWrite
from langgraph.checkpoint.serde.base import SerializerProtocol

from ._calls import Steps, one
from ._checkpoints import by_id, page_of, readable
from ._names import CheckpointNamespace
from ._records import Stored, pending_writes
from ._writes import read_writes

#: The first and the largest page of ancestors.
_FIRST_PAGE = 4
_LAST_PAGE = 64


class Ancestors:
    """The ancestors of a checkpoint, the nearest first. A page has several of them, because most follow each other."""

    def __init__(self, namespace: CheckpointNamespace, start: Stored) -> None:
        self._namespace = namespace
        self._seen = {start.id}
        self._parent = start.parent
        self._before = start.seq
        self._read: dict[str, Stored] = {}
        self._size = _FIRST_PAGE

    def next(self) -> Steps[Stored | None]:
        """Reads the next ancestor. ``None`` at the end: a checkpoint without a parent, or whose parent is not stored or
        was seen.
        """
        parent = self._parent
        if parent is None or parent in self._seen:
            return None
        found = self._read.pop(parent, None)
        if found is None:
            yield from self._read_page()
            found = self._read.pop(parent, None)
        if found is None:
            found = yield from by_id(self._namespace, parent)
            if found is None:
                return None
        self._seen.add(found.id)
        self._parent, self._before = found.parent, found.seq
        return found

    def _read_page(self) -> Steps[None]:
        page = yield from one(page_of(self._namespace.checkpoints, limit=self._size, before=self._before))
        self._size = min(2 * self._size, _LAST_PAGE)
        self._read = {stored.id: stored for stored in map(Stored.of, readable(page))}


def history(
    namespace: CheckpointNamespace, target: Stored | None, channels: Sequence[str], serde: SerializerProtocol
) -> Steps[Mapping[str, DeltaChannelHistory]]:
    """For each channel, finds the value at the nearest ancestor that has one, and the writes since."""
    seeds: dict[str, Any] = {}
    open_channels = set(channels)
    #: The ancestors, the nearest first, and the channels whose writes each one contributes.
    chain: list[tuple[Stored, frozenset[str]]] = []
    ancestors = Ancestors(namespace, target) if target else None
    while open_channels and ancestors is not None:
        ancestor = yield from ancestors.next()
        if ancestor is None:
            break
        chain.append((ancestor, frozenset(open_channels)))
        values = ancestor.state(serde)["channel_values"]
        for channel in open_channels & values.keys():
            seeds[channel] = values[channel]
            open_channels.discard(channel)
    messages = yield from read_writes([(namespace, ancestor.id) for ancestor, _ in chain])
    writes: dict[str, list[PendingWrite]] = {channel: [] for channel in channels}
    for (_, contributes), written in reversed(list(zip(chain, messages, strict=True))):
        for write in pending_writes(written, serde, contributes):
            writes[write[1]].append(write)
    found: dict[str, DeltaChannelHistory] = {}
    for channel in channels:
        found[channel] = {"writes": writes[channel]}
        if channel in seeds:
            found[channel]["seed"] = seeds[channel]
    return found
