"""A change of the master is noticed although the old one answers; on a fake route and without a clock."""

import asyncio
from collections.abc import Sequence

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from schwabstream.broker.routes import Plain
from schwabstream.broker.url import Address, Mode
from schwabstream.broker.watch import EVERY_S, MasterWatch

OLD, NEW, OTHER = (Address("10.0.0.1", port) for port in (1, 2, 3))
Found = Address | type[Exception]


class Route:
    """A route that finds one address after the other."""

    mode: Mode = "sentinel"
    no_failover: str | None = None

    def __init__(self, found: Sequence[Found]) -> None:
        self._found = list(found)

    async def find(self) -> Address:
        """The next address or error."""
        found = self._found.pop(0)
        if isinstance(found, Address):
            return found
        raise found

    async def close(self) -> None:
        """Nothing to close."""


async def moves(found: Sequence[Found], *, follow: bool = False, connected: bool = True) -> list[Address]:
    """Where the watch has seen the master move; ``follow``: the connection follows at once."""
    moved: list[Address] = []
    rest = len(found)

    async def sleep(seconds: float) -> None:
        nonlocal rest
        assert seconds == EVERY_S
        rest -= 1
        if rest < 0:
            raise asyncio.CancelledError

    def leads_to() -> Address | None:
        return (moved[-1] if moved and follow else OLD) if connected else None

    with pytest.raises(asyncio.CancelledError):
        await MasterWatch(Route(found), leads_to, moved.append, sleep=sleep).run()
    return moved


async def test_two_answers_in_a_row_decide() -> None:
    """One answer may be outdated; the second one that names the same other address is acted on."""
    assert await moves([OLD, OLD, OLD]) == []
    assert await moves([OLD, NEW, OLD, NEW, OLD]) == []
    assert await moves([OLD, NEW, OTHER]) == []
    assert await moves([OLD, NEW, NEW]) == [NEW]


async def test_it_goes_on_watching() -> None:
    """After a move the next one is noticed, too; a connection that does not follow is reported again."""
    assert await moves([NEW, NEW, NEW, NEW, OTHER, OTHER], follow=True) == [NEW, OTHER]
    assert await moves([NEW, NEW, NEW, NEW]) == [NEW, NEW]


@pytest.mark.parametrize("error", [RedisConnectionError, OSError, TimeoutError])
async def test_no_answer_says_nothing(error: type[Exception]) -> None:
    """While nobody answers nothing moves, and the count goes on afterwards."""
    assert await moves([error, error, error]) == []
    assert await moves([NEW, error, NEW]) == [NEW]


async def test_without_a_connection_nothing_moves() -> None:
    """The next connection asks for itself."""
    assert await moves([NEW, NEW, NEW], connected=False) == []


async def test_a_single_redis_is_not_watched() -> None:
    """Its address never changes, so the watch ends at once."""
    await MasterWatch(Plain("redis://h:1/0"), lambda: OLD, lambda _: None).run()


async def test_each_question_is_announced() -> None:
    """After each question, with and without an answer, ``asked`` is called."""
    asked: list[None] = []

    async def sleep(_seconds: float) -> None:
        if len(asked) == 3:
            raise asyncio.CancelledError

    watch = MasterWatch(
        Route([OLD, OSError, NEW]), lambda: OLD, lambda _: None, asked=lambda: asked.append(None), sleep=sleep
    )
    with pytest.raises(asyncio.CancelledError):
        await watch.run()
    assert len(asked) == 3
