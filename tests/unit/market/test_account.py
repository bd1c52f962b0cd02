"""Tests for AccountEvents and the masking of the account numbers in them."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from schwabstream.events import AccountEvent, parse_event
from schwabstream.market.account import account_event

ACCOUNT = "12345678"
ORDER = "1001602704574"
NOW_MS = 1_765_307_298_000


def entry(message: object = "", *, account: object = ACCOUNT, kind: object = "OrderCreated") -> dict[str, Any]:
    """One entry of the service, with the message as the JSON text that Schwab sends."""
    data = message if isinstance(message, str) else orjson.dumps(message).decode()
    return {"seq": 1, "key": "Account Activity", "1": account, "2": kind, "3": data}


def order(leaf: Callable[[str], Any] = lambda name: name) -> dict[str, Any]:
    """A message of a new order, in the shape of Schwab's, with a value of ``leaf`` at each end."""
    return {
        "SchwabOrderID": ORDER,
        "AccountNumber": leaf("AccountNumber"),
        "BaseEvent": {
            "EventType": leaf("EventType"),
            "OrderCreatedEventEquityOrder": {
                "Order": {
                    "AccountInfo": {
                        "AccountNumber": leaf("AccountNumber"),
                        "AccountBranch": leaf("AccountBranch"),
                        "OrderPlacementCustomerID": leaf("OrderPlacementCustomerID"),
                    },
                    "ClientChannelInfo": {"EventUserID": leaf("EventUserID"), "ClientProductCode": leaf("Code")},
                    "LifecycleCreatedTimestamp": {"DateTimeString": leaf("DateTimeString")},
                    "OrderAccount": leaf("OrderAccount"),
                    "LimitPrice": {"lo": "220470000", "signScale": 12},
                    "Legs": [{"Quantity": leaf("Quantity"), "Symbol": leaf("Symbol")}, leaf("item")],
                    "Note": leaf("Note"),
                },
            },
        },
    }


def event_of(given: dict[str, Any]) -> AccountEvent:
    """The event of an entry as a consumer gets it."""
    made = account_event(given, NOW_MS, NOW_MS * 1000, Counter())
    assert made is not None
    event = parse_event(orjson.dumps(made))
    assert isinstance(event, AccountEvent)
    return event


def test_an_entry_becomes_an_event_with_schwabs_names() -> None:
    """The event has the masked account, the type, the order and the message with Schwab's names."""
    event = event_of(entry({"SchwabOrderID": ORDER, "AccountNumber": ACCOUNT, "BaseEvent": {"RouteStatus": 8}}))
    assert (event.symbol, event.key, event.message_type) == ("****5678", "Account Activity", "OrderCreated")
    assert (event.order_id, event.sequence, event.timestamp) == (ORDER, 1, NOW_MS)
    assert event.message == {"SchwabOrderID": ORDER, "AccountNumber": "****5678", "BaseEvent": {"RouteStatus": 8}}


def test_the_first_message_of_a_subscription_is_empty() -> None:
    """SUBSCRIBED has no data, so the event has no message."""
    event = event_of(entry("", account="", kind="SUBSCRIBED"))
    assert (event.symbol, event.message, event.order_id) == ("****", None, None)


@pytest.mark.parametrize(
    ("decimal", "number"),
    [
        ({"lo": "220470000", "signScale": 12}, 220.47),
        ({"lo": "220470000", "signScale": 13}, -220.47),
        ({"signScale": 12}, 0.0),
        ({"lo": "5"}, 5),
        ({"lo": 5, "signScale": 1}, -5),
        ({}, {}),
        ({"lo": "1", "hi": 1, "signScale": 38}, 1.8446744073709551),
        ({"lo": "x", "signScale": 12}, {"lo": "x", "signScale": 12}),
        ({"lo": "1", "signScale": 9999}, {"lo": "1", "signScale": 9999}),
        ({"lo": None, "signScale": 12}, {"lo": None, "signScale": 12}),
        ({"lo": "1", "signScale": 12, "more": 1}, {"lo": "1", "signScale": 12, "more": 1}),
    ],
)
def test_decimals_become_numbers(decimal: dict[str, Any], number: object) -> None:
    """``lo`` and ``hi`` are a whole number, ``signScale`` its sign and decimal places; anything else stays as it is."""
    assert event_of(entry({"LimitPrice": decimal})).message == {"LimitPrice": number}


@pytest.mark.parametrize(
    "given", [None, 7, [], {}, {"2": 7}, {"2": None, "3": "{}"}], ids=["null", "number", "list", "empty", "int", "none"]
)
def test_an_entry_without_a_type_is_counted(given: object) -> None:
    """What is not a message about an account gives no event."""
    counts: Counter[str] = Counter()
    assert account_event(given, NOW_MS, NOW_MS * 1000, counts) is None
    assert counts == {"unknown entries": 1}


def test_dates_option_symbols_prices_and_order_ids_stay_readable() -> None:
    """Masking leaves what a program needs of an order."""
    message = {
        "DateTimeString": "2025-12-09 14:11:00.000",
        "Symbol": "AAPL  251219C00200000",
        "Price": 98.765432,
        "LegID": ORDER,
        "LifecycleSchwabOrderID": int(ORDER),
        "AutoConfirm": True,
        "Nothing": None,
    }
    assert event_of(entry(message)).message == message


def test_a_number_named_order_id_is_masked_unless_it_has_the_form_of_one() -> None:
    """Only 13 digits without the account's number in them are an order id."""
    message = {"SchwabOrderID": "123456789", "LegID": f"10012{ACCOUNT}", "OtherID": ORDER}
    event = event_of(entry(message))
    assert event.message == {"SchwabOrderID": "****6789", "LegID": "10012****5678", "OtherID": "****4574"}
    assert event.order_id == "****6789"


def test_an_account_in_a_price_a_date_or_a_symbol_is_masked() -> None:
    """The number of the message's own account is masked even where other digits stay."""
    message = {
        "LimitPrice": {"lo": ACCOUNT, "signScale": 12},
        "Price": 1234.5678,
        "Quantity": 12345678,
        "Symbol": f"AAPL  251219C{ACCOUNT}",
    }
    assert event_of(entry(message)).message == {
        "LimitPrice": "****5678",
        "Price": "****5678",
        "Quantity": "****5678",
        "Symbol": "AAPL  251219C****5678",
    }


def test_a_message_that_is_no_json_is_masked_as_text() -> None:
    """Text that cannot be parsed stays text."""
    event = event_of(entry(f'{{"AccountNumber": "{ACCOUNT}", "x": \\u00312345678'))
    assert event.message == '{"AccountNumber": "****5678", "x": ****5678'


def test_a_deeply_nested_message_ends_in_a_mask() -> None:
    """Nesting beyond any message of Schwab is cut off, without an error."""
    event = event_of(entry('{"a":' * 500 + f'"{ACCOUNT}"' + "}" * 500))
    assert ACCOUNT not in event.model_dump_json()


def planted(chance: random.Random, numbers: list[str]) -> Iterator[Any]:
    """An endless supply of account numbers, each in another form; all are added to ``numbers``."""
    forms: list[Callable[[str], Any]] = [
        lambda n: n,
        int,
        float,
        lambda n: f"{n[:4]}-{n[4:]}",
        " ".join,
        lambda n: f"account {n}.",
        lambda n: orjson.dumps({"AccountNumber": n, "x": [int(n)]}).decode(),
        lambda n: orjson.dumps([orjson.dumps({f"of {n}": f"x{n}"}).decode()]).decode(),
        lambda n: {f"of {n}": {"lo": n, "signScale": 0}},
        lambda n: [n, [n]],
    ]
    while True:
        for form in forms:
            number = str(chance.randint(10**7, 10 ** chance.randint(8, 12)))
            numbers.append(number)
            yield form(number)


@pytest.mark.slow  # every run plants as many in a whole streamer, end to end
def test_none_of_10000_planted_numbers_is_in_an_event() -> None:
    """Account numbers in every field, in names, in nested JSON and with separators never reach an event."""
    chance, numbers, digits = random.Random(14), list[str](), re.compile("[^0-9]")
    plant = planted(chance, numbers)
    while len(numbers) < 10_000:
        own = str(chance.randint(10**7, 10**8 - 1))
        numbers.append(own)
        given = entry(order(lambda _: next(plant)), account=own, kind=f"OrderCreated {next(plant)}")
        given |= {"key": str(next(plant)), "seq": int(own), "4": own}
        made = account_event(given, NOW_MS, NOW_MS * 1000, Counter())
        assert made is not None
        text = orjson.dumps(made | {"timestamp": 0, "received_us": 0, "seq": 0}).decode()
        found = digits.sub("", text)
        assert [number for number in numbers[-40:] if number in text or number in found] == []


def test_no_hash_of_an_account_is_in_an_event() -> None:
    """The hashed form of an account, which names it in Schwab's REST API, is masked like the number."""
    hashed = "0123456789ABCDEF" * 4
    text = event_of(entry(order(lambda _: hashed), account=hashed, kind=hashed)).model_dump_json()
    assert hashed not in text
    assert hashed[:32] not in text
    assert "****CDEF" in text
