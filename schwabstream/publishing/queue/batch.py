"""The commands of a batch besides those of the events, and the ones that Redis refuses while it runs the others."""

from collections import Counter
from collections.abc import Collection, Sequence

from schwabstream.publishing.packing import command
from schwabstream.publishing.queue.channel import ChannelQueue
from schwabstream.publishing.queue.instruments import InstrumentHash
from schwabstream.publishing.queue.refusals import Refusals
from schwabstream.publishing.queue.report_command import ReportCommand
from schwabstream.publishing.queue.symbol_channels import SymbolChannels
from schwabstream.report import Count

SIZE_BOUNDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)


class Batch:
    """The batch in flight: the names to which its commands write, in order.

    With each report it also writes the changed instruments, the refused commands that are worth repeating, and the
    removal of entries older than ``maxage_s``, unless that is 0. ``refusing`` has the names whose writes Redis refuses,
    each with its newest command, which is sent again with every report until Redis accepts it.
    """

    def __init__(
        self,
        queues: Collection[ChannelQueue],
        report: ReportCommand,
        instruments: InstrumentHash,
        counts: Counter[str],
        *,
        maxage_s: float,
    ) -> None:
        self._queues, self._report, self._instruments, self._counts = queues, report, instruments, counts
        self._aged = [queue.stream_key for queue in queues if queue.has_stream and maxage_s]
        self._maxage_ms = int(maxage_s * 1000)
        self._refusals = Refusals()
        self.refusing = self._refusals.newest
        self._others: list[str] = []

    def load_report(self, now_ms: int) -> tuple[list[bytes], int]:
        """The packed commands that go with a report, and their number."""
        report, instruments = self._report.load(), self._instruments.load()
        # With the report, so that a quiet stream loses its old entries too and each event stays one XADD. Exact,
        # because "~" keeps up to a hundred entries of any age.
        trimmed = [key for key in self._aged if key not in self.refusing]
        trims = [command("XTRIM", key, "MINID", now_ms - self._maxage_ms) for key in trimmed]
        self._others = []
        written = {name for name, _ in self.writes()}
        repeats = self._refusals.repeatable(written) if self.refusing else []
        self._others = [*(name for name, _ in repeats), *trimmed]
        parts = [report, *instruments, *(packed for _, packed in repeats), *trims]
        return parts, len(self._report.names) + len(instruments) + len(self._others)

    def report_written(self) -> None:
        """Forget the report in flight, and the instruments unless Redis refused them."""
        if self._instruments.key not in self.refusing:
            self._instruments.written()
        self._report.written()

    def writes(self) -> list[tuple[str, bytes | None]]:
        """For each command, the name it writes to and the command to send again, if any."""
        writes: list[tuple[str, bytes | None]] = []
        for queue in self._queues:
            writes += queue.writes() if queue.in_flight else []
        if self._report.in_flight:
            instruments = [self._instruments.key] if self._instruments.in_flight else []
            writes += [(name, None) for name in (*self._report.names, *instruments, *self._others)]
        return writes

    def note_refusals(self, replies: Sequence[object]) -> None:
        """Count and keep the refused commands; ``replies`` are those to all commands, in order."""
        for (name, newest), reply in zip(self.writes(), replies, strict=True):
            self._note(name, reply, newest)

    def refused_alone(self, symbol_channels: SymbolChannels, replies: Sequence[object]) -> Collection[str]:
        """The symbol channels that Redis refused in a discarded batch; empty when it also refused something else."""
        refused = symbol_channels.refused_alone(self.writes(), replies)
        for name, reply in refused.items():
            self._note(name, reply, None)
        return refused

    def _note(self, name: str, reply: object, newest: bytes | None) -> None:
        self._counts[Count.REFUSED_COMMANDS] += self._refusals.note(name, reply, newest)
