"""The compiled core. Programs use the classes of ``throughline`` and ``throughline.sync``, which are built on it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal, final, overload

__all__ = [
    "BUILT_WITH",
    "Added",
    "Capability",
    "Damaged",
    "DraftWriter",
    "Engine",
    "Feed",
    "Message",
    "Page",
    "Ready",
    "__version__",
    "after_fork_in_child",
    "after_fork_in_parent",
    "at_exit",
    "before_fork",
    "content_json",
    "mint_id",
    "one_value",
    "open",
    "raw_get",
    "raw_items",
    "register_loop",
]

__version__: str
BUILT_WITH: tuple[str, ...]

_Content = str | bytes | Sequence[object]
_Json = bytes | str

@final
class Ready:
    """An answer that is there: awaiting it does not suspend the task."""

    def __await__(self) -> Ready: ...
    def __iter__(self) -> Ready: ...
    def __next__(self) -> Any: ...

@final
class Message:
    """A stored message. Each attribute is made when it is read."""

    @staticmethod
    def from_json(json: _Json) -> Message:
        """Reads a message in the wire format."""

    @property
    def id(self) -> str:
        """The id within the thread, which never changes."""
    @property
    def thread(self) -> str:
        """The id of the thread."""
    @property
    def tenant(self) -> str:
        """The tenant."""
    @property
    def seq(self) -> int:
        """The sequence number: assigned by the store at the first commit, increasing, never reused."""
    @property
    def role(self) -> Literal["user", "assistant", "system", "tool"]:
        """The author."""
    @property
    def state(self) -> Literal["reserved", "streaming", "final", "abandoned"]:
        """The state."""
    @property
    def revision(self) -> int:
        """The revision, which increases by one with each change of content or state."""
    @property
    def content(self) -> list[Any]:
        """The content blocks, decoded at each read of this attribute as ``json.loads`` does."""
    @property
    def content_json(self) -> bytes:
        """The content as it was stored: a JSON array of blocks. Numbers, doubled keys and order survive."""
    @property
    def text(self) -> str:
        """The texts of the blocks, joined by spaces: of each string, and of each object with a string ``text``, of any type."""
    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the host, decoded at each read of this attribute as ``json.loads`` does."""
    @property
    def metadata_json(self) -> bytes:
        """The metadata as a JSON object."""
    @property
    def attachments(self) -> list[str]:
        """The keys of the attachments."""
    @property
    def abandon_reason(self) -> str | None:
        """The reason of the writer, if the message is abandoned."""
    @property
    def created_at(self) -> datetime:
        """The time of the first write, in UTC. It never changes."""
    @property
    def updated_at(self) -> datetime:
        """The time of the last change, in UTC. It never decreases."""
    @property
    def created_at_micros(self) -> int:
        """The time of the first write, in microseconds after 1970."""
    @property
    def updated_at_micros(self) -> int:
        """The time of the last change, in microseconds after 1970."""
    @property
    def json(self) -> bytes:
        """The message in the wire format."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Added:
    """The answer to ``add``."""

    @staticmethod
    def from_json(json: _Json) -> Added:
        """Reads the answer in the wire format."""

    @property
    def message(self) -> Message:
        """The message as it was added."""
    @property
    def id(self) -> str:
        """The id of the message."""
    @property
    def seq(self) -> int:
        """The sequence number of the message."""
    @property
    def deduplicated(self) -> bool:
        """Whether an earlier call with the same key had added the message."""

@final
class Damaged:
    """A message that the store cannot decode. The other messages of the page are readable."""

    @staticmethod
    def from_json(json: _Json) -> Damaged:
        """Reads a damaged message in the wire format."""

    @property
    def id(self) -> str | None:
        """The id, if it is readable."""
    @property
    def seq(self) -> int | None:
        """The sequence number, if it is readable."""
    @property
    def detail(self) -> str:
        """What is damaged."""

@final
class Page:
    """A page of the messages of a thread, in ascending order of ``seq``."""

    @property
    def messages(self) -> list[Message]:
        """The messages. The list is made once."""
    @property
    def json(self) -> bytes:
        """The messages as one JSON array in the wire format, ready for ``json.loads``."""
    @property
    def contents_json(self) -> bytes:
        """The contents of the messages alone, as one JSON array of arrays of blocks, ready for ``json.loads``."""
    @overload
    def rows(self, metadata: str) -> list[tuple[list[Any], Any]]:
        """Returns the content of each message, and the value of its metadata under this name, ``None`` if it has none.

        They are decoded as ``json.loads`` does, without the other fields of the messages.

        ``text`` is the name of a member and its value: where the metadata is an object with this member, and the content is one string,
        the string becomes the value of the member, and the row has ``None`` as its content. So a program gets objects that keep their
        text in the content with one call.
        """
    @overload
    def rows(self, metadata: str, *, text: tuple[str, str] | None) -> list[tuple[list[Any] | None, Any]]: ...
    @property
    def has_more(self) -> bool:
        """Whether there are more messages in the direction of the read."""
    @property
    def next(self) -> int | None:
        """The value of ``after=`` (or ``before=``, for a page read backward) for the next page. ``None`` at the end."""
    @property
    def last_seq(self) -> int:
        """The last sequence number that the thread has assigned."""
    @property
    def first_open(self) -> int | None:
        """The sequence number of the first open message of the thread."""
    @property
    def position(self) -> int:
        """The position of the change feed at which this page was read."""
    @property
    def damaged(self) -> list[Damaged]:
        """The messages that the store cannot decode."""
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...

@final
class Capability:
    """A permission for a part of a store, for ``Store.with_capability``. A narrower one is made from it."""

    def of_tenant(self, tenant: str) -> Capability:
        """Returns a capability for one tenant."""
    def in_thread(self, thread: str) -> Capability:
        """Returns a capability for one thread."""
    def in_threads_under(self, prefix: str) -> Capability:
        """Returns a capability for the threads whose id begins with ``prefix``."""
    def read_only(self) -> Capability:
        """Returns a capability that reads only."""
    def append_only(self) -> Capability:
        """Returns a capability that reads and appends."""
    def expiring_in(self, seconds: float) -> Capability:
        """Returns a capability that ends after these seconds."""
    @property
    def is_live(self) -> bool:
        """Whether it is neither expired nor revoked."""

@final
class Engine:
    """An open store, for one event loop or for blocking callers."""

    @property
    def is_blocking(self) -> bool: ...
    @property
    def tenant(self) -> str: ...
    def for_tenant(self, tenant: str) -> Engine: ...
    def with_facts(
        self,
        actor: str | None = None,
        call_site: str | None = None,
        deadline: float | None = None,
        capability: Capability | None = None,
    ) -> Engine: ...
    def with_blocking(self, is_blocking: bool) -> Engine: ...
    def everything(self) -> Capability: ...
    def revoke(self, capability: Capability) -> None: ...
    def describe(self) -> str: ...
    def metrics(self) -> bytes: ...
    def health(self) -> bytes: ...
    def add(
        self,
        thread: str,
        role: str,
        content: _Content,
        id: str | None = None,
        metadata: object = None,
        attachments: Sequence[str] | None = None,
        key: str | None = None,
        after: int | None = None,
        deadline: float | None = None,
    ) -> Any: ...
    def get(self, thread: str, id: str, deadline: float | None = None) -> Any: ...
    def page(
        self,
        thread: str,
        limit: int,
        after: int | None = None,
        before: int | None = None,
        visibility: str | None = None,
        max_bytes: int | None = None,
        deadline: float | None = None,
    ) -> Any: ...
    def run(self, args: _Json, key: str | None = None, deadline: float | None = None) -> Any: ...
    def run_to_end(self, args: _Json, answers: bool) -> Any: ...
    def fork(self, thread: str, message: str, new: _Json) -> Any: ...
    def prune(self, thread: str, keep: _Json) -> Any: ...
    def purge(self, thread: str | None = None) -> Any: ...
    def reserve(
        self,
        thread: str,
        role: str,
        id: str | None = None,
        metadata: object = None,
        attachments: Sequence[str] | None = None,
        key: str | None = None,
        after: int | None = None,
        lease: float | None = None,
        interval: float | None = None,
        bytes: int | None = None,
    ) -> Any: ...
    def recover_expired_drafts(self, reason: str) -> Any: ...
    def changes(self, scope: str, thread: str | None, after: int) -> Feed: ...
    def backup(self, path: str) -> Any: ...
    def verify(self) -> Any: ...
    def compact(self) -> Any: ...
    def close(self, timeout: float | None = None) -> Any: ...

@final
class DraftWriter:
    """The writer of one open message."""

    @property
    def message(self) -> Message: ...
    @property
    def deduplicated(self) -> bool: ...
    @property
    def committed(self) -> tuple[int, int]: ...
    def append(self, text: _Content) -> Any: ...
    def replace(self, content: _Content) -> Any: ...
    def flush(self) -> Any: ...
    def finish(self) -> Any: ...
    def abandon(self, reason: str) -> Any: ...

@final
class Feed:
    """A reader of the change feed."""

    @property
    def position(self) -> int: ...
    def next_batch(self, wait: bool) -> Any: ...

def open(
    url: str,
    options: _Json,
    plugins: Sequence[tuple[str, str, Callable[..., Any]]],
    blocking: bool,
) -> Any: ...
def mint_id() -> str:
    """Returns a new UUID of version 7."""
def raw_get(json: _Json, *path: str) -> bytes | None:
    """Returns the JSON text of a field of nested objects, unchanged. ``None`` if there is no such field."""
def raw_items(json: _Json, *path: str) -> list[bytes]:
    """Returns the JSON text of each item of an array in nested objects, unchanged."""
def content_json(content: _Content) -> bytes:
    """Returns the JSON of content: one text block for text, and the text of the blocks otherwise."""
def one_value(json: _Json, argument: str, is_object: bool) -> str:
    """Returns a JSON text that is exactly one value. Raises ``Invalid``, which names the argument, for every other text."""
def register_loop() -> None: ...
def before_fork() -> None: ...
def after_fork_in_parent() -> None: ...
def after_fork_in_child() -> None: ...
def at_exit() -> None: ...
