"""Whom the Sentinels or the nodes of a Cluster name, and how long they are waited for; on virtual time."""

import asyncio
import gc
from collections.abc import Mapping

import pytest

from schwabstream.broker.majority import SETTLE_S, Answer, Majority, Round
from schwabstream.broker.nodes import ASK_LIMIT_S, FIRST_LIMIT_S
from schwabstream.broker.url import Address
from tests.support.virtual_time import VirtualLoop, run_virtual

A, B, C, D, E = (Address(f"sentinel-{name}", 26379) for name in "abcde")
ONE, TWO = Address("10.0.0.1", 6379), Address("10.0.0.2", 6379)
FOREVER = 3600.0


class Servers:
    """Sentinels or nodes: what each answers and after how many seconds; the ones without an answer are down."""

    def __init__(self, answers: Mapping[Address, Answer], delays: Mapping[Address, float] | None = None) -> None:
        self.answers, self.delays = dict(answers), delays or {}
        self.asked: list[Address] = []

    async def ask(self, node: Address) -> Answer:
        """Answer a question."""
        self.asked.append(node)
        await asyncio.sleep(self.delays.get(node, 0.001))
        if node not in self.answers:
            raise ConnectionRefusedError(111, "Connection refused")
        return self.answers[node]


def answer(node: Address, master: Address, *others: Address, identity: str = "", master_id: str = "") -> Answer:
    """What a server answers; its identity is its host unless it is given."""
    return Answer(identity or node.host, master, master_id, others)


def ask(servers: Servers, *seeds: Address, rounds: int = 1) -> tuple[Round, float]:
    """The last of some rounds, and how long it took."""

    async def run() -> tuple[Round, float]:
        majority = Majority(seeds, servers.ask)
        for _ in range(rounds):
            servers.asked.clear()
            began = asyncio.get_running_loop().time()
            result = await majority.ask_all()
        return result, asyncio.get_running_loop().time() - began

    return run_virtual(run(), VirtualLoop())


def after_the_seed_died(servers: Servers) -> Round:
    """The third round; the only seed, A, dies after the first."""

    async def run() -> Round:
        majority = Majority([A], servers.ask)
        await majority.ask_all()
        del servers.answers[A]
        await majority.ask_all()
        return await majority.ask_all()

    return run_virtual(run(), VirtualLoop())


@pytest.mark.parametrize(
    ("named", "elected"),
    [
        ({A: ONE, B: ONE, C: ONE}, ONE),
        ({A: TWO, B: ONE, C: ONE}, ONE),
        ({A: ONE, B: TWO, C: ONE}, ONE),
        ({A: ONE, B: ONE}, ONE),
        ({A: ONE}, ONE),
        ({A: ONE, B: TWO}, None),
        ({A: ONE, B: ONE, C: TWO, D: TWO}, None),
        ({A: ONE, B: ONE, C: TWO, D: TWO, E: TWO}, TWO),
        ({}, None),
    ],
)
def test_more_than_half_of_the_answers_decide(named: dict[Address, Address], elected: Address | None) -> None:
    """A minority that names another address does not win, and neither does one half."""
    servers = Servers({node: answer(node, master) for node, master in named.items()})
    found, _ = ask(servers, A, B, C, D, E)
    assert found.elected == elected
    assert set(found.failures) == {A, B, C, D, E} - set(named)


def test_one_seed_is_enough_to_hear_all() -> None:
    """Those that a seed names are asked before anything is decided, so that one outdated seed decides nothing."""
    servers = Servers({A: answer(A, TWO, B, C), B: answer(B, ONE, A, C), C: answer(C, ONE, A, B)})
    found, _ = ask(servers, A)
    assert found.elected == ONE
    assert sorted(servers.asked) == [A, B, C]


def test_a_sentinel_that_answered_is_asked_again_although_it_does_not_name_itself() -> None:
    """The only Sentinel that still answers, and is no seed, is found in every later round."""
    servers = Servers({A: answer(A, ONE, B, C), B: answer(B, ONE, A, C)})

    assert after_the_seed_died(servers).elected == ONE


def test_a_server_that_names_thousands_does_not_have_them_all_asked() -> None:
    """However many servers a reply names, the connections of a round are bounded, and the seeds are among them."""
    thousands = [Address("10.1.0.1", port) for port in range(1, 5000)]
    seeds = [Address("10.2.0.1", port) for port in range(1, 64)]
    for asked, most in (([A], 32), (seeds, len(seeds))):
        servers = Servers({asked[0]: answer(asked[0], ONE, *thousands)})
        found, _ = ask(servers, *asked, rounds=2)
        assert (found.elected, len(servers.asked), set(asked) - set(servers.asked)) == (ONE, most, set())


def test_what_the_topology_named_last_is_asked_when_all_seeds_are_gone() -> None:
    """A seed that dies later does not matter, because the others are remembered."""
    servers = Servers({A: answer(A, ONE, B, C), B: answer(B, ONE, C), C: answer(C, ONE, B)})

    found = after_the_seed_died(servers)
    assert found.elected == ONE
    assert set(found.answers) == {B.host, C.host}


def test_one_that_is_named_no_more_is_forgotten() -> None:
    """A Sentinel that was removed is not asked again."""
    servers = Servers({A: answer(A, ONE, B, C), B: answer(B, ONE, A)})

    async def run() -> None:
        majority = Majority([A], servers.ask)
        await majority.ask_all()
        servers.answers[A] = answer(A, ONE, B)
        await majority.ask_all()
        servers.asked.clear()
        await majority.ask_all()

    run_virtual(run(), VirtualLoop())
    assert sorted(servers.asked) == [A, B]


def test_one_server_under_two_addresses_has_one_vote() -> None:
    """A seed given by name and named by its number counts once: here both sides have one vote."""
    number = Address("10.0.0.9", 26379)
    servers = Servers({
        A: answer(A, ONE, identity="x"),
        number: answer(number, ONE, identity="x"),
        B: answer(B, TWO, number),
    })  # fmt: skip
    found, _ = ask(servers, A, B)
    assert len(found.answers) == 2
    assert found.elected is None


def test_a_silent_one_is_waited_for_a_moment_when_a_majority_agrees() -> None:
    """A frozen Sentinel of three does not delay a connection."""
    servers = Servers({node: answer(node, ONE) for node in (A, B, C)}, {C: FOREVER})
    found, took_s = ask(servers, A, B, C)
    assert found.elected == ONE
    assert took_s < SETTLE_S + 0.01


def test_all_are_waited_for_as_long_as_no_majority_agrees() -> None:
    """Two of three that disagree do not decide while the third may still answer."""
    servers = Servers({A: answer(A, ONE), B: answer(B, TWO), C: answer(C, TWO)}, {C: ASK_LIMIT_S * 0.9})
    found, _ = ask(servers, A, B, C)
    assert found.elected == TWO


def test_nobody_is_waited_for_longer_than_the_limit() -> None:
    """When most are frozen, those that answer in time decide."""
    servers = Servers({node: answer(node, ONE) for node in (A, B, C)}, {B: FOREVER, C: FOREVER})
    found, took_s = ask(servers, A, B, C)
    assert found.elected == ONE
    assert ASK_LIMIT_S <= took_s < ASK_LIMIT_S + 0.01


def test_the_first_answer_of_all_may_come_late() -> None:
    """At the start a busy machine may need more than the usual limit; an answer then ends the round soon."""
    late_s = FIRST_LIMIT_S * 0.9
    servers = Servers({node: answer(node, ONE) for node in (A, B, C)}, {A: late_s, B: late_s, C: FOREVER})
    found, took_s = ask(servers, A, B, C)
    assert found.elected == ONE
    assert set(found.answers) == {A.host, B.host}
    assert took_s < late_s + SETTLE_S + 0.01


def test_without_any_answer_the_first_round_ends() -> None:
    """When all are frozen at the start, the error comes after the longer limit, in time for readers that allow 3 s."""
    servers = Servers({node: answer(node, ONE) for node in (A, B, C)}, dict.fromkeys((A, B, C), FOREVER))
    found, took_s = ask(servers, A, B, C)
    assert found.answers == {}
    assert FIRST_LIMIT_S <= took_s < FIRST_LIMIT_S + 0.01 < 3.0


def test_later_rounds_have_the_usual_limit() -> None:
    """A server that has answered before shows that the address is right: a silent round then ends after a second."""
    servers = Servers({A: answer(A, ONE)})

    async def run() -> float:
        majority = Majority([A], servers.ask)
        await majority.ask_all()
        servers.delays = {A: FOREVER}
        began = asyncio.get_running_loop().time()
        await majority.ask_all()
        return asyncio.get_running_loop().time() - began

    assert run_virtual(run(), VirtualLoop()) == pytest.approx(ASK_LIMIT_S)


def test_an_owner_that_gave_its_slot_away_names_the_next() -> None:
    """The old owner of a slot is the first to know the new one, while the other nodes still name the old."""
    servers = Servers({
        A: answer(A, TWO, identity="old", master_id="new"),
        B: answer(B, ONE, master_id="old"),
        C: answer(C, ONE, master_id="old"),
    })  # fmt: skip
    found, _ = ask(servers, A, B, C)
    assert found.elected == TWO


def test_a_node_with_several_addresses_is_one_master() -> None:
    """Nodes may know the owner under different addresses: its id counts, and the most frequent address is used."""
    servers = Servers({
        A: answer(A, Address("a", 1), master_id="owner"),
        B: answer(B, ONE, master_id="owner"),
        C: answer(C, ONE, master_id="owner"),
    })  # fmt: skip
    found, _ = ask(servers, A, B, C)
    assert found.elected == ONE


@pytest.mark.parametrize("error", [ValueError("rubbish"), TypeError("rubbish"), KeyError("rubbish")])
def test_rubbish_is_a_failure_of_one(error: Exception) -> None:
    """An answer that cannot be read counts as none."""

    class Odd(Servers):
        async def ask(self, node: Address) -> Answer:
            if node == A:
                raise error
            return await super().ask(node)

    found, _ = ask(Odd({node: answer(node, ONE) for node in (B, C)}), A, B, C)
    assert found.elected == ONE
    assert found.failures == {A: error}


def test_a_question_that_fails_when_nobody_waits_for_it_is_not_logged() -> None:
    """A question that is cancelled and ends with an error instead leaves no traceback on stderr."""
    logged: list[object] = []

    async def fail(_: Address) -> Answer:
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            raise ConnectionResetError(104, "Connection reset by peer") from None
        raise AssertionError

    async def play() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
        await Majority([A], fail).ask_all()
        gc.collect()

    run_virtual(play(), VirtualLoop())
    assert logged == []
