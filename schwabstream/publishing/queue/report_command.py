"""The command that writes the streamer's report, with the renewal of the claim to the prefix. No I/O."""

from schwabstream.publishing.fence import Fence
from schwabstream.publishing.packing import bulk, command
from schwabstream.report import REPORT_LIFE_S

_LIFE = bulk(b"%d" % (REPORT_LIFE_S * 1000))


class ReportCommand:
    """Holds the report to write next.

    ``names`` are the keys that one report writes to; ``newest`` is the report that Redis does not have yet, or None;
    ``in_flight``: whether the batch in flight writes a report.
    """

    def __init__(self, prefix: str, fence: Fence | None) -> None:
        key = f"{prefix}:streamer"
        self._start = command("SET", key, more=3)
        # Each batch renews the lease. The claim to the prefix also stops a batch when lost; once a second is enough.
        self._claim_renewal = command("PEXPIRE", fence.account_key, fence.life_ms) if fence else b""
        self.names = (key, fence.account_key) if fence else (key,)
        self.newest: bytes | None = None
        self._loaded: bytes | None = None
        self.in_flight = False

    def queue(self, report: bytes) -> None:
        """Write this report next, in place of one that was not yet written."""
        self.newest = report

    def load(self) -> bytes:
        """The packed commands for the report, which are in flight from now on; empty when there is none to write."""
        report = self._loaded = self.newest
        self.in_flight = report is not None
        return b"" if report is None else b"".join((self._start, bulk(report), bulk(b"PX"), _LIFE, self._claim_renewal))

    def written(self) -> None:
        """Forget the report in flight, unless a newer one is queued."""
        self.in_flight = False
        if self.newest is self._loaded:
            self.newest = None
