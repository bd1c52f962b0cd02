"""Settings of the Schwab to use: the real one, or a simulator that runs for the length of a block."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import structlog

from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.protocol.codec import Response, decode
from schwabstream.protocol.session import SUCCESS_CODES
from schwabstream.recording.format import Record
from schwabstream.recording.reader import Recording
from schwabstream.settings import Settings, load_settings
from schwabstream.simulator import Faults, SchwabSimulator, Tape

log = structlog.get_logger(__name__)

# Every command is answered in the first seconds of a recording.
_RECORDS_LOOKED_AT = 5_000


@contextlib.asynccontextmanager
async def simulated_schwab(settings: Settings, tape: Tape | None = None) -> AsyncIterator[Settings]:
    """These settings, pointed at a simulator with a login of its own; with a ``tape`` it serves that recording."""
    with tempfile.TemporaryDirectory(prefix="schwabstream-") as folder:
        async with SchwabSimulator(faults=Faults(futures_depth=True), tape=tape) as simulator:
            path = Path(folder) / "schwab_token.json"
            TokenStore(path).save(TokenSet.from_file(simulator.issue_token()))
            simulated = {
                "schwab_api_base_url": simulator.base_url,
                "schwab_client_id": simulator.client_id,
                "schwab_client_secret": simulator.client_secret,
                "schwab_token_path": path,
                "schwab_token_key": None,
                "schwab_refresh_token": None,
                "schwab_persist_refresh_to_env": False,
            }
            yield load_settings(**settings.model_dump(exclude_unset=True) | simulated)


def load_tape(path: Path, *, speed: float = 1.0, loop: bool = False) -> Tape:
    """The recording as a tape for the simulator; raises ``ConfigurationError`` when the file is none.

    What cannot be read is named in the log, once, when the tape gets there.
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
    """The services that were not to be had when the recording was made."""
    refused = set()
    for item, _ in zip(recording.items(), range(_RECORDS_LOOKED_AT), strict=False):
        if isinstance(item, Record) and item.kind == "in" and not _is_data(item.payload):
            answers = (message for message in decode(item.payload) if isinstance(message, Response))
            refused |= {answer.service for answer in answers if answer.code not in SUCCESS_CODES}
    return frozenset(refused)


def _is_data(frame: str | bytes) -> bool:
    return frame.startswith('{"data"') if isinstance(frame, str) else frame.startswith(b'{"data"')
