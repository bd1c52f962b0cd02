"""The streamer's report as shown."""

from collections.abc import Callable
from typing import cast

import pytest
from rich.console import Console, Group, RenderableType
from rich.text import Text

from schwabstream.report import LagReport, RedisReport, StreamerReport, SymbolReport
from schwabstream.terminal.status_page import render_status

Snapshot = Callable[[str, Callable[[], RenderableType]], None]

NOW_MS = 1_790_000_000_000


def report(**changes: object) -> StreamerReport:
    """A streamer that has seen a reconnect."""
    known = {
        "state": "streaming",
        "since": NOW_MS - 65_000,
        "reported": NOW_MS,
        "started": NOW_MS - 7_800_000,
        "pid": 77,
        "host": "box",
        "version": "0.1.0",
        "symbols": [
            SymbolReport(
                symbol="/MNQ:XCME",
                key="/MNQ",
                asset="FUTURE",
                contract="/MNQZ26",
                age_ms=420,
                rate=1.5,
                fresh=True,
                security_status="Normal",
                book="top_of_book",
            ),
            SymbolReport(symbol="AAPL", key="AAPL", asset="EQUITY", description="[b]\x1b"),
        ],
        "sessions": 2,
        "reconnects": 1,
        "gaps": 1,
        "published": 123_456,
        "counts": {"bad values": 3, "none": 0},
        "lag": LagReport(exchange_to_here_ms=45),
        "token_expires_at": NOW_MS + 900_000,
        "login_at": NOW_MS - 86_400_000,
    }
    return StreamerReport.model_validate({**known, **changes})


def test_status_of_a_streamer(snapshot: Snapshot) -> None:
    """Everything the report holds is there, with unknown things named so."""
    snapshot("status", lambda: render_status(report(), NOW_MS / 1000))


def test_tokens_that_are_not_in_the_file_are_shown_with_the_reason() -> None:
    """A login that lives in the streamer's memory only is a line of its own; nothing foreign in it draws."""
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(render_status(report(token_unsaved="cannot write it\x07: disk full"), NOW_MS / 1000))
    (line,) = [line for line in capture.get().splitlines() if "disk full" in line]
    assert line.split()[:5] == ["unsaved", "the", "new", "tokens", "are"]
    assert "\x07" not in line


def test_a_long_fact_is_continued_below_it() -> None:
    """A refusal is shown whole at any width, indented below its first line."""
    reason = "AMD is not streamed: the limit of 2 symbols is reached (SCHWAB_MAX_SYMBOLS)"
    console = Console(width=40, color_system=None)
    with console.capture() as capture:
        console.print(render_status(report(refused={"AMD": reason}), NOW_MS / 1000))
    lines = [line.rstrip() for line in capture.get().splitlines()]
    at = lines.index("refused   AMD is not streamed: the limit")
    assert lines[at + 1 : at + 4] == [
        "          of 2 symbols is reached",
        "          (SCHWAB_MAX_SYMBOLS)",
        "counters  bad values 3",
    ]


@pytest.mark.parametrize(
    ("changes", "headline", "style"),
    [
        ({}, "unhealthy: 1 of 2 symbols without data  streaming for 1m05", "bold red"),
        ({"refusing": ["p:stream:\x1b"]}, r"unhealthy: Redis refuses writes to p:stream:\u001b: allow", "bold red"),
        ({"symbols": []}, "streaming for 1m05", "bold green"),
        ({"state": "evicted"}, "evicted for 1m05", "bold red"),
    ],
)
def test_the_headline_agrees_with_the_exit_code(changes: dict[str, object], headline: str, style: str) -> None:
    """Green is healthy, exit 0; red is not, and begins with the trouble while it streams, else with the state."""
    shown = report(**changes)
    drawn = cast("Group", render_status(shown, NOW_MS / 1000)).renderables[0]
    assert isinstance(drawn, Text)
    assert drawn.plain.startswith(headline)
    assert drawn.spans[0].style == style
    assert (style == "bold green") is shown.healthy


@pytest.mark.parametrize(
    ("redis", "line"),
    [
        (RedisReport(), None),
        (RedisReport(master="127.0.0.1:6379"), "127.0.0.1:6379"),
        (RedisReport(master="/run/redis.sock", sent_again=3), "/run/redis.sock, 3 sent again"),
        (
            RedisReport(mode="sentinel", name="my\x07", master="10.0.0.2:6379", changes=1, sent_again=1502),
            r"sentinel my\u0007, master 10.0.0.2:6379, 1 change, 1,502 sent again",
        ),
        (
            RedisReport(mode="cluster", master="10.0.0.3:7001", changes=2, lost=7),
            "cluster, master 10.0.0.3:7001, 2 changes, 7 lost",
        ),
    ],
)
def test_redis_is_shown_with_its_master(redis: RedisReport, line: str | None) -> None:
    """The line names the kind of Redis, the master and what its changes cost; an older report has no such line."""
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(render_status(report(redis=redis), NOW_MS / 1000))
    lines = [shown.partition(" ") for shown in capture.get().splitlines()]
    found = next((value.strip() for name, _, value in lines if name == "redis"), None)
    assert found == line


def test_a_row_is_stale_by_the_rule_of_the_live_screens() -> None:
    """A symbol that ``quote`` calls halted, quiet or disconnected has the same word here."""
    line = report().symbols[0]
    halted = line.model_copy(update={"security_status": "Halted"})
    quiet = line.model_copy(update={"age_ms": 91_000})
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(render_status(report(symbols=[halted, quiet]), NOW_MS / 1000))
        console.print(render_status(report(state="waiting"), NOW_MS / 1000))
    rows = [row for row in capture.get().splitlines() if row.startswith("/MNQ")]
    assert [word for row in rows for word in ("halted", "quiet", "disconnected") if word in row] == [
        "halted",
        "quiet",
        "disconnected",
    ]


def test_a_waiting_streamer_shows_its_reason_and_foreign_text_is_escaped() -> None:
    """The reason stands beside the state; a time no calendar has is unknown; nothing foreign draws."""
    waiting = report(state="waiting", reason="\x07lost", simulated=True, login_at=10**18)
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(render_status(waiting, NOW_MS / 1000))
    drawn = capture.get()
    assert "waiting for 1m05: \\u0007lost  simulated prices" in drawn
    assert "[b]\\u001b" in drawn
    assert "next one due unknown" in drawn
    assert "\x1b" not in drawn


def test_refused_symbols_and_other_services_are_named() -> None:
    """What is streamed beside the symbols is one line; the first five refused ones have their reasons."""
    refused = {f"S{number}": f"S{number} is not streamed: the limit" for number in range(7)}
    refused = {"NYSE_VOLUME_1": "SCREENER_EQUITY refused: too many\x1b", **refused}
    services = {"SCREENER_EQUITY": ("NYSE_VOLUME_5", "NYSE_VOLUME_0"), "ACCT_ACTIVITY": ("Account Activity",)}
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(render_status(report(refused=refused, services=services), NOW_MS / 1000))
    text = [line.strip() for line in capture.get().splitlines()]
    assert "also streamed  SCREENER_EQUITY NYSE_VOLUME_5, NYSE_VOLUME_0; ACCT_ACTIVITY Account Activity" in text
    shown = [line.split(maxsplit=1)[1] for line in text if line.startswith("refused")]
    assert shown[0] == "NYSE_VOLUME_1: SCREENER_EQUITY refused: too many\\u001b"
    assert shown[1] == "S0 is not streamed: the limit"
    assert shown[-1] == "and 3 more: see schwabstream stream list"
    assert len(shown) == 6
