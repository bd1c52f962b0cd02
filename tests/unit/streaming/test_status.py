"""The streamer's announcements: one log line, one count and one StatusEvent for each occasion."""

from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from schwabstream.events import Channel, StatusEvent, parse_event
from schwabstream.streaming.status import TRANSITIONS, Announcer, Status


class World:
    """A wall clock that stands, and everything published."""

    def __init__(self) -> None:
        self.now = 1_795_536_000.5
        self.published: list[tuple[Channel, dict[str, Any]]] = []
        self.heard: list[tuple[int, str]] = []
        self.announcer = Announcer(
            lambda channel, event: self.published.append((channel, dict(event))),
            lambda: self.now,
            lambda event: self.heard.append((len(self.published), event["state"])),
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


# --- the table ---------------------------------------------------------------------------------------------------


def test_the_table_is_total() -> None:
    """Every status has a row, and each way leads to another status with a row."""
    assert set(TRANSITIONS) == set(Status)
    assert {target for row in TRANSITIONS.values() for target in row.values()} == set(Status)
    assert not [state for state, row in TRANSITIONS.items() if state in row.values()]


def test_only_a_stop_ends_a_life() -> None:
    """STOPPED is the one end and one step away from everywhere; from every other status the stream can come back."""
    assert [state for state, row in TRANSITIONS.items() if not row] == [Status.STOPPED]
    assert [state for state, row in TRANSITIONS.items() if Status.STOPPED not in row.values()] == [Status.STOPPED]
    back = {Status.STREAMING}
    for _ in Status:
        back |= {state for state, row in TRANSITIONS.items() if back & set(row.values())}
    assert set(Status) - back == {Status.STOPPED}


def test_every_session_begins_with_connecting() -> None:
    """Streaming is reached from connecting alone, and a pause leads nowhere else but to a stop."""
    assert [state for state, row in TRANSITIONS.items() if Status.STREAMING in row.values()] == [Status.CONNECTING]
    for pause in (Status.WAITING, Status.LOGIN_REQUIRED, Status.EVICTED):
        assert set(TRANSITIONS[pause].values()) == {Status.CONNECTING, Status.STOPPED}


WAYS: dict[Status, tuple[Status, ...]] = {
    Status.CONNECTING: (),
    **{state: (state,) for state in TRANSITIONS[Status.CONNECTING].values()},
}


@pytest.mark.parametrize("after", Status)
@pytest.mark.parametrize("before", Status)
def test_a_change_that_the_table_does_not_have_is_an_error(world: World, before: Status, after: Status) -> None:
    """An illegal transition raises, is not published and leaves the status as it was."""
    for state in WAYS[before]:
        world.announcer.enter(state, "on the way")
    published = len(world.published)
    if after in TRANSITIONS[before].values():
        world.announcer.enter(after, "legal")
        assert (world.announcer.state, len(world.published)) == (after, published + 1)
        return
    with pytest.raises(AssertionError, match=f"{before} does not lead to {after}"):
        world.announcer.enter(after, "illegal")
    assert (world.announcer.state, len(world.published)) == (before, published)


# --- what is announced -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(Status))
def test_each_state_is_announced_logged_and_counted_once(world: World, state: Status) -> None:
    """A change of state is one event that parses, one log line with its reason, one count."""
    with capture_logs() as logs:
        if state is Status.CONNECTING:
            world.announcer.begin()
        else:
            world.announcer.enter(state, "for a reason", retry_in_s=None)
    reason = "starting" if state is Status.CONNECTING else "for a reason"
    assert [line["event"] for line in logs] == [state]
    assert logs[0]["reason"] == reason
    assert logs[0]["log_level"] == ("warning" if state in ("waiting", "login_required", "evicted") else "info")
    assert world.announcer.counts == {f"entered {state}": 1}
    assert (world.last().state, world.last().reason, world.last().retry_in_s) == (state, reason, None)
    assert (world.announcer.state, world.announcer.reason) == (state, reason)


def test_since_is_when_the_state_began(world: World) -> None:
    """An occasion within a state does not move its beginning; neither does announcing the first one."""
    began = world.now
    world.now += 60
    world.announcer.begin()
    assert (world.announcer.since, world.last().since) == (began, int(began * 1000))
    assert (world.announcer.state, world.announcer.reason) == ("connecting", "starting")
    world.announcer.enter(Status.WAITING, "second")
    began = world.now
    world.now += 60
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
def test_an_occasion_is_announced_with_its_details(world: World, occasion: str, more: dict[str, Any]) -> None:
    """An occasion has its own fields in the event and in the log line, and leaves the state alone."""
    with capture_logs() as logs:
        world.announcer.announce(occasion, "why", **more)
    event = world.last()
    assert event.state == occasion
    given = {**more, **({"symbols": tuple(more["symbols"])} if "symbols" in more else {})}
    assert {name: getattr(event, name) for name in more} == given
    assert {name: logs[0][name] for name in more} == more
    assert world.announcer.state is Status.CONNECTING
    assert world.announcer.counts[occasion] == 1


def test_each_status_is_passed_on_after_it_was_published(world: World) -> None:
    """``on_status`` gets each event, after the publisher."""
    world.announcer.enter(Status.STREAMING, "3 symbols subscribed")
    world.announcer.announce("gap", "data is back")
    assert world.heard == [(1, "streaming"), (2, "gap")]
