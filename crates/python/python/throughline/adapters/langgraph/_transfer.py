"""Copies of checkpoints into a namespace: from another thread of the store, or from the file of another saver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ... import AlreadyExists, Message, Stale, ops
from ._calls import Steps, batch, next_of, one
from ._checkpoints import Head, Heads, creation, displacement, latest, namespaces_of, ordered
from ._names import CheckpointNamespace
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
    for namespace in (yield from namespaces_of(source)):
        checkpoints = []
        found = ordered(namespace)
        while (each := (yield from next_of(found))) is not None:
            checkpoints.append(each.item)
        checkpoints.reverse()
        for begin in range(0, len(checkpoints), _BATCH):
            part = checkpoints[begin : begin + _BATCH]
            writes = yield from read_writes([(namespace, stored.id) for stored in part])
            records = [_record(stored, written) for stored, written in zip(part, writes, strict=True)]
            yield from insert(heads, CheckpointNamespace(target, namespace.name), records)


def _record(stored: Stored, writes: list[Message]) -> Record:
    fields = {name: value for name, value in stored.fields.items() if name != TOP}
    return Record(
        stored.id, stored.message.content_json, fields, [(one.content_json, one.metadata_json) for one in writes]
    )


def insert(heads: Heads, namespace: CheckpointNamespace, records: Iterable[Record]) -> Steps[int]:
    """Adds the checkpoints that a namespace does not have, each with its writes in the same commit. Their ids increase.
    Returns how many it added.
    """
    added = 0
    for part in _parts(records):
        added += yield from _insert(heads, namespace, part)
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


def _insert(heads: Heads, namespace: CheckpointNamespace, part: list[Record]) -> Steps[int]:
    left = list(part)
    exists = False
    while left:
        head = heads.get(namespace.checkpoints)
        if head is None:
            yield from latest(heads, namespace)
            continue
        operations, owners, top = _operations(namespace, left, head, create=head.last_seq == 0 and not exists)
        try:
            batched = yield from one(batch(operations, after=head.last_seq))
        except Stale:
            heads.drop(namespace.checkpoints)
        except AlreadyExists as error:
            if error.batch_index is None:
                raise
            if (present := owners[error.batch_index]) is None:
                exists = True
            else:
                left.remove(present)
            heads.drop(namespace.checkpoints)
        else:
            heads.set(namespace.checkpoints, Head(batched.outputs[owners.index(left[-1])].seq, top))
            return len(left)
    return 0


def _operations(
    namespace: CheckpointNamespace, records: list[Record], head: Head, *, create: bool
) -> tuple[list[ops.Operation[Any]], list[Record | None], str | None]:
    """The operations that add records, the record of each, and the greatest id afterwards. The first operation of a
    record adds its checkpoint. The creation of the thread belongs to none.
    """
    top = head.top
    operations: list[ops.Operation[Any]] = [creation(namespace)] if create else []
    owners: list[Record | None] = [None] * len(operations)
    displaced = False
    for record in records:
        fields = record.fields
        if top is not None and record.id < top:
            fields, displaced = {**fields, TOP: top}, True
        else:
            top = record.id
        begin = len(operations)
        operations.append(
            ops.add(namespace.checkpoints, "system", record.content, id=message_id(record.id), metadata=fields)
        )
        if record.writes:
            thread = namespace.writes(record.id)
            operations += [ops.add(thread, "tool", content, metadata=metadata) for content, metadata in record.writes]
            operations += labeled_writes(namespace, record.id)
        owners += [record] * (len(operations) - begin)
    if displaced:
        operations.append(displacement(namespace))
    return operations, owners, top
