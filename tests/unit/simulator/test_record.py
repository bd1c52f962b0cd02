"""The simulator's record of what it received."""

from schwabstream.simulator.record import Received


def test_only_the_newest_are_kept() -> None:
    """A simulator that runs for days keeps the newest 50,000 of each kind, in order."""
    received = Received()
    for number in range(100_001):
        received.add_connection(float(number))
    assert len(received.connection_times) == 50_000
    assert received.connection_times[-1] == 100_000


def test_commands_can_be_picked() -> None:
    """Commands are found by service and kind, in the order they came."""
    received = Received()
    for number, command in enumerate(("SUBS", "ADD", "SUBS")):
        received.add_command({"service": "NYSE_BOOK", "command": command, "requestid": number})
    assert [each["requestid"] for each in received.sent("NYSE_BOOK", "SUBS")] == [0, 2]
    assert received.sent("NASDAQ_BOOK", "SUBS") == []
