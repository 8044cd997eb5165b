"""Runs the suites of one peer and compares them with its expectations: `python run_suite.py PEER --sources DIR`.

It needs only the packages of the peer's `requirements.txt`. `cargo xtask python` calls it for each folder; the README describes the files.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest depends on it there
    import tomli as tomllib

PEERS = Path(__file__).resolve().parent
PACKAGE = PEERS.parent
BACKENDS = ("sqlite", "memory", "postgres")
KINDS = ("private", "bug", "differs", "network", "skipped")
SUITE_KEYS = {
    "name": str,
    "source": str,
    "folder": str,
    "tests": list,
    "plugin": str,
    "arguments": list,
    "backends": list,
    "repeats": int,
    "seconds": int,
    "case_seconds": int,
    "cases": int,
    "word": str,
    "also": list,
    "ordinary_cases": int,
    "timed": list,
    "ordinary": bool,
}
EXPECTED_KEYS = {
    "suite": str,
    "kind": str,
    "reason": str,
    "cases": list,
    "backends": list,
    "waits": bool,
    "said_again": list,
}


class Wrong(Exception):
    """A file of the peer's folder, or the command line, is wrong."""


def read(file: Path, table: str, keys: dict[str, type]) -> list[dict[str, Any]]:
    """Reads the tables of a file, and refuses unknown keys and wrong types."""
    try:
        document = tomllib.loads(file.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Wrong(f"{file}: {error}") from error
    if unknown := set(document) - {table}:
        raise Wrong(f"{file}: unknown table {sorted(unknown)[0]!r}; it has [[{table}]]")
    for entry in document.get(table, []):
        for key, value in entry.items():
            if key not in keys:
                raise Wrong(f"{file}: unknown key {key!r} in [[{table}]]; the keys are {', '.join(keys)}")
            if type(value) is not keys[key]:
                raise Wrong(f"{file}: {key} is a {type(value).__name__}; it must be a {keys[key].__name__}")
    tables: list[dict[str, Any]] = document.get(table, [])
    return tables


def suites_of(peer: Path) -> list[dict[str, Any]]:
    suites = read(peer / "suite.toml", "suite", SUITE_KEYS)
    for suite in suites:
        for key in ("name", "tests", "backends", "seconds"):
            if not suite.get(key):
                raise Wrong(f"{peer.name}/suite.toml: a suite has no {key}")
        if wrong := set(suite["backends"]) - set(BACKENDS):
            raise Wrong(f"{peer.name}/suite.toml: unknown backend {sorted(wrong)[0]!r}")
    if not suites:
        raise Wrong(f"{peer.name}/suite.toml: there is no [[suite]]")
    return suites


def expectations_of(peer: Path, suites: list[dict[str, Any]]) -> list[dict[str, Any]]:
    entries = read(peer / "expectations.toml", "expected", EXPECTED_KEYS)
    seen: set[tuple[str, str, str]] = set()
    for entry in entries:
        where = f"{peer.name}/expectations.toml: {entry.get('cases', ['an entry'])[0]}"
        for key in ("suite", "kind", "reason", "cases"):
            if not entry.get(key):
                raise Wrong(f"{where}: no {key}")
        if entry["kind"] not in KINDS:
            raise Wrong(f"{where}: unknown kind {entry['kind']!r}; the kinds are {', '.join(KINDS)}")
        if entry["suite"] not in [suite["name"] for suite in suites]:
            raise Wrong(f"{where}: there is no suite {entry['suite']!r}")
        for backend in entry.get("backends", BACKENDS):
            if backend not in BACKENDS:
                raise Wrong(f"{where}: unknown backend {backend!r}")
            for case in entry["cases"]:
                if (entry["suite"], backend, case) in seen:
                    raise Wrong(f"{peer.name}/expectations.toml: {case} is named twice")
                seen.add((entry["suite"], backend, case))
        for test in entry.get("said_again", []):
            require_test(test, where)
    return entries


def require_test(test: str, where: str) -> None:
    """Checks that a test of this package exists: `tests/test_x.py::test_y`."""
    path, _, name = test.partition("::")
    file = PACKAGE / path
    name = name.split("[", 1)[0].rsplit("::", 1)[-1]
    if not file.is_file() or f"def {name}(" not in file.read_text():
        raise Wrong(f"{where}: said_again names {test}, which does not exist")


def run(peer: Path, suite: dict[str, Any], entries: list[dict[str, Any]], backend: str, options: argparse.Namespace) -> bool:
    """Runs one suite once, and says whether it is as expected."""
    folder = peer
    if "source" in suite:
        folder = Path(options.sources) / suite["source"]
        if not folder.is_dir():
            raise Wrong(f"{folder} is not there: {suite['source']} is the source of suite {suite['name']}")
    folder = folder / suite.get("folder", ".")
    mine = [
        entry for entry in entries if entry["suite"] == suite["name"] and backend in entry.get("backends", BACKENDS)
    ]
    ordinary = not options.long
    least = suite.get("cases", 1)
    expected = {
        "title": f"{peer.name}/{suite['name']}",
        "cases": [
            case for entry in mine if not entry.get("waits") and entry["kind"] != "skipped" for case in entry["cases"]
        ],
        "optional": [case for entry in mine if entry["kind"] == "skipped" for case in entry["cases"]],
        "waiting": [case for entry in mine if entry.get("waits") for case in entry["cases"]],
        "least": suite.get("ordinary_cases", least) if ordinary else least,
        "word": suite.get("word", "").lower(),
        "also": suite.get("also", []),
        "timed": suite.get("timed", []) if ordinary else [],
        "ordinary": ordinary,
        "partial": bool(options.pytest),
    }
    work = Path(tempfile.mkdtemp(prefix="suite-", dir=options.work))
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(PEERS), str(peer), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment["THROUGHLINE_SUITE_FOLDER"] = str(work)
    environment["THROUGHLINE_SUITE_BACKEND"] = backend
    environment["THROUGHLINE_SUITE_EXPECTED"] = json.dumps(expected)
    environment["THROUGHLINE_SUITE_CASE_SECONDS"] = str(suite.get("case_seconds", 60))
    if options.record:
        environment["THROUGHLINE_SUITE_RECORD"] = str(Path(options.record).resolve())
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "peer_suite"]
    if "plugin" in suite:
        command += ["-p", suite["plugin"]]
    command += ["-q", "--no-header", "--tb=no", "-r", "N", f"--basetemp={work / 'pytest'}"]
    command += [*suite.get("arguments", []), *suite["tests"], *options.pytest]
    # A session of its own, so that the time limit ends every process of the suite.
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        status = process.wait(timeout=suite["seconds"])
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(f"FAILED: {expected['title']} on {backend} was ended after {suite['seconds']} s", flush=True)
        return False
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return status == 0


def skip(check: str, reason: str) -> None:
    """States that something is not checked, and records it where `THROUGHLINE_SKIPS` says."""
    print(f"SKIPPED: {check} ({reason})", flush=True)
    if file := os.environ.get("THROUGHLINE_SKIPS"):
        with open(file, "a") as out:
            out.write(f"{check}\t{reason}\n")


def runs(suite: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """Returns the backend of each run of a suite."""
    ordinary: list[str] = suite["backends"][:1] if suite.get("ordinary", True) else []
    backends: list[str] = suite["backends"] if options.long else ordinary
    if options.backend is not None:
        backends = [options.backend]
    return [backend for backend in backends for _ in range(suite.get("repeats", 1) if options.long else 1)]


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs the suites of one peer and compares them with its expectations.")
    parser.add_argument("peer", help="the name of a folder next to this file")
    parser.add_argument("--sources", default=".", help="the folder with the unpacked source distributions")
    parser.add_argument("--work", default=None, help="the folder for the files of the stores (default: that for temporary files)")
    parser.add_argument("--suite", default=None, help="only this suite")
    parser.add_argument("--backend", default=None, choices=BACKENDS, help="only this backend")
    parser.add_argument("--long", action="store_true", help="all backends, with the repeats of each suite")
    parser.add_argument("--record", default=None, help="write each case that did not pass into this file")
    parser.add_argument("--check", action="store_true", help="only read the files of the folder")
    parser.add_argument("--list", action="store_true", help="only print the name of each suite that runs, a tab, and its time limit in seconds")
    if "--" in arguments:
        at = arguments.index("--")
        arguments, rest = arguments[:at], arguments[at + 1 :]
    else:
        rest = []
    options = parser.parse_args(arguments)
    options.pytest = rest
    return options


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    # The end of this program is the end of the suite.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        peer = PEERS / options.peer
        suites = suites_of(peer)
        entries = expectations_of(peer, suites)
        if options.check:
            return 0
        if options.list:
            for suite in suites:
                if times := len(runs(suite, options)):
                    print(f"{suite['name']}\t{suite['seconds'] * times}")
            return 0
        if options.suite is not None and options.suite not in [suite["name"] for suite in suites]:
            raise Wrong(f"{options.peer} has no suite {options.suite!r}")
        good = True
        for suite in suites:
            if options.suite not in (None, suite["name"]):
                continue
            backends = runs(suite, options)
            if "postgres" in backends and "THROUGHLINE_POSTGRES_URL" not in os.environ:
                skip(f"{options.peer}/{suite['name']} on postgres", "THROUGHLINE_POSTGRES_URL names no database")
                backends = [backend for backend in backends if backend != "postgres"]
            for backend in backends:
                good = run(peer, suite, entries, backend, options) and good
        return 0 if good else 1
    except Wrong as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
