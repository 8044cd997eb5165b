"""Throughline next to the stores of the peers: `python peers.py`, in an environment with `requirements.txt` and the wheel.

It prints a line `figure NAME VALUE UNIT` for each figure. A ratio is the median over rounds of ratios within one round, in
which the contenders take turns. The files are in the folder for temporary files: set TMPDIR to one on the disk under test.

    python peers.py                       # one minute
    python peers.py --full                # ten minutes: 100,000 items, more rounds, longer turns
    python peers.py --only write --tasks 64 --contenders agents_sqlite,throughline_agents
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import importlib.util
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from contenders import ALL, LAST, OURS, PEERS, Contender

PARTS = ("write", "read", "open")
#: How many reads run at the same time in the second part of the reads.
AT_ONCE = 256


def figure(name: str, value: float, unit: str) -> None:
    print(f"figure python_peers.{name} {value:.4g} {unit}", flush=True)


def say(text: str) -> None:
    print(text, flush=True)


def missing() -> list[str]:
    """Returns the modules that this environment does not have."""
    wanted = ("throughline", "agents", "sqlalchemy", "aiosqlite", "greenlet", "langgraph.checkpoint.sqlite")

    def is_missing(module: str) -> bool:
        try:
            return importlib.util.find_spec(module) is None
        except ModuleNotFoundError:
            return True

    return [module for module in wanted if is_missing(module)]


def sync_time(folder: Path) -> float:
    """Returns the median seconds of a write of 4 KiB and its sync, which bounds what one task can write."""
    times = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(100):
            start = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno()) if hasattr(os, "fdatasync") else os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times)


class Schedule:
    """Runs the contenders by turns, in another order in each round, and keeps what they did in each."""

    def __init__(self, contenders: list[Contender], rounds: int) -> None:
        self.contenders = contenders
        self.rounds = rounds

    async def run(self, turn: Callable[[Contender], Awaitable[float]]) -> dict[str, list[float]]:
        values: dict[str, list[float]] = {contender.name: [] for contender in self.contenders}
        shuffle = random.Random(1)
        for _ in range(self.rounds):
            for contender in shuffle.sample(self.contenders, len(self.contenders)):
                values[contender.name].append(await turn(contender))
        return values


def report(name: str, values: dict[str, list[float]], unit: str, of: dict[str, list[float]] | None = None) -> None:
    """Prints the median of each contender, and for each of ours its ratio to the fastest peer."""
    for contender, results in values.items():
        figure(f"{name}.{contender}", statistics.median(results), unit)
    peers = {peer.name: values[peer.name] for peer in PEERS if peer.name in values}
    if not peers:
        return
    fastest = max(peers, key=lambda peer: statistics.median(peers[peer]))
    say(f"the fastest peer: {fastest}")
    for ours in OURS:
        if ours.name in values:
            ratios = [a / b for a, b in zip(values[ours.name], peers[fastest])]
            figure(f"{name}.{ours.name}_vs_fastest_peer", statistics.median(ratios), "x")
            twin = TWINS.get(ours.name)
            if twin in peers and twin != fastest:
                ratios = [a / b for a, b in zip(values[ours.name], peers[twin])]
                figure(f"{name}.{ours.name}_vs_{twin}", statistics.median(ratios), "x")


#: The peer whose interface an adapter of ours has.
TWINS = {"throughline_agents": "agents_sqlite", "throughline_langgraph": "langgraph_sqlite"}


async def writes(contenders: list[Contender], options: argparse.Namespace) -> None:
    counters: dict[str, int] = {}

    async def turn(contender: Contender, tasks: int) -> float:
        done = 0
        end = time.perf_counter() + options.seconds

        async def task(number: int) -> None:
            nonlocal done
            while time.perf_counter() < end:
                counters[contender.name] = counters.get(contender.name, 0) + 1
                await contender.add(number, counters[contender.name])
                done += 1

        start = time.perf_counter()
        await asyncio.gather(*(task(number) for number in range(tasks)))
        return done / (time.perf_counter() - start)

    for tasks in options.tasks:
        with_tasks = functools.partial(turn, tasks=tasks)
        for contender in contenders:
            await with_tasks(contender)  # the connections and the threads exist from here on
        values = await Schedule(contenders, options.rounds).run(with_tasks)
        report(f"write.{tasks}", values, "items/s")


async def reads(contenders: list[Contender], options: argparse.Namespace) -> None:
    async def one(contender: Contender) -> float:
        end = time.perf_counter() + options.seconds / 2
        start, done = time.perf_counter(), 0
        while time.perf_counter() < end:
            if await contender.last() != LAST:
                raise SystemExit(f"{contender.name} did not return {LAST} items")
            done += 1
        return done / (time.perf_counter() - start)

    async def many(contender: Contender) -> float:
        start = time.perf_counter()
        counts = await asyncio.gather(*(contender.last() for _ in range(AT_ONCE)))
        if set(counts) != {LAST}:
            raise SystemExit(f"{contender.name} did not return {LAST} items")
        return AT_ONCE / (time.perf_counter() - start)

    for contender in contenders:
        await one(contender)
        await many(contender)
    report(f"read_{LAST}.1", await Schedule(contenders, options.rounds).run(one), "reads/s")
    report(f"read_{LAST}.{AT_ONCE}", await Schedule(contenders, options.rounds).run(many), "reads/s")


def opens(contenders: list[Contender], options: argparse.Namespace) -> None:
    """Measures the time until a new process has read the first page, without its imports, and its memory."""
    values: dict[str, list[dict[str, float]]] = {contender.name: [] for contender in contenders}
    for _ in range(options.rounds):
        for contender in contenders:
            command = [sys.executable, __file__, "--child", contender.name, "--child-file", str(contender.file)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            values[contender.name].append(json.loads(answer.stdout.splitlines()[-1]))
    for name, results in values.items():
        for part, unit in (("open", "ms"), ("memory", "MiB")):
            figure(f"{part}.{name}", statistics.median(result[part] for result in results), unit)


async def child(name: str, file: Path) -> None:
    """Opens a store in this process, reads, writes with 64 tasks, and prints the time and the memory that it took."""
    warm = ALL[name](file.with_suffix(".warm"))
    await warm.open()  # imports and compiles everything
    await warm.add(0, 0)
    await warm.close()
    before = _resident()
    start = time.perf_counter()
    store = ALL[name](file)
    await store.open()
    await store.last()
    opened = time.perf_counter() - start
    for _ in range(20):
        await asyncio.gather(*(store.add(task, 0) for task in range(64)))
    await asyncio.gather(*(store.last() for _ in range(64)))
    memory = _resident() - before
    await store.close()
    print(json.dumps({"open": opened * 1e3, "memory": memory / 1024}))


def _resident() -> int:
    """Returns the memory of this process in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise SystemExit("/proc/self/status has no VmRSS: the part `open` needs Linux")


async def main(options: argparse.Namespace, folder: Path) -> None:
    contenders = [ALL[name](folder / f"{name}.db") for name in options.contenders]
    for contender in contenders:
        await contender.open()
        say(f"{contender.name}: {contender.version()}: {contender.call}: {contender.durability}")
    say(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors, Python {sys.version.split()[0]}")
    figure("sync", sync_time(folder) * 1e6, "us")
    if "read" in options.only or "open" in options.only:
        for contender in contenders:
            start = time.perf_counter()
            await contender.fill(options.items)
            say(f"{contender.name}: {options.items} items in {time.perf_counter() - start:.1f} s")
    if "write" in options.only:
        await writes(contenders, options)
    if "read" in options.only:
        await reads(contenders, options)
    for contender in contenders:
        await contender.close()
    if "open" in options.only:
        opens(contenders, options)
    say(f"load average {os.getloadavg()[0]:.2f}")


def parse(arguments: list[str]) -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    def names(known: Any) -> Callable[[str], list[str]]:
        def parts(text: str) -> list[str]:
            if wrong := [part for part in text.split(",") if part not in known]:
                raise argparse.ArgumentTypeError(f"unknown: {wrong[0]}; known are {', '.join(known)}")
            return text.split(",")

        return parts

    parser = argparse.ArgumentParser(description="Throughline next to the stores of the peers.")
    parser.add_argument("--full", action="store_true", help="100,000 items, 11 rounds and turns of 2 s")
    parser.add_argument("--only", type=names(PARTS), default=list(PARTS), help=f"a list of {', '.join(PARTS)}")
    parser.add_argument("--contenders", type=names(ALL), default=list(ALL), help=f"a list of {', '.join(ALL)}")
    parser.add_argument("--tasks", type=numbers, default=[1, 8, 64], help="how many tasks write at the same time")
    parser.add_argument("--items", type=int, help="how many items the conversation has that is read")
    parser.add_argument("--rounds", type=int, help="how many turns each contender takes")
    parser.add_argument("--seconds", type=float, help="how long a turn is")
    parser.add_argument("--child", choices=list(ALL), help=argparse.SUPPRESS)
    parser.add_argument("--child-file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for name, quick, full in (("items", 10_000, 100_000), ("rounds", 3, 11), ("seconds", 0.5, 2.0)):
        if getattr(options, name) is None:
            setattr(options, name, full if options.full else quick)
    return options


if __name__ == "__main__":
    chosen = parse(sys.argv[1:])
    if absent := missing():
        requirements = Path(__file__).with_name("requirements.txt")
        install = f"pip install -r {requirements}, and the wheel of crates/python"
        print(f"SKIPPED\tpython_peers\tthe environment has no {absent[0]}: {install}")
        sys.exit(0)
    if chosen.child:
        asyncio.run(child(chosen.child, chosen.child_file))
        sys.exit(0)
    work = Path(tempfile.mkdtemp(prefix="python-peers-"))
    try:
        asyncio.run(main(chosen, work))
    finally:
        shutil.rmtree(work, ignore_errors=True)
