"""The deletion of expired items."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ... import Gone, Message, NotFound, ThroughlineError, ops
from ._calls import Steps, batch, one
from ._checkpoints import page_of, readable, summaries
from ._items import EXPIRES, ITEMS_KIND, micros_now
from ._put import EXPIRING

_log = logging.getLogger(__name__)

_PAGE = 200


def sweep() -> Steps[int]:
    """Deletes the expired items of all namespaces. Returns how many."""
    now = micros_now()
    swept = 0
    for summary in (yield from summaries({**ITEMS_KIND, **EXPIRING})):
        before: int | None = None
        while True:
            page = yield from one(page_of(summary.thread, limit=_PAGE, before=before))
            for message in readable(page):
                if _is_expired(message, now) and (yield from _delete(message)):
                    swept += 1
            before = page.next
            if before is None:
                break
    return swept


def _is_expired(message: Message, now: int) -> bool:
    expires = message.metadata.get(EXPIRES)
    return isinstance(expires, int) and expires <= now


def _delete(message: Message) -> Steps[bool]:
    try:
        yield from one(batch([ops.delete(message.thread, message.id, expected=message.revision)]))
    except (NotFound, Gone):
        return False
    return True


class Sweeper:
    """A thread that sweeps at an interval."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self, sweep: Callable[[], int], seconds: float) -> None:
        """Begins, unless the thread runs already."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stop = threading.Event()
        arguments = (sweep, seconds, self._stop)
        self._thread = threading.Thread(target=_run, args=arguments, name="throughline-ttl-sweeper", daemon=True)
        self._thread.start()

    def stop(self, timeout: float | None) -> bool:
        """Ends the thread, and returns whether it has ended."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)
        return self._thread is None or not self._thread.is_alive()


def _run(sweep: Callable[[], int], seconds: float, stop: threading.Event) -> None:
    while not stop.wait(seconds):
        try:
            sweep()
        except ThroughlineError:
            _log.exception("the sweep of expired items failed, and is repeated after %s s", seconds)
