"""The names that Redis refuses to write."""

from structlog.testing import capture_logs

from schwabstream.publishing.queue.refusals import Refusals


def test_a_refused_name_is_logged_once_and_once_when_it_is_accepted_again() -> None:
    """Each name is logged at its first refusal and at the first reply that is none."""
    refusals = Refusals()
    with capture_logs() as logs:
        assert refusals.note("md:stream:ticks", ValueError("WRONGTYPE"), b"1")
        assert refusals.note("md:stream:ticks", ValueError("WRONGTYPE"), b"2")
        assert not refusals.note("md:stream:ticks", b"1-0", b"3")
        assert not refusals.note("md:stream:ticks", b"2-0", b"4")
    assert [line["log_level"] for line in logs] == ["error", "info"]
    assert logs[0]["step"] == "rename or delete the key, which another program uses"
    assert refusals.newest == {}


def test_a_missing_permission_is_logged_with_its_remedy() -> None:
    """Where the ACL forbids a write, the log names the ACL of the streamer's user as the place to correct."""
    with capture_logs() as logs:
        Refusals().note("md:ticks:*", ValueError("NOPERM No permissions to access a channel"), None)
    assert logs[0]["step"] == "allow the command and the name in the ACL of the streamer's Redis user"


def test_the_newest_command_is_sent_again_unless_the_batch_writes_there_anyway() -> None:
    """A refused report, which has no command to repeat, and a name that is written to anyway are left out."""
    refusals = Refusals()
    for name, packed in (("stream", b"1"), ("stream", b"2"), ("last", b"3"), ("report", None), ("stream", None)):
        refusals.note(name, ValueError("OOM"), packed)
    assert list(refusals.repeatable({"last"})) == [("stream", b"2")]
