"""Checkpoints in a thread: how they are saved, found and listed in the order of their ids.

The messages of a thread are in the order of their commits, and LangGraph orders checkpoints by their ids. Both orders
are the same while each id is greater than all ids before it, which is the rule: LangGraph generates ids that increase.
A checkpoint whose id is lower, as two hosts with different clocks can save it, names the greatest id before it
(``langgraph.top``). So the last message of a thread states which checkpoint is the latest, and a list needs only its
own page.

The statement is exact because a save requires that the thread has not changed since its writer read it: the addition
names the last sequence number, and fails as ``Stale`` otherwise.
"""

from __future__ import annotations

import heapq
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

from ... import AlreadyExists, Corrupt, Gone, Message, NotFound, Page, Stale, ThreadSummary, ops
from ._calls import Call, Calls, Found, Steps, Stream, all_of, batch, next_of, one
from ._names import CHECKPOINTS, KIND, NAMESPACE, THREAD, WRITES, CheckpointNamespace, label
from ._names import message as message_id
from ._records import TOP, Stored, patch

#: The state of a thread is remembered for this many namespaces, to save the read before a save. It decides nothing.
_REMEMBERED = 4096
#: The messages of one read of a list.
_PAGE = 50
#: The most entries of one read, as the store allows them.
READ_LIMIT = 1000


class Head(NamedTuple):
    """The end of a thread of checkpoints."""

    last_seq: int
    #: The greatest id. `None` if the thread has no checkpoint.
    top: str | None


class Heads:
    """The ends of threads as this process last saw them, and the threads of writes that it has labeled. A wrong end
    costs a read, because the save that relies on it is refused.
    """

    def __init__(self) -> None:
        self._heads: OrderedDict[str, Head] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, thread: str) -> Head | None:
        """The end of a thread, if it is remembered."""
        with self._lock:
            return self._heads.get(thread)

    def set(self, thread: str, head: Head) -> None:
        """Remembers the end of a thread."""
        with self._lock:
            self._heads[thread] = head
            self._heads.move_to_end(thread)
            while len(self._heads) > _REMEMBERED:
                self._heads.popitem(last=False)

    def drop(self, thread: str) -> None:
        """Forgets the end of a thread."""
        with self._lock:
            self._heads.pop(thread, None)


def latest(heads: Heads, namespace: CheckpointNamespace) -> Steps[Stored | None]:
    """Reads the checkpoint with the greatest id."""
    page = yield from one(page_of(namespace.checkpoints, limit=1))
    messages = readable(page)
    last = Stored.of(messages[0]) if messages else None
    if last is not None and last.top is not None:
        top = yield from by_id(namespace, last.top)
        # The greatest one was deleted since, so that no message states which is the greatest now.
        last = top if top is not None else (yield from _greatest(namespace))
    heads.set(namespace.checkpoints, Head(page.last_seq, last.id if last else None))
    return last


def _greatest(namespace: CheckpointNamespace) -> Steps[Stored | None]:
    greatest = None
    before = None
    while True:
        page = yield from one(page_of(namespace.checkpoints, before=before))
        found = [Stored.of(message) for message in readable(page)]
        greatest = max(found if greatest is None else [greatest, *found], key=lambda one: one.id, default=None)
        if page.next is None:
            return greatest
        before = page.next


def by_id(namespace: CheckpointNamespace, checkpoint_id: str) -> Steps[Stored | None]:
    """Reads one checkpoint."""
    message = yield from one(lambda store: store.thread(namespace.checkpoints).get(message_id(checkpoint_id)))
    return Stored.of(message) if message else None


def save(
    heads: Heads, namespace: CheckpointNamespace, checkpoint_id: str, content: bytes, fields: dict[str, Any]
) -> Steps[None]:
    """Adds a checkpoint, or replaces the one with this id. One call, if this process knows the end of the thread."""
    thread, id = namespace.checkpoints, message_id(checkpoint_id)
    exists = False
    while True:
        head = heads.get(thread)
        if head is None:
            yield from latest(heads, namespace)
            continue
        try:
            if exists or head.top == checkpoint_id:
                yield from _replace(thread, id, content, fields)
                return
            seq = yield from _add(namespace, id, content, fields, head, checkpoint_id)
        except Stale:
            # Another writer was faster.
            heads.drop(thread)
        except AlreadyExists:
            exists = True
        except (NotFound, Gone):
            if not exists and head.top != checkpoint_id:
                raise
            # Another writer has deleted the checkpoint that was to be replaced.
            exists = False
            heads.drop(thread)
        else:
            heads.set(thread, Head(seq, max(checkpoint_id, head.top or checkpoint_id)))
            return


def _add(
    namespace: CheckpointNamespace,
    id: str,
    content: bytes,
    fields: dict[str, Any],
    head: Head,
    checkpoint_id: str,
) -> Steps[int]:
    thread = namespace.checkpoints
    seq: int
    if head.last_seq == 0:
        addition = ops.add(thread, "system", content, id=id, metadata=fields)
        try:
            batched = yield from one(batch([creation(namespace), addition], after=0))
        except AlreadyExists:
            # The thread exists, without messages.
            batched = yield from one(batch([addition], after=0))
        seq = batched.outputs[-1].seq
    elif head.top is not None and checkpoint_id < head.top:
        # It is out of order, which it and the thread state, for lists that begin in the middle.
        fields = {**fields, TOP: head.top}
        addition = ops.add(thread, "system", content, id=id, metadata=fields)
        batched = yield from one(batch([addition, displacement(namespace)], after=head.last_seq))
        seq = batched.outputs[0].seq
    else:
        added = yield from one(
            lambda store: store.thread(thread).add("system", content, id=id, metadata=fields, after=head.last_seq)
        )
        seq = added.seq
    return seq


def creation(namespace: CheckpointNamespace) -> ops.Operation[Any]:
    """Creates the thread of the checkpoints of a namespace, with the labels by which lists and deletions find it.
    Deleted ids can be saved again, as in the tables of LangGraph's own savers.
    """
    return ops.create_thread(
        namespace.checkpoints,
        labels={KIND: CHECKPOINTS, THREAD: label(namespace.thread_id)},
        metadata={THREAD: namespace.thread_id, NAMESPACE: namespace.name},
        reuse_ids=True,
    )


def displacement(namespace: CheckpointNamespace) -> ops.Operation[Any]:
    """States that a namespace has checkpoints out of order."""
    return ops.label_thread(namespace.checkpoints, metadata={TOP: True})


def _replace(thread: str, id: str, content: bytes, fields: dict[str, Any]) -> Steps[None]:
    yield from one(batch([ops.edit(thread, id, content), ops.update(thread, id, patch(fields))]))


def ordered(namespace: CheckpointNamespace, *, before: str | None = None, limit: int | None = None) -> Stream[Stored]:
    """Finds the checkpoints of a namespace, the greatest id first, and only those below ``before``."""
    thread = namespace.checkpoints
    start = None
    if before is not None:
        answers = yield Calls(
            [lambda store: store.thread(thread).get(message_id(before)), lambda store: store.thread(thread).summary()]
        )
        assert answers is not None
        message, summary = answers
        if message is not None and not (summary and summary.metadata.get(TOP)):
            start = message.seq
    return (yield from _walk(thread, start, before, min(limit or _PAGE, _PAGE)))


def _walk(thread: str, start: int | None, before: str | None, size: int) -> Stream[Stored]:
    """Reads backward. A checkpoint that is not displaced is greater than all before it, so that it and each greater one
    that was read before it come next.
    """
    displaced: list[tuple[_Descending, Stored]] = []
    while True:
        answers = yield Calls([page_of(thread, limit=size, before=start)])
        assert answers is not None
        page: Page = answers[0]
        for message in reversed(readable(page)):
            found = Stored.of(message)
            if found.top is not None:
                heapq.heappush(displaced, (_Descending(found.id), found))
                continue
            while displaced and displaced[0][1].id > found.id:
                yield from _below(heapq.heappop(displaced)[1], before)
            yield from _below(found, before)
        start = page.next
        if start is None:
            break
        size = _PAGE
    while displaced:
        yield from _below(heapq.heappop(displaced)[1], before)


def _below(found: Stored, before: str | None) -> Iterator[Found[Stored]]:
    if before is None or found.id < before:
        yield Found(found)


def merged(
    namespaces: list[CheckpointNamespace], *, before: str | None, limit: int | None
) -> Stream[tuple[CheckpointNamespace, Stored]]:
    """Finds the checkpoints of several namespaces, the greatest id first."""
    streams = [(namespace, ordered(namespace, before=before, limit=limit)) for namespace in namespaces]
    heads: list[tuple[_Descending, int, Stored]] = []
    for index, (_, stream) in enumerate(streams):
        if (first := (yield from next_of(stream))) is not None:
            heads.append((_Descending(first.item.id), index, first.item))
    heapq.heapify(heads)
    while heads:
        _, index, stored = heads[0]
        namespace, stream = streams[index]
        yield Found((namespace, stored))
        if (following := (yield from next_of(stream))) is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (_Descending(following.item.id), index, following.item))


class _Descending(str):
    """An id that sorts after greater ones."""

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def namespaces_of(thread_id: str | None = None) -> Steps[list[CheckpointNamespace]]:
    """Finds the namespaces of a `thread_id`, or all."""
    found = yield from threads_of(thread_id, CHECKPOINTS)
    return [namespace_of(summary) for summary in found if summary.messages]


def writes_of(thread_id: str) -> Steps[list[ThreadSummary]]:
    """Finds the threads with the pending writes of a `thread_id`."""
    found = yield from threads_of(thread_id, WRITES)
    return [summary for summary in found if summary.messages]


def threads_of(thread_id: str | None, kind: str) -> Steps[list[ThreadSummary]]:
    """Finds the threads with this kind of data."""
    labels = {KIND: kind}
    if thread_id is not None:
        labels[THREAD] = label(thread_id)
    return (yield from summaries(labels))


def summaries(labels: dict[str, str]) -> Steps[list[ThreadSummary]]:
    """Finds the threads with these labels, the most recently active first."""
    found: list[ThreadSummary] = []
    after: str | None = None
    while True:
        listed = yield from one(_threads(labels, after))
        if listed.damaged:
            raise Corrupt(
                f"the summary of the thread {listed.damaged[0]} is damaged: rebuild it with rebuild_summary()"
            )
        found += listed.threads
        after = listed.next
        if after is None:
            return found


def _threads(labels: dict[str, str], after: str | None) -> Call:
    return lambda store: store.threads(READ_LIMIT, after=after, labels=labels, archived=None)


def namespace_of(summary: ThreadSummary) -> CheckpointNamespace:
    """The namespace whose data a thread has."""
    return CheckpointNamespace(summary.metadata[THREAD], summary.metadata[NAMESPACE])


def page_of(thread: str, *, limit: int = _PAGE, before: int | None = None) -> Call:
    """Reads the last messages of a thread, or those before a sequence number."""
    return lambda store: store.thread(thread).page(limit, before=before)


def readable(page: Page) -> list[Message]:
    """The messages of a page. Raises ``Corrupt`` if one of them is damaged."""
    if page.damaged:
        damaged = page.damaged[0]
        raise Corrupt(f"the message {damaged.id} is damaged: {damaged.detail}", message=damaged.id)
    return page.messages


def messages_of(threads: list[str]) -> Steps[list[list[Message]]]:
    """Reads all messages of several threads."""

    def first(thread: str) -> Call:
        return lambda store: store.thread(thread).page(READ_LIMIT, after=0)

    pages = yield from all_of([first(thread) for thread in threads])
    found = []
    for thread, page in zip(threads, pages, strict=True):
        messages = list(readable(page))
        while page.next is not None:
            page = yield from one(_following(thread, page.next))
            messages += readable(page)
        found.append(messages)
    return found


def _following(thread: str, after: int) -> Call:
    return lambda store: store.thread(thread).page(READ_LIMIT, after=after)
