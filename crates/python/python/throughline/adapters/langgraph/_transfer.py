"""Copies of checkpoints into a place: from another thread of the store, or from the file of another saver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ... import AlreadyExists, Message, Stale, ops
from ._calls import Steps, next_of, one
from ._checkpoints import Head, Heads, labeled, latest, ordered, places_of
from ._names import Place
from ._names import message as message_id
from ._records import TOP, Stored
from ._writes import labeled_writes, read_writes

#: The checkpoints and the bytes of content of one commit.
_BATCH = 50
_BATCH_BYTES = 4 << 20


@dataclass(frozen=True, eq=False)
class Record:
    """A checkpoint with its writes, as messages: content and metadata of each."""

    id: str
    content: bytes
    fields: dict[str, Any]
    writes: list[tuple[bytes, dict[str, Any] | bytes]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.content) + sum(len(content) for content, _ in self.writes)


def copy_thread(heads: Heads, source: str, target: str) -> Steps[None]:
    """Copies all checkpoints and writes of a thread to another one. A checkpoint that the target has stays as it is."""
    if source == target:
        return
    for place in (yield from places_of(source)):
        checkpoints = []
        found = ordered(place)
        while (each := (yield from next_of(found))) is not None:
            checkpoints.append(each.item)
        checkpoints.reverse()
        for begin in range(0, len(checkpoints), _BATCH):
            part = checkpoints[begin : begin + _BATCH]
            writes = yield from read_writes([(place, stored.id) for stored in part])
            records = [_record(stored, written) for stored, written in zip(part, writes, strict=True)]
            yield from insert(heads, Place(target, place.ns), records)


def _record(stored: Stored, writes: list[Message]) -> Record:
    fields = {name: value for name, value in stored.fields.items() if name != TOP}
    return Record(
        stored.id, stored.message.content_json, fields, [(one.content_json, one.metadata_json) for one in writes]
    )


def insert(heads: Heads, place: Place, records: Iterable[Record]) -> Steps[int]:
    """Adds the checkpoints that a place does not have, each with its writes in the same commit. Their ids increase. Returns how
    many it added.
    """
    added = 0
    for part in _parts(records):
        added += yield from _insert(heads, place, part)
    return added


def _parts(records: Iterable[Record]) -> Iterator[list[Record]]:
    part: list[Record] = []
    size = 0
    for record in records:
        if part and (len(part) == _BATCH or size + record.size > _BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(record)
        size += record.size
    if part:
        yield part


def _insert(heads: Heads, place: Place, part: list[Record]) -> Steps[int]:
    left = list(part)
    while left:
        head = heads.get(place.checkpoints)
        if head is None:
            yield from latest(heads, place)
            continue
        operations, owners, top = _operations(place, left, head)
        try:
            batched = yield from one(
                lambda store, operations=operations, head=head: store.batch(operations, after=head.last_seq)
            )
        except Stale:
            heads.drop(place.checkpoints)
        except AlreadyExists as error:
            if error.batch_index is None:
                raise
            left.remove(owners[error.batch_index])
            heads.drop(place.checkpoints)
        else:
            heads.set(place.checkpoints, Head(batched.outputs[owners.index(left[-1])].seq, top))
            return len(left)
    return 0


def _operations(
    place: Place, records: list[Record], head: Head
) -> tuple[list[ops.Operation[Any]], list[Record], str | None]:
    """The operations that add records, the record of each, and the greatest id afterwards. The first operation of a record adds
    its checkpoint.
    """
    top = head.top
    operations: list[ops.Operation[Any]] = []
    owners: list[Record] = []
    displaced = False
    for record in records:
        fields = record.fields
        if top is not None and record.id < top:
            fields, displaced = {**fields, TOP: top}, True
        else:
            top = record.id
        begin = len(operations)
        operations.append(
            ops.add(place.checkpoints, "system", record.content, id=message_id(record.id), metadata=fields)
        )
        if record.writes:
            thread = place.writes(record.id)
            operations += [ops.add(thread, "tool", content, metadata=metadata) for content, metadata in record.writes]
            operations += labeled_writes(place, record.id)
        owners += [record] * (len(operations) - begin)
    operations.append(labeled(place, displaced=displaced))
    owners.append(records[-1])
    return operations, owners, top
