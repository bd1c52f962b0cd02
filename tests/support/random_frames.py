"""Seeded random frames: level 1, books, bars and the streamer's own, some with wrong values, some broken as text."""

import json
import random
from collections.abc import Callable
from typing import Any

from schwabstream.protocol.fields import FIELDS, Service
from schwabstream.protocol.values import Kind
from tests.support.slow_model import BAR_TIMES, BOOK_SERVICES, LEVEL_ONE_OF

ODD: list[Any] = [
    None,
    0,
    "",
    False,
    True,
    -0.0,
    5.0,
    "x",
    [],
    {},
    [7],
    2**53,
    -(2**63),
    2**64 - 1,
    2**70,
    1e19,
    -1e300,
]
BREAKERS = '{}[]",:0-.eEN\\ x\ufffd'
SERVICE_OF_KEY = {
    "/ES": "LEVELONE_FUTURES",
    "/NQZ25": "LEVELONE_FUTURES",
    "AAPL": "LEVELONE_EQUITIES",
    "AAPL  271217C00200000": "LEVELONE_OPTIONS",
    "EUR/USD": "LEVELONE_FOREX",
}


class RandomFrames:
    """Frames about a handful of keys; the same seed gives the same frames."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._now_ms = 1_765_083_430_000

    def next(self) -> str | bytes:
        """One frame."""
        chance = self._random
        self._now_ms += chance.randrange(200)
        kinds = (self._level_one, self._book, self._bar, self._other)
        data = [kind() for kind in chance.choices(kinds, (50, 30, 10, 10), k=chance.choice((1, 1, 1, 2)))]
        envelope: Any = {"data": data}
        if chance.random() < 0.05:
            envelope |= {"notify": [{"heartbeat": str(self._now_ms)}], "response": chance.choice(ODD)}
        if chance.random() < 0.01:
            envelope = chance.choice([*ODD, data, {"data": chance.choice(ODD)}])
        text = json.dumps(envelope, separators=chance.choice(((",", ":"), (", ", ": "))), ensure_ascii=False)
        if chance.random() < 0.12:
            return self._break(text)
        return text if chance.random() < 0.5 else text.encode()

    def _odd(self, plausible: Any, share: float = 0.04) -> Any:
        return self._random.choice(ODD) if self._random.random() < share else plausible

    def _batch(self, service: str, entry: Callable[[], Any]) -> dict[str, Any]:
        chance = self._random
        content = [self._odd(entry(), 0.01) for _ in range(chance.randint(0, 5))]
        batch = {"service": service, "timestamp": self._odd(self._now_ms), "command": "SUBS", "content": content}
        if chance.random() < 0.01:
            batch[chance.choice(list(batch))] = chance.choice(ODD)
        if chance.random() < 0.01:
            del batch[chance.choice(list(batch))]
        if chance.random() < 0.05:
            batch = dict(chance.sample(list(batch.items()), len(batch)))
        return batch

    def _level_one(self) -> dict[str, Any]:
        service = self._random.choice(list(SERVICE_OF_KEY.values()))
        return self._batch(service, lambda: self._quote(service))

    def _quote(self, service: str) -> dict[str, Any]:
        chance = self._random
        keys = [key for key, of in SERVICE_OF_KEY.items() if of == service]
        entry: dict[str, Any] = {"key": self._odd(chance.choice([*keys, *keys, *SERVICE_OF_KEY, "/ZZ"]), 0.02)}
        if chance.random() < 0.1:
            entry |= {"delayed": self._odd(chance.random() < 0.5), "assetMainType": "FUTURE"}
        for field in chance.sample(FIELDS[Service(service)], chance.randint(0, 9)):
            entry[str(field.number)] = self._odd(self._value(field.kind, field.name))
        if chance.random() < 0.05:
            entry[chance.choice(("99", "0", "seq", "symbol", "v", ""))] = chance.choice(ODD)
        return entry

    def _value(self, kind: Kind, name: str) -> Any:
        chance = self._random
        if name.endswith("_time"):
            return self._now_ms - chance.randrange(5_000)
        if name == "active_contract":
            return chance.choice(("/ESZ25", "/ESH26"))
        values: dict[Kind, Any] = {
            Kind.FLOAT: round(chance.uniform(-5, 500), chance.randint(0, 4)),
            Kind.INT: chance.choice((chance.randrange(10_000), float(chance.randrange(100)), 1.5)),
            Kind.TEXT: chance.choice(("Normal", "Halted", "", "?", 'E-mini “S&P” \\ " NaN', "Café")),
            Kind.CHAR: chance.choice(("?", "Q", 63, 64, 7)),
            Kind.FLAG: chance.random() < 0.5,
            Kind.LIST: [],
        }
        return values[kind]

    def _book(self) -> dict[str, Any]:
        return self._batch(self._random.choice(sorted(BOOK_SERVICES)), self._whole_book)

    def _whole_book(self) -> dict[str, Any]:
        chance = self._random
        entry = {"key": self._odd(chance.choice([*SERVICE_OF_KEY, "/ZZ"]), 0.01), "1": self._odd(self._now_ms)}
        for number in chance.choice(("23", "23", "23", "2", "3", "")):
            entry[number] = self._odd([self._odd(self._level(), 0.005) for _ in range(chance.randint(0, 8))], 0.02)
        return entry

    def _level(self) -> dict[str, Any]:
        chance = self._random
        makers = [self._odd(self._maker(), 0.003) for _ in range(chance.randint(0, 4))]
        price = chance.choice((round(chance.uniform(1, 99), 2), chance.randrange(1, 99)))
        return self._damaged({"0": price, "1": self._amount(), "2": len(makers), "3": makers})

    def _maker(self) -> dict[str, Any]:
        maker = {"0": self._random.choice(("NSDQ", "iexg", "G", "Ä")), "1": self._amount(), "2": 49_786_299}
        if self._random.random() < 0.01:
            maker["9"] = self._odd(1, 0.5)
        return self._damaged(maker)

    def _amount(self) -> int | float:
        """A size, seldom written with a point."""
        size = self._random.randrange(900)
        return float(size) if self._random.random() < 0.01 else size

    def _damaged(self, part: dict[str, Any]) -> dict[str, Any]:
        """The part, seldom without one of its fields or with an odd value in it."""
        number = self._random.choice(list(part))
        if self._random.random() < 0.004:
            del part[number]
        elif self._random.random() < 0.01:
            part[number] = self._random.choice(ODD)
        return part

    def _bar(self) -> dict[str, Any]:
        service = self._random.choice(list(BAR_TIMES))
        key = self._random.choice(list(SERVICE_OF_KEY))

        def bar() -> dict[str, Any]:
            fields = {str(number): self._odd(round(self._random.uniform(1, 99), 2), 0.02) for number in range(1, 7)}
            return self._damaged({"key": key, "seq": 1, **fields, BAR_TIMES[service]: self._odd(self._now_ms)})

        return self._batch(service, bar)

    def _other(self) -> dict[str, Any]:
        service = self._random.choice(("BRAND_NEW", "ADMIN", "LEVELONE_FUTURES_OPTIONS", *LEVEL_ONE_OF.values()))
        return self._batch(service, lambda: self._quote("LEVELONE_FUTURES"))

    def _break(self, text: str) -> str | bytes:
        """The text as no JSON writer would leave it."""
        chance = self._random
        at, length = chance.randrange(len(text)), chance.randint(1, 12)
        match chance.randrange(7):
            case 0:
                return text[:at]
            case 1:
                return text[:at] + chance.choice(BREAKERS) + text[at + 1 :]
            case 2:
                return text[:at] + text[at : at + length] + text[at:]
            case 3:
                return text[:at] + text[at + length :]
            case 4:
                return text.encode().replace(b":0", b":\xff\xff").replace(b":1.", b":\xffNaN")
            case 5:
                return text.replace('\\"', '\\\\"')
            case _:
                wrong = chance.choice(("NaN", "-Infinity", "\ufffd", "\ufffd\ufffd", "∞", "-∞", "1e999", "1.2.3", "-"))
                return text.replace(":5", f":{wrong}", 3).replace(":1", f":{wrong}", 1)
