"""The checkpoint saver."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from ... import Message
from ._calls import Calls, Found, Steps, Stream, iterate_async, iterate_blocking, next_of, run_async, run_blocking
from ._checkpoints import READ_LIMIT, Heads, by_id, latest, merged, namespaces_of, save
from ._history import history
from ._items import member
from ._names import CheckpointNamespace
from ._names import message as message_id
from ._records import (
    Stored,
    checkpoint_content,
    checkpoint_metadata,
    config_of,
    indexed,
    pending_writes,
    writes_content,
    writes_metadata,
)
from ._removal import delete_for_runs, delete_thread, keep_latest
from ._stores import AnyStore, Opened, Stores
from ._transfer import copy_thread
from ._writes import read_writes, save_writes

#: The checkpoints of a list whose writes are read at the same time.
_AT_ONCE = 20


class ThroughlineSaver(BaseCheckpointSaver[str]):
    """A checkpoint saver over a Throughline store: SQLite, Postgres or memory.

    :param store: An open store of :func:`throughline.open` or :func:`throughline.sync.open`. Blocking methods and
        coroutines of the saver use the same store. The saver does not close it.
    :param serde: The serializer of LangGraph. Its bytes are stored unchanged.

    ::

        with throughline.sync.open("chat.db") as store:
            graph = builder.compile(checkpointer=ThroughlineSaver(store))
            graph.invoke({"messages": ["hello"]}, {"configurable": {"thread_id": "telegram:42"}})

    A save is one durable commit, and so are the writes of a task. Any number of threads, event loops and processes may
    use one thread of LangGraph. A failed call raises a :class:`throughline.ThroughlineError`, whose ``effect`` says
    what the store has.
    """

    def __init__(self, store: AnyStore, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._stores = Stores(store)
        self._heads = Heads()

    @classmethod
    def from_conn_string(
        cls, url: str | os.PathLike[str], *, serde: SerializerProtocol | None = None, **options: Any
    ) -> Opened[ThroughlineSaver]:
        """Opens a store for a saver, in ``with`` or ``async with``: a path, ``"memory:"`` or the URL of a Postgres
        database.

        ``options`` are those of :func:`throughline.open`.
        """
        return Opened(lambda store: cls(store, serde=serde), url, options)

    def setup(self) -> None:
        """Does nothing: the store creates its tables when it is opened. The savers of LangGraph need this call."""

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Reads the checkpoint that ``config`` names, or the latest one of its thread. Two reads of the store."""
        return run_blocking(self._stores.blocking, self._get(config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Reads the checkpoint that ``config`` names, or the latest one of its thread."""
        return await run_async(self._stores.asynchronous, self._get(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Lists checkpoints, the greatest id first: those of a thread and a namespace, of all namespaces of a thread,
        or all.

        The list reads the store as far as it is consumed. ``filter`` compares the metadata of each checkpoint on the
        way.
        """
        return iterate_blocking(self._stores.blocking, self._list(config, filter, before, limit))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Lists checkpoints: see :meth:`list`."""
        async for found in iterate_async(self._stores.asynchronous, self._list(config, filter, before, limit)):
            yield found

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Saves a checkpoint in one commit. A checkpoint with this id is replaced."""
        return run_blocking(self._stores.blocking, self._put(config, checkpoint, metadata))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Saves a checkpoint in one commit. A checkpoint with this id is replaced."""
        return await run_async(self._stores.asynchronous, self._put(config, checkpoint, metadata))

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Saves the writes of a task in one commit. A repeated write is ignored; a special one replaces the earlier
        one.
        """
        run_blocking(self._stores.blocking, self._put_writes(config, writes, task_id, task_path))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Saves the writes of a task in one commit. A repeated write is ignored; a special one replaces the earlier
        one.
        """
        await run_async(self._stores.asynchronous, self._put_writes(config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        """Deletes all checkpoints and writes of a thread. ``Store.purge`` frees their space."""
        run_blocking(self._stores.blocking, delete_thread(self._heads, str(thread_id)))

    async def adelete_thread(self, thread_id: str) -> None:
        """Deletes all checkpoints and writes of a thread. ``Store.purge`` frees their space."""
        await run_async(self._stores.asynchronous, delete_thread(self._heads, str(thread_id)))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Deletes the checkpoints of these runs and their writes. A store that does not index ``run_id`` reads all of
        them.
        """
        run_blocking(self._stores.blocking, delete_for_runs(self._heads, run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Deletes the checkpoints of these runs and their writes. A store that does not index ``run_id`` reads all of
        them.
        """
        await run_async(self._stores.asynchronous, delete_for_runs(self._heads, run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copies all checkpoints and writes of a thread. A checkpoint that the target has stays as it is."""
        run_blocking(self._stores.blocking, copy_thread(self._heads, str(source_thread_id), str(target_thread_id)))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copies all checkpoints and writes of a thread. A checkpoint that the target has stays as it is."""
        await run_async(
            self._stores.asynchronous, copy_thread(self._heads, str(source_thread_id), str(target_thread_id))
        )

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Deletes all checkpoints of threads (``"delete"``), or all but the latest of each namespace
        (``"keep_latest"``).

        ``"keep_latest"`` also keeps the ancestors that a delta channel of the latest checkpoint starts from.
        """
        run_blocking(self._stores.blocking, self._prune(thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Deletes all checkpoints of threads, or all but the latest: see :meth:`prune`."""
        await run_async(self._stores.asynchronous, self._prune(thread_ids, strategy))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Finds, for each channel, the value at the nearest ancestor that stores one, and the writes since."""
        return run_blocking(self._stores.blocking, self._history(config, channels))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Finds, for each channel, the value at the nearest ancestor that stores one, and the writes since."""
        return await run_async(self._stores.asynchronous, self._history(config, channels))

    def get_next_version(self, current: str | int | float | None, channel: None) -> str:
        """Returns the version after ``current``: a number that sorts as text, and a random part."""
        number = 0 if current is None else int(str(current).partition(".")[0])
        return f"{number + 1:032}.{random.random():016}"

    def _get(self, config: RunnableConfig) -> Steps[CheckpointTuple | None]:
        thread_id, namespace = _namespace(config)
        checkpoint_id = get_checkpoint_id(config)
        if not checkpoint_id:
            stored = yield from latest(self._heads, namespace)
            if stored is None:
                return None
            writes = yield from read_writes([(namespace, stored.id)])
            return self._tuple(config_of(thread_id, namespace.name, stored.id), thread_id, namespace, stored, writes[0])
        # The names of both threads are known, so that both reads run at the same time.
        message, page = yield Calls(
            [
                lambda store: store.thread(namespace.checkpoints).get(message_id(checkpoint_id)),
                lambda store: store.thread(namespace.writes(checkpoint_id)).page(READ_LIMIT, after=0),
            ]
        )
        if message is None:
            return None
        found = list(page.messages)
        if page.next is not None or page.damaged:
            found = (yield from read_writes([(namespace, checkpoint_id)]))[0]
        return self._tuple(config, thread_id, namespace, Stored.of(message), found)

    def _list(
        self,
        config: RunnableConfig | None,
        filter: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Stream[CheckpointTuple]:
        thread_id, namespaces, checkpoint_id = yield from _listed(config)
        below = get_checkpoint_id(before) if before else None
        left = limit
        found: Stream[tuple[CheckpointNamespace, Stored]]
        if checkpoint_id:
            found = _only(namespaces, checkpoint_id, below)
        else:
            found = merged([*namespaces], before=below or None, limit=None if filter else limit)
        at_once = 1
        while left is None or left > 0:
            chunk: list[tuple[CheckpointNamespace, Stored]] = []
            while len(chunk) < (at_once if left is None else min(left, _AT_ONCE)):
                each = yield from next_of(found)
                if each is None:
                    break
                if not filter or self._matches(each.item[1], filter):
                    chunk.append(each.item)
            if not chunk:
                return
            writes = yield from read_writes([(namespace, stored.id) for namespace, stored in chunk])
            for (namespace, stored), written in zip(chunk, writes, strict=True):
                owner = namespace.thread_id if thread_id is None else thread_id
                yield Found(self._tuple(config_of(owner, namespace.name, stored.id), owner, namespace, stored, written))
            if left is not None:
                left -= len(chunk)
            at_once = min(2 * at_once, _AT_ONCE)

    def _matches(self, stored: Stored, filter: dict[str, Any]) -> bool:
        metadata = stored.metadata(self.serde)
        return all(member(metadata, name) == value for name, value in filter.items())

    def _tuple(
        self,
        config: RunnableConfig,
        thread_id: Any,
        namespace: CheckpointNamespace,
        stored: Stored,
        writes: Sequence[Message],
    ) -> CheckpointTuple:
        return CheckpointTuple(
            config=config,
            checkpoint=stored.state(self.serde),
            metadata=stored.metadata(self.serde),
            parent_config=config_of(thread_id, namespace.name, stored.parent) if stored.parent else None,
            pending_writes=pending_writes(writes, self.serde),
        )

    def _put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> Steps[RunnableConfig]:
        thread_id, namespace = _namespace(config)
        fields = checkpoint_metadata(
            checkpoint["id"], get_checkpoint_id(config), get_checkpoint_metadata(config, metadata), self.serde
        )
        content = checkpoint_content(self.serde.dumps_typed(checkpoint))
        yield from save(self._heads, namespace, checkpoint["id"], content, fields)
        return config_of(thread_id, namespace.name, checkpoint["id"])

    def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> Steps[None]:
        if not writes:
            return
        _, namespace = _namespace(config)
        content = writes_content(indexed(writes, self.serde))
        checkpoint_id = str(config["configurable"]["checkpoint_id"])
        yield from save_writes(self._heads, namespace, checkpoint_id, content, writes_metadata(task_id, task_path))

    def _prune(self, thread_ids: Sequence[str], strategy: str) -> Steps[None]:
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f'unknown strategy {strategy!r}: "keep_latest" or "delete"')
        for thread_id in thread_ids:
            if strategy == "delete":
                yield from delete_thread(self._heads, str(thread_id))
            else:
                yield from keep_latest(self._heads, str(thread_id), self.serde)

    def _history(self, config: RunnableConfig, channels: Sequence[str]) -> Steps[Mapping[str, DeltaChannelHistory]]:
        if not channels:
            return {}
        _, namespace = _namespace(config)
        checkpoint_id = get_checkpoint_id(config)
        if checkpoint_id:
            target = yield from by_id(namespace, checkpoint_id)
        else:
            target = yield from latest(self._heads, namespace)
        return (yield from history(namespace, target, channels, self.serde))


def _namespace(config: RunnableConfig) -> tuple[Any, CheckpointNamespace]:
    """The ``thread_id`` as the caller names it, and the namespace of its checkpoints."""
    configurable = config["configurable"]
    thread_id = configurable["thread_id"]
    return thread_id, CheckpointNamespace(str(thread_id), configurable.get("checkpoint_ns", ""))


def _listed(config: RunnableConfig | None) -> Steps[tuple[Any, Sequence[CheckpointNamespace], str | None]]:
    """The ``thread_id`` of a list, its namespaces, and the one checkpoint that it is about."""
    if config is None:
        return None, (yield from namespaces_of()), None
    thread_id, namespace = _namespace(config)
    if config["configurable"].get("checkpoint_ns") is None:
        return thread_id, (yield from namespaces_of(namespace.thread_id)), get_checkpoint_id(config)
    return thread_id, [namespace], get_checkpoint_id(config)


def _only(
    namespaces: Sequence[CheckpointNamespace], checkpoint_id: str, below: str | None
) -> Stream[tuple[CheckpointNamespace, Stored]]:
    for namespace in namespaces:
        stored = yield from by_id(namespace, checkpoint_id)
        if stored is not None and (below is None or stored.id < below):
            yield Found((namespace, stored))
