"""What a consumer receives: the JSON events on Redis, as pydantic models.

The streamer itself writes these as plain dictionaries (see ``market``); a test holds both against each other.
Times: ``timestamp`` and ``*_time`` are integer milliseconds since the Unix epoch, UTC; ``received_us`` microseconds.
A field Schwab never sent is None; NaN never appears.
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

VERSION: Final = 1


class Channel(StrEnum):
    """The four channels; each has its own ``seq``, pub/sub channel and stream."""

    TICKS = "ticks"
    LEVEL2 = "level2"
    BARS = "bars"
    STATUS = "status"


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    v: Literal[1] = VERSION
    symbol: str
    key: str
    seq: int
    timestamp: int
    received_us: int


class TickEvent(_Event):
    """The full known level-1 state of one symbol after one update; conflated by Schwab, so not every trade."""

    type: Literal["tick"] = "tick"
    asset: str
    contract: str | None = None
    last_price: float
    last_size: int | None = None
    bid_price: float | None = None
    bid_size: int | None = None
    ask_price: float | None = None
    ask_size: int | None = None
    total_volume: int | None = None
    open_price: float | None = None
    high_price: float | None = None
    low_price: float | None = None
    close_price: float | None = None
    net_change: float | None = None
    mark: float | None = None
    open_interest: int | None = None
    trade_time: int | None = None
    quote_time: int | None = None
    is_trade: bool
    delayed: bool | None = None
    repeat: bool = False


class Venue(BaseModel):
    """One market maker's or exchange's share of a level.

    ``time_ms`` is Schwab's own: milliseconds since midnight US/Eastern, of a day it does not name (protocol 4.6).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    size: int
    time_ms: int | None = None


class Level(BaseModel):
    """One price of one side of a book; ``makers`` is how many stand behind it, 0 when Schwab does not tell."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    price: float
    size: int
    makers: int
    venues: tuple[Venue, ...] = ()


class Level2Event(_Event):
    """One whole book; bids and asks are best first."""

    type: Literal["level2"] = "level2"
    service: str
    source: Literal["book", "top_of_book"]
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class BarEvent(_Event):
    """One minute bar; ``timestamp`` is the bar's start."""

    type: Literal["bar"] = "bar"
    open: float
    high: float
    low: float
    close: float
    volume: float


StatusState = Literal[
    "connecting",
    "streaming",
    "waiting",
    "login_required",
    "evicted",
    "stale",
    "gap",
    "dropped",
    "stopped",
]


class StatusEvent(BaseModel):
    """What the streamer says of itself; ``since`` is when the state began, milliseconds since the Unix epoch."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    v: Literal[1] = VERSION
    type: Literal["status"] = "status"
    symbol: str | None = None
    key: str | None = None
    seq: int
    timestamp: int
    received_us: int
    state: StatusState
    reason: str
    detail: str | None = None
    since: int
    retry_in_s: float | None = None
    lost_at: int | None = None
    restored_at: int | None = None
    symbols: tuple[str, ...] | None = None
    count: int | None = None


def status_event(state: str, reason: str, now_us: int, **more: Any) -> dict[str, Any]:
    """A :class:`StatusEvent` as a dictionary with ``seq`` 0, which only a publisher changes; ``more`` has other fields.

    Unless ``more`` says otherwise, the state began at ``now_us`` and concerns no symbol.
    """
    return {
        "v": VERSION,
        "type": "status",
        "symbol": None,
        "key": None,
        "seq": 0,
        "timestamp": now_us // 1000,
        "received_us": now_us,
        "state": state,
        "reason": reason,
        "since": now_us // 1000,
        **more,
    }


Event = Annotated[TickEvent | Level2Event | BarEvent | StatusEvent, Field(discriminator="type")]

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def parse_event(payload: str | bytes) -> Event:
    """One published message as its model; raises ``pydantic.ValidationError`` when it is not one."""
    return _EVENT.validate_json(payload)
