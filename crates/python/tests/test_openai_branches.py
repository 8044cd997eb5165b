"""Branches and usage of a session: names that stay reserved, external clears, turns that are gone, the order of calls."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("agents")

import throughline  # noqa: E402
from agents.usage import Usage  # noqa: E402
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails  # noqa: E402
from test_openai_agents import BACKEND, Pause, in_loop, opening, user  # noqa: E402
from throughline.adapters.openai_agents import BranchingSession, ThroughlineSession  # noqa: E402


def assistant(text: str) -> Any:
    return {"role": "assistant", "content": text}


TURNS = [user("u1"), assistant("a1"), user("u2"), assistant("a2"), user("u3"), assistant("a3")]

DETAILS = {
    "input_tokens_details": InputTokensDetails.model_validate({"cache_write_tokens": 0, "cached_tokens": 10}),
    "output_tokens_details": OutputTokensDetails(reasoning_tokens=5),
}


def run_of(total: int) -> Any:
    """The result of a run with this usage."""
    usage = Usage(requests=1, input_tokens=total - 1, output_tokens=1, total_tokens=total, **DETAILS)
    return SimpleNamespace(context_wrapper=SimpleNamespace(usage=usage))


async def texts(session: BranchingSession, branch: str | None = None) -> list[str]:
    return [item["content"] for item in await session.get_items(branch_id=branch)]


async def names(session: BranchingSession) -> list[str]:
    return [branch["branch_id"] for branch in await session.list_branches()]


@in_loop
async def test_a_branch_begins_with_the_items_before_its_turn(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = BranchingSession("s", store)
        await session.add_items(TURNS)
        assert await session.create_branch_from_turn(2, "other") == "other"
        assert session.current_branch == "other"
        await session.add_items([user("b2")])
        assert await texts(session) == ["u1", "a1", "b2"]
        assert await session.pop_item() == user("b2")
        assert await session.pop_item() == assistant("a1")
        assert await texts(session, "main") == ["u1", "a1", "u2", "a2", "u3", "a3"]
        await session.switch_to_branch("main")
        assert await session.get_items(2) == TURNS[-2:]
        branches = await session.list_branches()
        facts = [(one["branch_id"], one["message_count"], one["user_turns"], one["is_current"]) for one in branches]
        assert facts == [("main", 6, 3, True), ("other", 1, 1, False)]
        # A branch is a thread: another session, or a host, reads it as such.
        assert await ThroughlineSession("s", store).get_items() == TURNS


@in_loop
async def test_a_branch_of_a_branch_keeps_its_items_when_the_first_one_is_deleted(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = BranchingSession("s", store)
        await session.add_items(TURNS)
        await session.create_branch_from_turn(2, "a")
        await session.add_items([user("b2"), assistant("c2"), user("b3")])
        await session.create_branch_from_turn(3, "b")
        await session.delete_branch("a")
        assert await texts(session) == ["u1", "a1", "b2", "c2"]
        assert await texts(session, "a") == []
        assert await names(session) == ["main", "b"]


@in_loop
async def test_a_name_is_used_once_also_after_a_deletion_and_a_clear(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = BranchingSession("s", store)
        await session.add_items(TURNS)
        for turn, name in ((2, "copied"), (1, "empty")):
            await session.create_branch_from_turn(turn, name)
            await session.switch_to_branch("main")
            with pytest.raises(ValueError, match=f"Branch ID '{name}' has already been used"):
                await session.create_branch_from_turn(turn, name)
        await session.delete_branch("copied")
        with pytest.raises(ValueError, match="already been used"):
            await session.create_branch_from_turn(3, "copied")
        await session.clear_session()
        await session.add_items(TURNS)
        for name in ("copied", "empty", "main"):
            with pytest.raises(ValueError, match="already been used"):
                await session.create_branch_from_turn(2, name)
        assert session.current_branch == "main"
        # The names of another session are its own.
        other = BranchingSession("other", store)
        await other.add_items(TURNS)
        assert await other.create_branch_from_turn(2, "copied") == "copied"


@in_loop
async def test_the_errors_name_the_branch_and_the_turn(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = BranchingSession("s", store)
        await session.add_items(TURNS)
        for call, text in (
            (session.create_branch_from_turn(9), "Turn 9 does not contain a user message in branch 'main'"),
            (session.create_branch_from_turn(1, " "), "Branch name cannot be empty"),
            (session.create_branch_from_content("nothing"), "No user turns found containing 'nothing'"),
            (session.switch_to_branch("none"), "Branch 'none' does not exist"),
            (session.delete_branch("none"), "Branch 'none' does not exist"),
            (session.delete_branch("main"), "Cannot delete the 'main' branch"),
            (session.delete_branch(" "), "Branch ID cannot be empty"),
        ):
            with pytest.raises(ValueError, match=text):
                await call
        await session.create_branch_from_turn(2, "current")
        with pytest.raises(ValueError, match="Cannot delete current branch 'current'"):
            await session.delete_branch("current")
        await session.delete_branch("current", force=True)
        assert session.current_branch == "main"


@pytest.mark.skipif(BACKEND != "sqlite", reason="the other processes open the same file")
def test_one_of_two_processes_gets_a_name(tmp_path: Path) -> None:
    file = tmp_path / "a.db"

    async def write() -> None:
        async with throughline.open(file) as store:
            await BranchingSession("s", store).add_items(TURNS * 4)

    asyncio.run(write())
    program = """
import asyncio, json, sys
from throughline.adapters.openai_agents import BranchingSession

async def main():
    session = BranchingSession("s", sys.argv[1])
    await session.get_items()
    print("ready", flush=True)
    sys.stdin.readline()
    created = []
    for number in range(4):
        await session.switch_to_branch("main")
        try:
            created.append(await session.create_branch_from_turn(10, f"branch-{number}"))
        except ValueError as error:
            assert "already been used" in str(error), error
    await session.close()
    print(json.dumps(created))

asyncio.run(main())
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    created = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(created[0] + created[1]) == [f"branch-{number}" for number in range(4)]

    async def check() -> None:
        async with throughline.open(file) as store:
            session = BranchingSession("s", store)
            for number in range(4):
                assert len(await texts(session, f"branch-{number}")) == 2 * 9

    asyncio.run(check())


@in_loop
async def test_after_the_clear_of_another_object_a_session_continues_on_main(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        clearing = BranchingSession("s", store)
        for turn, name in ((2, "copied"), (1, "empty")):
            await clearing.clear_session()
            stale = BranchingSession("s", store)
            await stale.add_items(TURNS)
            await stale.create_branch_from_turn(turn, name)
            await clearing.clear_session()
            await stale.add_items([user("after")])
            assert stale.current_branch == "main"
            assert await texts(stale) == ["after"]
            assert await texts(stale, name) == []
            assert await names(stale) == ["main"]


@in_loop
async def test_every_read_notices_a_clear(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        call = {"type": "function_call", "name": "lookup", "arguments": "{}", "call_id": "c"}
        for number, (read, expected) in enumerate(
            [
                (lambda session: texts(session), ["new", None]),
                (lambda session: names(session), ["main"]),
                (lambda session: session.get_tool_usage(), [("lookup", 1, 1)]),
                (lambda session: session.get_conversation_by_turns(), {1: [
                    {"type": "user", "tool_name": None}, {"type": "function_call", "tool_name": "lookup"}
                ]}),
            ]
        ):
            stale, clearing = (BranchingSession(f"s-{number}", store) for _ in range(2))
            await stale.add_items(TURNS)
            await stale.create_branch_from_turn(2, "stale")
            await clearing.clear_session()
            await clearing.add_items([user("new"), call])
            seen = await read(stale) if number else [item.get("content") for item in await stale.get_items()]
            assert seen == expected
            assert stale.current_branch == "main"


@in_loop
async def test_a_write_that_a_clear_overtakes_is_repeated_on_main(tmp_path: Path) -> None:
    pause = Pause("add")
    async with opening(tmp_path, layers=[pause]) as store:
        session, clearing = BranchingSession("s", store), BranchingSession("s", store)
        await session.add_items(TURNS)
        await session.create_branch_from_turn(2, "branch")
        # One item is no batch, so that the pause stops it after the session has chosen the branch.
        task = asyncio.create_task(session.add_items([user("late")]))
        assert await asyncio.to_thread(pause.reached.wait, 30)
        await clearing.clear_session()
        pause.open.set()
        await task
        assert await texts(session, "main") == ["late"]
        assert session.current_branch == "main"


@in_loop
async def test_an_item_for_a_deleted_branch_is_refused(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session, other = BranchingSession("s", store), BranchingSession("s", store)
        await session.add_items(TURNS)
        await session.create_branch_from_turn(2, "branch")
        await other.delete_branch("branch")
        with pytest.raises(throughline.Gone):
            await session.add_items([user("late")])
        assert await texts(session, "main") == [item["content"] for item in TURNS]
        assert await names(session) == ["main"]


@in_loop
async def test_turns_are_found_by_their_text(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = BranchingSession("s", store)
        parts = [{"type": "input_text", "text": "CAFÉ Lisbon"}, {"type": "input_image", "image_url": "x"}]
        await session.add_items([assistant("hello"), user("x" * 150), assistant("lisbon"), user(parts)])
        turns = await session.get_conversation_turns()
        assert [(turn["turn"], turn["content"], turn["can_branch"]) for turn in turns] == [
            (1, "x" * 100 + "...", True),
            (2, json.dumps(parts, ensure_ascii=False), True),
        ]
        assert turns[0]["full_content"] == "x" * 150
        found = await session.find_turns_by_content("lisbon")
        assert [(turn["turn"], turn["full_content"]) for turn in found] == [(2, parts)]
        assert await session.find_turns_by_content("café") == []
        assert await session.find_turns_by_content("input_text") == []
        assert await session.create_branch_from_content("É l", "by-text") == "by-text"
        assert await texts(session) == ["hello", "x" * 150, "lisbon"]


@in_loop
async def test_calls_of_tools_are_counted_by_turn(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = BranchingSession("s", store)
        items = [
            user("1"),
            {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "1"},
            {"type": "function_call_output", "call_id": "1", "output": "x"},
            {"type": "function_call", "name": "f", "namespace": "n", "arguments": "{}", "call_id": "2"},
            {"type": "function_call", "name": "f", "namespace": "f", "arguments": "{}", "call_id": "3"},
            {"type": "mcp_call", "server_label": "srv", "name": "g", "id": "m", "arguments": "{}"},
            {"type": "shell_call", "call_id": "4", "action": {}},
            {"type": "tool_search_call", "call_id": "5"},
            {"type": "tool_search_output", "call_id": "5"},
            user("2"),
            {"type": "tool_search_output", "call_id": "6"},
            {"type": "web_search_call", "id": "w"},
        ]
        await session.add_items(items)
        assert await session.get_tool_usage() == [
            ("f", 2, 1),
            ("n.f", 1, 1),
            ("shell_call", 1, 1),
            ("srv.g", 1, 1),
            ("tool_search", 1, 1),
            ("tool_search", 1, 2),
            ("web_search_call", 1, 2),
        ]


@in_loop
async def test_usage_belongs_to_a_turn_of_a_branch(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = BranchingSession("s", store)
        assert (await session.get_session_usage(), await session.get_turn_usage()) == (None, [])
        await session.store_run_usage(run_of(1))  # without a turn
        assert await session.get_session_usage() is None
        await session.add_items(TURNS[:2])
        await session.store_run_usage(run_of(80))
        await session.add_items(TURNS[2:4])
        await session.store_run_usage(run_of(20))
        assert await session.get_turn_usage(1) == {
            "requests": 1,
            "input_tokens": 79,
            "output_tokens": 1,
            "total_tokens": 80,
            "input_tokens_details": vars(DETAILS["input_tokens_details"]),
            "output_tokens_details": {"reasoning_tokens": 5},
        }
        await session.create_branch_from_turn(2, "branch")
        # The items of the first turn were copied, and not the usage of its run.
        assert await session.get_turn_usage() == []
        await session.add_items([user("b2")])
        await session.store_run_usage(run_of(7))
        turns = await session.get_turn_usage()
        assert [(turn["user_turn_number"], turn["total_tokens"]) for turn in turns] == [(2, 7)]
        total = await session.get_session_usage()
        assert total == {"requests": 3, "input_tokens": 104, "output_tokens": 3, "total_tokens": 107, "total_turns": 3}
        main = await session.get_session_usage("main")
        assert main is not None and (main["total_tokens"], main["total_turns"]) == (100, 2)
        await session.store_run_usage(run_of(9))  # replaces that of the same turn
        turns = await session.get_turn_usage()
        assert [(turn["user_turn_number"], turn["total_tokens"]) for turn in turns] == [(2, 9)]
        await session.delete_branch("branch", force=True)
        assert await session.get_session_usage() == main
        await session.clear_session()
        assert await session.get_session_usage() is None


@in_loop
async def test_usage_goes_with_the_last_item_of_its_turn(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = BranchingSession("s", store)
        await session.add_items(TURNS[:2])
        await session.store_run_usage(run_of(80))
        await session.pop_item()
        assert (await session.get_turn_usage(1))["total_tokens"] == 80
        await session.pop_item()
        assert await session.get_turn_usage(1) == {}
        await session.add_items([user("fresh")])
        assert await session.get_turn_usage(1) == {}


@in_loop
async def test_usage_of_a_turn_that_is_gone_is_not_kept(tmp_path: Path) -> None:
    pause = Pause("update")
    async with opening(tmp_path, layers=[pause]) as store:
        session = BranchingSession("s", store)
        await session.add_items(TURNS[:2])
        task = asyncio.create_task(session.store_run_usage(run_of(80)))
        assert await asyncio.to_thread(pause.reached.wait, 30)
        await session.pop_item()
        await session.pop_item()
        await session.add_items([user("fresh")])
        pause.open.set()
        await task
        assert await session.get_turn_usage() == []


@in_loop
async def test_later_calls_do_not_change_the_turn_of_a_usage(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = BranchingSession("s", store)
        await session.add_items([user("u1")])
        usage = asyncio.create_task(session.store_run_usage(run_of(80)))
        add = asyncio.create_task(session.add_items([user("u2")]))
        newer = asyncio.create_task(session.store_run_usage(run_of(20)))
        await asyncio.gather(usage, add, newer)
        turns = await session.get_turn_usage()
        assert [(turn["user_turn_number"], turn["total_tokens"]) for turn in turns] == [(1, 80), (2, 20)]


@in_loop
async def test_an_item_goes_to_the_branch_of_its_call(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = BranchingSession("s", store)
        await session.add_items(TURNS)
        await session.create_branch_from_turn(2, "branch")
        tasks = [asyncio.create_task(session.add_items([user(f"b{number}")])) for number in range(20)]
        await asyncio.sleep(0)
        await session.switch_to_branch("main")
        await session.delete_branch("branch")
        await asyncio.gather(*tasks)
        assert await texts(session, "branch") == []
        assert await texts(session) == [item["content"] for item in TURNS]


@in_loop
async def test_a_usage_that_fails_is_logged_and_not_raised(tmp_path: Path, caplog: Any) -> None:
    async with opening(tmp_path) as store:
        session = BranchingSession("s", store)
        await session.add_items([user("u1")])
        await session.close()
        await session.store_run_usage(run_of(80))
        assert [record.getMessage() for record in caplog.records] == ["Failed to store session usage"]


@in_loop
async def test_a_call_that_is_cancelled_before_it_starts_does_not_stop_the_next_one(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = BranchingSession("s", store)
        task = asyncio.create_task(session.add_items([user("never")]))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(session.add_items([user("1")]), 30)
        assert await texts(session) == ["1"]


@in_loop
async def test_a_branch_that_is_created_in_a_cancelled_task_is_complete(tmp_path: Path) -> None:
    pause = Pause("import")
    async with opening(tmp_path, layers=[pause]) as store:
        session = BranchingSession("s", store)
        await session.add_items(TURNS)
        task = asyncio.create_task(session.create_branch_from_turn(3, "branch"))
        assert await asyncio.to_thread(pause.reached.wait, 30)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        pause.open.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert session.current_branch == "branch"
        assert await texts(session) == ["u1", "a1", "u2", "a2"]
        assert await names(session) == ["main", "branch"]
