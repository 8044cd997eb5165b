"""The pytest plugin of every peer's suite: it compares the results with `expectations.toml`.

`run_suite.py` loads it with `-p peer_suite`. The README of this folder describes the files and the functions for the plugin of a peer.
"""

from __future__ import annotations

import faulthandler
import inspect
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

_FOLDER = "THROUGHLINE_SUITE_FOLDER"
_BACKEND = "THROUGHLINE_SUITE_BACKEND"
_EXPECTED = "THROUGHLINE_SUITE_EXPECTED"
_RECORD = "THROUGHLINE_SUITE_RECORD"
_CASE_SECONDS = "THROUGHLINE_SUITE_CASE_SECONDS"
_POSTGRES = "THROUGHLINE_POSTGRES_URL"

#: The property of a case that made one of our stores.
_USED = "throughline-store"

#: The property of such a case whose source does not have the word of its suite.
_UNNAMED = "throughline-unnamed"

_numbers = itertools.count(1)
_running: pytest.Item | None = None


def backend() -> str:
    """Returns the backend of this run: ``sqlite``, ``memory`` or ``postgres``."""
    return os.environ.get(_BACKEND, "sqlite")


def location(label: str = "store") -> str:
    """Returns where ``throughline.open`` finds the store with this label.

    The file of a label is the same for each call, and new for each run. On Postgres there is one database for each run:
    give each case a tenant of its own with :func:`unique`.
    """
    if backend() == "postgres":
        return os.environ[_POSTGRES]
    if backend() == "memory":
        return "memory:"
    return os.path.join(os.environ[_FOLDER], f"{label}.db")


def unique(prefix: str = "case") -> str:
    """Returns a name that no other case of this run uses, in no process of it."""
    return f"{prefix}-{os.getpid()}-{next(_numbers)}"


def used() -> None:
    """States that the running case has made one of our stores."""
    if _running is not None and (_USED, True) not in _running.user_properties:
        _running.user_properties.append((_USED, True))
        word = _expected().get("word", "")
        if word and not _has(_running, word):
            _running.user_properties.append((_UNNAMED, True))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    global _running
    _running = item
    # A case that hangs ends its process. With pytest-xdist another process takes over, and the case has failed.
    faulthandler.dump_traceback_later(float(os.environ.get(_CASE_SECONDS, "60")), exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
        _running = None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    waiting = set(_expected().get("waiting", []))
    kept = [item for item in items if item.nodeid not in waiting and item.nodeid.split("[", 1)[0] not in waiting]
    if _expected().get("ordinary") and (word := _expected().get("word", "")):
        kept = [item for item in kept if _has(item, word)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _has(item: pytest.Item, word: str) -> bool:
    """Whether the source of a case has a word, in upper or lower case, or the suite names the case."""
    if item.nodeid.split("[", 1)[0] in _expected().get("also", []):
        return True
    function = getattr(item, "function", None)
    return function is None or word in inspect.getsource(inspect.unwrap(function)).lower()


def _expected() -> dict[str, Any]:
    expected: dict[str, Any] = json.loads(os.environ.get(_EXPECTED, "{}"))
    return expected


class _Timed:
    """Runs a case that depends on the speed of the machine again if it fails: other programs can delay it."""

    ATTEMPTS = 3

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if item.nodeid.split("[", 1)[0] not in _expected().get("timed", []):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for attempt in range(1, self.ATTEMPTS + 1):
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            if all(report.outcome != "failed" for report in reports) or attempt == self.ATTEMPTS:
                break
            initrequest: Any = getattr(item, "_initrequest")
            initrequest()  # as for a case that has not run
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Timed(), "throughline-timed")
    # With pytest-xdist, the results of every process come together in the one without `workerinput`.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Comparison(), "throughline-comparison")


class _Comparison:
    """The results of a run, and what is wrong with them."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.with_store: set[str] = set()
        self.unnamed: set[str] = set()
        self.differences: list[str] = []
        self.summary = ""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        # A file that cannot be imported, or that skips itself, is one case with the name of the file.
        if report.outcome != "passed":
            self._record(report.nodeid, report.outcome, report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if (_USED, True) in [tuple(pair) for pair in report.user_properties]:
            self.with_store.add(report.nodeid)
        if (_UNNAMED, True) in [tuple(pair) for pair in report.user_properties]:
            self.unnamed.add(report.nodeid)
        if hasattr(report, "wasxfail"):
            self._record(report.nodeid, "xfailed", report)
        elif report.outcome != "passed":
            self._record(report.nodeid, report.outcome, report)
        else:
            self.outcomes.setdefault(report.nodeid, "passed")

    def _record(self, case: str, outcome: str, report: Any) -> None:
        if self.outcomes.get(case, "passed") == "passed":
            self.outcomes[case] = outcome
            self.reasons[case] = _reason(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        # An interrupted run, or a wrong command line, has no results to compare.
        if session.exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
            if not (session.exitstatus == pytest.ExitCode.INTERRUPTED and self.outcomes):
                return
        if record := os.environ.get(_RECORD):
            self._write(Path(record))
        self.compare(_expected())
        session.exitstatus = pytest.ExitCode.TESTS_FAILED if self.differences else pytest.ExitCode.OK

    def compare(self, expected: dict[str, Any]) -> None:
        """Compares the results with the expectations of this suite on this backend."""
        named: set[str] = set(expected.get("cases", []))
        optional: set[str] = set(expected.get("optional", []))
        hit: set[str] = set()
        passed = expected_not_to = 0
        for case, outcome in sorted(self.outcomes.items()):
            entry = case if case in named else case.split("[", 1)[0]
            if entry in named:
                hit.add(entry)
            if outcome == "passed":
                passed += 1
                if entry in named:
                    self.differences.append(f"{case}: passed, but is expected not to: take it out of expectations.toml")
            elif entry in named or (outcome == "skipped" and {case, case.split("[", 1)[0]} & optional):
                expected_not_to += 1
            else:
                self.differences.append(f"{case}: {outcome}: {self.reasons.get(case, '')}")
        self.differences += [
            f"{case}: makes a store, but its source does not have the word {expected.get('word')!r}: an ordinary run leaves it out"
            for case in sorted(self.unnamed)
        ]
        if not expected.get("partial"):
            # An ordinary run of a suite with a word leaves out some of the cases.
            if not (expected.get("ordinary") and expected.get("word")):
                self.differences += [
                    f"{case}: is in expectations.toml, but did not run" for case in sorted(named - hit)
                ]
            least = expected.get("least", 1)
            if passed < least:
                self.differences.append(f"{passed} cases passed; at least {least} are to pass")
        self.summary = (
            f"{expected.get('title', 'suite')} on {backend()}: {len(self.outcomes)} cases, {passed} passed, "
            f"{expected_not_to} expected not to, {len(expected.get('waiting', []))} not run; "
            f"{len(self.with_store)} made a store of this package, "
            f"and {sum(self.outcomes.get(case) == 'passed' for case in self.with_store)} of these passed"
        )

    def _write(self, file: Path) -> None:
        with file.open("w") as out:
            for case, outcome in sorted(self.outcomes.items()):
                if outcome != "passed":
                    reason = json.dumps(f"{outcome}: {self.reasons.get(case, '')}")
                    out.write(f"[[expected]]\nkind = \"private\"\nreason = {reason}\ncases = [{json.dumps(case)}]\n\n")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("comparison with expectations.toml")
        for difference in self.differences:
            terminalreporter.line(f"DIFFERENT: {difference}")
        terminalreporter.line(self.summary)


def _reason(report: Any) -> str:
    """The last line of an error, or the reason of a skip."""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[2])
    crash = getattr(longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(longrepr)
    return text.strip().split("\n")[0][:300]
