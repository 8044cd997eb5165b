"""The writes of the store: all of one batch in one commit."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from langgraph.store.base import PutOp

from ... import AlreadyExists, Gone, NotFound, ops
from ._calls import Call, Steps, all_of, batch, one
from ._items import NAMESPACE, StoredItem, expiry, micros_now, prefix_labels
from ._names import items as thread_of
from ._names import message as message_id
from ._vectors import Encoded, VectorIndex, encode

#: The label of the threads that have items with a time to live.
EXPIRING = {"langgraph.expiring": "true"}
#: The most threads that a process remembers.
_REMEMBERED = 4096


class Known:
    """The threads that exist, and those with the label ``EXPIRING``, as this process knows them. It saves calls, and
    decides nothing.
    """

    def __init__(self) -> None:
        self._threads: set[tuple[str, bool]] = set()
        self._lock = threading.Lock()

    def has(self, thread: str, *, expiring: bool = False) -> bool:
        """Whether the thread exists, or has the label."""
        with self._lock:
            return (thread, expiring) in self._threads

    def add(self, threads: Iterable[tuple[str, bool]]) -> None:
        """Remembers threads, each with whether it has the label."""
        with self._lock:
            if len(self._threads) > _REMEMBERED:
                self._threads.clear()
            self._threads.update(threads)

    def forget(self, threads: Iterable[str]) -> None:
        """Forgets threads that may not exist."""
        with self._lock:
            for thread in threads:
                self._threads -= {(thread, True), (thread, False)}


def put(known: Known, vectors: VectorIndex | None, puts: Sequence[PutOp]) -> Steps[None]:
    """Writes and deletes items: one round of reads and one commit. It starts again if another writer was faster."""
    embedded = yield from _embedded(vectors, puts)
    saved = {thread_of(each.namespace): each.namespace for each in puts if each.value is not None}
    expiring = {thread_of(each.namespace) for each in puts if each.value is not None and each.ttl is not None}
    while True:
        unknown = [thread for thread in saved if not known.has(thread)]
        answers = yield from all_of(
            [*[message_of(each.namespace, each.key) for each in puts], *[_summary(thread) for thread in unknown]]
        )
        messages, summaries = answers[: len(puts)], answers[len(puts) :]
        operations: list[ops.Operation[Any]] = [
            _creation(thread, saved[thread])
            for thread, summary in zip(unknown, summaries, strict=True)
            if summary is None
        ]
        created = len(operations)
        for each, message, encoded in zip(puts, messages, embedded, strict=True):
            before = None if message is None else StoredItem.of(each.namespace, message)
            operations += _operations(each, before, encoded)
        operations += [
            ops.label_thread(thread, labels=EXPIRING) for thread in expiring if not known.has(thread, expiring=True)
        ]
        if not operations:
            return
        try:
            yield from one(batch(operations))
        except (AlreadyExists, NotFound):
            known.forget(saved)
        except Gone as error:
            # An item that was to be changed has been deleted. A deleted thread stays deleted.
            if error.batch_index is None or error.batch_index < created or _is_addition(operations[error.batch_index]):
                raise
        else:
            known.add([*[(thread, False) for thread in saved], *[(thread, True) for thread in expiring]])
            return


def message_of(namespace: tuple[str, ...], key: str) -> Call:
    """The read of the message of an item."""
    return lambda store: store.thread(thread_of(namespace)).get(message_id(key))


def _summary(thread: str) -> Call:
    return lambda store: store.thread(thread).summary()


def _creation(thread: str, namespace: tuple[str, ...]) -> ops.Operation[Any]:
    return ops.create_thread(
        thread, labels=prefix_labels(namespace), metadata={NAMESPACE: list(namespace)}, reuse_ids=True
    )


def _operations(each: PutOp, before: StoredItem | None, vectors: Encoded) -> list[ops.Operation[Any]]:
    thread, id = thread_of(each.namespace), message_id(each.key)
    if each.value is None:
        return [] if before is None else [ops.delete(thread, id)]
    now = micros_now()
    item = StoredItem(
        namespace=each.namespace,
        key=each.key,
        value=dict(each.value),
        created_at=before.created_at if before else now,
        updated_at=now,
        vectors=vectors,
        expires=expiry(now, each.ttl),
        ttl=each.ttl,
    )
    if before is None:
        return [ops.add(thread, "system", item.content(), id=id, metadata=item.fields())]
    changes: list[ops.Operation[Any]] = [ops.edit(thread, id, item.content())]
    if before.ttl is not None or each.ttl is not None:
        changes.append(ops.update(thread, id, item.fields()))
    return changes


def _is_addition(operation: ops.Operation[Any]) -> bool:
    return operation.json.startswith('{"add"')


def _embedded(vectors: VectorIndex | None, puts: Sequence[PutOp]) -> Steps[list[Encoded]]:
    """Embeds the texts of items, each text once."""
    if vectors is None:
        return [{} for _ in puts]
    by_path = [vectors.texts(each) for each in puts]
    texts = list(dict.fromkeys(text for texts in by_path for text in texts.values()))
    embedded = dict(zip(texts, (yield from one(vectors.embed(texts))), strict=True)) if texts else {}
    return [encode({path: embedded[text] for path, text in texts.items()}) for texts in by_path]
