"""Schwab market data, streamed reliably into Redis and your terminal.

The names below are the public interface for programs that read the market::

    from schwabstream import subscribe

    for event in subscribe("/MNQ:XCME", "AAPL"):
        print(event)

``schwabstream.consumer``, ``.events``, ``.errors`` and ``.simulator`` list further public names in ``__all__``. A name
is loaded when it is first used: ``import schwabstream`` loads neither pydantic nor redis.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schwabstream.consumer import GroupReader, last, read_stream, subscribe
    from schwabstream.events import BarEvent, Channel, Level2Event, StatusEvent, TickEvent

__version__ = "0.1.0"

__all__ = [
    "BarEvent",
    "Channel",
    "GroupReader",
    "Level2Event",
    "StatusEvent",
    "TickEvent",
    "__version__",
    "last",
    "read_stream",
    "subscribe",
]

_CONSUMER = frozenset({"GroupReader", "last", "read_stream", "subscribe"})

if not TYPE_CHECKING:  # a type checker would take it for a promise that every name exists

    def __getattr__(name: str) -> object:
        """Load a public name when it is first used."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module("schwabstream.consumer" if name in _CONSUMER else "schwabstream.events")
        value = globals()[name] = getattr(module, name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
