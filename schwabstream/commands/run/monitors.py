"""What watches a run from outside and calls a person: metrics, health and alerts, each only when it was asked for."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import structlog

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.errors import ConfigurationError, LeaseLost, SchwabStreamError
from schwabstream.monitoring.alerts import Alerts, Told
from schwabstream.publishing.lease import Lease
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.settings import Settings, foreign_environment
from schwabstream.side_tasks import end, start_beside
from schwabstream.streaming.supervisor import SchwabStreamClient

if TYPE_CHECKING:
    from schwabstream.monitoring.metrics import Monitor

log = structlog.get_logger(__name__)


class Operations:
    """The metrics and the alerts of one run; either may be missing. Get it from :func:`operations`."""

    def __init__(self, monitor: "Monitor | None" = None, alerts: Alerts | None = None) -> None:
        self._monitor, self._alerts = monitor, alerts

    def know(self, lease: Lease) -> None:
        """Show what the run waits for while it is a standby."""
        if self._monitor is not None:
            self._monitor.lease = lease

    @contextlib.contextmanager
    def watching(self, client: SchwabStreamClient, publisher: TradingEventPublisher) -> Iterator[None]:
        """Watch these for the length of the block."""
        if self._alerts is not None:
            client.announcer.listeners.append(self._alerts.take_status)
        if self._monitor is None:
            yield
            return
        from schwabstream.monitoring.metrics import Stint

        self._monitor.stint = Stint(client, publisher)
        try:
            yield
        finally:
            self._monitor.stint = None
            self._monitor.dropped_before += publisher.dropped

    @contextlib.asynccontextmanager
    async def telling_the_end(self) -> AsyncIterator[None]:
        """Call a person when the block ends by an error that only a person can do something about."""
        try:
            yield
        except SchwabStreamError as error:
            # A wrong setting is told to whoever starts it, and where another streamer runs nobody is needed.
            if self._alerts is not None and not isinstance(error, ConfigurationError | LeaseLost):
                await self._alerts.gave_up(error)
            raise


@contextlib.asynccontextmanager
async def operations(settings: Settings, auth: SchwabAuthClient) -> AsyncIterator[Operations]:
    """What the settings ask for, at work for the length of the block; ``ConfigurationError`` when it cannot be."""
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
            told = Told(token_path.with_name(f"{token_path.name}.alerts"))
            alerts = Alerts(settings.schwab_alert_command, told, environment=foreign_environment())
            await stack.enter_async_context(alerts.running())
            watch = start_beside(alerts.watch_login(lambda: auth.tokens), "login watch")
            stack.push_async_callback(end, watch)
        yield Operations(monitor, alerts)
