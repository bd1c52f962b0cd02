"""``schwabstream simulate`` runs the simulator as a server; other commands run it for the length of a block."""

import asyncio
import contextlib
import shlex
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import structlog

from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.commands.signals import until_signalled
from schwabstream.commands.start import settings_and_logs
from schwabstream.protocol.codec import Response, decode
from schwabstream.protocol.session import SUCCESS_CODES
from schwabstream.recording.format import Record
from schwabstream.recording.reader import Recording
from schwabstream.settings import Settings, load_settings
from schwabstream.simulator import Faults, SchwabSimulator, Tape

log = structlog.get_logger(__name__)

# Every command is answered in the first seconds of a recording.
_RECORDS_LOOKED_AT = 5_000


def simulate(
    show: Callable[[str], None],
    recording: Path | None,
    *,
    port: int,
    seed: int,
    futures_depth: bool,
    speed: float,
    loop: bool,
    verbosity: int,
) -> None:
    """Serve until a signal; ``show`` gets the lines a client needs once the port is open.

    Raises ``ConfigurationError`` when the port is taken or the file is not a recording.
    """
    settings_and_logs(verbosity)
    tape = None if recording is None else load_tape(recording, speed=speed, loop=loop)
    faults = Faults(futures_depth=futures_depth, auto_approve=True)
    asyncio.run(_serve(SchwabSimulator(seed=seed, port=port, faults=faults, tape=tape), show))


async def _serve(simulator: SchwabSimulator, show: Callable[[str], None]) -> None:
    async with _logged_in(simulator) as values:
        for name, value in values.items():
            show(f"{name.upper()}={shlex.quote(str(value))}")
        log.info("simulated Schwab", url=simulator.base_url, control=f"{simulator.base_url}/simulator/state")
        await until_signalled(asyncio.get_running_loop().create_future())


@contextlib.asynccontextmanager
async def simulated_schwab(settings: Settings, tape: Tape | None = None) -> AsyncIterator[Settings]:
    """These settings, pointed at a simulator that is logged in; with a ``tape`` it serves that recording."""
    no_login = {"schwab_token_key": None, "schwab_refresh_token": None, "schwab_persist_refresh_to_env": False}
    async with _logged_in(SchwabSimulator(faults=Faults(futures_depth=True), tape=tape)) as values:
        yield load_settings(**settings.model_dump(exclude_unset=True) | no_login | values)


@contextlib.asynccontextmanager
async def _logged_in(simulator: SchwabSimulator) -> AsyncIterator[dict[str, Any]]:
    """Run the simulator; the settings that point a client at it, with a token file that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="schwabstream-") as folder:
        async with simulator:
            path = Path(folder) / "schwab_token.json"
            TokenStore(path).save(TokenSet.from_file(simulator.issue_token()))
            yield {
                "schwab_api_base_url": simulator.base_url,
                "schwab_client_id": simulator.client_id,
                "schwab_client_secret": simulator.client_secret,
                "schwab_token_path": path,
            }


def load_tape(path: Path, *, speed: float = 1.0, loop: bool = False) -> Tape:
    """The recording as a tape for the simulator; raises ``ConfigurationError`` when the file is not one.

    Damage is logged once, when the tape reaches it.
    """

    def frames() -> Iterator[tuple[int, str | bytes]]:
        with Recording(path) as recording:
            for item in recording.items():
                if isinstance(item, Record) and item.kind == "in" and _is_data(item.payload):
                    yield item.at_us, item.payload
            for problem in recording.problems:
                log.warning("the recording is damaged", file=str(path), problem=problem)

    with Recording(path) as recording:
        services = frozenset(recording.header.services) - _refused(recording)
    return Tape(frames, services, speed, loop)


def _refused(recording: Recording) -> frozenset[str]:
    """The services that Schwab refused while the recording was made."""
    refused = set()
    for item, _ in zip(recording.items(), range(_RECORDS_LOOKED_AT), strict=False):
        if isinstance(item, Record) and item.kind == "in" and not _is_data(item.payload):
            answers = (message for message in decode(item.payload) if isinstance(message, Response))
            refused |= {answer.service for answer in answers if answer.code not in SUCCESS_CODES}
    return frozenset(refused)


def _is_data(frame: str | bytes) -> bool:
    return frame.startswith('{"data"') if isinstance(frame, str) else frame.startswith(b'{"data"')
