"""The store for LangGraph, beyond what LangGraph's own suites ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langgraph")

from langgraph.store.base import GetOp, InvalidNamespaceError, PutOp, SearchOp
from langgraph_support import counted
from throughline import sync
from throughline.adapters.langgraph import ThroughlineStore


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[sync.Store]:
    with sync.open(tmp_path / "chat.db") as store:
        yield store


@pytest.fixture
def memory(opened: sync.Store) -> ThroughlineStore:
    return ThroughlineStore(opened)


def keys(found: Any) -> list[tuple[tuple[str, ...], str]]:
    return [(each.namespace, each.key) for each in found]


def test_a_batch_is_one_round_of_reads_and_one_commit(memory: ThroughlineStore) -> None:
    with counted(memory) as calls:
        memory.batch([PutOp(("a",), "1", {"v": 1}), PutOp(("b",), "2", {"v": 2}), PutOp(("a",), "3", {"v": 3})])
    assert calls == ["get"] * 3 + ["summary"] * 2 + ["batch"]
    with counted(memory) as calls:
        memory.put(("a",), "1", {"v": 4})
    assert calls == ["get", "batch"]
    with counted(memory) as calls:
        found = memory.get(("a",), "1")
        assert found is not None and found.value == {"v": 4}
    assert calls == ["get"]


def test_a_batch_is_written_as_a_whole(memory: ThroughlineStore) -> None:
    with pytest.raises((TypeError, ValueError)):
        memory.batch([PutOp(("a",), "1", {"v": 1}), PutOp(("a",), "2", {"v": object()})])
    with pytest.raises(InvalidNamespaceError):
        memory.batch([PutOp(("a",), "1", {"v": 1}), PutOp(("a.b",), "2", {"v": 2})])
    assert memory.search(()) == []


def test_the_reads_of_a_batch_come_before_its_writes(memory: ThroughlineStore) -> None:
    memory.put(("a",), "1", {"v": "old"})
    found, _, listed, _ = memory.batch(
        [GetOp(("a",), "1"), PutOp(("a",), "1", {"v": "new"}), SearchOp(("a",)), PutOp(("a",), "2", {})]
    )
    assert found.value == {"v": "old"}
    assert [each.value for each in listed] == [{"v": "old"}]
    assert memory.get(("a",), "1").value == {"v": "new"}


def test_an_item_keeps_its_time_of_creation_until_it_is_deleted(memory: ThroughlineStore) -> None:
    memory.put(("a",), "1", {"v": 1})
    first = memory.get(("a",), "1")
    memory.put(("a",), "1", {"v": 2})
    second = memory.get(("a",), "1")
    assert second.created_at == first.created_at and second.updated_at > first.updated_at
    for value in range(3):
        memory.delete(("a",), "1")
        assert memory.get(("a",), "1") is None and memory.search(("a",)) == []
        memory.put(("a",), "1", {"v": value})
        third = memory.get(("a",), "1")
        assert third.value == {"v": value} and third.created_at > second.updated_at


def test_a_namespace_without_items_is_not_listed(memory: ThroughlineStore) -> None:
    memory.put(("a", "b"), "1", {})
    memory.put(("c",), "1", {})
    memory.delete(("a", "b"), "1")
    memory.delete(("never",), "1")
    assert memory.list_namespaces() == [("c",)]


def test_values_survive(memory: ThroughlineStore) -> None:
    value = {"text": "a\u0000b \U0001f600", "big": 2**80, "float": 0.1, "none": None, "deep": [{"a": [True]}]}
    memory.put(("a",), "key with spaces / and \u0000 and " + "x" * 400, value)
    (found,) = memory.search(("a",))
    assert found.value == value and len(found.key) > 400
    assert memory.get(("a",), found.key).value == value
    memory.delete(("a",), found.key)
    assert memory.search(("a",)) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a/b",), ("a", "b")),
        (("a%2Fb",), ("a/b",)),
        (("x" * 300,), ("x" * 301,)),
        (("a\n",), ("a",)),
        (tuple("n" * 40), tuple("n" * 41)),
        (tuple("n" * 39) + ("o",), tuple("n" * 39) + ("p",)),
    ],
)
def test_namespaces_of_any_length_and_character_stay_apart(
    memory: ThroughlineStore, one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    memory.put(one, "k", {"v": 1})
    memory.put(other, "k", {"v": 2})
    assert memory.get(one, "k").value == {"v": 1}
    assert memory.get(other, "k").value == {"v": 2}
    assert set(memory.list_namespaces()) == {one, other}
    assert {each.namespace for each in memory.search(one)} == {name for name in (one, other) if name[: len(one)] == one}
    assert memory.list_namespaces(suffix=one[-1:], prefix=one[:1]) == [one] or one[-1] == other[-1]


def test_a_search_has_the_items_that_were_added_last_first(memory: ThroughlineStore) -> None:
    for number in range(5):
        memory.put(("a",), f"{number}", {"even": number % 2 == 0})
    assert [each.key for each in memory.search(("a",), limit=3)] == ["4", "3", "2"]
    assert [each.key for each in memory.search(("a",), limit=3, offset=3)] == ["1", "0"]
    assert [each.key for each in memory.search(("a",), filter={"even": True}, limit=2, offset=1)] == ["2", "0"]


def test_a_search_reads_as_far_as_its_limit(memory: ThroughlineStore) -> None:
    memory.batch([PutOp(("a",), f"{number:03}", {"n": number}) for number in range(500)])
    with counted(memory) as calls:
        assert len(memory.search(("a",), limit=10)) == 10
    assert calls == ["threads", "page"]
    with counted(memory) as calls:
        assert [each.key for each in memory.search(("a",), filter={"n": {"$lt": 1}})] == ["000"]
    assert calls == ["threads", "page", "page", "page"]


def test_a_value_of_another_kind_is_in_no_order(memory: ThroughlineStore) -> None:
    memory.put(("a",), "1", {"n": 1})
    memory.put(("a",), "2", {})
    memory.put(("a",), "3", {"n": "b"})
    assert [each.key for each in memory.search(("a",), filter={"n": {"$gte": "b"}})] == ["3"]
    assert [each.key for each in memory.search(("a",), filter={"n": {"$gt": 0}})] == ["1"]
    with pytest.raises(ValueError, match=r"\$near"):
        memory.search(("a",), filter={"n": {"$near": 0}})


def test_concurrent_writers_of_a_key_leave_one_item(opened: sync.Store) -> None:
    stores = [ThroughlineStore(opened) for _ in range(4)]

    def run(worker: int) -> None:
        for number in range(10):
            stores[worker].put(("a",), "same", {"worker": worker, "number": number})
            stores[worker].put(("a",), f"{worker}-{number}", {})
            if number % 3 == 0:
                stores[worker].delete(("a",), "same")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    found = ThroughlineStore(opened).search(("a",), limit=100)
    own = {each.key for each in found} - {"same"}
    assert own == {f"{worker}-{number}" for worker in range(4) for number in range(10)}
    assert len(found) in (40, 41)


def test_expired_items_are_swept(opened: sync.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000_000_000_000]
    for module in ("_store", "_put", "_sweeper"):
        monkeypatch.setattr(f"throughline.adapters.langgraph.{module}.micros_now", lambda: now[0])
    memory = ThroughlineStore(opened, ttl={"default_ttl": 10, "refresh_on_read": True})
    omitting = ThroughlineStore(opened, ttl={"omit_expired": True})
    memory.put(("a",), "1", {"v": 1})
    memory.put(("a",), "kept", {"v": 2}, ttl=None)
    memory.put(("b",), "2", {"v": 3}, ttl=20)
    now[0] += 9 * 60_000_000
    assert memory.sweep_ttl() == 0
    assert memory.get(("a",), "1") is not None, "which renews its time to live"
    now[0] += 9 * 60_000_000
    assert memory.sweep_ttl() == 0
    assert memory.get(("a",), "1", refresh_ttl=False) is not None
    now[0] += 2 * 60_000_000
    assert memory.get(("a",), "1", refresh_ttl=False) is not None, "expired items stay until a sweep"
    assert omitting.get(("a",), "1") is None
    assert keys(omitting.search(())) == keys(memory.search(("a",), filter={"v": 2}))
    assert memory.sweep_ttl() == 2
    assert keys(memory.search(())) == [(("a",), "kept")]
    # A value without a time to live ends the one that it replaces.
    memory.put(("b",), "2", {"v": 4}, ttl=1)
    memory.put(("b",), "2", {"v": 5}, ttl=None)
    now[0] += 100 * 60_000_000
    assert memory.sweep_ttl() == 0


def test_a_search_renews_the_items_that_it_returns(opened: sync.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000_000_000_000]
    for module in ("_store", "_put", "_sweeper"):
        monkeypatch.setattr(f"throughline.adapters.langgraph.{module}.micros_now", lambda: now[0])
    memory = ThroughlineStore(opened)
    memory.put(("a",), "1", {"v": 1}, ttl=10)
    memory.put(("a",), "2", {"v": 2}, ttl=10)
    updated = memory.get(("a",), "1", refresh_ttl=False).updated_at
    now[0] += 9 * 60_000_000
    assert [each.key for each in memory.search(("a",), filter={"v": 1})] == ["1"]
    now[0] += 2 * 60_000_000
    assert memory.sweep_ttl() == 1
    found = memory.get(("a",), "1")
    assert found is not None and found.updated_at == updated, "a read is no update"


def test_the_sweeper_runs_until_it_is_stopped(memory: ThroughlineStore) -> None:
    memory.put(("a",), "1", {}, ttl=0)
    memory.start_ttl_sweeper(0.0005)
    deadline = time.monotonic() + 30
    while memory.search(("a",), refresh_ttl=False) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert memory.search(("a",)) == []
    assert memory.stop_ttl_sweeper(30)


def embed(texts: list[str]) -> list[list[float]]:
    return [[float(text.count(letter)) for letter in "abcde"] for text in texts]


def test_vectors_survive_the_process(tmp_path: Path) -> None:
    index: Any = {"dims": 5, "embed": embed, "fields": ["text"]}
    with ThroughlineStore.from_conn_string(tmp_path / "chat.db", index=index) as memory:
        memory.put(("a",), "1", {"text": "aaab"})
        memory.put(("a",), "2", {"text": "bbba"})
        memory.put(("a",), "3", {"text": "aaab"}, index=False)
    with ThroughlineStore.from_conn_string(tmp_path / "chat.db", index=index) as memory:
        found = memory.search(("a",), query="a")
        assert [(each.key, each.score) for each in found] == [
            ("1", pytest.approx(3 / 10**0.5)),
            ("2", pytest.approx(1 / 10**0.5)),
            ("3", None),
        ]
        memory.put(("a",), "1", {"text": "c"})
        assert [each.key for each in memory.search(("a",), query="a")] == ["2", "1", "3"]


def test_an_asynchronous_embedding_function_is_awaited(opened: sync.Store) -> None:
    async def aembed(texts: list[str]) -> list[list[float]]:
        await asyncio.sleep(0)
        return embed(texts)

    memory = ThroughlineStore(opened, index={"dims": 5, "embed": aembed})

    async def run() -> list[str]:
        await memory.aput(("a",), "1", {"text": "aa"})
        await memory.aput(("a",), "2", {"text": "bb"})
        return [each.key for each in await memory.asearch(("a",), query="b")]

    assert asyncio.run(run()) == ["2", "1"]


def test_blocking_and_asyncio_callers_share_a_store(memory: ThroughlineStore) -> None:
    async def run() -> Any:
        await memory.aput(("a",), "2", {"v": 2})
        return await memory.aget(("a",), "1")

    memory.put(("a",), "1", {"v": 1})
    assert asyncio.run(run()).value == {"v": 1}
    assert memory.get(("a",), "2").value == {"v": 2}
