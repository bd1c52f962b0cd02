"""A run that is watched, without a Schwab and without a Redis."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from prometheus_client.parser import text_string_to_metric_families

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.monitoring.metrics import Lead, Monitor
from schwabstream.protocol.codec import Batch
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.publishing.life import State
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.settings import load_settings
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.status import Status
from schwabstream.streaming.supervisor import SchwabStreamClient

NOW = 1_795_000_000.0
ACCESS, REFRESH = "I0.access-token-of-nobody@", "refresh-token-of-nobody@"


class WatchedRun:
    """A run of these symbols; it neither streams nor has a login until it is made to."""

    def __init__(self, folder: Path, *symbols: str, now: float = NOW) -> None:
        settings = load_settings(schwab_client_id="key", schwab_client_secret="secret")
        self.auth = SchwabAuthClient(settings, TokenStore(folder / "token.json"), clock=lambda: NOW)
        self.publisher = TradingEventPublisher("redis://127.0.0.1:1/0")
        parsed = parse_symbols(symbols or ["/MNQ:XCME", "AAPL"], dt.date(2026, 11, 20))
        self.client = SchwabStreamClient(cast("Any", self.auth), StreamState(parsed, self.publisher.publish))
        self.monitor = Monitor(self.auth, wall=lambda: now)

    def stream(self) -> None:
        """Pretend that it streams, with something of everything."""
        self.monitor.lead = Lead(self.client, self.publisher)
        self.client.announcer.enter(Status.STREAMING, "2 symbols subscribed")
        self.client.announcer.since = NOW - 90
        self.publisher.state = State.CONNECTED
        for key, service in (("/MNQ", "LEVELONE_FUTURES"), ("AAPL", "LEVELONE_EQUITIES")):
            self.receive(key, {"3": 1.0}, service)

    def receive(self, key: str, fields: Mapping[str, object], service: str = "LEVELONE_EQUITIES") -> None:
        """Receive these numbered fields of one key."""
        batch = Batch(service, int(NOW * 1000), [{"key": key, **fields}])
        self.client.market.apply(batch, int(NOW * 1e6))
        self.client.meter.note(batch, self.client.market.instruments, int(NOW * 1e6), 100)

    def log_in(self) -> None:
        """Have tokens: the access token for ten minutes, the login for two more days."""
        self.auth.tokens = TokenSet(ACCESS, REFRESH, NOW + 600, NOW - 5 * 86_400)

    def samples(self) -> dict[tuple[str, str], float]:
        """Everything exposed, by name and the value of its label."""
        families = text_string_to_metric_families(self.monitor.exposition().decode())
        return {
            (sample.name, next(iter(sample.labels.values()), "")): sample.value
            for family in families
            for sample in family.samples
        }
