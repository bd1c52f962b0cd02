"""Lost events of a symbol, found by the number of the event before."""

from hypothesis import given
from hypothesis import strategies as st

from schwabstream.consumer.chains import Chains
from schwabstream.events import Channel


def follow(
    chains: Chains, seq: int, prev: int, symbol: str = "A", *, live: bool = True
) -> tuple[bool, int, int] | None:
    """Follow one tick: whether a new run began, and the numbers around the break."""
    found = chains.follow(Channel.TICKS, symbol, seq, prev, seq, live=live)
    return found and (found.restarted, found.seq_before, found.seq_after)


@given(st.lists(st.tuples(st.sampled_from("AB"), st.booleans()), max_size=30))
def test_a_break_is_found_exactly_where_events_of_the_symbol_are_missing(events: list[tuple[str, bool]]) -> None:
    """However the events of others lie between, a break comes when and only when one of the symbol's own was lost."""
    chains, newest, missed = Chains(), dict.fromkeys("AB", 0), dict[str, bool]()
    for seq, (symbol, arrives) in enumerate(events, start=1):
        if arrives:
            assert (follow(chains, seq, newest[symbol], symbol) is not None) is missed.get(symbol, False)
            missed[symbol] = False
        elif symbol in missed:
            missed[symbol] = True
        newest[symbol] = seq


def test_last_values_continue_a_chain_but_do_not_begin_one() -> None:
    """After an outage the last value shows what was lost; at the start it may be of a run before."""
    chains = Chains()
    assert follow(chains, 5, 0, live=False) is None
    assert follow(chains, 20, 0) is None
    assert follow(chains, 21, 20, live=False) is None
    assert follow(chains, 25, 23, live=False) == (False, 21, 25)
    assert follow(chains, 26, 25) is None


def test_a_new_run_is_reported_once_however_many_symbols_there_are() -> None:
    """The first event of the new run breaks the chains of all symbols at once."""
    chains = Chains()
    for seq, symbol in enumerate("ABC", start=1):
        follow(chains, seq, 0, symbol)
    found = [follow(chains, seq, 0, symbol) for seq, symbol in enumerate("ABC", start=100)]
    assert found == [(True, 1, 100), None, None]
    assert follow(chains, 200, 0) == (True, 100, 200)
