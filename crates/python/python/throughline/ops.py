"""Operations as values, for batches and for ``Store.run``::

    from throughline import ops

    await store.batch([
        ops.add("telegram:42", "user", "hello"),
        ops.label_thread("telegram:42", labels={"channel": "telegram"}),
    ])

The methods of a thread run the same operations one at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Generic, Literal, TypeVar, Union

from . import models as m
from ._throughline import Added, Message, content_json, mint_id, raw_get, raw_items

T = TypeVar("T")

Content = Union[str, bytes, Sequence[object]]
"""Content: a text, a list of JSON blocks, or the bytes of a JSON array of blocks, which survive unchanged."""

Json = Union[bytes, str]

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Operation(Generic[T]):
    """An operation with its arguments, in the wire format, and the reader of its answer."""

    json: str
    """The arguments, in the wire format."""
    decode: Callable[[bytes], T]
    """Makes the answer from the JSON of the store."""


def dumps(value: object) -> str:
    """Encodes a value as compact JSON. It refuses NaN and infinities, which JSON does not have."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


class Raw:
    """JSON text that an operation includes as it is."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _object(fields: Mapping[str, object]) -> str:
    """Encodes an object, without the fields that are ``None``."""
    parts = (
        f'"{name}":{value.text if isinstance(value, Raw) else dumps(value)}'
        for name, value in fields.items()
        if value is not None
    )
    return "{" + ",".join(parts) + "}"


def _args(*path: str, **fields: object) -> str:
    text = _object(fields)
    for name in reversed(path):
        text = f'{{"{name}":{text}}}'
    return text


def _content(content: Content) -> Raw:
    return Raw(content_json(content).decode())


def _metadata(metadata: Mapping[str, Any] | Json | None) -> Raw | None:
    if metadata is None:
        return None
    if isinstance(metadata, bytes):
        return Raw(metadata.decode())
    return Raw(metadata if isinstance(metadata, str) else dumps(metadata))


def _micros(time: datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // _MICROSECOND


def _answer(make: Callable[[Any], T], *path: str) -> Callable[[bytes], T]:
    def decode(answer: bytes) -> T:
        value = json.loads(answer)
        for name in path:
            value = value[name]
        return make(value)

    return decode


def _dataclass(cls: Callable[..., T], names: Iterable[str]) -> Callable[[Any], T]:
    fields = tuple(names)
    return lambda wire: cls(**{name: wire[name] for name in fields})


_content_updated = _dataclass(m.ContentUpdated, ("thread", "id", "revision", "state", "deduplicated"))
_updated = _dataclass(m.Updated, ("thread", "id", "metadata", "attachments", "revision", "deduplicated"))
_deleted = _dataclass(m.Deleted, ("thread", "id", "seq", "revision", "state", "attachments", "deduplicated"))
_thread_deleted = _dataclass(m.ThreadDeleted, ("thread", "already", "deduplicated"))


def _added(answer: bytes) -> Added:
    added = raw_get(answer, "add")
    assert added is not None
    return Added.from_json(added)


def _taken(answer: bytes) -> m.Taken:
    wire = json.loads(answer)["thread"]["takeLast"]
    message = raw_get(answer, "thread", "takeLast", "message")
    return m.Taken(
        message=None if message is None or message == b"null" else Message.from_json(message),
        deleted=None if wire.get("deleted") is None else _deleted(wire["deleted"]),
        deduplicated=wire["deduplicated"],
    )


def add(
    thread: str,
    role: m.Role,
    content: Content,
    *,
    id: str | None = None,
    metadata: Mapping[str, Any] | Json | None = None,
    attachments: Sequence[str] | None = None,
    created_at: datetime | None = None,
    generation: int | None = None,
    after: int | None = None,
) -> Operation[Added]:
    """Adds a complete message."""
    text = _args(
        "add",
        thread=thread,
        id=mint_id() if id is None else id,
        minted=True if id is None else None,
        role=role,
        content=_content(content),
        metadata=_metadata(metadata),
        attachments=attachments or None,
        createdAt=_micros(created_at),
        generation=generation,
        after=after,
    )
    return Operation(text, _added)


def update(
    thread: str,
    id: str,
    metadata: Mapping[str, Any] | Json | None = None,
    *,
    attachments: Sequence[str] | None = None,
    expected: int | None = None,
) -> Operation[m.Updated]:
    """Patches the metadata of a message: a value sets a field, ``None`` removes it, an absent field stays."""
    text = _args(
        "update",
        thread=thread,
        id=id,
        metadata=_metadata(metadata or {}),
        attachments=attachments,
        expected=expected,
    )
    return Operation(text, _answer(_updated, "update"))


def edit(thread: str, id: str, content: Content, *, expected: int | None = None) -> Operation[m.ContentUpdated]:
    """Replaces the content of a final message."""
    change = Raw(f'{{"replace":{_content(content).text}}}')
    text = _args("updateContent", thread=thread, id=id, change=change, mode="edit", expected=expected)
    return Operation(text, _answer(_content_updated, "updateContent"))


def delete(thread: str, id: str, *, expected: int | None = None, after: int | None = None) -> Operation[m.Deleted]:
    """Deletes a message. A tombstone keeps its id."""
    text = _args("delete", thread=thread, id=id, expected=expected, after=after)
    return Operation(text, _answer(_deleted, "delete"))


def take_last(thread: str, *, expected: int | None = None) -> Operation[m.Taken]:
    """Deletes the last message, and answers it as a whole."""
    return Operation(_args("thread", "takeLast", thread=thread, expected=expected), _taken)


def create_thread(
    thread: str,
    *,
    title: str | None = None,
    owner: str | None = None,
    labels: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | Json | None = None,
    created_at: datetime | None = None,
    hidden: bool = False,
) -> Operation[m.ThreadChanged]:
    """Creates a thread without messages."""
    text = _args(
        "thread",
        "create",
        thread=thread,
        title=title,
        owner=owner,
        labels=labels or None,
        metadata=_metadata(metadata),
        createdAt=_micros(created_at),
        hidden=True if hidden else None,
    )
    return Operation(text, _answer(m.ThreadChanged._of, "thread", "create"))


def rename_thread(thread: str, title: str, *, expected: str | None = None) -> Operation[m.ThreadChanged]:
    """Sets the title of a thread."""
    text = _args("thread", "rename", thread=thread, title=title, expected=expected)
    return Operation(text, _answer(m.ThreadChanged._of, "thread", "rename"))


def archive_thread(thread: str, archived: bool = True) -> Operation[m.ThreadChanged]:
    """Archives a thread, or brings it back."""
    return Operation(
        _args("thread", "archive", thread=thread, archived=archived), _answer(m.ThreadChanged._of, "thread", "archive")
    )


class _Unset:
    """The type of ``UNSET``."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = _Unset()
"""The value of an argument that leaves a field as it is, where ``None`` removes it."""


def label_thread(
    thread: str,
    *,
    labels: Mapping[str, str | None] | None = None,
    owner: str | None | _Unset = UNSET,
    metadata: Mapping[str, Any] | Json | None = None,
) -> Operation[m.ThreadChanged]:
    """Patches the labels, the owner and the metadata of a thread. ``None`` removes a label, a field or the owner."""
    text = _args(
        "thread",
        "label",
        thread=thread,
        labels=labels or None,
        owner=None if isinstance(owner, _Unset) else Raw(dumps(owner)),
        metadata=_metadata(metadata),
    )
    return Operation(text, _answer(m.ThreadChanged._of, "thread", "label"))


def clear_thread(thread: str, *, expected: int | None = None) -> Operation[m.ThreadChanged]:
    """Deletes all messages of a thread, and begins its next generation."""
    text = _args("thread", "clear", thread=thread, expected=expected)
    return Operation(text, _answer(m.ThreadChanged._of, "thread", "clear"))


def delete_thread(thread: str) -> Operation[m.ThreadDeleted]:
    """Deletes a thread with everything in it. Each later write to it fails as ``Gone``."""
    return Operation(_args("thread", "delete", thread=thread), _answer(_thread_deleted, "thread", "delete"))


def rebuild_thread(thread: str) -> Operation[m.ThreadChanged]:
    """Recomputes the counters in the summary of a thread from its messages."""
    return Operation(_args("thread", "rebuild", thread=thread), _answer(m.ThreadChanged._of, "thread", "rebuild"))


def get_thread(thread: str) -> Operation[m.ThreadSummary | None]:
    """Reads the summary of a thread. ``None`` if it does not exist or was deleted."""

    def decode(wire: Any) -> m.ThreadSummary | None:
        return None if wire is None else m.ThreadSummary._of(wire)

    return Operation(_args("read", "thread", thread=thread), _answer(decode, "read", "thread"))


def list_threads(
    limit: int = 50,
    *,
    after: str | None = None,
    owner: str | None = None,
    labels: Mapping[str, str] | None = None,
    archived: bool | None = False,
) -> Operation[m.ThreadList]:
    """Lists the threads of the tenant by their last activity, the latest first."""
    text = _args(
        "read",
        "threads",
        owner=owner,
        labels=labels or None,
        archived=archived,
        after=None if after is None else Raw(after),
        limit=limit,
    )
    return Operation(text, _answer(m.ThreadList._of, "read", "threads"))


def list_tenants(limit: int = 100, *, after: str | None = None) -> Operation[list[str]]:
    """Lists the tenants of the store."""
    return Operation(_args("read", "tenants", after=after, limit=limit), _answer(list, "read", "tenants", "tenants"))


def search(query: str, limit: int = 20, *, thread: str | None = None) -> Operation[m.SearchHits]:
    """Searches the messages of the tenant for words."""
    text = _args("read", "search", query=query, thread=thread, limit=limit)
    return Operation(text, _answer(m.SearchHits._of, "read", "search"))


def batch(operations: Iterable[Operation[Any]], *, after: int | None = None) -> Operation[m.Batched]:
    """Applies several writes in one commit, or none of them."""
    items = list(operations)
    text = _args("batch", items=Raw("[" + ",".join(item.json for item in items) + "]"), after=after)

    def decode(answer: bytes) -> m.Batched:
        outputs = zip(items, raw_items(answer, "batch", "outputs"), strict=True)
        deduplicated = raw_get(answer, "batch", "deduplicated") == b"true"
        return m.Batched([item.decode(output) for item, output in outputs], deduplicated)

    return Operation(text, decode)


Failure = Literal[
    "network",
    "rateLimited",
    "providerUnavailable",
    "configuration",
    "timeout",
    "runtimeOffline",
    "runtimeRecovered",
    "tool",
    "contextOverflow",
    "resumeOversized",
    "iterationLimit",
    "invalidRequest",
    "fallbackMessage",
    "semanticInactivity",
    "sessionNotFound",
    "other",
]
"""Why a run failed."""


def _claimer(
    provider: str, runtime: m.Runtime | None, generation: int | None, rerun_of: str | None, force_fresh: bool
) -> Raw:
    return Raw(
        _object(
            {
                "provider": provider,
                "runtime": None if runtime is None else {"id": runtime.id, "root": runtime.root},
                "generation": generation,
                "rerunOf": rerun_of,
                "forceFresh": force_fresh,
            }
        )
    )


def resolve_session(
    agent: str,
    thread: str,
    provider: str,
    *,
    runtime: m.Runtime | None = None,
    generation: int | None = None,
    rerun_of: str | None = None,
    force_fresh: bool = False,
) -> Operation[m.Resolution]:
    """Reads which provider session the agent may resume in the thread."""
    claimer = _claimer(provider, runtime, generation, rerun_of, force_fresh)
    text = _args("read", "resolve", agent=agent, thread=thread, claimer=claimer)
    return Operation(text, _answer(m.Resolution._of, "read", "resolve", "resolution"))


def begin_run(
    agent: str,
    thread: str,
    provider: str,
    *,
    attempt: str | None = None,
    runtime: m.Runtime | None = None,
    generation: int | None = None,
    rerun_of: str | None = None,
    force_fresh: bool = False,
    assigned: str | None = None,
    work_dir: str | None = None,
    expected: int | None = None,
    lease: float = 60.0,
) -> Operation[m.Run]:
    """Begins a run under a lease of ``lease`` seconds."""
    text = _args(
        "session",
        "begin",
        agent=agent,
        thread=thread,
        attempt=mint_id() if attempt is None else attempt,
        claimer=_claimer(provider, runtime, generation, rerun_of, force_fresh),
        assigned=assigned,
        workDir=work_dir,
        expected=expected,
        lease=round(lease * 1000),
    )
    return Operation(text, _answer(m.Run._of, "session", "begin"))


def renew_run(agent: str, thread: str, attempt: str) -> Operation[m.Renewed]:
    """Renews the lease of a run."""

    def decode(wire: Any) -> m.Renewed:
        return m.Renewed(wire["attempt"], m._time(wire["lease"]["expiresAt"]), wire["superseded"])

    text = _args("session", "renew", agent=agent, thread=thread, attempt=attempt)
    return Operation(text, _answer(decode, "session", "renew"))


def pin_session(
    agent: str, thread: str, attempt: str, session: str, *, work_dir: str | None = None
) -> Operation[m.SessionChanged]:
    """Records the session of a run as soon as the provider names it."""
    text = _args("session", "pin", agent=agent, thread=thread, attempt=attempt, session=session, workDir=work_dir)
    return Operation(text, _answer(m.SessionChanged._of, "session", "pin"))


def _report(session: str | None, work_dir: str | None, artifact_missing: bool, retires: str | None) -> Raw:
    return Raw(
        _object(
            {"session": session, "workDir": work_dir, "artifactMissing": artifact_missing, "retires": retires}
        )
    )


def confirm_run(
    agent: str,
    thread: str,
    attempt: str,
    *,
    session: str | None = None,
    work_dir: str | None = None,
    artifact_missing: bool = False,
    retires: str | None = None,
) -> Operation[m.SessionChanged]:
    """Ends a run with success."""
    report = _report(session, work_dir, artifact_missing, retires)
    text = _args("session", "confirm", agent=agent, thread=thread, attempt=attempt, report=report)
    return Operation(text, _answer(m.SessionChanged._of, "session", "confirm"))


def fail_run(
    agent: str,
    thread: str,
    attempt: str,
    failure: Failure,
    *,
    detail: str | None = None,
    session: str | None = None,
    work_dir: str | None = None,
    artifact_missing: bool = False,
    retires: str | None = None,
) -> Operation[m.SessionChanged]:
    """Ends a run with a failure."""
    report = _report(session, work_dir, artifact_missing, retires)
    text = _args(
        "session", "fail", agent=agent, thread=thread, attempt=attempt, failure=failure, detail=detail, report=report
    )
    return Operation(text, _answer(m.SessionChanged._of, "session", "fail"))


def cancel_run(
    agent: str, thread: str, attempt: str, *, session: str | None = None, work_dir: str | None = None
) -> Operation[m.SessionChanged]:
    """Ends a run that the host cancelled."""
    report = _report(session, work_dir, False, None)
    text = _args("session", "cancel", agent=agent, thread=thread, attempt=attempt, report=report)
    return Operation(text, _answer(m.SessionChanged._of, "session", "cancel"))


def reset_session(agent: str, thread: str, *, expected: int | None = None) -> Operation[m.SessionChanged]:
    """Begins a new generation: the agent starts a fresh session in the thread."""
    text = _args("session", "reset", agent=agent, thread=thread, expected=expected)
    return Operation(text, _answer(m.SessionChanged._of, "session", "reset"))


def retire_session(agent: str, thread: str, session: str) -> Operation[m.SessionChanged]:
    """Marks a session that is not to be resumed."""
    text = _args("session", "retire", agent=agent, thread=thread, session=session)
    return Operation(text, _answer(m.SessionChanged._of, "session", "retire"))


def list_attempts(agent: str, thread: str, limit: int = 20, *, before: int | None = None) -> Operation[list[m.Attempt]]:
    """Lists the runs of an agent in a thread, the latest first."""
    text = _args("read", "attempts", agent=agent, thread=thread, before=before, limit=limit)

    def decode(wire: Any) -> list[m.Attempt]:
        return [m.Attempt._of(one) for one in wire["attempts"]]

    return Operation(text, _answer(decode, "read", "attempts"))


__all__ = [
    "UNSET",
    "Added",
    "Content",
    "Failure",
    "Operation",
    "add",
    "archive_thread",
    "batch",
    "begin_run",
    "cancel_run",
    "clear_thread",
    "confirm_run",
    "create_thread",
    "delete",
    "delete_thread",
    "edit",
    "fail_run",
    "get_thread",
    "label_thread",
    "list_attempts",
    "list_tenants",
    "list_threads",
    "pin_session",
    "rebuild_thread",
    "rename_thread",
    "renew_run",
    "reset_session",
    "resolve_session",
    "retire_session",
    "search",
    "take_last",
    "update",
]


# The answers of calls that are not one operation.


def new_thread(
    *,
    id: str | None,
    title: str | None,
    owner: str | None,
    labels: Mapping[str, str] | None,
    metadata: Mapping[str, Any] | Json | None,
) -> str:
    fields: dict[str, object] = {"id": id, "title": title, "owner": owner, "labels": labels or None}
    return _object({**fields, "metadata": _metadata(metadata)})


def keep(messages: int | None, bytes: int | None, since: datetime | None) -> str:
    return _object({"messages": messages, "bytes": bytes, "since": _micros(since)})


def forked(answer: bytes) -> m.Forked:
    wire = json.loads(answer)
    return m.Forked(m.ThreadSummary._of(wire["summary"]), wire["messages"])


def pruned(answer: bytes) -> m.Pruned:
    wire = json.loads(answer)
    return m.Pruned(wire["thread"], wire["messages"], wire["bytes"], wire["attachments"])


def strings(answer: bytes) -> list[str]:
    found: list[str] = json.loads(answer)
    return found


def purged(answer: bytes) -> list[tuple[str, str]]:
    return [(thread, key) for thread, key in json.loads(answer)]


def changes(answer: bytes) -> list[m.Change]:
    return [m.Change._of(one) for one in json.loads(answer)]


def recovered(answer: bytes) -> m.RecoveredDrafts:
    wire = json.loads(answer)
    return m.RecoveredDrafts([(thread, id) for thread, id in wire["abandoned"]], wire["failed"])


def backup(answer: bytes) -> m.Backup:
    return m.Backup(**json.loads(answer))


def verification(answer: bytes) -> m.Verification:
    return m.Verification(**json.loads(answer))


def health(answer: bytes) -> m.Health:
    return m.Health(**json.loads(answer))


def metrics(answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer)
    return found
