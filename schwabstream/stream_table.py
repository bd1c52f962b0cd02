"""The rows of the live table as terminal text: as many as fit, columns that do not fit left out as a whole.

Written straight as text with colours: through Rich a row costs a hundred times as much, and the table is drawn in the
process that streams. Knows no terminal and no clock; what comes from the wire is shown through ``formats.safe``.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from schwabstream.formats import safe
from schwabstream.market import Instrument
from schwabstream.symbols import price_decimals

STALE_AFTER_S = 10.0
GAP = "  "
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_COLOURS = frozenset({"red", "green", "yellow"})


class Column(NamedTuple):
    """A column, and how wide the terminal must be for it to be shown."""

    title: str
    from_width: int = 0
    left: bool = False


COLUMNS = (
    Column("Symbol", left=True),
    Column("Contract", 100, left=True),
    Column("Last"),
    Column(""),
    Column("Bid", 50),
    Column("Ask", 70),
    Column("Volume", 90),
    Column("Age"),
    Column("Upd/s", 80),
)
_SYMBOL, _ARROW = 0, 3


class Paint:
    """Styles as a terminal knows them: none at all, without colours, or with them."""

    def __init__(self, *, styles: bool, colours: bool) -> None:
        self._styles, self._colours = styles, colours

    def __call__(self, text: str, style: str) -> str:
        """The text in a style such as ``bold red``; as it is where there are no styles."""
        if not style or not self._styles:
            return text
        codes = [_CODES[word] for word in style.split() if self._colours or word not in _COLOURS]
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if codes else text


class StreamTable:
    """Draws one market again and again; widths and directions of prices are remembered from one drawing to the next."""

    def __init__(self, instruments: Mapping[str, Instrument], paint: Paint) -> None:
        self._instruments, self._paint = instruments, paint
        self._widths = [len(column.title) for column in COLUMNS]
        self._lasts: dict[str, tuple[float | None, int]] = {}

    def lines(self, rates: Mapping[str, float], now_s: float, width: int, height: int) -> list[str]:
        """At most ``height`` lines, titles included; the last one counts what did not fit, when something did not."""
        total = sum(len(instrument.aliases) for instrument in self._instruments.values())
        fit = max(1, height - 1)
        hidden = total - max(1, fit - 1) if total > fit else 0
        rows = [
            self._row(alias, instrument, rates.get(key, 0.0), now_s)
            for key, alias, instrument in islice(self._aliases(), total - hidden)
        ]
        for _, texts in rows:
            self._widths = [max(known, len(text)) for known, text in zip(self._widths, texts, strict=True)]
        shown = [index for index, column in enumerate(COLUMNS) if column.from_width <= width]
        lines = [self._line([column.title for column in COLUMNS], shown, width, lambda _: "bold")]
        lines += [self._line(texts, shown, width, style_of) for style_of, texts in rows]
        return [*lines, self._paint(f"and {hidden:,} more"[:width], "dim")] if hidden else lines

    def _aliases(self) -> Iterable[tuple[str, str, Instrument]]:
        for key, instrument in self._instruments.items():
            for alias in instrument.aliases:
                yield key, alias, instrument

    def _row(
        self, alias: str, instrument: Instrument, rate: float, now_s: float
    ) -> tuple[Callable[[int], str], list[str]]:
        """The styles of the cells, by column, and their texts; dim when the numbers are not from this moment."""
        tick = instrument.tick
        decimals = price_decimals(instrument.symbol)
        age_s = now_s - tick["received_us"] / 1e6 if tick["received_us"] else None
        direction = self._direction(instrument.key, tick["last_price"])
        dim = "" if instrument.fresh and age_s is not None and age_s < STALE_AFTER_S else "dim"
        styles = {_SYMBOL: f"{dim} bold".strip(), _ARROW: {1: "green", -1: "red"}.get(direction, "")}
        texts = [
            safe(alias),
            safe(tick["contract"] or ""),
            _price(tick["last_price"], decimals),
            {1: "▲", -1: "▼"}.get(direction, " "),
            f"{_count(tick['bid_size'])} × {_price(tick['bid_price'], decimals)}",
            f"{_price(tick['ask_price'], decimals)} × {_count(tick['ask_size'])}",
            _count(tick["total_volume"]),
            "no data yet" if age_s is None else _age(age_s),
            f"{rate:.1f}",
        ]
        return lambda index: styles.get(index, dim), texts

    def _direction(self, key: str, last: float | None) -> int:
        """Up or down since the last price that differed."""
        known, direction = self._lasts.get(key, (None, 0))
        if last is not None and known is not None and last != known:
            direction = 1 if last > known else -1
        self._lasts[key] = (last, direction)
        return direction

    def _line(self, texts: list[str], shown: list[int], width: int, style_of: Callable[[int], str]) -> str:
        parts, left = [], width
        for index in shown:
            text, room = texts[index], self._widths[index]
            padded = text.ljust(room) if COLUMNS[index].left else text.rjust(room)
            # Padding is not painted: the text alone has a style.
            before, _, after = padded.partition(text) if text else (padded, "", "")
            if len(padded) > left:
                break
            parts.append(before + self._paint(text, style_of(index)) + after)
            left -= room + len(GAP)
        return GAP.join(parts)


def _price(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:,.{decimals}f}"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _age(seconds: float) -> str:
    if seconds < 60:
        return f"{max(seconds, 0):.1f}s"
    return f"{int(seconds) // 60}m{int(seconds) % 60:02}s"
