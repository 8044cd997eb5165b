"""The pending writes of a checkpoint: a thread of their own, to which each task appends.

An addition costs its own bytes, however many tasks a step has, and it needs no checkpoint: LangGraph saves both at the
same time, in any order. Nothing is looked up before a write, and concurrent writers never refuse each other. The reader
decides what repeated writes amount to: see ``pending_writes``.
"""

from __future__ import annotations

from typing import Any

from ... import Message, ops
from ._calls import Steps, batch, one
from ._checkpoints import Head, Heads, messages_of
from ._names import CHECKPOINT, KIND, NAMESPACE, THREAD, WRITES, CheckpointNamespace, label


def save_writes(
    heads: Heads, namespace: CheckpointNamespace, checkpoint_id: str, content: bytes, fields: dict[str, str]
) -> Steps[None]:
    """Appends the writes of a task. One call."""
    thread = namespace.writes(checkpoint_id)
    if heads.get(thread) is not None:
        yield from one(lambda store: store.thread(thread).add("tool", content, metadata=fields))
        return
    addition = ops.add(thread, "tool", content, metadata=fields)
    yield from one(batch([addition, *labeled_writes(namespace, checkpoint_id)]))
    # The labels of a thread stay, so that this process need not repeat them.
    heads.set(thread, Head(0, None))


def labeled_writes(namespace: CheckpointNamespace, checkpoint_id: str) -> list[ops.Operation[Any]]:
    """Labels the thread of writes, so that lists and deletions find it, and archives it, so that the lists of hosts do
    not.
    """
    thread = namespace.writes(checkpoint_id)
    return [
        ops.label_thread(
            thread,
            labels={KIND: WRITES, THREAD: label(namespace.thread_id)},
            metadata={THREAD: namespace.thread_id, NAMESPACE: namespace.name, CHECKPOINT: checkpoint_id},
        ),
        ops.archive_thread(thread),
    ]


def read_writes(namespaces: list[tuple[CheckpointNamespace, str]]) -> Steps[list[list[Message]]]:
    """Reads the writes of several checkpoints."""
    return (yield from messages_of([namespace.writes(checkpoint_id) for namespace, checkpoint_id in namespaces]))
