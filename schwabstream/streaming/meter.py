"""Counts the data of each service, and samples its lag; pure.

``monitoring.metrics`` publishes the numbers. Counts per batch, never per event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schwabstream.market.instruments import Instrument
from schwabstream.protocol.codec import Batch
from schwabstream.protocol.fields import Service
from schwabstream.report import Histogram

LAG_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_OTHER = "OTHER"
_SERVICES = frozenset(Service)


@dataclass(slots=True)
class Flow:
    """The data of one service: frames (or parts of one), entries in them, and bytes."""

    frames: int = 0
    events: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Meter:
    """Counts over all sessions of a run; ``exchange_lag`` is the time from exchange to receipt, in seconds."""

    flows: dict[str, Flow] = field(default_factory=dict)
    exchange_lag: Histogram = field(default_factory=lambda: Histogram(LAG_BOUNDS_S))
    _bytes_seen: int = 0

    def begin_session(self) -> None:
        """Start a new connection, whose byte count begins at 0."""
        self._bytes_seen = 0

    def note(self, batch: Batch, instruments: Mapping[str, Instrument], received_us: int, bytes_total: int) -> None:
        """Count one merged batch; ``bytes_total`` is the number of bytes that its connection has received.

        Samples the lag from the last entry of every eighth batch of a service, but never from a snapshot, whose times
        can be days old.
        """
        try:
            flow = self.flows[batch.service]
        except KeyError:
            flow = self._flow(batch.service)
        if not flow.frames & 7:
            self._sample(batch, instruments, received_us)
        flow.frames += 1
        flow.events += len(batch.content)
        flow.bytes += bytes_total - self._bytes_seen
        self._bytes_seen = bytes_total

    def _sample(self, batch: Batch, instruments: Mapping[str, Instrument], received_us: int) -> None:
        entry = batch.content[-1] if batch.content else None
        if type(entry) is dict and "delayed" not in entry and batch.service.startswith("LEVELONE"):
            key = entry.get("key")
            instrument = instruments.get(key) if type(key) is str else None
            if instrument is not None and instrument.tick["timestamp"]:
                self.exchange_lag.add(max(0.0, received_us * 1e-6 - instrument.tick["timestamp"] * 1e-3))

    def _flow(self, service: str) -> Flow:
        # Unknown names share one series, because broken frames could create any number of them.
        return self.flows.setdefault(service if service in _SERVICES else _OTHER, Flow())
