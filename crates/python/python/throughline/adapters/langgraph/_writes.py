"""The pending writes of a checkpoint: a thread of their own, to which each task appends.

An addition costs its own bytes, however many tasks a step has, and it needs no checkpoint: LangGraph saves both at the same
time, in any order. Nothing is looked up before a write, and concurrent writers never refuse each other. The reader decides what
repeated writes amount to: see ``pending_writes``.
"""

from __future__ import annotations

from typing import Any

from ... import Message, ops
from ._checkpoints import Head, Heads, messages_of
from ._calls import Steps, one
from ._names import CHECKPOINT, KIND, NAMESPACE, THREAD, WRITES, Place, label


def save_writes(heads: Heads, place: Place, checkpoint_id: str, content: bytes, fields: dict[str, str]) -> Steps[None]:
    """Appends the writes of a task. One call."""
    thread = place.writes(checkpoint_id)
    if heads.get(thread) is not None:
        yield from one(lambda store: store.thread(thread).add("tool", content, metadata=fields))
        return
    batch = [ops.add(thread, "tool", content, metadata=fields), *labeled_writes(place, checkpoint_id)]
    yield from one(lambda store: store.batch(batch))
    # The labels of a thread stay, so that this process need not repeat them.
    heads.set(thread, Head(0, None))


def labeled_writes(place: Place, checkpoint_id: str) -> list[ops.Operation[Any]]:
    """Labels the thread of writes, so that lists and deletions find it, and archives it, so that the lists of hosts do not."""
    thread = place.writes(checkpoint_id)
    return [
        ops.label_thread(
            thread,
            labels={KIND: WRITES, THREAD: label(place.thread_id)},
            metadata={THREAD: place.thread_id, NAMESPACE: place.ns, CHECKPOINT: checkpoint_id},
        ),
        ops.archive_thread(thread),
    ]


def read_writes(places: list[tuple[Place, str]]) -> Steps[list[list[Message]]]:
    """Reads the writes of several checkpoints."""
    return (yield from messages_of([place.writes(checkpoint_id) for place, checkpoint_id in places]))
