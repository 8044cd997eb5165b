"""The exceptions of Throughline: one tree, one class for each kind of error.

Every exception states what happened (``code``), what the store has of the call (``effect``), and which layer or backend
answered (``site``)::

    try:
        await thread.add("user", "hello", id="m-1")
    except throughline.AlreadyExists:
        ...                                   # the thread has this message
    except throughline.ThroughlineError as error:
        if error.is_transient:                # the same call may succeed later, and cannot apply twice
            await asyncio.sleep(error.retry_after or 0.1)
"""

from __future__ import annotations

from typing import Any, Literal

Effect = Literal["notApplied", "applied", "unknown"]


class ThroughlineError(Exception):
    """Why a call failed. Every other exception of this package is a subclass.

    An exception contains ids and facts, and never content or metadata.
    """

    code: str = "internal"
    """The stable code of the kind, such as ``"not_found"``."""

    effect: Effect
    """What the store has of the call: ``"notApplied"``, ``"applied"`` or ``"unknown"``."""

    site: str | None
    """The name of the layer or backend that failed, ``"edge"`` for the edge of the pipeline."""

    detail: str
    """The failure, for people, without the site and the ids."""

    retry_after: float | None
    """The seconds after which another attempt may succeed, if they are known."""

    is_transient: bool
    """Whether the same call can be repeated safely and may succeed."""

    key: str | None
    """The idempotency key of the call. Repeat the call with it to find out an unknown effect."""

    operation: str | None
    """The kind of the operation, such as ``"add"``."""

    thread: str | None
    """The thread of the call."""

    message: str | None
    """The id of the message of the call."""

    batch_index: int | None
    """The index of the item that failed a batch, from 0."""

    attempts: int
    """The number of attempts."""

    def __init__(
        self,
        text: str,
        *,
        detail: str | None = None,
        effect: Effect = "notApplied",
        site: str | None = None,
        retry_after: float | None = None,
        is_transient: bool = False,
        key: str | None = None,
        operation: str | None = None,
        thread: str | None = None,
        message: str | None = None,
        batch_index: int | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(text)
        self.detail = text if detail is None else detail
        self.effect = effect
        self.site = site
        self.retry_after = retry_after
        self.is_transient = is_transient
        self.key = key
        self.operation = operation
        self.thread = thread
        self.message = message
        self.batch_index = batch_index
        self.attempts = attempts

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (type(self), self.args[0], dict(self.__dict__)))


def _restore(kind: type[ThroughlineError], text: str, facts: dict[str, Any]) -> ThroughlineError:
    error = kind(text)
    error.__dict__.update(facts)
    return error


class NotFound(ThroughlineError, LookupError):
    """The message, thread or run does not exist."""

    code = "not_found"


class AlreadyExists(ThroughlineError):
    """The thread has a message with this id, or the thread or run exists."""

    code = "already_exists"


class Gone(ThroughlineError):
    """The message or thread was deleted. Its tombstone keeps the id."""

    code = "gone"


class Conflict(ThroughlineError):
    """The key was used with other content, or the state of the message forbids the change."""

    code = "conflict"


class Stale(ThroughlineError):
    """The call names an older revision, generation or lease, or the message is settled. Read again and decide again."""

    code = "stale"


class TooOld(ThroughlineError):
    """The store no longer keeps the changes after this position."""

    code = "too_old"


class Invalid(ThroughlineError, ValueError):
    """The arguments of the call are not valid."""

    code = "invalid"


class TooLarge(ThroughlineError):
    """The call exceeds a configured limit."""

    code = "too_large"


class Denied(ThroughlineError):
    """The caller is not permitted to make this call."""

    code = "denied"


class NotPrimary(ThroughlineError):
    """The store is a replica and accepts no writes."""

    code = "not_primary"


class Unsupported(ThroughlineError):
    """The backend or a layer does not support this operation."""

    code = "unsupported"


class Overloaded(ThroughlineError):
    """Too many calls wait. Repeat the call after ``retry_after``."""

    code = "overloaded"


class Busy(ThroughlineError):
    """Another caller holds the needed lock or lease."""

    code = "busy"


class TimedOut(ThroughlineError, TimeoutError):
    """The deadline of the call passed. A write that the store has received continues: see ``effect`` and ``key``."""

    code = "timeout"


class Unavailable(ThroughlineError):
    """The store cannot be reached, or it is closed."""

    code = "unavailable"


class StorageFull(ThroughlineError):
    """The store is full, or the tenant has used its quota."""

    code = "storage_full"


class Corrupt(ThroughlineError):
    """The store cannot decode the data."""

    code = "corrupt"


class Cancelled(ThroughlineError):
    """The work was cancelled before it completed. It is not ``asyncio.CancelledError``."""

    code = "cancelled"


class Panicked(ThroughlineError):
    """A layer or a backend panicked."""

    code = "panicked"


class ContractViolation(ThroughlineError):
    """A layer or a backend returned an answer that the contract forbids."""

    code = "contract_violation"


class Internal(ThroughlineError):
    """An unexpected failure inside the library, a plugin or the store."""

    code = "internal"


class ForkedError(ThroughlineError):
    """The handle was created before a fork. The child process must open the store again."""

    code = "forked"


BY_CODE: dict[str, type[ThroughlineError]] = {
    kind.code: kind
    for kind in (
        NotFound,
        AlreadyExists,
        Gone,
        Conflict,
        Stale,
        TooOld,
        Invalid,
        TooLarge,
        Denied,
        NotPrimary,
        Unsupported,
        Overloaded,
        Busy,
        TimedOut,
        Unavailable,
        StorageFull,
        Corrupt,
        Cancelled,
        Panicked,
        ContractViolation,
        Internal,
        ForkedError,
    )
}
"""The class of each code."""
