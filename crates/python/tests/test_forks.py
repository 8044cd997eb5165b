"""Processes that fork while they have stores."""

from __future__ import annotations

from conftest import python


def test_a_handle_is_refused_after_a_fork(path: str) -> None:
    program = """
        import asyncio, os, sys, time
        import throughline
        from throughline import sync

        path = sys.argv[1]
        store = sync.open(path)
        thread = store.thread("t")
        thread.add("user", "parent")
        draft = thread.draft().start()
        feed = store.changes()
        pid = os.fork()
        if pid == 0:
            begun = time.monotonic()
            for call in (
                lambda: thread.add("user", "child"),
                lambda: thread.page(),
                lambda: store.threads(),
                lambda: draft.append("x"),
                lambda: next(feed),
                lambda: store.close(),
                lambda: store.for_tenant("a"),
            ):
                try:
                    call()
                except throughline.ForkedError as error:
                    assert error.code == "forked" and error.effect == "notApplied", error
                else:
                    os._exit(2)
            if time.monotonic() - begun > 2:
                os._exit(3)
            del store, thread, draft, feed
            with sync.open(path + ".child") as own:
                own.thread("t").add("user", "child")
                assert len(own.thread("t").page()) == 1

            async def main():
                async with throughline.open(path + ".child") as own:
                    await own.thread("t").add("user", "child")

            asyncio.run(main())
            sys.exit(0)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
        draft.append("still open")
        draft.finish()
        assert [message.text for message in thread.messages()] == ["parent", "still open"]
        store.close()
        print("done")
    """
    done = python(program, path)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_child_opens_a_store_of_its_own_while_the_parent_writes(path: str) -> None:
    # SQLite has locks for the whole process. A child that inherits one from a thread at work never gets it.
    program = """
        import faulthandler, os, sys, threading
        from throughline import sync

        path = sys.argv[1]
        store = sync.open(path)
        is_over = threading.Event()
        counts = [0] * 4

        def write(number):
            while not is_over.is_set():
                store.thread(f"t{number}").add("user", "x")
                store.thread(f"t{number}").page(1)
                counts[number] += 1

        writers = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(len(counts))]
        for writer in writers:
            writer.start()
        for child in range(40):
            pid = os.fork()
            if pid == 0:
                faulthandler.dump_traceback_later(20, exit=True)
                with sync.open(f"{path}.{child}") as own:
                    own.thread("t").add("user", "child")
                    assert len(own.thread("t").page()) == 1
                os._exit(0)
            _, status = os.waitpid(pid, 0)
            assert os.waitstatus_to_exitcode(status) == 0, (child, status)
        is_over.set()
        for writer in writers:
            writer.join()
        for number, count in enumerate(counts):
            assert count > 0
            assert store.thread(f"t{number}").summary().messages == count
        store.close()
        print("done")
    """
    done = python(program, path, limit=120)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_fork_inside_of_a_loop_is_refused(path: str) -> None:
    program = """
        import asyncio, os, sys
        import throughline

        async def main():
            store = await throughline.open(sys.argv[1])
            calls = [asyncio.ensure_future(store.thread("t").add("user", str(n))) for n in range(50)]
            await asyncio.sleep(0)
            pid = os.fork()
            if pid == 0:
                try:
                    await store.thread("t").add("user", "child")
                except throughline.ForkedError:
                    os._exit(0)
                os._exit(1)
            _, status = os.waitpid(pid, 0)
            assert status == 0, status
            await asyncio.gather(*calls)
            assert len(await store.thread("t").page(100)) == 50
            await store.close()
            print("done")

        asyncio.run(main())
    """
    done = python(program, path)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_child_of_a_fork_that_did_not_wait_for_a_store_opens_none(path: str) -> None:
    program = """
        import os, sqlite3, subprocess, sys, threading
        import throughline
        from throughline import sync

        path = sys.argv[1]
        store = sync.open(path)
        # Another process holds the write lock, so that the writer of this one stays in SQLite.
        lock = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE'); "
            "print('locked', flush=True); sys.stdin.read()"
        )
        holder = subprocess.Popen(
            [sys.executable, "-c", lock, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert holder.stdout.readline() == "locked\\n"
        writing = threading.Thread(target=lambda: store.thread("t").add("user", "x", deadline=60))
        writing.start()
        # The first forks can be before the write.
        status = None
        for child in range(1000):
            pid = os.fork()
            if pid == 0:
                try:
                    sync.open(f"{path}.{child}").close()
                except throughline.Invalid as error:
                    assert "a store used SQLite as this process was forked" in str(error), error
                    os._exit(0)
                os._exit(1)
            _, status = os.waitpid(pid, 0)
            if status == 0:
                break
        holder.stdin.close()
        writing.join()
        assert store.thread("t").summary().messages == 1
        store.close()
        print(os.waitstatus_to_exitcode(status))
    """
    done = python(program, path, limit=100)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_a_fork_function_that_a_host_has_registered_before_the_import_opens_a_store(path: str) -> None:
    program = """
        import faulthandler, os, sys
        path = sys.argv[1]

        def reopen():
            faulthandler.dump_traceback_later(20, exit=True)
            with sync.open(path + ".child", layers=[Passes()]) as own:
                own.thread("t").add("user", "x")

        os.register_at_fork(after_in_child=reopen)
        from throughline import Plugin, sync

        class Passes(Plugin):
            name = "passes"

            async def around(self, call, next):
                return await next(call)

        store = sync.open(path, layers=[Passes()])
        store.thread("t").add("user", "x")
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status))
    """
    done = python(program, path)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_a_child_leaves_the_block_of_its_parents_store_without_an_error(path: str) -> None:
    program = """
        import os, sys
        from throughline import sync
        with sync.open(sys.argv[1]) as store:
            store.thread("t").add("user", "x")
            pid = os.fork()
            if pid == 0:
                sys.exit(7)
            _, status = os.waitpid(pid, 0)
            store.thread("t").add("user", "y")
        print(os.waitstatus_to_exitcode(status))
    """
    done = python(program, path)
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr


def test_ctrl_c_ends_a_wait_in_a_child_that_another_thread_has_forked(path: str) -> None:
    program = """
        import os, signal, sys, threading
        from throughline import sync
        signal.signal(signal.SIGINT, signal.default_int_handler)
        path = sys.argv[1]
        store = sync.open(path)

        def fork():
            store.thread("t").add("user", "x")  # a wait of a thread that is not the main one
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                try:
                    with sync.open(path + ".child") as own:
                        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
                        next(iter(own.changes(after=0)))
                except KeyboardInterrupt:
                    os._exit(0)
                os._exit(1)
            _, status = os.waitpid(pid, 0)
            print(os.waitstatus_to_exitcode(status))

        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
    """
    done = python(program, path)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
