"""The layers of the framework, by keyword::

    store = await throughline.open(
        "chat.db",
        layers=[
            layers.Limits(content_bytes=1_000_000),
            layers.Redact(),
            layers.Encrypt(key=secret),       # 32 bytes
            layers.Retry(attempts=3),
        ],
    )

The pipeline sorts the layers by phase: ``admit``, ``guard``, ``observe``, ``transform``, ``route``. Sizes are bytes, times are
seconds. An invalid option raises ``Invalid`` (a ``ValueError``) when the layer is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from .errors import Invalid

Kind = Literal[
    "add", "reserve", "updateContent", "update", "delete", "batch", "import", "thread", "read", "consumer", "session"
]


class Layer:
    """A layer of the framework."""

    _type: ClassVar[str]

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"type": self._type}
        for one in fields(self):  # type: ignore[arg-type]  # each subclass is a data class
            value = getattr(self, one.name)
            if isinstance(value, (bytes, bytearray)):
                value = bytes(value).hex()
            if value is not None:
                options[one.name] = value
        return options

    def _require(self, name: str, low: float, high: float = float("inf")) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            bounds = f"at least {low:g}" if high == float("inf") else f"{low:g} to {high:g}"
            raise Invalid(f"{type(self).__name__}: {name} must be a number, {bounds}")


@dataclass(frozen=True)
class Limits(Layer):
    """Refuses calls that are too large, too deep or too many in one batch. An absent limit is unlimited."""

    _type: ClassVar[str] = "limits"
    content_bytes: int | None = None
    metadata_bytes: int | None = None
    depth: int | None = None
    attachments: int | None = None
    batch_items: int | None = None
    batch_bytes: int | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            self._require(one.name, 0)


@dataclass(frozen=True)
class Quota(Layer):
    """Limits the rate of each tenant. A rate is ``(per_second, burst)``."""

    _type: ClassVar[str] = "quota"
    operations: tuple[int, int] | None = None
    bytes: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            rate = getattr(self, one.name)
            if rate is not None and (len(rate) != 2 or rate[0] < 1 or rate[1] < 1):
                raise Invalid(f"Quota: {one.name} must be (per_second, burst), each at least 1")


@dataclass(frozen=True)
class DiskGuard(Layer):
    """Refuses growing writes while the free space of the disk is below ``low``, until it is above ``high``."""

    _type: ClassVar[str] = "disk-guard"
    path: str
    low: int
    high: int
    every: float = 5.0

    def __post_init__(self) -> None:
        self._require("low", 0)
        self._require("high", self.low)
        self._require("every", 0.001)


@dataclass(frozen=True)
class BulkGate(Layer):
    """Delays bulk work, such as imports and long batches, while live writes run."""

    _type: ClassVar[str] = "bulk-gate"
    at_once: int | None = None
    max_live_writes: int | None = None
    quiet: float | None = None
    longest: float | None = None
    waiting: int | None = None
    batch_items: int | None = None

    def __post_init__(self) -> None:
        self._require("at_once", 1)
        for name in ("max_live_writes", "quiet", "longest", "waiting", "batch_items"):
            self._require(name, 0)


@dataclass(frozen=True)
class Scope(Layer):
    """Refuses calls outside of their capability: see ``Store.everything`` and ``Store.with_capability``."""

    _type: ClassVar[str] = "scope"


@dataclass(frozen=True)
class RequireKey(Layer):
    """Refuses writes without an idempotency key. ``kinds`` limits it to these operations."""

    _type: ClassVar[str] = "idempotency"
    kinds: Sequence[Kind] | None = None


@dataclass(frozen=True)
class Serialize(Layer):
    """Runs the writes of one thread one at a time, in the order in which they came."""

    _type: ClassVar[str] = "serialize"


@dataclass(frozen=True)
class Audit(Layer):
    """Keeps a tamper-evident audit log in the store. ``key`` has 32 bytes."""

    _type: ClassVar[str] = "audit"
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_key("Audit", "key", self.key)


@dataclass(frozen=True)
class Trace(Layer):
    """Logs each call to the logger ``throughline.trace`` of the module ``logging``, at the level DEBUG."""

    _type: ClassVar[str] = "trace"


@dataclass(frozen=True)
class Metrics(Layer):
    """Counts calls, errors and their durations: see ``Store.metrics``."""

    _type: ClassVar[str] = "metrics"
    tenants: int | None = None
    """The most tenants with instruments of their own."""

    def __post_init__(self) -> None:
        self._require("tenants", 1)


@dataclass(frozen=True)
class SlowLog(Layer):
    """Logs calls that take longer than ``threshold`` to the logger ``throughline.slow_log``, at the level WARNING."""

    _type: ClassVar[str] = "slow-log"
    threshold: float = 1.0
    thresholds: Mapping[Kind, float] | None = None
    """The thresholds of single kinds of operations."""

    def __post_init__(self) -> None:
        self._require("threshold", 0)


@dataclass(frozen=True)
class Redact(Layer):
    """Removes secrets from the stored copy: known formats, unless ``secrets`` is false, and these rules."""

    _type: ClassVar[str] = "redact"
    secrets: bool = True
    patterns: Mapping[str, str] | None = None
    """Regular expressions, by the name that the marker shows."""
    literals: Mapping[str, str] | None = field(default=None, repr=False)
    """Texts that are secret, by the name that the marker shows."""
    fields: Sequence[str] | None = None
    """Paths of JSON fields whose whole value is secret, such as ``"input.password"``."""
    entropy: float | None = None
    """The bits of entropy for each character from which a long token is a secret."""


@dataclass(frozen=True)
class Encrypt(Layer):
    """Encrypts content, metadata and titles on the way to the store. ``key`` has 32 bytes."""

    _type: ClassVar[str] = "encrypt"
    key: bytes = field(repr=False)
    key_id: str = "key-1"
    old_keys: Mapping[str, bytes] | None = field(default=None, repr=False)
    """Earlier keys by id, to read what they encrypted."""
    accept_plaintext: bool = False
    """Whether the layer also reads messages that are not encrypted."""

    def __post_init__(self) -> None:
        _check_key("Encrypt", "key", self.key)
        for name, key in (self.old_keys or {}).items():
            _check_key("Encrypt", f"old_keys[{name!r}]", key)

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        options["old_keys"] = {name: key.hex() for name, key in (self.old_keys or {}).items()}
        return options


@dataclass(frozen=True)
class Retry(Layer):
    """Repeats calls with transient errors."""

    _type: ClassVar[str] = "retry"
    attempts: int | None = None
    backoff: tuple[float, float] | None = None
    """The shortest and the longest pause."""
    budget: tuple[int, int] | None = None
    """The percentage of calls that may be repeated, and the repeats that are always allowed."""

    def __post_init__(self) -> None:
        self._require("attempts", 1)
        if self.backoff is not None and not 0 <= self.backoff[0] <= self.backoff[1]:
            raise Invalid("Retry: backoff must be (shortest, longest), in seconds")


@dataclass(frozen=True)
class Timeout(Layer):
    """Ends an attempt that takes longer than ``limit``."""

    _type: ClassVar[str] = "timeout"
    limit: float

    def __post_init__(self) -> None:
        self._require("limit", 0.001)


@dataclass(frozen=True)
class Fault:
    """A fault of the layer ``Chaos``."""

    name: str
    fault: Literal["before", "after", "lost_answer", "delay", "hang", "hang_after", "panic", "panic_after"]
    error: str = "unavailable"
    """The code of the error, for ``before``, ``after`` and ``lost_answer``."""
    seconds: float = 0.0
    """The length of a ``delay``."""
    on: Kind | None = None
    threads: str | None = None
    """The prefix of the ids of the threads."""
    nth: int | None = None
    """Fires at this matching call, from 1."""
    probability: float | None = None


@dataclass(frozen=True)
class Chaos(Layer):
    """Injects faults from a seed, for tests."""

    _type: ClassVar[str] = "chaos"
    seed: int
    faults: Sequence[Fault] = ()

    def _options(self) -> dict[str, Any]:
        def options(fault: Fault) -> dict[str, Any]:
            return {one.name: getattr(fault, one.name) for one in fields(fault) if getattr(fault, one.name) is not None}

        return {"type": self._type, "seed": self.seed, "faults": [options(fault) for fault in self.faults]}


def _check_key(layer: str, name: str, key: object) -> None:
    if not isinstance(key, (bytes, bytearray)) or len(key) != 32:
        raise Invalid(f"{layer}: {name} must have 32 bytes")


__all__ = [
    "Audit",
    "BulkGate",
    "Chaos",
    "DiskGuard",
    "Encrypt",
    "Fault",
    "Kind",
    "Layer",
    "Limits",
    "Metrics",
    "Quota",
    "Redact",
    "RequireKey",
    "Retry",
    "Scope",
    "Serialize",
    "SlowLog",
    "Timeout",
    "Trace",
]
