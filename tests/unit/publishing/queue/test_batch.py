"""What goes with a report, and what a refusal leads to."""

from collections import Counter

import hiredis

from schwabstream.events import Channel
from schwabstream.publishing.packing import bulk
from schwabstream.publishing.queue.batch import Batch
from schwabstream.publishing.queue.channel import ChannelQueue
from schwabstream.publishing.queue.instruments import InstrumentHash
from schwabstream.publishing.queue.report_command import ReportCommand


class Desk:
    """One queue of ticks, a report and the instruments, as a batch."""

    def __init__(self, maxage_s: float = 0.0, maxlen: int = 10) -> None:
        self.queue = ChannelQueue(Channel.TICKS, "md", maxlen, 0)
        self.report, self.instruments = ReportCommand("md", None), InstrumentHash("md")
        self.counts = Counter[str]()
        self.batch = Batch([self.queue], self.report, self.instruments, self.counts, maxage_s=maxage_s)

    def load(self, *events: tuple[str, bytes], report: bool = True) -> list[list[bytes]]:
        """Load a batch, and return its commands as Redis would read them."""
        self.queue.in_flight, self.queue.events = [], [(symbol, bulk(event)) for symbol, event in events]
        parts = list(self.queue.pack()) if self.queue.load() else []
        if report:
            self.report.queue(b"{}")
            more, count = self.batch.load_report(100_000)
            reader = hiredis.Reader()
            reader.feed(b"".join(more))
            commands = []
            while (command := reader.gets()) is not False:
                commands.append(command)
            assert len(commands) == count
            return commands
        assert parts
        return []


def test_each_command_has_the_name_it_writes_to() -> None:
    """A refusal is attributed by the position of its reply: events, report, instruments, repeated, trimmed."""
    desk = Desk(maxage_s=60)
    desk.instruments.add([{"symbol": "A"}])
    desk.batch.refusing["md:last:ticks"] = b"*1\r\n$4\r\nHSET\r\n"
    commands = desk.load()
    assert [command[0] for command in commands] == [b"SET", b"HSET", b"HSET", b"XTRIM"]
    names = ["md:streamer", "md:instruments", "md:last:ticks", "md:stream:ticks"]
    assert [name for name, _ in desk.batch.writes()] == names
    assert commands[-1][1:] == [b"md:stream:ticks", b"MINID", b"40000"]


def test_nothing_is_trimmed_without_an_age_without_streams_or_where_redis_refuses() -> None:
    """A refused stream is written again first; trimming it would count another refusal every second."""
    refused = Desk(maxage_s=60)
    refused.batch.refusing["md:stream:ticks"] = None
    for desk in (Desk(), Desk(maxage_s=60, maxlen=0), refused):
        assert [command[0] for command in desk.load()] == [b"SET"]


def test_refusals_are_counted_and_repeated_until_redis_accepts() -> None:
    """The newest refused command of a key goes with the next report; instruments that Redis refused stay queued."""
    desk = Desk()
    error = hiredis.ReplyError("WRONGTYPE")
    desk.instruments.add([{"symbol": "A"}])
    desk.load(("A", b"1"), ("A", b"2"))
    desk.batch.note_refusals([1, error, 1, error, 1, b"OK", error])
    desk.batch.report_written()
    assert desk.counts["refused commands"] == 3
    assert set(desk.batch.refusing) == {"md:stream:ticks", "md:instruments"}
    commands = desk.load()
    assert [command[-1] for command in commands if command[0] == b"XADD"] == [b"2"]
    desk.batch.note_refusals([b"OK", 1, b"1-0"])
    desk.batch.report_written()
    assert desk.batch.refusing == {}
    assert [command[0] for command in desk.load()] == [b"SET"]
