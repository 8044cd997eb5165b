"""The ids of the threads and messages in which the saver and the store keep their data.

An id of Throughline has 1 to 255 bytes and no control character; the names of LangGraph have no limit. A name that fits
keeps its text. Separators in it are percent-encoded, and a name that is too long ends in its SHA-256 instead, so that
two names never have the same id.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

_MAX = 255
#: Precedes a digest. Percent-encoding never produces it, because it encodes "%" itself.
_DIGEST = "%~"

#: Control characters, and surrogates without a partner, which UTF-8 does not have.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_IN_THREAD = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff%|#]")
_IN_NS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff%#]")
_IN_PART = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff%/]")

#: The label of each thread with the kind of its data.
KIND = "langgraph"
CHECKPOINTS = "checkpoints"
WRITES = "writes"
ITEMS = "items"
#: The label, and the member of the metadata, with the `thread_id` of LangGraph.
THREAD = "langgraph.thread"
NAMESPACE = "langgraph.ns"
CHECKPOINT = "langgraph.checkpoint"


class CheckpointNamespace(NamedTuple):
    """A ``checkpoint_ns`` of a ``thread_id``, whose checkpoints follow each other."""

    thread_id: str
    name: str

    @property
    def checkpoints(self) -> str:
        """The thread of the checkpoints."""
        return _fit(self._text())

    def writes(self, checkpoint_id: str) -> str:
        """The thread of the pending writes of a checkpoint."""
        return _fit(f"{self._text()}#{_quote(checkpoint_id, _IN_NS)}")

    def _text(self) -> str:
        text = "langgraph:" + _quote(self.thread_id, _IN_THREAD)
        return f"{text}|{_quote(self.name, _IN_NS)}" if self.name else text


def items(namespace: tuple[str, ...]) -> str:
    """The thread of the items of a namespace."""
    return _fit("langgraph.store:" + "/".join(_quote(part, _IN_PART) for part in namespace))


def message(name: str) -> str:
    """The id of the message of a checkpoint or an item."""
    if name and not name.startswith(_DIGEST) and not _FORBIDDEN.search(name) and len(name.encode()) <= _MAX:
        return name
    return _DIGEST + _digest(name)


#: The value of a label: the same rule as for the id of a message.
label = message


def _quote(text: str, quoted: re.Pattern[str]) -> str:
    return quoted.sub(_percent, text)


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _fit(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= _MAX:
        return text
    return encoded[: _MAX - len(_DIGEST) - 64].decode("utf-8", "ignore") + _DIGEST + _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
