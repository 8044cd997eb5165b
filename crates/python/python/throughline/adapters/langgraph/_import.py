"""The import of a file of LangGraph's own SQLite savers."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

from ._calls import run_blocking
from ._checkpoints import Heads
from ._names import CheckpointNamespace
from ._names import message as message_id
from ._records import (
    ID,
    METADATA,
    PARENT,
    RUN,
    checkpoint_content,
    writes_content,
    writes_metadata,
)
from ._stores import AnyStore, Stores
from ._transfer import Record, insert


def import_sqlite_saver(path: str | os.PathLike[str], store: AnyStore) -> int:
    """Copies every checkpoint of a file of ``SqliteSaver`` or ``AsyncSqliteSaver`` into a store, with its pending
    writes.

    The bytes of the serializer are copied unchanged, so that the saver needs the ``serde`` that wrote the file. The
    file is only read. Repeat an import that failed: it adds what is missing, and a checkpoint that the store has stays
    as it is. Returns the number of checkpoints that it added.

    It blocks; call it in a thread if an event loop runs. Raises ``FileNotFoundError``, and ``ValueError`` for a file
    that no SQLite saver wrote.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not a file")
    blocking = Stores(store).blocking
    heads = Heads()
    added = 0
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as source:
        try:
            tables = {name for (name,) in source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{file} is not a SQLite database: {error}") from error
        if not {"checkpoints", "writes"} <= tables:
            raise ValueError(
                f"{file} has no tables checkpoints and writes, so that no SQLite saver of LangGraph wrote it"
            )
        columns = {row[1] for row in source.execute("PRAGMA table_info(writes)")}
        # One snapshot, also while the saver writes.
        source.execute("BEGIN")
        for thread_id, ns in source.execute("SELECT DISTINCT thread_id, checkpoint_ns FROM checkpoints").fetchall():
            records = _records(source, thread_id, ns, has_path="task_path" in columns)
            added += run_blocking(blocking, insert(heads, CheckpointNamespace(str(thread_id), ns), records))
    return added


def _records(source: sqlite3.Connection, thread_id: Any, ns: str, *, has_path: bool) -> Iterator[Record]:
    rows = source.execute(
        "SELECT checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints "
        "WHERE thread_id = ? AND checkpoint_ns = ? ORDER BY checkpoint_id",
        (thread_id, ns),
    )
    for checkpoint_id, parent, kind, checkpoint, metadata in rows:
        fields: dict[str, Any] = {METADATA: json.loads(metadata) if metadata else {}}
        if message_id(checkpoint_id) != checkpoint_id:
            fields[ID] = checkpoint_id
        if parent:
            fields[PARENT] = parent
        if isinstance(run := fields[METADATA].get(RUN), str):
            fields[RUN] = run
        content = checkpoint_content((kind or "json", bytes(checkpoint)))
        yield Record(checkpoint_id, content, fields, _writes(source, (thread_id, ns, checkpoint_id), has_path))


def _writes(
    source: sqlite3.Connection, checkpoint: tuple[Any, str, str], has_path: bool
) -> list[tuple[bytes, dict[str, Any] | bytes]]:
    path = "task_path" if has_path else "''"
    rows = source.execute(
        f"SELECT task_id, {path}, idx, channel, type, value FROM writes "
        "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? ORDER BY task_id, 2, idx",
        checkpoint,
    )
    return [
        (
            writes_content(
                (idx, channel, (kind or "json", bytes(value or b""))) for _, _, idx, channel, kind, value in writes
            ),
            dict(writes_metadata(task_id, task_path)),
        )
        for (task_id, task_path), writes in groupby(rows, key=lambda row: (row[0], row[1]))
    ]
