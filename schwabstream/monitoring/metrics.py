"""The metrics and the health of a run, read from its counters on request.

Counts nothing itself, so a tick takes no extra time. docs/operations/alerts.md lists the names. No metric contains a
token, an account or a symbol, except the gauges of the market, which have a path of their own.
"""

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from schwabstream import __version__
from schwabstream.auth.client import SchwabAuthClient
from schwabstream.errors import SessionLost
from schwabstream.market.sessions import session_at
from schwabstream.monitoring.market_gauges import market_exposition
from schwabstream.publishing.fence import describe
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.report import Count, Histogram
from schwabstream.streaming.status import Status
from schwabstream.streaming.supervisor import SchwabStreamClient

if TYPE_CHECKING:
    from schwabstream.publishing.lease import Lease

PREFIX = "schwabstream_"
STANDBY = "standby"
_STATES = (*(state.value for state in Status), STANDBY)


@dataclass(frozen=True, slots=True)
class Lead:
    """A streamer and its publisher, from taking the lease to losing it."""

    client: SchwabStreamClient
    publisher: TradingEventPublisher


class Monitor(Collector):
    """The parts of a run: set ``lead`` while it streams, and ``lease`` when it may wait for one.

    ``dropped_before`` counts the events that earlier leads dropped.
    """

    def __init__(self, auth: SchwabAuthClient, *, wall: Callable[[], float] = time.time) -> None:
        self._auth, self._wall = auth, wall
        self._started = wall()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self.lead: Lead | None = None
        self.dropped_before = 0
        self.lease: Lease | None = None

    @property
    def state(self) -> str:
        """The streamer's state, or ``standby``."""
        if self.lead is not None:
            return self.lead.client.state.value
        return STANDBY if self.lease is not None and self.lease.waiting_for else Status.CONNECTING.value

    def exposition(self) -> bytes:
        """All metrics of the run in Prometheus's text format."""
        return generate_latest(self._registry)

    def market_exposition(self) -> bytes:
        """The gauges of the market in the same format; without symbols while the run does not stream."""
        if self.lead is None or self.lead.client.state is not Status.STREAMING:
            return market_exposition((), lambda _hours: None)
        client = self.lead.client
        session = functools.partial(session_at, client.stream.schedule, at=datetime.fromtimestamp(self._wall(), UTC))
        return market_exposition(client.market.instruments.values(), session)

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether the run is healthy, and the JSON for ``/healthz``; a waiting standby is healthy."""
        body: dict[str, Any] = {"v": 1, "state": self.state, "version": __version__}
        lead = self.lead
        if lead is None:
            healthy = self.state == STANDBY
            waiting_for = self.lease.waiting_for if self.lease else None
            return healthy, body | {"healthy": healthy, "waiting_for": waiting_for and describe(waiting_for)}
        aliases = (
            alias for each in lead.client.market.instruments.values() if not each.fresh for alias in each.aliases
        )
        not_fresh = [alias for alias in aliases if lead.client.stream.wanted.source(alias) == "configured"]
        publisher = lead.publisher
        written = publisher.connected and not publisher.refusing
        healthy = not not_fresh and lead.client.state is Status.STREAMING and written
        return healthy, body | {
            "healthy": healthy,
            "reason": lead.client.reason,
            "since": int(lead.client.since * 1000),
            "redis": "connected" if publisher.connected else "away",
            "queued": publisher.queued,
            "dropped": publisher.dropped,
            "refusing": list(publisher.refusing),
            "not_fresh": not_fresh,
        }

    def describe(self) -> Iterator[Metric]:
        """No metrics: those of :meth:`collect` change during a run."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """All metrics of the run at this moment."""
        yield from self._of_run()
        yield from self._of_login()
        if self.lead is not None:
            yield from self._of_session(self.lead.client)
            yield from self._of_flow(self.lead.client)
            yield from self._of_publisher(self.lead.publisher)

    def _of_run(self) -> Iterator[Metric]:
        state = self.state
        yield _gauge("info", "Always 1; the label has the version.", 1, version=__version__)
        yield _gauge("start_time_seconds", "When this run began, in seconds since the epoch.", self._started)
        yield _by_label(
            GaugeMetricFamily,
            "state",
            "1 for the current state, 0 for the others.",
            "state",
            {each: float(each == state) for each in _STATES},
        )
        dropped = self.dropped_before + (self.lead.publisher.dropped if self.lead else 0)
        yield _counter(
            "dropped", "Events dropped because the buffer was full or another streamer took the lease.", dropped
        )
        yield _gauge("healthy", "1 while the run is healthy, as in /healthz.", float(self.health()[0]))

    def _of_login(self) -> Iterator[Metric]:
        now, tokens = self._wall(), self._auth.tokens
        outcomes = {outcome: self._auth.refreshes[outcome] for outcome in ("ok", "refused", "unavailable")}
        text = "Refreshes of the access token, by outcome."
        yield _by_label(CounterMetricFamily, "token_refreshes", text, "outcome", outcomes)
        if tokens is not None:
            text = "Seconds until the access token expires; negative when it has."
            yield _gauge("access_token_expires_in_seconds", text, tokens.expires_at - now)
            if (left := tokens.login_due_in_s(now)) is not None:
                yield _gauge("login_due_in_seconds", "Seconds until the next browser login is due.", left)

    def _of_session(self, client: SchwabStreamClient) -> Iterator[Metric]:
        counts, streaming = client.counts, client.state is Status.STREAMING
        text = "Seconds since the current session was subscribed; 0 without one."
        yield _gauge("session_age_seconds", text, self._wall() - client.since if streaming else 0.0)
        yield _counter("connections", "Connections to the streamer.", counts[Count.CONNECTIONS])
        lost = {kind.label: number for kind, number in client.losses.items()}
        text = "Attempts to stream that ended in an error, by its kind."
        yield _by_label(CounterMetricFamily, "reconnects", text, "reason", lost or {SessionLost.label: 0})
        yield _counter("gaps", "Outages after which a gap was reported.", counts[Count.GAP])
        yield _counter("stale", "Times a symbol or service was reported stale.", counts[Count.STALE])
        yield _counter(
            "undecodable", "Frames, or parts of frames, that could not be decoded.", counts[Count.UNDECODABLE]
        )
        yield _counter("refused_commands", "Commands that Schwab refused.", counts[Count.REFUSED_COMMANDS])
        fresh = [instrument.fresh for instrument in client.market.instruments.values()]
        yield _gauge("symbols", "Wanted keys.", len(fresh))
        text = "Wanted keys that the current session has not confirmed."
        yield _gauge("symbols_not_fresh", text, fresh.count(False))

    def _of_flow(self, client: SchwabStreamClient) -> Iterator[Metric]:
        flows = client.meter.flows
        for name, text in (
            ("frames", "Frames received, by service."),
            ("events", "Entries received, by service."),
            ("bytes", "Bytes received, by service."),
        ):
            values = {service: getattr(flow, name) for service, flow in flows.items()}
            yield _by_label(CounterMetricFamily, f"received_{name}", text, "service", values)
        text = "Seconds from the exchange's time to receipt, sampled."
        yield _histogram("exchange_lag_seconds", text, client.meter.exchange_lag)

    def _of_publisher(self, publisher: TradingEventPublisher) -> Iterator[Metric]:
        published = {channel.value: count for channel, count in publisher.published_by_channel.items()}
        yield _by_label(CounterMetricFamily, "published", "Events written to Redis, by channel.", "channel", published)
        yield _gauge("redis_up", "1 while Redis is connected.", float(publisher.connected))
        yield _counter("redis_outages", "Outages of Redis.", publisher.counts[Count.OUTAGES])
        yield _counter(
            "redis_refused_commands", "Single commands that Redis refused.", publisher.counts[Count.REFUSED_COMMANDS]
        )
        for name, text, count in (
            ("master_changes", "Changes to another Redis master.", Count.MASTER_CHANGES),
            ("sent_again", "Events that Redis lost and that were written again.", Count.SENT_AGAIN),
            ("already_there", "Events whose reply was lost and that Redis had.", Count.ALREADY_THERE),
            ("lost", "Acknowledged events that Redis lost and that were no longer kept.", Count.LOST),
        ):
            yield _counter(f"redis_{name}", text, publisher.counts[count])
        yield _gauge("queue_events", "Events queued for Redis.", publisher.queued)
        yield _gauge("queue_bytes", "Bytes queued for Redis.", publisher.queued_bytes)
        yield _histogram("publish_batch_events", "Events in one transaction.", publisher.batch_sizes)
        yield _histogram("publish_seconds", "Seconds that Redis took for one transaction.", publisher.write_times)


def _gauge(name: str, text: str, value: float, **labels: str) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value=value)


def _by_label(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
    name: str,
    text: str,
    label: str,
    values: Mapping[str, float],
) -> Metric:
    family = kind(PREFIX + name, text, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    buckets: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        below += count
        buckets.append(("+Inf" if bound == float("inf") else repr(bound), below))
    return HistogramMetricFamily(PREFIX + name, text, buckets=buckets, sum_value=histogram.total)
