"""kill -9 of a host with 64 tasks: nothing acknowledged is lost."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from throughline import sync

HOST = Path(__file__).with_name("host.py")


def test_a_killed_host_loses_nothing_acknowledged(path: str) -> None:
    kills = int(os.environ.get("THROUGHLINE_KILLS", "15"))
    limit = time.monotonic() + 45 if "THROUGHLINE_KILLS" not in os.environ else float("inf")
    rng = random.Random(3)
    acknowledged: set[str] = set()
    done = 0
    while done < kills and (done < 3 or time.monotonic() < limit):
        process = subprocess.Popen([sys.executable, str(HOST), path, f"h{done}"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        assert lines[0].endswith(b"\n"), "the host has written nothing"
        time.sleep(rng.random() * 0.3)
        process.kill()
        lines += process.stdout.readlines()
        assert process.wait() == -9
        acknowledged.update(line.decode().strip() for line in lines if line.endswith(b"\n"))
        done += 1
    with sync.open(path) as store:
        assert store.verify().is_sound
        stored = {message.id for number in range(8) for message in store.thread(f"t-{number}").messages(page_size=1000)}
        assert len(acknowledged) > 64 * 3
        assert acknowledged - stored == set()
