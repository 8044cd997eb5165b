"""The event loop that runs the plugins of stores for blocking callers, in a daemon thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading

from . import _throughline

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_process = os.getpid()


def start() -> asyncio.AbstractEventLoop:
    """Returns the loop, which the first call starts."""
    global _loop
    if os.getpid() != _process:
        # A function that a host has registered for the child runs before `forget`.
        forget()
    with _lock:
        if _loop is None or _loop.is_closed():
            _loop = _start()
        return _loop


def _start() -> asyncio.AbstractEventLoop:
    ready = threading.Event()
    event_loop = asyncio.new_event_loop()

    async def register() -> None:
        _throughline.register_loop()
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(event_loop)
        event_loop.create_task(register())
        while True:
            try:
                event_loop.run_forever()
                return
            except (SystemExit, KeyboardInterrupt):
                # A plugin raised it. Its call has it as its outcome, and the plugins of other calls go on.
                continue

    threading.Thread(target=run, name="throughline-plugins", daemon=True).start()
    ready.wait()
    return event_loop


def forget() -> None:
    """Leaves the loop of the parent to it, in a child that was forked."""
    global _loop, _lock, _process
    if os.getpid() != _process:
        _loop, _lock, _process = None, threading.Lock(), os.getpid()
