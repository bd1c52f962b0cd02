"""What surrounds the table of every screen, and how many rows fit between."""

from typing import Any

import pytest
from rich.console import Console, ConsoleDimensions, RenderableType
from rich.text import Text

from schwabstream.report import LagReport, RedisReport, StreamerReport, SymbolReport
from schwabstream.terminal.page import (
    Header,
    compose,
    header,
    health,
    key_list,
    lines_between,
    one_line,
    paused,
    reader_header,
)
from schwabstream.terminal.watchlist import Watchlist

NOW = 1_790_000_000.0
NOW_MS = 1_790_000_000_000
NOTE = Text("q: leave")
FRESH = SymbolReport(symbol="A", key="A", asset="EQUITY", fresh=True, rate=2.5)
REASON = "the streamer closed the connection (no close frame)"


def report(**changes: Any) -> StreamerReport:
    """A report of a healthy streamer of one symbol, with these changes."""
    known = {"state": "streaming", "since": NOW_MS - 300_000, "reported": NOW_MS, "started": NOW_MS - 7_800_000}
    known |= {"pid": 4711, "host": "box", "version": "1", "symbols": [FRESH]}
    return StreamerReport.model_validate(known | changes)


def lag(exchange_ms: float | None, redis_ms: float | None) -> LagReport:
    """These delays."""
    return LagReport(exchange_to_here_ms=exchange_ms, here_to_redis_ms=redis_ms)


@pytest.mark.parametrize(
    ("changes", "line", "style"),
    [
        ({}, "streaming for 5m00", "bold green"),
        ({"lag": lag(45, 0.3)}, "streaming for 5m00  delay 45 ms", "bold green"),
        (
            {"simulated": True, "lag": lag(1, 1)},
            "streaming for 5m00  simulated prices  delay 2 ms",
            "bold green",
        ),
        (
            {"symbols": [FRESH, SymbolReport(symbol="B", key="B", asset="EQUITY")], "lag": lag(45, None)},
            "unhealthy: 1 of 2 symbols without data  streaming for 5m00  delay 45 ms",
            "bold red",
        ),
        (
            {"state": "login_required", "reason": "log in\x1b", "lag": lag(45, 1), "simulated": True},
            r"login required for 5m00: log in\u001b  simulated prices",
            "bold red",
        ),
    ],
)
def test_the_header_has_state_trouble_and_delay(changes: dict[str, Any], line: str, style: str) -> None:
    """What is wrong comes first and in red, the delay last and only while streaming; never the host or the pid."""
    shown = header(report(**changes), NOW)
    assert shown.whole.plain == shown.fitted(200).plain == line
    assert (shown.lead.style, shown.lead.spans[0].style) == ("", style)


@pytest.mark.parametrize(
    ("exchange_ms", "redis_ms", "shown"),
    [
        (None, None, None),
        (1234.5, None, "delay 1,234 ms"),
        (12.0, 0.31, "delay 12 ms"),
        (-3.0, 0.5, "delay 0 ms"),
        (61_000.0, 5.0, "delay 1m01"),
    ],
)
def test_the_delay_is_one_figure(exchange_ms: float | None, redis_ms: float | None, shown: str | None) -> None:
    """From the exchange to Redis, once it is measured; as an age from ten seconds on, and never negative."""
    line = header(report(lag=lag(exchange_ms, redis_ms)), NOW).whole.plain
    assert line == "streaming for 5m00" + (f"  {shown}" if shown else "")


def test_a_closed_market_has_no_delay() -> None:
    """The last trade of Friday, sent again on Sunday, is not two days late; one open market is enough for a delay.

    Simulated prices move at any time.
    """
    closed, opened = (FRESH.model_copy(update={"session": session}) for session in ("closed", "open"))
    assert "delay" not in header(report(lag=lag(172_800_000, 1), symbols=[closed]), NOW).whole.plain
    assert "delay 45 ms" in header(report(lag=lag(44, 1), symbols=[closed, opened]), NOW).whole.plain
    assert "delay 45 ms" in header(report(lag=lag(44, 1), symbols=[closed], simulated=True), NOW).whole.plain


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (200, f"waiting for 5m00: {REASON}  simulated prices"),
        (60, "waiting for 5m00: the streamer closed the…  simulated prices"),
        (42, "waiting for 5m00: the s…  simulated prices"),
        (40, "waiting for 5m00: the streamer closed t…"),
    ],
)
def test_a_narrow_header_cuts_the_reason_first(width: int, line: str) -> None:
    """The reason gives way to the facts until too little of it is left to read."""
    shown = header(report(state="waiting", reason=REASON, simulated=True), NOW)
    assert shown.fitted(width).cell_len <= width
    assert shown.fitted(width).plain == line


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (90, "unhealthy: 1 of 2 symbols without data  simulated prices  streaming for 5m00  delay 45 ms"),
        (80, "unhealthy: 1 of 2 symbols without data  simulated prices  streaming for 5m00"),
        (60, "unhealthy: 1 of 2 symbols without data  simulated prices"),
        (50, "unhealthy: 1 of 2 symbols witho…  simulated prices"),
        (40, "unhealthy: 1 of 2 symbols without data"),
    ],
)
def test_facts_give_way_to_a_trouble(width: int, line: str) -> None:
    """A trouble is cut for the mark of simulated prices, if enough of it is left to read, but not for other facts."""
    symbols = [FRESH, SymbolReport(symbol="B", key="B", asset="EQUITY")]
    assert header(report(symbols=symbols, lag=lag(45, 0), simulated=True), NOW).fitted(width).plain == line


def test_the_last_facts_give_way_first() -> None:
    """On a narrow screen simulated prices are still marked when the delay no longer fits."""
    shown = header(report(lag=lag(45, 0), simulated=True), NOW)
    assert shown.fitted(40).plain == "streaming for 5m00  simulated prices"
    assert shown.fitted(20).plain == "streaming for 5m00"


def test_a_note_stays_at_the_right_end() -> None:
    """A paused screen is marked at any width, whatever else has to give way."""
    shown = header(report(lag=lag(45, 0)), NOW)
    shown.note = "paused 12s"
    assert shown.fitted(60).plain == "streaming for 5m00  delay 45 ms" + " " * 19 + "paused 12s"
    assert shown.fitted(30).plain == "streaming for 5m00  paused 12s"


def test_a_reader_without_a_report_has_a_header_of_the_same_kind() -> None:
    """No Redis, no streamer, one that is starting and an answer over REST each read differently."""
    watchlist = Watchlist(())
    assert reader_header(watchlist, NOW).whole.plain == "no streamer is running  showing the last values"
    watchlist.starting = True
    assert reader_header(watchlist, NOW).whole.plain == "starting a streamer  it stops with this screen"
    watchlist.starting, watchlist.asked_at = False, NOW
    assert reader_header(watchlist, NOW).whole.plain.startswith("no streamer is running  asked Schwab at ")
    watchlist.outage = "Connection refused\x07"
    line = r"Redis is away: Connection refused\u0007; reconnecting"
    assert reader_header(watchlist, NOW).whole.plain == line
    watchlist.outage, watchlist.asked_at = None, None
    watchlist.take_report(report())
    assert reader_header(watchlist, NOW).whole.plain == header(report(), NOW).whole.plain


def test_the_health_line_has_the_figures_of_the_run() -> None:
    """Updates a second over all keys, events, losses and the Redis; two aliases of a key count once."""
    alias = FRESH.model_copy(update={"symbol": "a"})
    shown = report(symbols=[FRESH, alias], published=12_345, dropped=7, redis=RedisReport(master="10.0.0.2:6379"))
    line = "2.5 updates/s  7 dropped  Redis 10.0.0.2:6379  12,345 events in 2h10"
    assert health(shown, NOW).plain == line
    shown = report(gaps=1, redis=RedisReport(master="10.0.0.2:6379"))
    line = "1,234.5 updates/s  0 dropped  1 gap  Redis redis://h:1/0  0 events in 2h10"
    assert health(shown, NOW, rate=1234.5, redis="redis://h:1/0").plain == line


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (62, "2.5 updates/s  7 dropped  Redis 10.0.0.2:6379"),
        (40, "2.5 updates/s  7 dropped"),
        (10, "2.5 updates/s"),
    ],
)
def test_a_narrow_health_line_has_no_half_figures(width: int, line: str) -> None:
    """The last figures are left out before they would be cut; the first is always there."""
    shown = report(published=12_345, dropped=7, redis=RedisReport(master="10.0.0.2:6379"))
    assert health(shown, NOW, ConsoleDimensions(width, 24)).plain == line


def test_notes_take_the_lines_that_they_wrap_to() -> None:
    """Header and notes leave the rest of the screen; a note that may wrap takes several lines of a narrow one."""
    assert lines_between([NOTE, one_line("x" * 300), Text("y" * 81)], ConsoleDimensions(80, 24)) == 24 - 1 - 4
    assert lines_between([NOTE] * 9, ConsoleDimensions(80, 8)) == 0
    words = Text(" ".join(["x" * 25] * 3))  # two of them do not fit on one line
    assert lines_between([words], ConsoleDimensions(40, 8)) == 8 - 1 - 3


class Noted:
    """The parts of a screen, with a prompt and a note that is known once the rows are drawn."""

    def __init__(self, prompt: str | None = None, state: str = "streaming") -> None:
        self._prompt, self._state = prompt, state
        self._rows = 0

    def header(self, now_s: float, size: ConsoleDimensions | None) -> Header:
        """The state given."""
        return Header(Text(self._state))

    def body(self, now_s: float, size: ConsoleDimensions | None) -> RenderableType:
        """As many rows as fit."""
        self._rows = 9 if size is None else size.height
        return Text("\n".join(["row"] * self._rows))

    def below(self, now_s: float, size: ConsoleDimensions | None) -> list[Text]:
        """Two lines."""
        return [NOTE, one_line("last line")]

    def note(self, now_s: float) -> str:
        """The number of rows."""
        return f"{self._rows} of 9"

    def prompt(self, now_s: float) -> str | None:
        """The prompt given."""
        return self._prompt


def lines_of(parts: Noted, size: ConsoleDimensions | None) -> list[str]:
    """The lines of a screen of these parts, or of a print."""
    console = Console(width=80 if size is None else size.width, color_system=None)
    with console.capture() as capture:
        console.print(compose(parts, NOW, size))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_prompt_takes_the_last_line_and_moves_nothing() -> None:
    """While something waits for a key, it is in place of the last line; the note is that of the same frame."""
    before, asked = (lines_of(Noted(prompt), ConsoleDimensions(30, 6)) for prompt in (None, "sure?\x07"))
    assert before == ["streaming               3 of 9", "row", "row", "row", "q: leave", "last line"]
    assert asked == [*before[:-1], r"sure?\u0007"]


def test_what_the_header_cuts_is_below() -> None:
    """A reason that does not fit is a note in full; one that fits is not shown twice, and a print is never cut."""
    parts = Noted(state=f"waiting: {REASON}")
    drawn = lines_of(parts, ConsoleDimensions(40, 6))
    assert drawn[0].startswith("waiting: the streamer")
    assert drawn[1:] == [
        "row",
        "waiting: the streamer closed the",
        "connection (no close frame)",
        "q: leave",
        "last line",
    ]
    assert lines_of(parts, ConsoleDimensions(80, 4))[1:] == ["row", "q: leave", "last line"]
    assert lines_of(parts, None)[0] == f"waiting: {REASON}"


def test_a_print_has_every_row() -> None:
    """Without a size, as in a pipe, nothing is left out, and there is no prompt and no note."""
    assert lines_of(Noted("sure?"), None) == ["streaming", *["row"] * 9, "q: leave", "last line"]


@pytest.mark.parametrize(("lines", "drawn"), [(2, ["q   leave", "Esc  clear"]), (1, ["q: leave  Esc: clear"])])
def test_keys_are_listed_one_to_a_line_where_they_fit(lines: int, drawn: list[str]) -> None:
    """On a low screen they are a paragraph."""
    console = Console(width=60, color_system=None)
    with console.capture() as capture:
        console.print(key_list([("q", "leave"), ("Esc", "clear")], ConsoleDimensions(60, lines)))
    assert [line.split() for line in capture.get().splitlines()] == [line.split() for line in drawn]


def test_a_line_of_keys_ends_between_two_keys() -> None:
    """A paragraph of keys does not split a key from its meaning, nor either of them."""
    console = Console(width=24, color_system=None)
    with console.capture() as capture:
        console.print(
            key_list([("↑ ↓", "select a row"), ("Ctrl-L", "draw again"), ("q", "leave")], ConsoleDimensions(24, 2))
        )
    assert capture.get().splitlines() == ["↑ ↓: select a row", "Ctrl-L: draw again", "q: leave"]


@pytest.mark.usefixtures("utc")
def test_a_pause_is_shown_with_its_time() -> None:
    """The time of day at which the screen was paused; nothing while it follows the stream."""
    watchlist = Watchlist(())
    assert paused(watchlist, NOW) == ""
    watchlist.pause(NOW)
    assert paused(watchlist, NOW + 60) == "paused since 14:13:20"


def test_a_header_is_drawn_in_the_width_of_the_screen() -> None:
    """Rich draws it as one line, cut to the console."""
    console = Console(width=20, color_system=None)
    with console.capture() as capture:
        console.print(Header(Text("a" * 50), "fact"))
    assert capture.get() == "a" * 19 + "…\n"
