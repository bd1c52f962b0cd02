"""What the streamer says of itself: one log line, one count and one StatusEvent for each occasion."""

from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from schwabstream.events import Channel, StatusEvent, parse_event
from schwabstream.streaming.status import Announcer, Status


class World:
    """A wall clock that stands, and everything published."""

    def __init__(self) -> None:
        self.now = 1_795_536_000.5
        self.published: list[tuple[Channel, dict[str, Any]]] = []
        self.announcer = Announcer(
            lambda channel, event: self.published.append((channel, dict(event))), lambda: self.now
        )

    def last(self) -> StatusEvent:
        """The newest event as consumers parse it."""
        channel, event = self.published[-1]
        assert channel is Channel.STATUS
        parsed = parse_event(orjson.dumps(event))
        assert isinstance(parsed, StatusEvent)
        return parsed


@pytest.fixture
def world() -> World:
    """A fresh one."""
    return World()


@pytest.mark.parametrize("state", list(Status))
def test_each_state_is_told_logged_and_counted_once(world: World, state: Status) -> None:
    """A change of state is one event that parses, one log line with its reason, one count."""
    with capture_logs() as logs:
        world.announcer.enter(state, "for a reason", retry_in_s=None)
    assert [line["event"] for line in logs] == [state]
    assert logs[0]["reason"] == "for a reason"
    assert logs[0]["log_level"] == ("warning" if state in ("waiting", "login_required", "evicted") else "info")
    assert world.announcer.counts == {f"entered {state}": 1}
    assert (world.last().state, world.last().reason, world.last().retry_in_s) == (state, "for a reason", None)
    assert (world.announcer.state, world.announcer.reason) == (state, "for a reason")


def test_since_is_when_the_state_began(world: World) -> None:
    """Entering the same state again keeps its beginning; what passes meanwhile does not move it."""
    world.announcer.enter(Status.WAITING, "first")
    began = world.now
    world.now += 60
    world.announcer.enter(Status.WAITING, "second")
    world.announcer.announce("stale", "silent", symbol="/MNQ:XCME", key="/MNQ")
    assert world.announcer.since == began
    assert world.last().since == int(began * 1000)
    assert world.last().timestamp == int(world.now * 1000)
    assert (world.announcer.state, world.announcer.reason) == ("waiting", "second")
    world.announcer.enter(Status.CONNECTING, "again")
    assert world.announcer.since == world.now


@pytest.mark.parametrize(
    ("occasion", "more"),
    [
        ("stale", {"symbol": "/MNQ:XCME", "key": "/MNQ", "detail": "LEVELONE_FUTURES"}),
        ("gap", {"lost_at": 1, "restored_at": 2, "symbols": ["/MNQ:XCME"]}),
        ("dropped", {"count": 7}),
    ],
)
def test_what_passes_is_told_with_its_details(world: World, occasion: str, more: dict[str, Any]) -> None:
    """An occasion carries its own fields in the event and in the log line, and leaves the state alone."""
    with capture_logs() as logs:
        world.announcer.announce(occasion, "why", **more)
    event = world.last()
    assert event.state == occasion
    given = {**more, **({"symbols": tuple(more["symbols"])} if "symbols" in more else {})}
    assert {name: getattr(event, name) for name in more} == given
    assert {name: logs[0][name] for name in more} == more
    assert world.announcer.state is Status.CONNECTING
    assert world.announcer.counts[occasion] == 1


def test_listeners_hear_what_was_published(world: World) -> None:
    """Each listener gets each event, after the publisher."""
    heard: list[tuple[int, str]] = []
    world.announcer.listeners.append(lambda event: heard.append((len(world.published), event["state"])))
    world.announcer.enter(Status.STREAMING, "3 symbols subscribed")
    world.announcer.announce("gap", "data is back")
    assert heard == [(1, "streaming"), (2, "gap")]
