"""A host with 64 tasks, which a test kills: it prints each id after the store has acknowledged it."""

from __future__ import annotations

import asyncio
import os
import sys

import throughline


async def main(path: str, prefix: str) -> None:
    async with throughline.open(path) as store:

        async def write(task: int) -> None:
            number = 0
            while True:
                id = f"{prefix}-{task}-{number}"
                await store.thread(f"t-{task % 8}").add("user", "hello", id=id)
                os.write(1, f"{id}\n".encode())
                number += 1

        await asyncio.gather(*(write(task) for task in range(64)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
