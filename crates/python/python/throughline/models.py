"""The answers of the operations: frozen data classes, the same for asyncio and for blocking callers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from ._throughline import Added, Damaged, Message

Role = Literal["user", "assistant", "system", "tool"]
State = Literal["reserved", "streaming", "final", "abandoned"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _time(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


@dataclass(frozen=True, slots=True)
class ForkPoint:
    """The message up to which a thread was copied from another one."""

    thread: str
    message: str


@dataclass(frozen=True, slots=True)
class ThreadSummary:
    """A thread, as lists show it."""

    thread: str
    tenant: str
    title: str
    owner: str | None
    labels: Mapping[str, str]
    metadata: Mapping[str, Any]
    archived: bool
    listed: bool
    """Whether lists show the thread: from its first settled message on."""
    reuses_ids: bool
    """Whether the ids of deleted messages can be used again."""
    generation: int
    """The generation, which a clear increases."""
    last_seq: int
    """The last sequence number that the thread has assigned."""
    forked_from: ForkPoint | None
    preview: str | None
    """The beginning of the last message, at most 80 characters."""
    messages: int
    turns: int
    bytes: int
    created_at: datetime
    active_at: datetime
    updated_at: datetime

    @classmethod
    def _of(cls, wire: dict[str, Any]) -> ThreadSummary:
        forked = wire.get("forkedFrom")
        return cls(
            thread=wire["thread"],
            tenant=wire["tenant"],
            title=wire["title"],
            owner=wire.get("owner"),
            labels=wire.get("labels", {}),
            metadata=wire.get("metadata", {}),
            archived=wire["archived"],
            listed=wire["listed"],
            reuses_ids=wire.get("reusesIds", False),
            generation=wire["generation"],
            last_seq=wire["lastSeq"],
            forked_from=None if forked is None else ForkPoint(forked["thread"], forked["message"]),
            preview=wire.get("preview"),
            messages=wire["messages"],
            turns=wire["turns"],
            bytes=wire["bytes"],
            created_at=_time(wire["createdAt"]),
            active_at=_time(wire["activeAt"]),
            updated_at=_time(wire["updatedAt"]),
        )


@dataclass(frozen=True, slots=True)
class ThreadList:
    """A page of the threads of a tenant."""

    threads: list[ThreadSummary]
    next: str | None
    """The value of ``after=`` for the next page. ``None`` on the last page."""
    damaged: list[str]
    """The threads that the store cannot decode."""
    position: int
    """The position of the change feed at which the list was read."""

    def __len__(self) -> int:
        return len(self.threads)

    @classmethod
    def _of(cls, wire: dict[str, Any]) -> ThreadList:
        after = wire.get("next")
        return cls(
            threads=[ThreadSummary._of(one) for one in wire["threads"]],
            next=None if after is None else json.dumps(after, separators=(",", ":")),
            damaged=wire.get("damaged", []),
            position=wire["position"],
        )


@dataclass(frozen=True, slots=True)
class ThreadChanged:
    """The answer to an operation that changes a thread."""

    summary: ThreadSummary
    deduplicated: bool

    @classmethod
    def _of(cls, wire: dict[str, Any]) -> ThreadChanged:
        return cls(ThreadSummary._of(wire["summary"]), wire["deduplicated"])


@dataclass(frozen=True, slots=True)
class ThreadDeleted:
    """The answer to the deletion of a thread."""

    thread: str
    already: bool
    """Whether the thread had been deleted before."""
    deduplicated: bool


@dataclass(frozen=True, slots=True)
class ContentUpdated:
    """The answer to a change of content, and to the end of a draft."""

    thread: str
    id: str
    revision: int
    state: State
    deduplicated: bool


@dataclass(frozen=True, slots=True)
class Updated:
    """The answer to a patch of metadata."""

    thread: str
    id: str
    metadata: dict[str, Any]
    attachments: list[str]
    revision: int
    deduplicated: bool


@dataclass(frozen=True, slots=True)
class Deleted:
    """The answer to the deletion of a message."""

    thread: str
    id: str
    seq: int
    revision: int
    state: State
    attachments: list[str]
    """The attachment keys that the message held. The host can delete their files."""
    deduplicated: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to ``take_last``."""

    message: Message | None
    """The message as it was. ``None`` if the thread has no message, and in the answer to a repeated call."""
    deleted: Deleted | None
    deduplicated: bool


@dataclass(frozen=True, slots=True)
class Pruned:
    """The answer to a prune: the sums of the deleted messages."""

    thread: str
    messages: int
    bytes: int
    attachments: list[str]


@dataclass(frozen=True, slots=True)
class Forked:
    """The answer to a fork."""

    summary: ThreadSummary
    messages: int
    """The number of messages of the new thread."""


@dataclass(frozen=True, slots=True)
class Batched:
    """The answer to a batch."""

    outputs: list[Any]
    """The answer to each operation, in order."""
    deduplicated: bool


@dataclass(frozen=True, slots=True)
class Found:
    """The messages that a find by metadata found."""

    messages: list[Message]
    next: str | None
    """The value of ``after=`` for the next messages. ``None`` at the end."""
    damaged: list[Damaged]
    """The messages that the store cannot decode."""

    def __len__(self) -> int:
        return len(self.messages)


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A message that a search found."""

    thread: str
    id: str
    seq: int
    role: Role
    created_at: datetime
    snippet: str
    marks: list[tuple[int, int]]
    """The found words in the snippet: begin and end, in bytes of UTF-8."""


@dataclass(frozen=True, slots=True)
class SearchHits:
    """The answer to a search."""

    hits: list[SearchHit]
    damaged: list[str]
    indexed: int
    """The position up to which the index is complete."""
    terminated_early: bool
    """Whether the search reached its time limit."""

    def __len__(self) -> int:
        return len(self.hits)

    @classmethod
    def _of(cls, wire: dict[str, Any]) -> SearchHits:
        return cls(
            hits=[
                SearchHit(
                    thread=hit["thread"],
                    id=hit["id"],
                    seq=hit["seq"],
                    role=hit["role"],
                    created_at=_time(hit["createdAt"]),
                    snippet=hit["snippet"],
                    marks=[(begin, end) for begin, end in hit["marks"]],
                )
                for hit in wire["hits"]
            ],
            damaged=wire.get("damaged", []),
            indexed=wire["indexed"],
            terminated_early=wire.get("terminatedEarly", False),
        )


@dataclass(frozen=True, slots=True)
class Change:
    """A committed change of the store, with its position in the change feed."""

    position: int
    tenant: str
    thread: str
    at: datetime
    kind: str
    """``"added"``, ``"reserved"``, ``"written"``, ``"finished"``, ``"abandoned"``, ``"edited"``, ``"patched"``,
    ``"deleted"``, or the change of a thread, such as ``"threadCreated"``."""
    message: str | None
    """The id of the message, if a message changed."""
    seq: int | None
    revision: int | None

    @classmethod
    def _of(cls, wire: dict[str, Any]) -> Change:
        kind: Any = wire["kind"]
        facts: dict[str, Any] = {}
        if isinstance(kind, dict):
            ((kind, facts),) = kind.items()
        return cls(
            position=wire["position"],
            tenant=wire["tenant"],
            thread=wire["thread"],
            at=_time(wire["at"]),
            kind=kind,
            message=facts.get("id"),
            seq=facts.get("seq", facts.get("through")),
            revision=facts.get("revision"),
        )


@dataclass(frozen=True, slots=True)
class Watermark:
    """The durable part of a draft."""

    bytes: int
    """The number of appended bytes that are durable."""
    revision: int


@dataclass(frozen=True, slots=True)
class Runtime:
    """The machine and the root directory in which a provider keeps its sessions."""

    id: str
    root: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """Which provider session an agent may resume in a thread."""

    session: str | None
    work_dir: str | None
    withheld: str | None
    """Why a known session is not offered, such as ``"runtimeMismatch"``."""
    gap: str | None
    """Why the session does not know all messages of the thread."""
    generation: int
    revision: int

    @classmethod
    def _of(cls, wire: dict[str, Any]) -> Resolution:
        gap = wire.get("gap")
        return cls(
            session=wire.get("session"),
            work_dir=wire.get("workDir"),
            withheld=_reason(wire.get("withheld")),
            gap=None if gap is None else _reason(gap["reason"]),
            generation=wire["generation"],
            revision=wire["revision"],
        )


def _reason(wire: Any) -> str | None:
    if isinstance(wire, dict):
        ((kind, detail),) = wire.items()
        return f"{kind}:{detail}"
    return wire if isinstance(wire, str) else None


@dataclass(frozen=True, slots=True)
class Run:
    """A run of an agent that has begun: it holds a lease until it is confirmed, failed or cancelled."""

    agent: str
    thread: str
    attempt: str
    number: int
    resolution: Resolution
    lease_expires_at: datetime
    deduplicated: bool

    @classmethod
    def _of(cls, wire: dict[str, Any]) -> Run:
        return cls(
            agent=wire["agent"],
            thread=wire["thread"],
            attempt=wire["attempt"],
            number=wire["number"],
            resolution=Resolution._of(wire["resolution"]),
            lease_expires_at=_time(wire["lease"]["expiresAt"]),
            deduplicated=wire["deduplicated"],
        )


@dataclass(frozen=True, slots=True)
class Renewed:
    """The answer to the renewal of the lease of a run."""

    attempt: str
    lease_expires_at: datetime
    superseded: bool
    """Whether another run has taken over: the caller should stop."""


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """The answer to an operation that changes the session of an agent."""

    agent: str
    thread: str
    session: str | None
    """The session that the thread has now. A run that is not confirmed yet leaves it as it was."""
    generation: int
    revision: int
    moved: bool
    deduplicated: bool

    @classmethod
    def _of(cls, wire: dict[str, Any]) -> SessionChanged:
        binding = wire["binding"]
        pointer = binding.get("pointer")
        return cls(
            agent=binding["agent"],
            thread=binding["thread"],
            session=None if pointer is None else pointer["session"],
            generation=binding["generation"],
            revision=binding["revision"],
            moved=wire["moved"],
            deduplicated=wire["deduplicated"],
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """A run of an agent, as the history shows it."""

    id: str
    number: int
    provider: str
    session: str | None
    state: str
    """``"running"``, ``"completed"``, ``"cancelled"``, ``"lapsed"`` or ``"failed:"`` with the kind of the failure."""
    detail: str | None
    started_at: datetime
    ended_at: datetime | None

    @classmethod
    def _of(cls, wire: dict[str, Any]) -> Attempt:
        ended = wire.get("endedAt")
        return cls(
            id=wire["id"],
            number=wire["number"],
            provider=wire["provider"],
            session=wire.get("session"),
            state=_reason(wire["state"]) or "",
            detail=wire.get("detail"),
            started_at=_time(wire["startedAt"]),
            ended_at=None if ended is None else _time(ended),
        )


@dataclass(frozen=True, slots=True)
class Backup:
    """The answer to a backup."""

    path: str
    bytes: int
    """The length of the file, without the contents in files of their own."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The answer to a verification of a store."""

    is_sound: bool
    messages: int
    threads: int
    damaged: list[str]
    """What is damaged, for people."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a store accepts writes, and its alarms."""

    is_good: bool
    condition: str
    alarms: list[str]


@dataclass(frozen=True, slots=True)
class RecoveredDrafts:
    """The answer to the recovery of expired drafts."""

    abandoned: list[tuple[str, str]]
    """The thread and the id of each message that was abandoned."""
    failed: list[str]
    """The errors, for people."""


__all__ = [
    "Added",
    "Attempt",
    "Backup",
    "Batched",
    "Change",
    "ContentUpdated",
    "Deleted",
    "ForkPoint",
    "Forked",
    "Found",
    "Health",
    "Message",
    "Pruned",
    "RecoveredDrafts",
    "Renewed",
    "Resolution",
    "Role",
    "Run",
    "Runtime",
    "SearchHit",
    "SearchHits",
    "SessionChanged",
    "State",
    "Taken",
    "ThreadChanged",
    "ThreadDeleted",
    "ThreadList",
    "ThreadSummary",
    "Updated",
    "Verification",
    "Watermark",
]
