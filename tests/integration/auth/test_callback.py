"""The local server that waits for the one redirect."""

import asyncio
import contextlib
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from schwabstream.auth.callback import CallbackServer
from schwabstream.errors import ConfigurationError, LoginRequired
from tests.support.waiting import DEADLINE_S

STATE = "st4te"
GOOD = f"/?code=C0.abc%40&session=1&state={STATE}"


@pytest.fixture
def callback_url() -> str:
    """A callback on a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return f"https://127.0.0.1:{port}"


async def ask(url: str, target: str, *, method: str = "GET") -> tuple[int, str]:
    """Make one request as a browser would, trusting nothing but the names in the certificate."""
    port = urlsplit(url).port or 443
    context = ssl.create_default_context(
        cadata=await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return int(answer.split()[1]), answer


async def test_the_right_redirect_is_returned_and_the_port_closes(callback_url: str) -> None:
    """The answer with our state is taken, the browser sees a plain page, and then nobody listens any more."""
    async with CallbackServer(callback_url, STATE) as server:
        status, page = await ask(callback_url, GOOD)
        redirect = await server.redirect()
    assert (status, redirect.code) == (200, "C0.abc@")
    assert "You can close this window" in page
    assert "C0.abc" not in page
    with pytest.raises(OSError, match=r"refused|Connect"):
        await ask(callback_url, GOOD)


async def test_everything_else_is_shown_the_door_and_the_login_goes_on(callback_url: str) -> None:
    """Other paths, methods and states get no further, and do not end the wait for the right answer."""
    doors = [
        ("/favicon.ico", "GET", 404),
        ("/other?code=C0.abc%40&state=st4te", "GET", 404),
        ("/", "GET", 404),
        (GOOD, "POST", 405),
        ("/?code=C0.abc%40", "GET", 400),
        ("/?code=C0.abc%40&state=forged", "GET", 400),
        ("//[?x", "GET", 404),
        ("/?" + "a=1&" * 100, "GET", 400),
    ]
    async with CallbackServer(callback_url, STATE) as server:
        for target, method, status in doors:
            assert (await ask(callback_url, target, method=method))[0] == status
        waiting = asyncio.create_task(server.redirect())
        await asyncio.sleep(0)
        assert not waiting.done()
        await ask(callback_url, GOOD)
        assert (await waiting).code == "C0.abc@"
        assert (await ask(callback_url, GOOD.replace("abc", "second")))[0] == 410


async def test_the_path_is_compared_exactly(callback_url: str) -> None:
    """A callback with a path answers on that path only."""
    async with CallbackServer(f"{callback_url}/schwab/cb", STATE) as server:
        assert (await ask(callback_url, GOOD))[0] == 404
        assert (await ask(callback_url, f"/schwab/cb{GOOD[1:]}"))[0] == 200
        assert (await server.redirect()).code == "C0.abc@"


async def test_a_denied_login_is_an_answer_too(callback_url: str) -> None:
    """When access was not allowed, the wait ends with the reason."""
    async with CallbackServer(callback_url, STATE) as server:
        await ask(callback_url, f"/?error=access_denied&state={STATE}")
        assert "access_denied" in (await server.redirect()).problem


async def test_rude_connections_do_no_harm(callback_url: str) -> None:
    """Plain HTTP, silence, hanging up and floods leave the server waiting, and it still closes at once."""
    port = int(callback_url.rsplit(":", 1)[1])
    async with CallbackServer(callback_url, STATE) as server:
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b"", b"\0" * 100_000):
            with socket.create_connection(("127.0.0.1", port)) as rude, contextlib.suppress(OSError):
                rude.sendall(sent)
        with socket.create_connection(("127.0.0.1", port)):
            status, _ = await ask(callback_url, GOOD)
            assert status == 200
            assert (await server.redirect()).code == "C0.abc@"


async def test_a_connection_left_open_ends_without_a_word(callback_url: str) -> None:
    """A spare connection that a browser still holds when the login is over ends quietly, on every Python."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with CallbackServer(callback_url, STATE) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(callback_url).port, ssl=trusting)
        await ask(callback_url, GOOD)
        await server.redirect()
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.transport.abort()
    assert reported == []


async def test_nobody_comes(callback_url: str) -> None:
    """After the limit the wait ends with the command to start again."""
    async with CallbackServer(callback_url, STATE) as server:
        with pytest.raises(LoginRequired, match="schwabstream auth login"):
            await server.redirect(0.01)


async def test_a_taken_port_is_explained(callback_url: str) -> None:
    """Two logins at once: the second learns why it cannot wait here."""
    async with CallbackServer(callback_url, STATE):
        with pytest.raises(ConfigurationError, match="in use"):
            async with CallbackServer(callback_url, STATE):
                pass


@pytest.mark.parametrize(
    "url", ["https://example.com/cb", "http://127.0.0.1:8182", "https://10.0.0.1:8182", "https://127.0.0.1:99999", "x"]
)
def test_a_callback_that_cannot_be_answered_here_is_explained(url: str) -> None:
    """Only https on loopback can be served; any other URL is refused with the next step."""
    with pytest.raises(ConfigurationError, match="SCHWAB_CALLBACK_URL"):
        CallbackServer(url, STATE)


async def test_localhost_and_nothing_left_on_disk(
    callback_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate's files are gone as soon as the server listens."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    async with CallbackServer(callback_url.replace("127.0.0.1", "localhost"), STATE):
        assert list(folder.iterdir()) == []


async def test_waiting_needs_an_open_server(callback_url: str) -> None:
    """Using it without entering it is a mistake of the program."""
    with pytest.raises(RuntimeError):
        await CallbackServer(callback_url, STATE).redirect()
