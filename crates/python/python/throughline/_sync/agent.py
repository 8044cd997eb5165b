# Generated from ../_async/agent.py by `python -m throughline._unasync`. Change that file instead.
from __future__ import annotations

from typing import TypeVar

from .. import models as m
from .. import ops
from .._throughline import Engine
from .._wire import Operation
from ..ops import Failure

T = TypeVar("T")


class Agent:
    """A handle to an agent: the sessions that its provider keeps for it, thread by thread."""

    __slots__ = ("_engine", "id")

    def __init__(self, engine: Engine, id: str) -> None:
        self._engine = engine
        self.id = id

    def __repr__(self) -> str:
        return f"<Agent {self.id!r}>"

    def thread(self, id: str) -> AgentThread:
        """Returns the handle to the sessions of the agent in a thread."""
        return AgentThread(self._engine, self.id, id)


class AgentThread:
    """The sessions of an agent in a thread: each run begins under a lease, and ends once."""

    __slots__ = ("_engine", "agent", "thread")

    def __init__(self, engine: Engine, agent: str, thread: str) -> None:
        self._engine = engine
        self.agent = agent
        self.thread = thread

    def _run(self, operation: Operation[T], key: str | None = None, deadline: float | None = None) -> T:
        return operation.decode(self._engine.run(operation.json, key, deadline))

    def resolve(
        self,
        provider: str,
        *,
        runtime: m.Runtime | None = None,
        generation: int | None = None,
        rerun_of: str | None = None,
        force_fresh: bool = False,
        deadline: float | None = None,
    ) -> m.Resolution:
        """Reads which session of the provider the agent may resume."""
        read = ops.resolve_session(
            self.agent,
            self.thread,
            provider,
            runtime=runtime,
            generation=generation,
            rerun_of=rerun_of,
            force_fresh=force_fresh,
        )
        return self._run(read, None, deadline)

    def begin(
        self,
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
        key: str | None = None,
        deadline: float | None = None,
    ) -> m.Run:
        """Begins a run under a lease of ``lease`` seconds. Raises ``Busy`` while another run holds the lease."""
        begin = ops.begin_run(
            self.agent,
            self.thread,
            provider,
            attempt=attempt,
            runtime=runtime,
            generation=generation,
            rerun_of=rerun_of,
            force_fresh=force_fresh,
            assigned=assigned,
            work_dir=work_dir,
            expected=expected,
            lease=lease,
        )
        return self._run(begin, key, deadline)

    def renew(self, attempt: str, *, deadline: float | None = None) -> m.Renewed:
        """Renews the lease of a run."""
        return self._run(ops.renew_run(self.agent, self.thread, attempt), None, deadline)

    def pin(
        self, attempt: str, session: str, *, work_dir: str | None = None, key: str | None = None
    ) -> m.SessionChanged:
        """Records the session of a run as soon as the provider has assigned it."""
        return self._run(ops.pin_session(self.agent, self.thread, attempt, session, work_dir=work_dir), key)

    def confirm(
        self,
        attempt: str,
        *,
        session: str | None = None,
        work_dir: str | None = None,
        artifact_missing: bool = False,
        retires: str | None = None,
        key: str | None = None,
    ) -> m.SessionChanged:
        """Ends a run with success: its session can be resumed."""
        confirm = ops.confirm_run(
            self.agent,
            self.thread,
            attempt,
            session=session,
            work_dir=work_dir,
            artifact_missing=artifact_missing,
            retires=retires,
        )
        return self._run(confirm, key)

    def fail(
        self,
        attempt: str,
        failure: Failure,
        *,
        detail: str | None = None,
        session: str | None = None,
        work_dir: str | None = None,
        artifact_missing: bool = False,
        retires: str | None = None,
        key: str | None = None,
    ) -> m.SessionChanged:
        """Ends a run with a failure, whose kind decides whether its session can be resumed."""
        fail = ops.fail_run(
            self.agent,
            self.thread,
            attempt,
            failure,
            detail=detail,
            session=session,
            work_dir=work_dir,
            artifact_missing=artifact_missing,
            retires=retires,
        )
        return self._run(fail, key)

    def cancel(
        self, attempt: str, *, session: str | None = None, work_dir: str | None = None, key: str | None = None
    ) -> m.SessionChanged:
        """Ends a run that the host cancelled."""
        cancel = ops.cancel_run(self.agent, self.thread, attempt, session=session, work_dir=work_dir)
        return self._run(cancel, key)

    def reset(self, *, expected: int | None = None, key: str | None = None) -> m.SessionChanged:
        """Begins a new generation: the next run starts a fresh session."""
        return self._run(ops.reset_session(self.agent, self.thread, expected=expected), key)

    def retire(self, session: str, *, key: str | None = None) -> m.SessionChanged:
        """Marks a session that is not to be resumed."""
        return self._run(ops.retire_session(self.agent, self.thread, session), key)

    def history(self, limit: int = 20, *, before: int | None = None) -> list[m.Attempt]:
        """Lists the runs, the latest first. ``before`` is the number of a run."""
        return self._run(ops.list_attempts(self.agent, self.thread, limit, before=before))
