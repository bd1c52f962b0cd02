"""The publisher's life: a total table, no step beside it, and every life ends."""

import pytest

from schwabstream.events import Channel
from schwabstream.publishing.life import TRANSITIONS, UNREACHED, State, Trigger
from schwabstream.publishing.publisher import TradingEventPublisher

NOBODY = "redis://127.0.0.1:1/0"


def in_state(state: State) -> TradingEventPublisher:
    """A publisher in this state, without a Redis."""
    publisher = TradingEventPublisher(NOBODY)
    publisher.state = state
    return publisher


def test_the_table_is_total() -> None:
    """Every state has a row, every trigger moves some state, and each leads to a state with a row."""
    assert set(TRANSITIONS) == set(State)
    assert {trigger for row in TRANSITIONS.values() for trigger in row} == set(Trigger)
    assert {target for row in TRANSITIONS.values() for target in row.values()} == set(State)


def test_every_life_begins_away_and_can_be_closed_at_any_time() -> None:
    """A publisher begins without a connection; only CLOSED has no way out, and each other state leads there at once."""
    assert TradingEventPublisher(NOBODY).state is State.AWAY is next(iter(TRANSITIONS))
    assert [state for state, row in TRANSITIONS.items() if not row] == [State.CLOSED]
    assert {state for state, row in TRANSITIONS.items() if row.get(Trigger.CLOSE) is State.CLOSED} == {*State} - {
        State.CLOSED
    }


def test_a_lost_connection_is_possible_wherever_there_is_one() -> None:
    """Each state with a connection, and the attempt to make one, leads back to AWAY; a lost lease ends for good."""
    with_connection = {*State} - UNREACHED - {State.FENCED}
    assert {state for state, row in TRANSITIONS.items() if Trigger.LOST in row} == {*with_connection, State.CONNECTING}
    assert {row[Trigger.LOST] for row in TRANSITIONS.values() if Trigger.LOST in row} == {State.AWAY}
    assert set(TRANSITIONS[State.FENCED]) == {Trigger.CLOSE}


@pytest.mark.parametrize("state", [state for state in State if Trigger.CONNECT not in TRANSITIONS[state]])
async def test_only_one_connection_is_made(state: State) -> None:
    """Where the table has no step for connecting, connecting fails before Redis is asked."""
    publisher = in_state(state)
    with pytest.raises(KeyError):
        await publisher.connect()
    assert publisher.state is state


@pytest.mark.parametrize(
    "state", [state for state in State if Trigger.RUN not in TRANSITIONS[state] and state is not State.AWAY]
)
async def test_only_a_connected_publisher_runs(state: State) -> None:
    """Nobody runs a publisher twice at a time, nor one that has lost its lease or is closed."""
    publisher = in_state(state)
    with pytest.raises(KeyError):
        await publisher.run()


async def test_what_is_closed_stays_closed() -> None:
    """A second close is a step that the table does not have."""
    publisher = in_state(State.AWAY)
    await publisher.close()
    assert publisher.state is State.CLOSED
    with pytest.raises(KeyError):
        await publisher.close()


@pytest.mark.parametrize("state", list(State))
async def test_an_event_is_queued_in_every_state_and_wakes_the_writer_of_an_idle_one_only(state: State) -> None:
    """Publishing never fails and never waits; one write is scheduled, however many events come."""
    publisher = in_state(state)
    for _ in range(2):
        publisher.publish(Channel.TICKS, {"seq": 0, "symbol": "AAPL"})
    assert publisher.queued == 2
    assert publisher.state is (State.WRITING if state is State.IDLE else state)


@pytest.mark.parametrize("state", list(State))
def test_redis_counts_as_connected_where_it_was_reached(state: State) -> None:
    """Connected is a matter of the state alone."""
    assert in_state(state).connected is (state not in {State.AWAY, State.CONNECTING, State.CLOSED})
