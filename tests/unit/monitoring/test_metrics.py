"""The names and numbers that Prometheus gets, and that rules, dashboard and documentation speak of the same ones."""

import re
from pathlib import Path

import pytest

from schwabstream import __version__, errors
from schwabstream.publishing.lease import Lease
from schwabstream.publishing.life import State
from schwabstream.streaming.status import Status
from tests.support.watched_run import ACCESS, REFRESH, WatchedRun

ERRORS = [
    errors.SchwabStreamError,
    errors.ConfigurationError,
    errors.SymbolError,
    errors.LoginRequired,
    errors.SchwabUnavailable,
    errors.SessionLost,
    errors.LoginDenied,
    errors.ProtocolError,
    errors.Refused,
    errors.Evicted,
    errors.LeaseLost,
    errors.TokenFileError,
    errors.RedisUnavailable,
    errors.RedisUnsuitable,
    errors.OutputUnwritable,
]
FIXTURES = Path(__file__).parents[2] / "fixtures"
OPERATIONS = Path(__file__).parents[3] / "docs" / "operations"


@pytest.fixture
def watched(tmp_path: Path) -> WatchedRun:
    """A run that has not begun."""
    return WatchedRun(tmp_path)


def test_numbers_are_those_of_the_run(watched: WatchedRun) -> None:
    """The counts of streamer, publisher and login appear under the documented names."""
    watched.stream()
    watched.log_in()
    watched.client.losses[errors.SessionLost] = 3
    watched.client.counts["undecodable"] = 2
    watched.publisher.counts["dropped"] = 7
    watched.auth.refreshes["ok"] = 4
    samples = watched.samples()
    assert samples["schwabstream_state", "streaming"] == 1
    assert samples["schwabstream_state", "waiting"] == 0
    assert samples["schwabstream_session_age_seconds", ""] == 90
    assert samples["schwabstream_reconnects_total", "session_lost"] == 3
    assert samples["schwabstream_undecodable_total", ""] == 2
    assert samples["schwabstream_dropped_total", ""] == 7
    assert samples["schwabstream_token_refreshes_total", "ok"] == 4
    assert samples["schwabstream_access_token_expires_in_seconds", ""] == 600
    assert samples["schwabstream_login_due_in_seconds", ""] == 2 * 86_400
    assert samples["schwabstream_received_events_total", "LEVELONE_FUTURES"] == 1
    assert samples["schwabstream_symbols", ""] == 2
    assert samples["schwabstream_published_total", "ticks"] == 0


def test_exposition_stays_as_it_is(watched: WatchedRun) -> None:
    """Dashboards and rules read these lines: names, help, types, labels, order and values stay to the byte."""
    watched.stream()
    watched.log_in()
    client, publisher = watched.client, watched.publisher
    for number, kind in enumerate(ERRORS, 1):
        client.losses[kind] = number
    client.counts.update({"connections": 21, "gap": 22, "stale": 23, "undecodable": 24, "refused commands": 25})
    publisher.counts.update({"dropped": 31, "outages": 32, "refused commands": 33})
    publisher.counts.update({"master changes": 34, "sent again": 35, "already there": 36, "lost": 37})
    publisher.write_times.add(0.03)
    publisher.batch_sizes.add(40)
    client.meter.exchange_lag.add(0.2)
    watched.auth.refreshes.update({"ok": 41, "refused": 42, "unavailable": 43})
    text = watched.monitor.exposition().decode()
    ours = [line for line in text.splitlines() if "process_" not in line]
    found = "\n".join(ours).replace(f'version="{__version__}"', 'version="0"') + "\n"
    assert found == (FIXTURES / "metrics.txt").read_text()


def test_what_was_given_up_outlives_its_lead(watched: WatchedRun) -> None:
    """A streamer that lost its lease still shows what it gave up, and adds what it gives up later."""
    watched.monitor.dropped_before = 4
    assert watched.samples()["schwabstream_dropped_total", ""] == 4
    watched.stream()
    watched.publisher.counts["dropped"] = 3
    assert watched.samples()["schwabstream_dropped_total", ""] == 7


def test_histograms_are_cumulative(watched: WatchedRun) -> None:
    """Each bucket counts the values up to its bound, and the last one counts all."""
    watched.stream()
    for seconds in (0.0001, 0.002, 0.03, 99):
        watched.publisher.write_times.add(seconds)
    samples = watched.samples()
    name = "schwabstream_publish_seconds_bucket"
    assert [samples[name, bound] for bound in ("0.0005", "0.0025", "0.05", "5.0", "+Inf")] == [1, 2, 3, 3, 4]
    assert samples["schwabstream_publish_seconds_count", ""] == 4
    assert samples["schwabstream_publish_seconds_sum", ""] == pytest.approx(99.0321)


def test_nothing_secret_is_exposed(watched: WatchedRun) -> None:
    """Neither a token nor a secret nor a symbol is in the exposition."""
    watched.stream()
    watched.log_in()
    text = watched.monitor.exposition().decode()
    for secret in (ACCESS, REFRESH, '"key"', "secret", "MNQ", "AAPL"):
        assert secret not in text


@pytest.mark.parametrize(
    ("state", "connected", "fresh", "healthy"),
    [
        (Status.STREAMING, True, True, True),
        (Status.STREAMING, True, False, False),
        (Status.STREAMING, False, True, False),
        (Status.WAITING, True, True, False),
        (Status.LOGIN_REQUIRED, True, True, False),
        (Status.EVICTED, True, True, False),
    ],
)
def test_healthy_is_streaming_everything_into_redis(
    watched: WatchedRun, state: Status, connected: bool, fresh: bool, healthy: bool
) -> None:
    """Healthy is: it streams, every symbol is confirmed by this session, and Redis takes it."""
    watched.stream()
    watched.client.announcer.state, watched.client.announcer.reason = state, "because"
    watched.publisher.state = State.CONNECTED if connected else State.AWAY
    if not fresh:
        watched.client.market.begin_session()
    found, body = watched.monitor.health()
    reason = "2 symbols subscribed" if state is Status.STREAMING else "because"
    assert (found, body["healthy"], body["state"], body["reason"]) == (healthy, healthy, state.value, reason)
    assert body["not_fresh"] == ([] if fresh else ["/MNQ:XCME", "AAPL"])
    assert watched.samples()["schwabstream_healthy", ""] == healthy


def test_a_wish_for_a_symbol_without_data_leaves_the_run_healthy(watched: WatchedRun) -> None:
    """Only configured symbols decide on health."""
    watched.stream()
    watched.client.announcer.state, watched.publisher.state = Status.STREAMING, State.CONNECTED
    watched.client.stream.wishes = {"ZZZZ": "wanted"}
    watched.client.stream.follow_wishes()
    assert not watched.client.market.instruments["ZZZZ"].fresh
    healthy, body = watched.monitor.health()
    assert (healthy, body["not_fresh"]) == (True, [])


def test_a_name_that_redis_refuses_is_unhealthy_until_it_is_taken(watched: WatchedRun) -> None:
    """While a stream or hash cannot be written the run is not healthy, and names the key."""
    watched.stream()
    watched.publisher.refusing["market_data:stream:ticks"] = None
    found, body = watched.monitor.health()
    assert (found, body["healthy"], body["refusing"]) == (False, False, ["market_data:stream:ticks"])
    watched.publisher.refusing.clear()
    assert watched.monitor.health()[0] is True


def test_standby_is_healthy_and_names_whom_it_waits_for(watched: WatchedRun) -> None:
    """A standby does what it is for; a run that has only begun does not yet."""
    found, body = watched.monitor.health()
    assert (found, body["state"]) == (False, "connecting")
    watched.monitor.lease = Lease("redis://127.0.0.1:1/0", "market_data")
    watched.monitor.lease.waiting_for = "7:tower:4711"
    found, body = watched.monitor.health()
    assert (found, body["state"], body["waiting_for"]) == (True, "standby", "host tower, pid 4711")
    assert watched.samples()["schwabstream_state", "standby"] == 1


def exposed(watched: WatchedRun) -> set[str]:
    """Every metric name of a run that has something of everything."""
    watched.stream()
    watched.log_in()
    return {name for name, _ in watched.samples()}


def named_in(text: str) -> set[str]:
    """Names in PromQL or prose: ours, and those of the process."""
    return set(re.findall(r"\b(?:schwabstream_[a-z_]+|process_[a-z_]+)", text))


def test_every_metric_has_an_alert_a_panel_and_a_description(watched: WatchedRun) -> None:
    """Nothing is exposed that no rule, no panel and no line of the documentation speaks of."""
    names = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed(watched) if name.startswith("schwabstream_")}
    documented = named_in((OPERATIONS / "alerts.md").read_text())
    assert names - documented == set()
    for file in ("schwabstream.rules.yml", "grafana.json"):
        used = {re.sub(r"_(bucket|count|sum)$", "", name) for name in named_in((OPERATIONS / file).read_text())}
        # Plain numbers that only give others their meaning need no alert of their own.
        assert names - used == set(), file


def test_alerts_and_their_documentation_agree() -> None:
    """Every alert is documented under its name with its severity, and nothing else is."""
    rules = "".join(path.read_text() for path in OPERATIONS.glob("*.rules.yml"))
    alerts = dict(re.findall(r"alert: (\w+)(?:.|\n)*?severity: (\w+)", rules))
    documented = dict(
        re.findall(r"^\| (\w+) \| (page|ticket) \|", (OPERATIONS / "alerts.md").read_text(), re.MULTILINE)
    )
    assert alerts == documented
