"""Metrics, health and alerts of a run, each only when the settings ask for it."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import structlog

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.errors import ConfigurationError, LeaseLost, SchwabStreamError
from schwabstream.monitoring.alerts import AlertHistory, Alerts
from schwabstream.publishing.lease import Lease
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.settings import Settings, foreign_environment
from schwabstream.side_tasks import end, start_beside
from schwabstream.streaming.supervisor import SchwabStreamClient

if TYPE_CHECKING:
    from schwabstream.monitoring.metrics import Monitor

log = structlog.get_logger(__name__)


class Monitors:
    """The metrics and the alerts of one run; both are optional. :func:`monitors_for` creates them."""

    def __init__(self, monitor: "Monitor | None" = None, alerts: Alerts | None = None) -> None:
        self._monitor, self._alerts = monitor, alerts

    def take_status(self, event: dict[str, Any]) -> None:
        """Alert on one published StatusEvent where that is needed; returns at once."""
        if self._alerts is not None:
            self._alerts.take_status(event)

    def watch_lease(self, lease: Lease) -> None:
        """Report the lease in the metrics while the run is a standby."""
        if self._monitor is not None:
            self._monitor.lease = lease

    @contextlib.contextmanager
    def watching(self, client: SchwabStreamClient, publisher: TradingEventPublisher) -> Iterator[None]:
        """Watch these for the duration of the block."""
        if self._monitor is None:
            yield
            return
        from schwabstream.monitoring.metrics import Lead

        self._monitor.lead = Lead(client, publisher)
        try:
            yield
        finally:
            self._monitor.lead = None
            self._monitor.dropped_before += publisher.dropped

    @contextlib.asynccontextmanager
    async def alerting_on_failure(self) -> AsyncIterator[None]:
        """Run the alert command when the block ends with an error that needs a person."""
        try:
            yield
        except SchwabStreamError as error:
            # The person who starts the run sees a wrong setting; a lost lease means that another streamer is running.
            if self._alerts is not None and not isinstance(error, ConfigurationError | LeaseLost):
                await self._alerts.gave_up(error)
            raise


@contextlib.asynccontextmanager
async def monitors_for(settings: Settings, auth: SchwabAuthClient) -> AsyncIterator[Monitors]:
    """What the settings ask for, running for the duration of the block; ``ConfigurationError`` when it cannot be."""
    async with contextlib.AsyncExitStack() as stack:
        monitor = alerts = None
        if settings.schwab_metrics_port is not None:
            from schwabstream.monitoring.metrics import Monitor
            from schwabstream.monitoring.server import serve_metrics

            monitor = Monitor(auth)
            port = await stack.enter_async_context(serve_metrics(monitor, settings.schwab_metrics_port))
            log.debug("metrics", url=f"http://127.0.0.1:{port}/metrics")
        if settings.schwab_alert_command is not None:
            token_path = settings.schwab_token_path.expanduser()
            history = AlertHistory(token_path.with_name(f"{token_path.name}.alerts"))
            alerts = Alerts(settings.schwab_alert_command, history, environment=foreign_environment())
            await stack.enter_async_context(alerts.running())
            watch = start_beside(alerts.watch_login(lambda: auth.tokens), "login watch")
            stack.push_async_callback(end, watch)
        yield Monitors(monitor, alerts)
