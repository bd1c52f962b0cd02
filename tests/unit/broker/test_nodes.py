"""What is read from the replies of Sentinels and nodes, however odd they are."""

from typing import Any

import pytest

from schwabstream.broker.nodes import address_in, pairs_in, text_of
from schwabstream.broker.url import Address

FAR, NEAR = Address("10.0.0.5", 26379), Address("localhost", 26379)


@pytest.mark.parametrize(
    ("reply", "asked", "found"),
    [
        ([b"10.0.0.1", b"6379"], FAR, Address("10.0.0.1", 6379)),
        (["redis-1.example", 6379, "id"], FAR, Address("redis-1.example", 6379)),
        ([b"::1", b"6379"], NEAR, Address("::1", 6379)),
        ([b"127.0.0.1", b"6379"], NEAR, Address("127.0.0.1", 6379)),
        ([b"127.0.0.1", b"6379"], FAR, Address("10.0.0.5", 6379)),
        ([b"::1", b"6379"], FAR, Address("10.0.0.5", 6379)),
        ([b"", 7000], FAR, Address("10.0.0.5", 7000)),
        ([None, 7000, b"id", [b"ip", b"x"]], FAR, Address("10.0.0.5", 7000)),
        ([b"?", 7000], FAR, Address("10.0.0.5", 7000)),
        ([b"10.0.0.1", b"0"], FAR, None),
        ([b"10.0.0.1", b"65536"], FAR, None),
        ([b"10.0.0.1", b"-1"], FAR, None),
        ([b"10.0.0.1", None], FAR, None),
        ([b"10.0.0.1"], FAR, None),
        (b"10.0.0.1", FAR, None),
        (7, FAR, None),
        (None, FAR, None),
    ],
)
def test_an_address_is_read_as_the_asked_server_sees_it(reply: Any, asked: Address, found: Address | None) -> None:
    """No host, an unknown one and loopback mean the machine of the server that was asked; rubbish is no address."""
    assert address_in(reply, asked) == found


def test_names_and_values_are_read_from_both_protocols() -> None:
    """A flat list and a map are the same; anything else is empty, and odd bytes are replaced."""
    assert pairs_in([b"name", b"main", b"odd"]) == pairs_in({b"name": "main"}) == {"name": "main"}
    assert pairs_in(None) == pairs_in(7) == pairs_in(ValueError()) == {}
    assert text_of(b"\xff") == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (Address("h", 1), "h:1"),
        (Address("::1", 6379), "[::1]:6379"),
        (Address("/run/redis.sock", 0), "/run/redis.sock"),
    ],
)
def test_an_address_is_shown_as_in_a_url(address: Address, shown: str) -> None:
    """A host and a port, with brackets where they are needed, or the path of a socket."""
    assert str(address) == shown
