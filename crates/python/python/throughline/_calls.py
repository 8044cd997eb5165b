"""The arguments and the answers of calls that are not one operation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from . import _wire as w
from . import models as m
from ._wire import Json


def new_thread(
    *,
    id: str | None,
    title: str | None,
    owner: str | None,
    labels: Mapping[str, str] | None,
    metadata: Mapping[str, Any] | Json | None,
) -> str:
    fields: dict[str, object] = {"id": id, "title": title, "owner": owner, "labels": labels or None}
    return w.to_object({**fields, "metadata": w.raw_metadata(metadata)})


def keep(messages: int | None, bytes: int | None, since: datetime | None) -> str:
    return w.to_object({"messages": messages, "bytes": bytes, "since": w.micros(since)})


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
