"""The command that writes the report."""

import hiredis

from schwabstream.publishing.fence import Fence
from schwabstream.publishing.queue.report_command import ReportCommand

FENCE = Fence("md:lease:1", "1:box:2", "md:owner", "abc")


def words(packed: bytes) -> list[list[bytes]]:
    """The commands as Redis reads them."""
    reader = hiredis.Reader()
    reader.feed(packed)
    read = []
    while (command := reader.gets()) is not False:
        read.append(command)
    return read


def test_the_report_expires_and_renews_the_claim_to_the_prefix() -> None:
    """One report is a SET with a life and, for the holder of a lease, a PEXPIRE; ``names`` has both keys in order."""
    report = ReportCommand("md", FENCE)
    report.queue(b"{}")
    commands = words(report.load())
    assert commands == [[b"SET", b"md:streamer", b"{}", b"PX", b"15000"], [b"PEXPIRE", b"md:owner", b"10000"]]
    assert [command[1].decode() for command in commands] == list(report.names)


def test_a_report_is_written_until_redis_has_the_newest() -> None:
    """A report that failed is loaded again, one that was written is not, and a newer one replaces it."""
    report = ReportCommand("md", None)
    assert report.load() == b""
    assert not report.in_flight
    report.queue(b"1")
    assert report.load() == report.load() != b""
    report.queue(b"2")
    report.written()
    assert words(report.load()) == [[b"SET", b"md:streamer", b"2", b"PX", b"15000"]]
    report.written()
    assert report.load() == b""
