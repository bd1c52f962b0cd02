"""A screen's own stream: how its end is reported."""

import asyncio
import sys

import pytest

from schwabstream.commands.child_streamer import OwnStream
from schwabstream.errors import LoginRequired, SchwabStreamError, SchwabUnavailable


async def ended(script: str) -> OwnStream:
    """A child of ours that ran this script to its end."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    stream = OwnStream(child)
    stream.check()
    await stream.watch()
    return stream


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        (
            "import sys; sys.exit('schwabstream: log in' and print('schwabstream: log in', file=sys.stderr) or 3)",
            LoginRequired,
            "log in",
        ),
        ("raise SystemExit(4)", SchwabUnavailable, "the stream ended with exit code 4"),
        ("raise ValueError('[red]\\x1b')", SchwabStreamError, r"exit code 1 \(ValueError: \[red\]\\u001b\)"),
        ("pass", SchwabStreamError, "exit code 0"),
    ],
)
async def test_the_end_of_the_child_is_an_error_of_its_kind(
    script: str, kind: type[SchwabStreamError], message: str
) -> None:
    """The exit code gives the error, the child's own message its text, safe to show."""
    stream = await ended(script)
    with pytest.raises(kind, match=message) as caught:
        stream.check()
    assert type(caught.value) is kind
