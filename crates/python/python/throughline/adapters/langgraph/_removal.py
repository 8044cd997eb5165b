"""Deletions: of a thread, of runs, and of all checkpoints but the latest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import TASKS

from ... import Busy, Corrupt, Invalid, Message, NotFound, ThreadSummary, Unsupported, ops
from ._calls import Call, Steps, all_of, batch, next_of, one
from ._checkpoints import READ_LIMIT, Heads, by_id, latest, namespace_of, namespaces_of, ordered, threads_of, writes_of
from ._history import Ancestors
from ._names import CHECKPOINTS, KIND, WRITES, CheckpointNamespace
from ._names import message as message_id
from ._records import PARENT, RUN, Stored, pending_writes
from ._writes import read_writes

#: Checkpoints by `thread_id`.
Checkpoints = dict[str, list[tuple[CheckpointNamespace, Stored]]]

#: The operations of one commit.
_BATCH = 200
#: The first version of checkpoints whose sends are in a channel.
_SENDS_IN_CHANNEL = 4


def delete_thread(heads: Heads, thread_id: str) -> Steps[None]:
    """Deletes the checkpoints and the writes of a thread, in all its namespaces."""
    written = yield from threads_of(thread_id, WRITES)
    saved = yield from threads_of(thread_id, CHECKPOINTS)
    yield from _clear(heads, written)
    yield from _clear(heads, saved)


def _clear(heads: Heads, threads: list[ThreadSummary]) -> Steps[None]:
    for summary in threads:
        heads.drop(summary.thread)
    yield from _commit([ops.clear_thread(summary.thread) for summary in threads if summary.messages])


def _commit(operations: Sequence[ops.Operation[Any]]) -> Steps[None]:
    for begin in range(0, len(operations), _BATCH):
        yield from one(batch(operations[begin : begin + _BATCH]))


def delete_for_runs(heads: Heads, run_ids: Iterable[str]) -> Steps[None]:
    """Deletes the checkpoints of runs, and their writes, in all threads. It finds them by the index of ``run_id``, or
    reads all checkpoints if the store does not index it.
    """
    runs = list(dict.fromkeys(run_ids))
    if not runs:
        return
    try:
        found = yield from _indexed(runs)
    except (Unsupported, Invalid, Busy):
        found = yield from _all_of(set(runs))
    for thread_id, stored in found.items():
        yield from _delete(heads, thread_id, stored)


def _all_of(runs: set[str]) -> Steps[Checkpoints]:
    found: Checkpoints = defaultdict(list)
    for namespace in (yield from namespaces_of()):
        checkpoints = ordered(namespace)
        while (each := (yield from next_of(checkpoints))) is not None:
            if each.item.fields.get(RUN) in runs:
                found[namespace.thread_id].append((namespace, each.item))
    return found


def _indexed(runs: list[str]) -> Steps[Checkpoints]:
    messages: list[Message] = []
    for run in runs:
        after: str | None = None
        while True:
            answer = yield from one(_find(run, after))
            if answer.damaged:
                raise Corrupt(f"the message {answer.damaged[0]} of the run {run} is damaged")
            messages += answer.messages
            after = answer.next
            if after is None:
                break
    threads = list(dict.fromkeys(message.thread for message in messages))
    summaries = dict(zip(threads, (yield from all_of([_summary(thread) for thread in threads])), strict=True))
    found: Checkpoints = defaultdict(list)
    for message in messages:
        summary = summaries[message.thread]
        # A message of the host can have this field, too.
        if summary is not None and summary.labels.get(KIND) == CHECKPOINTS:
            namespace = namespace_of(summary)
            found[namespace.thread_id].append((namespace, Stored.of(message)))
    return found


def _find(run: str, after: str | None) -> Call:
    return lambda store: store.find(RUN, run, READ_LIMIT, after=after)


def _summary(thread: str) -> Call:
    return lambda store: store.thread(thread).summary()


def keep_latest(heads: Heads, thread_id: str, serde: SerializerProtocol) -> Steps[None]:
    """Deletes all checkpoints of a thread except the latest of each namespace, and those that it needs: see
    ``_needed_by``.

    The namespace of a subgraph call, which has the id of its task after a colon, goes with the checkpoint that it
    started from. A checkpoint that a run saves meanwhile stays.
    """
    kept: dict[CheckpointNamespace, dict[str, Stored]] = {}
    ends: dict[CheckpointNamespace, int] = {}
    for namespace in (yield from namespaces_of(thread_id)):
        head = yield from latest(heads, namespace)
        end = heads.get(namespace.checkpoints)
        if head is None or end is None:
            continue
        ends[namespace] = end.last_seq
        kept[namespace] = {one.id: one for one in [head, *(yield from _needed_by(namespace, head, serde))]}
    roots = kept.get(CheckpointNamespace(thread_id, ""), {})
    for namespace in [namespace for namespace in kept if ":" in namespace.name]:
        root = max(kept[namespace].values(), key=lambda one: one.id).metadata(serde).get("parents", {}).get("")
        # A run saves in the background, so that a call can be saved before the checkpoint that it started from.
        if root and root not in roots and (yield from by_id(CheckpointNamespace(thread_id, ""), root)) is not None:
            kept[namespace] = {}
    doomed: list[tuple[CheckpointNamespace, Stored]] = []
    for namespace, keep in kept.items():
        checkpoints = ordered(namespace)
        while (each := (yield from next_of(checkpoints))) is not None:
            if each.item.id not in keep and each.item.seq <= ends[namespace]:
                doomed.append((namespace, each.item))
    orphans = [
        ops.update(namespace.checkpoints, message_id(stored.id), {PARENT: None})
        for namespace, keep in kept.items()
        for stored in keep.values()
        if stored.parent and stored.parent not in keep
    ]
    yield from _delete(heads, thread_id, doomed)
    yield from _commit(orphans)


def _needed_by(namespace: CheckpointNamespace, head: Stored, serde: SerializerProtocol) -> Steps[list[Stored]]:
    """The ancestors that a checkpoint cannot be read without: those up to the last snapshot of each delta channel, and
    the parent of a checkpoint of an old version, which has its sends.
    """
    state = head.state(serde)
    counters = head.metadata(serde).get("counters_since_delta_snapshot") or {}
    missing = set(counters) - state["channel_values"].keys()
    needed: list[Stored] = []
    ancestors = Ancestors(namespace, head)
    while missing and (ancestor := (yield from ancestors.next())) is not None:
        needed.append(ancestor)
        missing -= ancestor.state(serde)["channel_values"].keys()
    if state["v"] < _SENDS_IN_CHANNEL and head.parent and head.parent not in {one.id for one in needed}:
        parent = yield from by_id(namespace, head.parent)
        if parent is not None:
            messages = yield from read_writes([(namespace, parent.id)])
            if pending_writes(messages[0], serde, frozenset([TASKS])):
                needed.append(parent)
    return needed


def _delete(heads: Heads, thread_id: str, checkpoints: list[tuple[CheckpointNamespace, Stored]]) -> Steps[None]:
    """Deletes checkpoints of one thread with their writes."""
    if not checkpoints:
        return
    written = {summary.thread for summary in (yield from writes_of(thread_id))}
    for namespace, _ in checkpoints:
        heads.drop(namespace.checkpoints)
    for begin in range(0, len(checkpoints), _BATCH // 2):
        part = checkpoints[begin : begin + _BATCH // 2]
        try:
            yield from _commit([each for one in part for each in _deletion(*one, written)])
        except NotFound:
            # Another process deletes some of them too. Each commit has both parts of one checkpoint.
            for one in part:
                try:
                    yield from _commit(_deletion(*one, written))
                except NotFound:
                    continue


def _deletion(namespace: CheckpointNamespace, stored: Stored, written: set[str]) -> list[ops.Operation[Any]]:
    writes = namespace.writes(stored.id)
    clear: list[ops.Operation[Any]] = [ops.clear_thread(writes)] if writes in written else []
    return [*clear, ops.delete(namespace.checkpoints, message_id(stored.id))]
