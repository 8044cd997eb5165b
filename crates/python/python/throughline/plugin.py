"""A layer of the pipeline that is written in Python."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Literal

Phase = Literal["admit", "guard", "observe", "transform", "route"]


class Call:
    """A call on its way to the store."""

    __slots__ = ("_args", "_args_json", "actor", "call_site", "key", "kind", "message", "tenant", "thread")

    def __init__(
        self,
        kind: str,
        args_json: bytes,
        tenant: str,
        thread: str | None,
        message: str | None,
        actor: str | None,
        call_site: str | None,
        key: str | None,
    ) -> None:
        self.kind = kind
        """The kind of the operation, such as ``"add"`` or ``"read"``."""
        self._args_json = args_json
        self._args: Any = None
        self.tenant = tenant
        self.thread = thread
        self.message = message
        self.actor = actor
        self.call_site = call_site
        self.key = key

    @property
    def args_json(self) -> bytes:
        """The arguments as they came, in the wire format: ``{"add": {...}}``."""
        return self._args_json

    @property
    def args(self) -> Any:
        """The arguments of the operation, decoded: ``{"thread": ..., "content": ...}``. Change them with ``with_args``."""
        if self._args is None:
            self._args = json.loads(self._args_json)[self.kind]
        return self._args

    def with_args(self, args: object) -> Call:
        """Returns the call with other arguments of the same operation: a decoded value, or JSON as bytes."""
        if not isinstance(args, bytes):
            args = json.dumps(args, separators=(",", ":"), allow_nan=False).encode()
        changed = b'{"' + self.kind.encode() + b'":' + args + b"}"
        return Call(
            self.kind, changed, self.tenant, self.thread, self.message, self.actor, self.call_site, self.key
        )


class Reply:
    """The answer to a call."""

    __slots__ = ("_json", "_result")

    def __init__(self, json: bytes) -> None:
        self._json = json
        self._result: Any = None

    @property
    def json(self) -> bytes:
        """The answer in the wire format: ``{"add": {...}}``."""
        return self._json

    @property
    def result(self) -> Any:
        """The answer, decoded."""
        if self._result is None:
            ((_, self._result),) = json.loads(self._json).items()
        return self._result


Next = Callable[[Call], Awaitable[Reply]]
"""Runs the rest of the pipeline. A plugin calls it at most once."""


class Plugin:
    """A layer written in Python::

        class Audit(throughline.Plugin):
            name = "audit-log"

            async def around(self, call: Call, next: Next) -> Reply:
                reply = await next(call)
                log.info("%s in %s", call.kind, call.thread)
                return reply

        store = await throughline.open("chat.db", layers=[Audit()])

    The hook runs on the event loop that opened the store, each call in a task of its own, so that a slow hook holds up no other
    call. (A store of ``throughline.sync`` runs its hooks on a loop in a thread of its own.) An exception of the hook fails the
    call: an own ``ThroughlineError`` as it is, and any other as ``Internal``; ``site`` names the plugin. The deadline of the call
    ends a hook that hangs.
    """

    name: ClassVar[str] = ""
    """The name of the layer, unique in its pipeline."""

    phase: ClassVar[Phase] = "observe"
    """The phase of the layer: ``admit``, ``guard``, ``observe``, ``transform``, ``route``, from the outside in."""

    async def around(self, call: Call, next: Next) -> Reply:
        """Sees each call, and answers it: by ``await next(call)``, or by raising an exception."""
        return await next(call)
