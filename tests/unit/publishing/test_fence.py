"""The claims in words; what Redis does with them is in tests/integration/publishing/test_lease.py."""

import pytest

from schwabstream.publishing.fence import Holder, describe, lease_key


def test_key_hides_the_customer_id() -> None:
    """The key names the account by a digest: the same for the same customer, without the customer's id in it."""
    customer_id = "c" * 64
    key = lease_key("market_data", customer_id)
    assert key == lease_key("market_data", customer_id)
    assert key != lease_key("market_data", "d" * 64)
    assert key.startswith("market_data:lease:")
    assert len(key.removeprefix("market_data:lease:")) == 16
    assert customer_id[:8] not in key


@pytest.mark.parametrize("host", ["box", "box.example.org", "::1", ""])
def test_holder_is_what_it_was_written_as(host: str) -> None:
    """Reading a holder is the inverse of writing it, colons in the host name included."""
    holder = Holder(7, host, 4711)
    assert Holder.parse(str(holder)) == holder


@pytest.mark.parametrize(
    ("holder", "words"),
    [
        (None, "none"),
        ("7:box:4711", "host box, pid 4711"),
        ("", "an unknown program"),
        ("x:y:z", "an unknown program"),
    ],
)
def test_holder_in_words(holder: str | None, words: str) -> None:
    """Messages name host and pid, and nothing unreadable."""
    assert describe(holder) == words
