"""Graphs with the saver: delta channels, pruning, and the import of LangGraph's own files."""

from __future__ import annotations

import asyncio
import operator
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest

pytest.importorskip("langgraph")
pytest.importorskip("langgraph.checkpoint.sqlite")

from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from langgraph_support import checkpoint, config, counted, ids, save
from throughline import sync
from throughline.adapters.langgraph import ThroughlineSaver, import_sqlite_saver
from typing_extensions import TypedDict


def joined(state: list[str], writes: Any) -> list[str]:
    return [*state, *[line for write in writes for line in write]]


class Texts(TypedDict):
    lines: Annotated[list[str], DeltaChannel(joined)]


class Answers(TypedDict):
    answers: Annotated[list[str], operator.add]


def delta_graph(saver: Any) -> Any:
    builder = StateGraph(Texts)
    builder.add_node("one", lambda state: {"lines": [f"one of {len(state['lines'])}"]})
    builder.add_node("two", lambda state: {"lines": [f"two of {len(state['lines'])}"]})
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    return builder.compile(checkpointer=saver)


def asking_graph(saver: Any) -> Any:
    builder = StateGraph(Answers)
    builder.add_node("left", lambda state: {"answers": ["left"]})
    builder.add_node("ask", lambda state: {"answers": [interrupt("which?")]})
    builder.add_edge(START, "left")
    builder.add_edge(START, "ask")
    return builder.compile(checkpointer=saver)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[sync.Store]:
    with sync.open(tmp_path / "chat.db") as opened:
        yield opened


@pytest.fixture
def saver(store: sync.Store) -> ThroughlineSaver:
    return ThroughlineSaver(store)


def test_a_delta_channel_is_rebuilt_in_few_reads(saver: ThroughlineSaver) -> None:
    graph = delta_graph(saver)
    expected: list[str] = []
    for turn in range(6):
        graph.invoke({"lines": [f"turn {turn}"]}, config())
        expected += [f"turn {turn}", f"one of {3 * turn + 1}", f"two of {3 * turn + 2}"]
    assert graph.get_state(config()).values == {"lines": expected}
    with counted(saver) as calls:
        found = saver.get_delta_channel_history(config=config(), channels=["lines"])
    written = [value for write in found["lines"]["writes"] for value in write[2]]
    assert written == expected
    assert "seed" not in found["lines"]
    ancestors = len(list(saver.list(config()))) - 1
    assert calls.count("get") <= 1 and len(calls) <= ancestors + 6, (
        "a page of writes for each ancestor, and few other reads"
    )


def test_pruning_keeps_what_a_delta_channel_starts_from(saver: ThroughlineSaver) -> None:
    graph = delta_graph(saver)
    for turn in range(4):
        graph.invoke({"lines": [f"turn {turn}"]}, config())
    before = graph.get_state(config())
    saver.prune(["t"])
    after = graph.get_state(config())
    assert after.values == before.values and after.config == before.config
    graph.invoke({"lines": ["more"]}, config())
    assert graph.get_state(config()).values["lines"][:13] == [*before.values["lines"], "more"]


def test_pruning_keeps_what_is_saved_meanwhile(saver: ThroughlineSaver, store: sync.Store) -> None:
    for id in ("1", "2", "3"):
        save(saver, id)
    other = ThroughlineSaver(store)
    reads = saver._stores.blocking

    class Between:
        """Saves a checkpoint as soon as the pruning has read the latest one."""

        def __init__(self) -> None:
            self.saved = False

        def thread(self, id: str) -> Any:
            thread = reads.thread(id)
            if self.saved:
                return thread
            self.saved = True
            found = thread.page(1)
            save(other, "2.5")
            save(other, "4", parent="3")
            return SimpleNamespace(page=lambda *args, **options: found)

        def __getattr__(self, name: str) -> Any:
            return getattr(reads, name)

    saver._stores.blocking = Between()  # type: ignore[assignment]
    saver.prune(["t"])
    saver._stores.blocking = reads
    assert ids(saver.list(config())) == ["4", "3", "2.5"]
    saver.prune(["t"])
    assert ids(saver.list(config())) == ["4"]


def test_ancestors_contribute_their_writes_up_to_the_seed(saver: ThroughlineSaver) -> None:
    root = saver.put(config(), checkpoint("1", a="old", b="root"), {"source": "loop", "step": 0}, {})
    saver.put_writes(root, [("a", 1), ("b", 1)], "task")
    seed = saver.put(root, checkpoint("2", a="seed"), {"source": "loop", "step": 1}, {})
    saver.put_writes(seed, [("a", 2), ("b", 2)], "task-2", "~2")
    saver.put_writes(seed, [("a", 3)], "task-1", "~3")
    side = saver.put(root, checkpoint("3"), {"source": "fork", "step": 1}, {})
    saver.put_writes(side, [("a", "aside")], "task")
    target = saver.put(seed, checkpoint("4"), {"source": "loop", "step": 2}, {})
    saver.put_writes(target, [("a", "pending")], "task")
    found = saver.get_delta_channel_history(config=target, channels=["a", "b", "c"])
    assert found == {
        "a": {"writes": [("task-2", "a", 2), ("task-1", "a", 3)], "seed": "seed"},
        "b": {"writes": [("task", "b", 1), ("task-2", "b", 2)], "seed": "root"},
        "c": {"writes": []},
    }
    assert saver.get_delta_channel_history(config=root, channels=["a"]) == {"a": {"writes": []}}
    assert saver.get_delta_channel_history(config=config("other"), channels=["a"]) == {"a": {"writes": []}}
    assert saver.get_delta_channel_history(config=target, channels=[]) == {}
    assert asyncio.run(saver.aget_delta_channel_history(config=target, channels=["a", "b", "c"])) == found


def test_the_default_walk_of_the_peer_finds_the_same(saver: ThroughlineSaver) -> None:
    graph = delta_graph(saver)
    for turn in range(3):
        graph.invoke({"lines": [f"turn {turn}"]}, config())
    graph.update_state(config(), {"lines": ["updated"]})
    for each in saver.list(config()):
        ours = saver.get_delta_channel_history(config=each.config, channels=["lines"])
        theirs = BaseCheckpointSaver.get_delta_channel_history(saver, config=each.config, channels=["lines"])
        assert ours == theirs


def test_pruning_a_plain_thread_leaves_the_latest_checkpoint(saver: ThroughlineSaver) -> None:
    graph = asking_graph(saver)
    graph.invoke({"answers": ["first"]}, config())
    graph.invoke(Command(resume="a"), config())
    graph.invoke({"answers": ["second"]}, config())
    latest = graph.get_state(config())
    saver.prune(["t"])
    assert len(ids(saver.list(config()))) == 1
    after = graph.get_state(config())
    assert after.values == latest.values and after.interrupts == latest.interrupts and after.parent_config is None
    assert graph.invoke(Command(resume="b"), config())["answers"] == ["first", "a", "left", "second", "b", "left"]


def test_a_loop_of_parents_ends(saver: ThroughlineSaver) -> None:
    saver.put(config(), checkpoint("1"), {"source": "loop", "step": 0}, {})
    saver.put(config(id="1"), checkpoint("2"), {"source": "loop", "step": 1}, {})
    saver.put(config(id="2"), checkpoint("1"), {"source": "loop", "step": 2}, {})
    found = saver.get_delta_channel_history(config=config(id="2"), channels=["a"])
    assert found == {"a": {"writes": []}}


def fill(file: Path) -> None:
    with SqliteSaver.from_conn_string(str(file)) as saver:
        graph = asking_graph(saver)
        for thread in ("t", "other"):
            graph.invoke({"answers": [thread]}, config(thread))
        graph.invoke(Command(resume="a"), config("other"))
        builder = StateGraph(Answers)
        builder.add_node("sub", asking_graph(True))
        builder.add_edge(START, "sub")
        builder.compile(checkpointer=saver).invoke({"answers": ["x"]}, config("nested"))


def test_a_file_of_the_sqlite_saver_is_imported(tmp_path: Path, saver: ThroughlineSaver, store: sync.Store) -> None:
    file = tmp_path / "theirs.db"
    fill(file)
    with SqliteSaver.from_conn_string(str(file)) as theirs:
        expected = list(theirs.list(None))
    assert import_sqlite_saver(file, store) == len(expected) > 5
    assert list(saver.list(None)) == expected
    assert import_sqlite_saver(file, store) == 0, "a repeated import adds nothing"
    assert list(saver.list(None)) == expected
    # The run goes on where it stopped.
    graph = asking_graph(saver)
    assert graph.get_state(config()).interrupts[0].value == "which?"
    assert graph.invoke(Command(resume="b"), config())["answers"] == ["t", "b", "left"]
    assert import_sqlite_saver(file, store) == 0
    assert graph.get_state(config()).values["answers"] == ["t", "b", "left"]


def test_a_file_of_the_asynchronous_saver_is_imported(
    tmp_path: Path, saver: ThroughlineSaver, store: sync.Store
) -> None:
    async def run() -> list[Any]:
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "theirs.db")) as theirs:
            graph = asking_graph(theirs)
            await graph.ainvoke({"answers": ["x"]}, config())
            return [each async for each in theirs.alist(None)]

    expected = asyncio.run(run())
    assert import_sqlite_saver(tmp_path / "theirs.db", store) == len(expected)
    assert list(saver.list(None)) == expected


def test_a_file_from_before_task_paths_is_imported(tmp_path: Path, saver: ThroughlineSaver, store: sync.Store) -> None:
    file = tmp_path / "theirs.db"
    fill(file)
    with closing(sqlite3.connect(file)) as theirs:
        theirs.execute("ALTER TABLE writes DROP COLUMN task_path")
        theirs.commit()
    assert import_sqlite_saver(file, store) > 5
    found = saver.get_tuple(config())
    assert found is not None and found.pending_writes is not None and len(found.pending_writes) == 2


def test_another_file_is_refused(tmp_path: Path, store: sync.Store) -> None:
    with pytest.raises(FileNotFoundError):
        import_sqlite_saver(tmp_path / "absent.db", store)
    assert not (tmp_path / "absent.db").exists()
    (tmp_path / "text.db").write_text("no database, " * 100)
    with pytest.raises(ValueError, match="not a SQLite database"):
        import_sqlite_saver(tmp_path / "text.db", store)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE checkpoints (id)")
    with pytest.raises(ValueError, match="no tables"):
        import_sqlite_saver(tmp_path / "other.db", store)
