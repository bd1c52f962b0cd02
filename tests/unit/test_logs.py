"""Logs: one line per event, JSON in a pipe, plain for people, and never a credential in any of them."""

import base64
import json
import logging
import os
import pty
import sys
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schwabstream import logs
from schwabstream.logs import REDACTED, configure_logging, logs_kept_aside, redact, redact_event, write_message

LONGEST_TRACE = 8
"""Characters of a secret that may stand in a line: fewer help nobody."""

_BYTES = st.binary(min_size=32, max_size=32)
_MIDDLE = base64.urlsafe_b64encode(b"oauth2.cdc.schwab.com").decode().rstrip("=")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


_ACCESS = _BYTES.map(lambda data: f"I0.{_MIDDLE}.{_b64(data)}@")
_CODE = _BYTES.map(lambda data: f"C0.{_MIDDLE}.{_b64(data)}@")
_REFRESH = st.binary(min_size=40, max_size=80).map(lambda data: f"{_b64(data)}@")
_HEX_ID = st.binary(min_size=32, max_size=32).flatmap(lambda data: st.sampled_from([data.hex(), data.hex().upper()]))
_JWT = _BYTES.map(lambda data: f"eyJhbGciOiJub25lIn0.{_b64(data)}.{_b64(data[::-1])}")
_PASSWORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789!@#$-_", min_size=12, max_size=30)
_SECRET = st.one_of(_ACCESS, _CODE, _REFRESH, _HEX_ID, _JWT)


def leaks(secret: str, text: str) -> bool:
    """Whether a telling part of the secret stands in the text."""
    return any(
        secret[start : start + LONGEST_TRACE + 1] in text
        for start in range(len(secret) - LONGEST_TRACE)
        # The middle of every token of Schwab's is the same public host name.
        if secret[start : start + LONGEST_TRACE + 1] not in f"eyJhbGciOiJub25lIn0.{_MIDDLE}"
    )


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    """Leave logging and warnings as the test runner had them."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with warnings.catch_warnings():
        yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What stands on stderr, line by line, as JSON; nothing may stand on stdout."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


@given(secret=_SECRET, before=st.sampled_from(["", " ", "token=", '"', "('", "Bearer ", "https://x/?code=", "a: "]))
def test_no_token_of_schwabs_shapes_survives_in_text(secret: str, before: str) -> None:
    """Access and refresh tokens, codes, customer ids and JWTs vanish from any sentence."""
    assert not leaks(secret, redact(f"it failed {before}{secret} and so on"))


@given(secret=_CODE)
def test_an_authorization_code_vanishes_from_its_redirect(secret: str) -> None:
    """A code is hidden in the callback's URL too, where its @ is %40."""
    text = redact(f"https://127.0.0.1:8182/?code={secret.replace('@', '%40')}&session=ee1b")
    assert not leaks(secret, text)
    assert text.endswith("&session=ee1b")


@given(password=_PASSWORD)
def test_a_password_vanishes_from_a_url(password: str) -> None:
    """Whatever stands between // and the last @ of a URL's host is hidden, and so is a password parameter."""
    assert not leaks(password, redact(f"redis://user:{password}@host:6379/0"))
    assert not leaks(password, redact(f"rediss://:{password}@host:6379/0"))
    assert not leaks(password, redact(f"redis://{password}@host:6379/0"))
    assert not leaks(password, redact(f"unix:///run/redis.sock?password={password}&db=0"))


@given(secret=st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=16, max_size=16))
@pytest.mark.parametrize("name", ["client_secret", "access_token", "refresh_token", "id_token", "password"])
@pytest.mark.parametrize("form", ['{"%s":"%s"}', "{'%s': '%s'}", "%s=%s", "%s: %s", "&%s=%s&x=1"])
def test_a_value_under_a_secret_name_vanishes_from_text(name: str, form: str, secret: str) -> None:
    """JSON, a Python dictionary, a query and a header inside a sentence lose the value, whatever its shape."""
    assert not leaks(secret, redact(form % (name, secret)))


def test_plain_words_stay() -> None:
    """What is no credential is left as it is: paths, symbols, sentences, long words without the token's end."""
    for text in (
        "cannot connect to Schwab (api.schwabapi.com): refused; check the network",
        "/MNQ:XCME,/MES:XCME",
        "redis://127.0.0.1:6379/0",
        "unix:///var/run/redis/redis.sock",
        "/home/somebody/with/quite/a/long/directory/name/schwab_token.json",
        "code 19: Symbol limit reached",
        "the streamer denied the login (Login Denied.: token is invalid or has expired.)",
    ):
        assert redact(text) == text


class _Foreign:
    """An object of some library that shows its secret when printed."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __str__(self) -> str:
        return f"<Request {self._secret}>"

    __repr__ = __str__


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secret=_SECRET)
def test_no_token_reaches_stderr_by_any_way(secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Values, names, lists, dictionaries, bytes, objects, exceptions and a library's own log lines are all cleaned."""
    configure_logging("json", verbosity=1)
    log = structlog.get_logger("test")
    log.info(f"event {secret}", value=secret, url=f"https://h/?code={secret}", authorization="anything at all")
    log.info(
        "nested", inside={"a": [{"b": (secret, {secret})}], secret: 1}, raw=secret.encode(), foreign=_Foreign(secret)
    )
    log.info("object", inside=[_Foreign(secret), secret.encode(), ValueError(secret)], error=ValueError(secret))
    log.info(_Foreign(secret))
    try:
        raise ValueError(f"bad {secret}") from KeyError(secret)
    except ValueError:
        log.exception("failed")
        logging.getLogger("library").warning("failed %s", secret, exc_info=True)
    lines = capsys.readouterr().err
    assert len(lines.splitlines()) == 6
    assert not leaks(secret, lines)


def test_values_under_secret_names_are_hidden_and_harmless_ones_shown() -> None:
    """Text under a secret's name is hidden whatever it says; codes, counts and times are shown."""
    event = redact_event(
        None,
        "info",
        {
            "refresh_token": "short",
            "SchwabClientCustomerId": "x",
            "account": 12345678,
            "inside": {"accountNumber": 12345678, "password": "p", "code": 19},
            "token_path": ".tokens/schwab_token.json",
            "token_expires_at": 1_700_000_000,
            "code": 19,
            "answer": None,
            "token": None,
            "delayed": False,
        },
    )
    assert event == {
        "refresh_token": REDACTED,
        "SchwabClientCustomerId": REDACTED,
        "account": REDACTED,
        "inside": {"accountNumber": REDACTED, "password": REDACTED, "code": 19},
        "token_path": ".tokens/schwab_token.json",
        "token_expires_at": 1_700_000_000,
        "code": 19,
        "answer": None,
        "token": None,
        "delayed": False,
    }


def test_a_pipe_gets_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Elsewhere than on a terminal each event is one JSON object with event, level and an ISO time."""
    configure_logging()
    structlog.get_logger("x").info("streaming", reason="3 symbols subscribed", keys=("/MES", "/NQ"))
    (line,) = logged(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "streaming", "level": "info", "reason": "3 symbols subscribed", "keys": ["/MES", "/NQ"]}


def test_rich_in_a_pipe_has_no_escape_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """SCHWAB_LOG_FORMAT=rich gives readable lines; without a terminal they carry no colours."""
    configure_logging("rich")
    structlog.get_logger("x").warning("waiting", reason="no network")
    captured = capsys.readouterr().err
    assert "waiting" in captured
    assert "no network" in captured
    assert "\x1b" not in captured


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [(-1, ["error"]), (0, ["info", "warning", "error"]), (1, ["debug", "info", "warning", "error"])],
)
def test_verbosity_chooses_the_levels(capsys: pytest.CaptureFixture[str], verbosity: int, shown: list[str]) -> None:
    """-1 shows errors only, 0 changes of state, 1 debugging as well."""
    configure_logging("json", verbosity=verbosity)
    log = structlog.get_logger("x")
    for level in ("debug", "info", "warning", "error"):
        getattr(log, level)(level)
    assert [line["level"] for line in logged(capsys)] == shown


def test_libraries_are_routed_and_held_to_the_verbosity(capsys: pytest.CaptureFixture[str]) -> None:
    """A library's warning becomes one of our lines; its chatter appears from -vv on, and -q hides all but errors."""
    library = logging.getLogger("websockets.client")
    for verbosity, shown in ((-1, ["error"]), (0, ["warning", "error"]), (2, ["debug", "warning", "error"])):
        configure_logging("json", verbosity=verbosity)
        library.debug("a %s", "debug")
        library.warning("a warning")
        library.error("an error")
        assert [line["level"] for line in logged(capsys)] == shown


HOSTILE = ["owned\x1b]0;owned\x07", "\x9b2J", "\u202eevil", "del\x7f", "line\nfeed", "\ud800", "two words \x1b[2J"]


@pytest.mark.parametrize("log_format", ["rich", "json"])
@pytest.mark.parametrize("text", HOSTILE)
def test_no_log_line_can_steer_a_terminal(
    capsys: pytest.CaptureFixture[str], log_format: Literal["rich", "json"], text: str
) -> None:
    """Text from outside prints, in every place of a line for people and of a JSON line, and a line stays one line."""
    configure_logging(log_format)
    log = structlog.get_logger("x")
    log.info(text)
    log.info("event", reason=text, nested={text: [text]})
    logging.getLogger("library").warning("%s", text)
    try:
        raise ValueError(text)
    except ValueError:
        log.error("failed", exc_info=True)
    write_message(text)
    *lines, end = capsys.readouterr().err.split("\n")
    assert end == ""
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 5 or log_format == "rich"  # a traceback for people has lines of its own


def test_a_terminal_that_nobody_reads_costs_lines_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logging returns at once however full stderr is, and what it has taken comes in order once somebody reads."""
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        configure_logging("json")
        log = structlog.get_logger("x")
        for number in range(2_000):
            log.info("line", number=number, padding="." * 200)
        write_message("last")
        with os.fdopen(read) as reader:
            lines = [reader.readline() for _ in range(2_001)]
        monkeypatch.undo()
        logs._destination.close()
    assert [json.loads(line)["number"] for line in lines[:-1]] == list(range(2_000))
    assert lines[-1] == "last\n"


def test_library_warnings_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """What a library says through the warnings module is nobody's business here."""
    configure_logging()
    warnings.warn("authlib.jose is deprecated", DeprecationWarning, stacklevel=1)
    assert logged(capsys) == []


def test_lines_kept_aside_are_written_when_the_screen_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a screen owns the terminal, lines wait in order, can be shown, and appear afterwards."""
    terminal, screen_end = pty.openpty()
    try:
        with os.fdopen(screen_end, "w", closefd=False) as stream:
            monkeypatch.setattr(sys, "stderr", stream)
            configure_logging("json")
            log = structlog.get_logger("x")
            with logs_kept_aside() as lines:
                log.info("first")
                logging.getLogger("library").warning("second")
                assert [json.loads(line)["event"] for line in lines] == ["first", "second"]
                os.set_blocking(terminal, False)
                with pytest.raises(BlockingIOError):
                    os.read(terminal, 1)
            log.info("third")
            os.set_blocking(terminal, True)
            written = b""
            while written.count(b"\n") < 3:
                written += os.read(terminal, 65_536)
            assert [json.loads(line)["event"] for line in written.splitlines()] == ["first", "second", "third"]
    finally:
        os.close(terminal)
        os.close(screen_end)


def test_lines_to_a_file_are_written_at_once_even_under_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    """With stderr in a file (2>log) a screen holds nothing back: the file is complete and each line is in it once."""
    configure_logging("json")
    log = structlog.get_logger("x")
    with logs_kept_aside() as lines:
        log.info("first")
        assert [json.loads(line)["event"] for line in lines] == ["first"]
        assert [line["event"] for line in logged(capsys)] == ["first"]
    assert logged(capsys) == []
