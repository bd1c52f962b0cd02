"""What the log shows of an outage of Redis."""

from structlog.testing import capture_logs

from schwabstream.broker.outage import MOST_REASONS, Outage

URL = "redis://127.0.0.1:6379/0"


def test_an_outage_is_logged_with_each_of_its_reasons_once() -> None:
    """The first reason begins the outage, another one continues it, and a reason that returns is not logged again."""
    outage = Outage(URL)
    with capture_logs() as logs:
        outage.end()
        assert [outage.note(reason) for reason in ("refused", "refused", "loading", "refused")] == [True] + [False] * 3
        assert outage.reason == "refused"
        outage.end(queued=7)
        outage.end()
        assert outage.note("loading")
    assert [(each["log_level"], each["event"], each.get("reason"), each["url"]) for each in logs] == [
        ("warning", "redis is away", "refused", URL),
        ("warning", "redis is still away", "loading", URL),
        ("info", "redis is back", None, URL),
        ("warning", "redis is away", "loading", URL),
    ]
    assert logs[2]["queued"] == 7


def test_a_server_that_invents_reasons_does_not_flood_the_log() -> None:
    """However many reasons an outage has, a bounded number is logged, and the newest is known."""
    outage = Outage(URL)
    with capture_logs() as logs:
        for number in range(10 * MOST_REASONS):
            outage.note(f"reason {number}")
    assert len(logs) == MOST_REASONS
    assert outage.reason == f"reason {10 * MOST_REASONS - 1}"
