"""The operations on the sessions of agents: ``throughline.ops`` has them too."""

from __future__ import annotations

from typing import Any, Literal

from . import _wire as w
from . import models as m
from ._throughline import mint_id
from ._wire import Operation

Failure = Literal[
    "network",
    "rateLimited",
    "providerUnavailable",
    "configuration",
    "timeout",
    "runtimeOffline",
    "runtimeRecovered",
    "tool",
    "contextOverflow",
    "resumeOversized",
    "iterationLimit",
    "invalidRequest",
    "fallbackMessage",
    "semanticInactivity",
    "sessionNotFound",
    "other",
]
"""Why a run failed."""


def _claimer(
    provider: str, runtime: m.Runtime | None, generation: int | None, rerun_of: str | None, force_fresh: bool
) -> w.Raw:
    return w.Raw(
        w.to_object(
            {
                "provider": provider,
                "runtime": None if runtime is None else {"id": runtime.id, "root": runtime.root},
                "generation": generation,
                "rerunOf": rerun_of,
                "forceFresh": force_fresh,
            }
        )
    )


def resolve_session(
    agent: str,
    thread: str,
    provider: str,
    *,
    runtime: m.Runtime | None = None,
    generation: int | None = None,
    rerun_of: str | None = None,
    force_fresh: bool = False,
) -> Operation[m.Resolution]:
    """Reads which provider session the agent may resume in the thread."""
    claimer = _claimer(provider, runtime, generation, rerun_of, force_fresh)
    text = w.args("read", "resolve", agent=agent, thread=thread, claimer=claimer)
    return Operation(text, w.answer(m.Resolution._of, "read", "resolve", "resolution"))


def begin_run(
    agent: str,
    thread: str,
    provider: str,
    *,
    attempt: str | None = None,
    runtime: m.Runtime | None = None,
    generation: int | None = None,
    rerun_of: str | None = None,
    force_fresh: bool = False,
    assigned: str | None = None,
    work_dir: str | None = None,
    expected: int | None = None,
    lease: float = 60.0,
) -> Operation[m.Run]:
    """Begins a run under a lease of ``lease`` seconds."""
    text = w.args(
        "session",
        "begin",
        agent=agent,
        thread=thread,
        attempt=mint_id() if attempt is None else attempt,
        claimer=_claimer(provider, runtime, generation, rerun_of, force_fresh),
        assigned=assigned,
        workDir=work_dir,
        expected=expected,
        lease=round(lease * 1000),
    )
    return Operation(text, w.answer(m.Run._of, "session", "begin"))


def renew_run(agent: str, thread: str, attempt: str) -> Operation[m.Renewed]:
    """Renews the lease of a run."""

    def decode(wire: Any) -> m.Renewed:
        return m.Renewed(wire["attempt"], m._time(wire["lease"]["expiresAt"]), wire["superseded"])

    text = w.args("session", "renew", agent=agent, thread=thread, attempt=attempt)
    return Operation(text, w.answer(decode, "session", "renew"))


def pin_session(
    agent: str, thread: str, attempt: str, session: str, *, work_dir: str | None = None
) -> Operation[m.SessionChanged]:
    """Records the session of a run as soon as the provider has assigned it."""
    text = w.args("session", "pin", agent=agent, thread=thread, attempt=attempt, session=session, workDir=work_dir)
    return Operation(text, w.answer(m.SessionChanged._of, "session", "pin"))


def _report(session: str | None, work_dir: str | None, artifact_missing: bool, retires: str | None) -> w.Raw:
    return w.Raw(
        w.to_object(
            {"session": session, "workDir": work_dir, "artifactMissing": artifact_missing, "retires": retires}
        )
    )


def confirm_run(
    agent: str,
    thread: str,
    attempt: str,
    *,
    session: str | None = None,
    work_dir: str | None = None,
    artifact_missing: bool = False,
    retires: str | None = None,
) -> Operation[m.SessionChanged]:
    """Ends a run with success."""
    report = _report(session, work_dir, artifact_missing, retires)
    text = w.args("session", "confirm", agent=agent, thread=thread, attempt=attempt, report=report)
    return Operation(text, w.answer(m.SessionChanged._of, "session", "confirm"))


def fail_run(
    agent: str,
    thread: str,
    attempt: str,
    failure: Failure,
    *,
    detail: str | None = None,
    session: str | None = None,
    work_dir: str | None = None,
    artifact_missing: bool = False,
    retires: str | None = None,
) -> Operation[m.SessionChanged]:
    """Ends a run with a failure."""
    report = _report(session, work_dir, artifact_missing, retires)
    text = w.args(
        "session", "fail", agent=agent, thread=thread, attempt=attempt, failure=failure, detail=detail, report=report
    )
    return Operation(text, w.answer(m.SessionChanged._of, "session", "fail"))


def cancel_run(
    agent: str, thread: str, attempt: str, *, session: str | None = None, work_dir: str | None = None
) -> Operation[m.SessionChanged]:
    """Ends a run that the host cancelled."""
    report = _report(session, work_dir, False, None)
    text = w.args("session", "cancel", agent=agent, thread=thread, attempt=attempt, report=report)
    return Operation(text, w.answer(m.SessionChanged._of, "session", "cancel"))


def reset_session(agent: str, thread: str, *, expected: int | None = None) -> Operation[m.SessionChanged]:
    """Begins a new generation: the agent starts a fresh session in the thread."""
    text = w.args("session", "reset", agent=agent, thread=thread, expected=expected)
    return Operation(text, w.answer(m.SessionChanged._of, "session", "reset"))


def retire_session(agent: str, thread: str, session: str) -> Operation[m.SessionChanged]:
    """Marks a session that is not to be resumed."""
    text = w.args("session", "retire", agent=agent, thread=thread, session=session)
    return Operation(text, w.answer(m.SessionChanged._of, "session", "retire"))


def list_attempts(agent: str, thread: str, limit: int = 20, *, before: int | None = None) -> Operation[list[m.Attempt]]:
    """Lists the runs of an agent in a thread, the latest first."""
    text = w.args("read", "attempts", agent=agent, thread=thread, before=before, limit=limit)

    def decode(wire: Any) -> list[m.Attempt]:
        return [m.Attempt._of(one) for one in wire["attempts"]]

    return Operation(text, w.answer(decode, "read", "attempts"))
