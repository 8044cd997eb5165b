"""The checkpoint saver for LangGraph, beyond what LangGraph's own suites ask."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langgraph")

from langgraph.checkpoint.serde.types import ERROR, INTERRUPT
from langgraph_support import checkpoint, config, counted, ids, save, writes
from throughline import Gone, sync
from throughline.adapters.langgraph import ThroughlineSaver


@pytest.fixture
def store(tmp_path: Path) -> Iterator[sync.Store]:
    with sync.open(tmp_path / "chat.db") as opened:
        yield opened


@pytest.fixture
def saver(store: sync.Store) -> ThroughlineSaver:
    return ThroughlineSaver(store)


def test_a_save_after_a_read_is_one_call(saver: ThroughlineSaver) -> None:
    with counted(saver) as calls:
        assert saver.get_tuple(config()) is None
    assert calls == ["page"]
    with counted(saver) as calls:
        save(saver, "1")
        save(saver, "2", parent="1")
    assert calls == ["batch", "add"]


def test_the_writes_of_a_task_are_one_call(saver: ThroughlineSaver) -> None:
    saved = save(saver, "1")
    with counted(saver) as calls:
        saver.put_writes(saved, [("a", 1), ("b", 2)], "task-1")
        saver.put_writes(saved, [("a", 3)], "task-2")
    assert calls == ["batch", "add"]


def test_a_checkpoint_is_read_in_two_calls(saver: ThroughlineSaver) -> None:
    saved = save(saver, "1")
    saver.put_writes(saved, [("a", 1)], "task")
    for asked in (config(), config(id="1")):
        with counted(saver) as calls:
            assert writes(saver.get_tuple(asked)) == [("task", "a", 1)]
        assert len(calls) == 2


def test_a_limited_list_reads_its_page_only(saver: ThroughlineSaver) -> None:
    for number in range(40):
        save(saver, f"{number:02}")
    with counted(saver) as calls:
        assert ids(saver.list(config(), limit=3)) == ["39", "38", "37"]
    assert calls == ["page"] * 4, "one page of checkpoints, and the writes of each"
    with counted(saver) as calls:
        assert ids(saver.list(config(), before=config(id="20"), limit=2)) == ["19", "18"]
    assert sorted(calls) == ["get", "page", "page", "page", "summary"]


def test_the_latest_checkpoint_has_the_greatest_id_in_any_order_of_saves(saver: ThroughlineSaver) -> None:
    for id in ("5", "3", "7", "1", "6", "4"):
        save(saver, id)
    latest = saver.get_tuple(config())
    assert latest is not None and latest.checkpoint["id"] == "7"
    assert ids(saver.list(config())) == ["7", "6", "5", "4", "3", "1"]
    assert ids(saver.list(config(), limit=2)) == ["7", "6"]
    assert ids(saver.list(config(), before=config(id="6"))) == ["5", "4", "3", "1"]
    assert ids(saver.list(config(), before=config(id="5"), limit=1)) == ["4"]
    assert ids(saver.list(config(), before=config(id="2"))) == ["1"]


def test_another_saver_continues_the_order(store: sync.Store) -> None:
    first, second = ThroughlineSaver(store), ThroughlineSaver(store)
    save(first, "2")
    save(second, "9")
    save(first, "5")
    save(second, "7")
    for saver in (first, second, ThroughlineSaver(store)):
        latest = saver.get_tuple(config())
        assert latest is not None and latest.checkpoint["id"] == "9"
        assert ids(saver.list(config())) == ["9", "7", "5", "2"]


def test_the_greatest_checkpoint_is_found_after_its_deletion(saver: ThroughlineSaver) -> None:
    save(saver, "5")
    save(saver, "9", run_id="run")
    save(saver, "3")
    saver.delete_for_runs(["run"])
    latest = saver.get_tuple(config())
    assert latest is not None and latest.checkpoint["id"] == "5"
    save(saver, "4")
    assert ids(saver.list(config())) == ["5", "4", "3"]


def test_concurrent_savers_lose_nothing(store: sync.Store) -> None:
    savers = [ThroughlineSaver(store) for _ in range(4)]
    names = [f"{number:03}" for number in range(80)]

    def run(worker: int) -> None:
        for id in names[worker::4]:
            saved = save(savers[worker], id)
            savers[worker].put_writes(saved, [("a", id)], "task")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    found = list(ThroughlineSaver(store).list(config()))
    assert ids(found) == list(reversed(names))
    assert [writes(each) for each in found] == [[("task", "a", id)] for id in reversed(names)]


def test_a_repeated_write_is_ignored_and_a_special_one_replaced(saver: ThroughlineSaver) -> None:
    saved = save(saver, "1")
    saver.put_writes(saved, [("a", "first"), (INTERRUPT, "first")], "task")
    saver.put_writes(saved, [("b", "second"), (INTERRUPT, "second"), ("c", "third")], "task")
    saver.put_writes(saved, [(ERROR, "failed")], "task")
    assert writes(saver.get_tuple(config())) == [
        ("task", INTERRUPT, "second"),
        ("task", ERROR, "failed"),
        ("task", "a", "first"),
        ("task", "c", "third"),
    ]


def test_one_of_many_concurrent_writers_of_a_task_counts(store: sync.Store) -> None:
    saver = ThroughlineSaver(store)
    saved = save(saver, "1")
    barrier = threading.Barrier(8)

    def run(worker: int) -> None:
        barrier.wait()
        saver.put_writes(saved, [("a", worker), ("b", worker)], "task")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    found = writes(saver.get_tuple(config()))
    assert [each[:2] for each in found] == [("task", "a"), ("task", "b")]
    assert found[0][2] == found[1][2], "the writes of one call stay together"


def test_writes_are_in_the_order_of_their_task_paths(saver: ThroughlineSaver) -> None:
    saved = save(saver, "1")
    saver.put_writes(saved, [("a", 1)], "task-1", "~2")
    saver.put_writes(saved, [("a", 2)], "task-2", "~1")
    saver.put_writes(saved, [("a", 3)], "task-3")
    assert writes(saver.get_tuple(config())) == [("task-3", "a", 3), ("task-2", "a", 2), ("task-1", "a", 1)]


def test_writes_can_be_saved_before_their_checkpoint(saver: ThroughlineSaver) -> None:
    saver.put_writes(config(id="1"), [("a", 1)], "task")
    assert saver.get_tuple(config(id="1")) is None
    assert list(saver.list(None)) == []
    save(saver, "1")
    assert writes(saver.get_tuple(config())) == [("task", "a", 1)]


def test_a_checkpoint_that_is_saved_again_is_replaced(saver: ThroughlineSaver, store: sync.Store) -> None:
    save(saver, "1", run_id="first", label="x")
    save(saver, "2", parent="1")
    for id in ("2", "1"):
        again = ThroughlineSaver(store) if id == "1" else saver
        again.put(config(), checkpoint(id, value="new"), {"source": "update", "step": 9}, {})
        found = saver.get_tuple(config(id=id))
        assert found is not None and found.parent_config is None
        assert found.checkpoint["channel_values"] == {"value": "new"}
        assert found.metadata == {"source": "update", "step": 9}
    assert ids(saver.list(config())) == ["2", "1"]


def test_metadata_survives(saver: ThroughlineSaver) -> None:
    plain = {"source": "loop", "step": -1, "none": None, "text": "a\ud800b", "big": 2**80, "deep": {"a": [1.5, True]}}
    saver.put(config(), checkpoint("1"), {**plain, "counters": {"a": (1, 2)}}, {})
    found = saver.get_tuple(config())
    assert found is not None and found.metadata == {**plain, "counters": {"a": [1, 2]}}
    saver.put(config(), checkpoint("2"), {"source": "loop", "step": 0, "raw": b"\x00\xff"}, {})
    found = saver.get_tuple(config())
    assert found is not None and found.metadata == {"source": "loop", "step": 0, "raw": b"\x00\xff"}
    assert ids(saver.list(config(), filter={"raw": b"\x00\xff"})) == ["2"]
    assert ids(saver.list(config(), filter={"deep.a": [1.5, True]})) == ["1"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a|b", ""), ("a", "b")),
        (("a#1", ""), ("a", "")),
        (("a%7Cb", ""), ("a|b", "")),
        (("a\n", ""), ("a", "")),
        (("x" * 300, ""), ("x" * 299, "")),
        (("a", "n" * 300), ("a", "n" * 301)),
        (("\ud800", ""), ("\udfff", "")),
    ],
)
def test_names_of_any_length_and_character_stay_apart(
    saver: ThroughlineSaver, one: tuple[str, str], other: tuple[str, str]
) -> None:
    for number, (thread, ns) in enumerate((one, other)):
        saved = save(saver, f"{number}", thread=thread, ns=ns)
        saver.put_writes(saved, [("a", number)], "task")
    for number, (thread, ns) in enumerate((one, other)):
        found = saver.get_tuple(config(thread, ns))
        assert found is not None and found.checkpoint["id"] == f"{number}"
        assert writes(found) == [("task", "a", number)]
        assert ids(saver.list(config(thread, ns))) == [f"{number}"]
    listed = {
        (each.config["configurable"]["thread_id"], each.config["configurable"]["checkpoint_ns"])
        for each in saver.list(None)
    }
    assert listed == {one, other}


def test_a_long_checkpoint_id_is_kept(saver: ThroughlineSaver) -> None:
    long = "c" * 400
    save(saver, long)
    found = saver.get_tuple(config())
    assert found is not None and found.config["configurable"]["checkpoint_id"] == long
    again = saver.get_tuple(config(id=long))
    assert again is not None and again.checkpoint["id"] == long


def test_a_thread_id_that_is_a_number_stays_one(saver: ThroughlineSaver) -> None:
    assert save(saver, "1", thread=7)["configurable"]["thread_id"] == 7
    found = saver.get_tuple(config(7))
    assert found is not None and found.config["configurable"]["thread_id"] == 7
    assert ids(saver.list(config(7))) == ["1"]
    saver.delete_thread(7)  # type: ignore[arg-type]
    assert saver.get_tuple(config(7)) is None


def test_runs_are_found_by_the_index_of_the_store(tmp_path: Path) -> None:
    with sync.open(tmp_path / "indexed.db", options={"indexed_metadata": ["run_id"]}) as store:
        saver = ThroughlineSaver(store)
        for number in range(10):
            saved = save(saver, f"{number}", ns="child" if number % 2 else "", run_id=f"run-{number % 5}")
            saver.put_writes(saved, [("a", number)], "task")
        store.thread("of the host").add("user", "hello", metadata={"run_id": "run-1"})
        with counted(saver) as calls:
            saver.delete_for_runs(["run-1", "run-3", "run-9"])
        assert calls.count("find") == 3 and "page" not in calls
        assert ids(saver.list(config())) == ["4", "2", "0"]
        assert ids(saver.list(config(ns="child"))) == ["9", "7", "5"]
        assert len(store.thread("of the host").page(10).messages) == 1
        saver.put_writes(config(ns="child", id="1"), [("a", "later")], "task")
        save(saver, "1", ns="child")
        assert writes(saver.get_tuple(config(ns="child", id="1"))) == [("task", "a", "later")]


def test_tenants_are_apart(store: sync.Store) -> None:
    one, other = ThroughlineSaver(store.for_tenant("one")), ThroughlineSaver(store.for_tenant("other"))
    save(one, "1", run_id="run")
    save(other, "2", run_id="run")
    one.delete_for_runs(["run"])
    assert list(one.list(None)) == []
    assert ids(other.list(None)) == ["2"]


def test_blocking_and_asyncio_callers_share_a_store(saver: ThroughlineSaver) -> None:
    async def run() -> Any:
        saved = await saver.aput(config(), checkpoint("2"), {"source": "loop", "step": 1}, {})
        await saver.aput_writes(saved, [("a", 1)], "task")
        # LangGraph calls blocking methods from a thread with a running loop too.
        assert ids(saver.list(config())) == ["2", "1"]
        return [each async for each in saver.alist(config())]

    save(saver, "1")
    found = asyncio.run(run())
    assert ids(found) == ["2", "1"]
    assert asyncio.run(run_again(saver)) == ["2", "1"], "a second loop uses the same saver"
    assert writes(saver.get_tuple(config())) == [("task", "a", 1)]


async def run_again(saver: ThroughlineSaver) -> list[str]:
    return [each.checkpoint["id"] async for each in saver.alist(config())]


def test_concurrent_coroutines_lose_nothing(saver: ThroughlineSaver) -> None:
    async def run() -> None:
        await asyncio.gather(
            *[
                saver.aput(config(), checkpoint(f"{number:02}"), {"source": "loop", "step": 1}, {})
                for number in range(30)
            ]
        )

    asyncio.run(run())
    assert ids(saver.list(config())) == [f"{number:02}" for number in reversed(range(30))]


def test_a_deleted_thread_can_be_used_again_with_the_same_ids(saver: ThroughlineSaver, store: sync.Store) -> None:
    for _ in range(3):
        saved = save(saver, "1", label="a")
        saver.put_writes(saved, [("a", 1)], "task")
        save(saver, "2", ns="child")
        assert writes(saver.get_tuple(config())) == [("task", "a", 1)]
        saver.delete_thread("t")
        assert saver.get_tuple(config(id="1")) is None
        assert list(saver.list(None)) == []
        save(ThroughlineSaver(store), "0")
        assert ids(saver.list(None)) == ["0"]
        saver.delete_thread("t")


def test_writes_without_a_checkpoint_are_deleted_with_their_thread(saver: ThroughlineSaver) -> None:
    saver.put_writes(config(id="1"), [("a", 1)], "task")
    saver.delete_thread("t")
    save(saver, "1")
    assert writes(saver.get_tuple(config())) == []


def test_a_thread_that_a_host_deleted_is_refused(saver: ThroughlineSaver, store: sync.Store) -> None:
    save(saver, "1")
    store.thread("langgraph:t").delete()
    with pytest.raises(Gone):
        save(saver, "2")


def test_a_copy_keeps_order_writes_and_parents(saver: ThroughlineSaver, store: sync.Store) -> None:
    for id, parent in (("2", None), ("5", "2"), ("3", "2"), ("7", "5")):
        saved = save(saver, id, parent=parent)
        saver.put_writes(saved, [("a", id)], "task", "~1")
    save(saver, "1", ns="child")
    saver.copy_thread("t", "copy")
    saver.copy_thread("t", "copy")
    source, target = list(saver.list(config("t"))), list(saver.list(config("copy")))
    assert ids(target) == ids(source) == ["7", "5", "3", "2"]
    assert [each.pending_writes for each in target] == [each.pending_writes for each in source]
    assert [each.checkpoint for each in target] == [each.checkpoint for each in source]
    assert [each.metadata for each in target] == [each.metadata for each in source]
    parents = [each.parent_config and each.parent_config["configurable"] for each in target]
    assert [each and (each["thread_id"], each["checkpoint_id"]) for each in parents] == [
        ("copy", "5"),
        ("copy", "2"),
        ("copy", "2"),
        None,
    ]
    assert ids(saver.list(config("copy", "child"))) == ["1"]
    # A copy next to newer checkpoints is in the order of the ids, too.
    save(saver, "6", thread="other")
    saver.copy_thread("t", "other")
    assert ids(saver.list(config("other"))) == ["7", "6", "5", "3", "2"]


def test_a_copy_of_many_checkpoints_is_complete(saver: ThroughlineSaver) -> None:
    names = [f"{number:03}" for number in range(130)]
    for id in names:
        save(saver, id)
    saver.copy_thread("t", "copy")
    assert ids(saver.list(config("copy"))) == list(reversed(names))


def test_an_unknown_strategy_is_refused(saver: ThroughlineSaver) -> None:
    with pytest.raises(ValueError, match="keep_last"):
        saver.prune(["t"], strategy="keep_last")


def test_what_another_store_cannot_be_is_said(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not an open store"):
        ThroughlineSaver("chat.db")  # type: ignore[arg-type]


def test_checkpoints_survive_the_process(tmp_path: Path) -> None:
    with ThroughlineSaver.from_conn_string(tmp_path / "chat.db") as saver:
        saved = save(saver, "1", parent="0")
        saver.put_writes(saved, [("a", 1)], "task")
    with ThroughlineSaver.from_conn_string(tmp_path / "chat.db") as saver:
        found = saver.get_tuple(config())
        assert found is not None and found.checkpoint == checkpoint("1", value="1")
        assert found.parent_config == config(id="0")
        assert writes(found) == [("task", "a", 1)]
        save(saver, "2", parent="1")
        assert ids(saver.list(config())) == ["2", "1"]


WORKER = """
import sys
from langgraph_support import save
from throughline import sync
from throughline.adapters.langgraph import ThroughlineSaver

with sync.open(sys.argv[1]) as store:
    saver = ThroughlineSaver(store)
    for id in sys.argv[2].split(","):
        saver.put_writes(save(saver, id), [("a", id)], "task")
"""


def test_processes_share_a_thread(tmp_path: Path, store: sync.Store) -> None:
    # The ids of each process increase and decrease in turn, so that they overtake each other.
    names = [f"{number:02}" for number in range(40)]
    shares = [names[0::2], list(reversed(names[1::2]))]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path / "chat.db"), ",".join(share)], cwd=Path(__file__).parent
        )
        for share in shares
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    saver = ThroughlineSaver(store)
    found = list(saver.list(config()))
    assert ids(found) == list(reversed(names))
    assert [writes(each) for each in found] == [[("task", "a", id)] for id in reversed(names)]
    latest = saver.get_tuple(config())
    assert latest is not None and latest.checkpoint["id"] == "39"
