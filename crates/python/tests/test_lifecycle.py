"""Cancellation, loops, signals, and the end of the interpreter."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
from conftest import python, run

import throughline
from throughline import ops, sync


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def descriptors(path: str) -> tuple[int, int]:
    """The open descriptors of a store, and all others."""
    targets = []
    for number in os.listdir("/proc/self/fd"):
        try:
            targets.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            pass  # The descriptor of the listing itself.
    of_store = sum(target.startswith(path) for target in targets)
    return of_store, len(targets) - of_store


def test_cancelled_tasks_lose_nothing_and_leak_nothing(path: str) -> None:
    rng = random.Random(7)

    async def cancel_at_random(store: throughline.Store, tasks: int, prefix: str) -> set[str]:
        acknowledged: set[str] = set()

        async def add(id: str) -> None:
            await store.thread("t").add("user", "hello", id=id)
            acknowledged.add(id)

        async def read() -> None:
            await store.thread("t").page(5)

        running: list[asyncio.Task[None]] = []
        for number in range(tasks):
            task = asyncio.create_task(read() if number % 10 == 0 else add(f"{prefix}-{number}"))
            running.append(task)
            if rng.random() < 0.5:
                await asyncio.sleep(0)
            if rng.random() < 0.5:
                rng.choice(running[-50:]).cancel()
            if number % 500 == 499:
                await asyncio.gather(*running, return_exceptions=True)
                running.clear()
        return acknowledged

    async def settle(store: throughline.Store) -> None:
        """Waits for all writes, and frees what only they needed."""
        await store.thread("t").add("user", "last")
        # An answer can be there at once. Then this task still runs as the callback of the last `gather`, which keeps its tasks.
        await asyncio.sleep(0)
        gc.collect()

    async def main() -> None:
        async with throughline.open(path) as store:
            acknowledged = await cancel_at_random(store, 1000, "warm")
            await settle(store)
            _, others = descriptors(path)
            tracemalloc.start()
            first = tracemalloc.take_snapshot()
            for round in range(3):
                acknowledged |= await cancel_at_random(store, 3_000, f"m{round}")
                if round == 0:
                    await settle(store)
                    first = tracemalloc.take_snapshot()
            await settle(store)
            last = tracemalloc.take_snapshot()
            tracemalloc.stop()
            grown = [stat for stat in last.compare_to(first, "filename") if "test_lifecycle" not in stat.traceback[0].filename]
            assert sum(stat.size_diff for stat in grown) < 200_000, grown[:5]
            of_store, others_after = descriptors(path)
            assert others_after == others
            # The writer, four readers that open at their first use, and the guard of the file: each has the file and its WAL. The
            # readers and the writer share one index of the WAL, and the guard has another.
            assert of_store <= 6 + 6 + 2, of_store
            stored = {message.id async for message in store.thread("t").messages(page_size=1000)}
            assert acknowledged <= stored
            assert len(acknowledged) > 2_000

    run(main(), 120)


def test_a_cancelled_write_that_was_received_is_stored(path: str) -> None:
    async def main() -> None:
        async with throughline.open(path) as store:
            tasks = [asyncio.create_task(store.thread("t").add("user", "x", id=f"m-{n}")) for n in range(100)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await store.thread("t").add("user", "last")
            assert len(await store.thread("t").page(200)) == 101

    run(main())


def test_a_timeout_leaves_the_loop_usable(path: str) -> None:
    async def main() -> None:
        async with throughline.open(path) as store:
            for _ in range(200):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(store.thread("t").add("user", "x"), 0)
            assert (await store.thread("t").add("user", "y")).message.text == "y"

    run(main())


def test_calls_are_coroutines_for_task_groups(path: str) -> None:
    async def main() -> None:
        async with throughline.open(path) as store:
            thread = store.thread("t")
            tasks = [asyncio.create_task(thread.add("user", str(number))) for number in range(64)]
            added = await asyncio.gather(*tasks)
            assert sorted(one.seq for one in added) == list(range(1, 65))

    run(main())


def test_several_loops_use_one_store(path: str) -> None:
    store = sync.open(path)
    failed: list[BaseException] = []

    def work(name: str) -> None:
        async def main() -> None:
            async with throughline.open(path) as mine:
                for _ in range(5):
                    await asyncio.gather(*(mine.thread(name).add("user", str(n)) for n in range(20)))

        try:
            for _ in range(2):
                asyncio.run(main())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(f"t-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for number in range(4):
        assert len(store.thread(f"t-{number}").page(1000)) == 200
    store.close()


def test_one_handle_is_used_by_several_loops(path: str) -> None:
    async def opened() -> throughline.Store:
        return await throughline.open(path)

    store = asyncio.run(opened())

    async def write(name: str) -> None:
        await asyncio.gather(*(store.thread(name).add("user", str(n)) for n in range(30)))

    threads = [threading.Thread(target=asyncio.run, args=(write(f"t-{number}"),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def count() -> int:
        total = 0
        for number in range(4):
            total += len(await store.thread(f"t-{number}").page(100))
        await store.close()
        return total

    assert asyncio.run(count()) == 120


def test_closed_loops_are_dropped(path: str) -> None:
    async def leave(store: throughline.Store) -> None:
        for number in range(20):
            asyncio.ensure_future(store.thread("t").add("user", str(number)))
        await asyncio.sleep(0)

    async def opened() -> throughline.Store:
        return await throughline.open(path)

    store = asyncio.run(opened())
    for _ in range(20):
        asyncio.run(leave(store))
    gc.collect()
    files = open_files()
    for _ in range(50):
        asyncio.run(leave(store))
    gc.collect()
    assert open_files() <= files + 4

    async def end() -> int:
        # A cancelled task may have left before its call began; every call that began is stored.
        count = (await store.thread("t").page(1)).last_seq
        await store.close()
        return count

    assert asyncio.run(end()) <= 20 * 70


def test_a_loop_without_readers_is_woken(path: str) -> None:
    not_implemented = NotImplementedError("like the loop of Windows")

    class Loop(asyncio.SelectorEventLoop):
        def add_reader(self, fd: object, callback: object, *args: object) -> None:  # type: ignore[override]
            raise not_implemented

        def _add_reader(self, fd: object, callback: object, *args: object) -> object:
            return super()._add_reader(fd, callback, *args)  # type: ignore[misc]

    async def main() -> None:
        async with throughline.open(path) as store:
            added = await asyncio.gather(*(store.thread("t").add("user", str(n)) for n in range(200)))
            assert len(added) == 200

    event_loop = Loop()
    try:
        event_loop.run_until_complete(asyncio.wait_for(main(), 30))
    finally:
        event_loop.close()


ENDS = {
    "a loop that is left": """
        async def main():
            store = await throughline.open(path)
            for n in range(64):
                asyncio.ensure_future(forever(store, n))
            await asyncio.sleep(0.05)
        asyncio.run(main())
    """,
    "sys.exit": """
        async def main():
            store = await throughline.open(path)
            for n in range(64):
                asyncio.ensure_future(forever(store, n))
            await asyncio.sleep(0.05)
            sys.exit(0)
        asyncio.run(main())
    """,
    "a loop in a daemon thread": """
        import threading
        async def main():
            store = await throughline.open(path)
            await asyncio.gather(*(forever(store, n) for n in range(64)))
        threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
        time.sleep(0.1)
    """,
    "blocking writers in daemon threads": """
        import threading
        store = sync.open(path)
        def write(n):
            while True:
                try:
                    store.thread(f"t-{n}").add("user", "x")
                except throughline.Unavailable:
                    return
        for n in range(8):
            threading.Thread(target=write, args=(n,), daemon=True).start()
        time.sleep(0.1)
    """,
    "an open draft and an open feed": """
        async def wait(store):
            async for change in store.changes():
                pass
        async def main():
            store = await throughline.open(path)
            asyncio.ensure_future(wait(store))
            draft = await store.thread("t").draft().start()
            for n in range(100):
                await draft.append("x" * 1000)
        asyncio.run(main())
    """,
}


@pytest.mark.parametrize("name", ENDS)
def test_the_interpreter_ends_with_writers_at_work(name: str, tmp_path: Path) -> None:
    head = """
        import asyncio, sys, time
        import throughline
        from throughline import sync
        path = sys.argv[1]
        async def forever(store, n):
            try:
                while True:
                    await store.thread(f"t-{n}").add("user", "x")
            except throughline.Unavailable:
                pass  # the interpreter ends
    """
    program = textwrap.dedent(head) + textwrap.dedent(ENDS[name])
    times = int(os.environ.get("THROUGHLINE_EXITS", "20")) // len(ENDS)
    for number in range(max(times, 1)):
        begun = time.monotonic()
        done = python(program, str(tmp_path / f"{number}.db"), limit=30)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert "Traceback" not in done.stderr and "panicked" not in done.stderr, done.stderr
        assert time.monotonic() - begun < 10
        with sync.open(str(tmp_path / f"{number}.db")) as store:
            assert store.verify().is_sound


def test_ctrl_c_ends_a_blocking_wait(path: str) -> None:
    program = """
        import signal, sys, time
        from throughline import sync
        # A shell starts a background job with the signal ignored, and Python then keeps that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        store = sync.open(sys.argv[1])
        store.thread("t").add("user", "x")
        print("ready", flush=True)
        begun = time.monotonic()
        try:
            for change in store.changes(after=store.thread("t").page().position):
                pass
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - begun < 30, flush=True)
        store.thread("t").add("user", "y")
        store.close()
        print("done", flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted True\n"
    assert process.stdout.readline() == "done\n"
    assert process.wait(10) == 0


def test_long_waits_release_the_interpreter(path: str) -> None:
    store = sync.open(path)
    feed = store.changes(after=0)
    got: list[str] = []
    waiting = threading.Thread(target=lambda: got.append(next(iter(feed)).kind))
    waiting.start()
    store.thread("t").add("user", "x")
    waiting.join(10)
    assert got and not waiting.is_alive()
    store.close()


def fill_with_long_messages(path: str) -> None:
    with sync.open(path) as store:
        for _ in range(2):
            store.batch([ops.add("t", "user", "x" * 20_000) for _ in range(200)])


def test_a_long_blocking_read_lets_other_threads_run(path: str) -> None:
    fill_with_long_messages(path)
    ticks: list[float] = []
    is_over = threading.Event()

    def tick() -> None:
        while not is_over.wait(0.0002):
            ticks.append(time.monotonic())

    ticking = threading.Thread(target=tick)
    ticking.start()

    def longest_pause_of_a_read() -> float:
        """Returns the longest pause of the other thread during a read, as a part of the read."""
        begun = time.monotonic()
        assert len(store.thread("t").page(400).json) > 8_000_000
        ended = time.monotonic()
        during = [begun, *(at for at in list(ticks) if begun < at < ended), ended]
        return max(after - before for before, after in zip(during, during[1:])) / (ended - begun)

    try:
        with sync.open(path) as store:
            # A read that kept the interpreter would stop the other thread for its whole time, each time.
            assert any(longest_pause_of_a_read() < 0.5 for _ in range(20))
    finally:
        is_over.set()
        ticking.join()


def test_a_long_read_lets_other_tasks_of_its_loop_run(path: str) -> None:
    fill_with_long_messages(path)

    async def main() -> None:
        async with throughline.open(path) as store:

            async def read() -> int:
                return len((await store.thread("t").page(400)).messages)

            reading = asyncio.ensure_future(read())
            turns = 0
            while not reading.done():
                await asyncio.sleep(0)
                turns += 1
            assert await reading == 400
            # Its start, its first poll and its answer take three turns.
            assert turns > 20

    run(main(), 60)
