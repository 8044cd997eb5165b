"""One algorithm for blocking and for asyncio callers: generators that yield calls of the store and receive the answers.

The two runners at the end make the calls. An algorithm therefore exists once, and costs the same round trips in both
forms.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Union

from ... import ThroughlineError
from ...ops import Operation

T = TypeVar("T")

#: A call: it receives the store, blocking or not, and returns its answer, or the awaitable of it.
Call = Callable[[Any], Any]


@dataclass(frozen=True)
class Calls:
    """Independent calls, whose answers the generator receives as a list."""

    calls: list[Call]


@dataclass(frozen=True)
class Found(Generic[T]):
    """An item that a stream yields to its caller."""

    item: T


#: An algorithm with one answer.
Steps = Generator[Calls, list[Any], T]
#: An algorithm that finds items one after another.
Stream = Generator[Union[Calls, Found[T]], Union[list[Any], None], None]


def one(call: Call) -> Steps[Any]:
    """Makes one call."""
    answers = yield Calls([call])
    return answers[0]


def all_of(calls: list[Call]) -> Steps[list[Any]]:
    """Makes independent calls. Raises the first error in their order."""
    if not calls:
        return []
    return (yield Calls(calls))


def batch(operations: Sequence[Operation[Any]], *, after: int | None = None) -> Call:
    """The call that applies operations in one commit."""
    items = list(operations)
    return lambda store: store.batch(items, after=after)


def next_of(stream: Stream[T]) -> Generator[Calls, list[Any], Found[T] | None]:
    """Returns the next item of a stream. ``None`` at its end."""
    try:
        step = next(stream)
        while isinstance(step, Calls):
            step = stream.send((yield step))
    except StopIteration:
        return None
    return step


def run_blocking(store: Any, steps: Steps[T]) -> T:
    """Runs an algorithm with a store of ``throughline.sync``."""
    try:
        step = next(steps)
        while True:
            try:
                answers = [call(store) for call in step.calls]
            except ThroughlineError as error:
                step = steps.throw(error)
            else:
                step = steps.send(answers)
    except StopIteration as end:
        answer: T = end.value
        return answer


async def run_async(store: Any, steps: Steps[T]) -> T:
    """Runs an algorithm with a store of ``throughline``. The calls of one step run at the same time."""
    try:
        step = next(steps)
        while True:
            try:
                answers = await _answers(store, step.calls)
            except ThroughlineError as error:
                step = steps.throw(error)
            else:
                step = steps.send(answers)
    except StopIteration as end:
        answer: T = end.value
        return answer
    finally:
        steps.close()


def iterate_blocking(store: Any, stream: Stream[T]) -> Iterator[T]:
    """Iterates over the items of a stream with a store of ``throughline.sync``."""
    try:
        step = next(stream)
        while True:
            if isinstance(step, Found):
                yield step.item
                step = next(stream)
            else:
                step = stream.send([call(store) for call in step.calls])
    except StopIteration:
        return
    finally:
        stream.close()


async def iterate_async(store: Any, stream: Stream[T]) -> AsyncIterator[T]:
    """Iterates over the items of a stream with a store of ``throughline``."""
    try:
        step = next(stream)
        while True:
            if isinstance(step, Found):
                yield step.item
                step = next(stream)
            else:
                step = stream.send(await _answers(store, step.calls))
    except StopIteration:
        return
    finally:
        stream.close()


async def _answers(store: Any, calls: list[Call]) -> list[Any]:
    if len(calls) == 1:
        return [await calls[0](store)]
    answers = await asyncio.gather(*[call(store) for call in calls], return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers
