"""``schwabstream simulate``: runs the simulator as a server, and says how to point a client at it."""

import asyncio
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.commands.signals import until_signalled
from schwabstream.commands.simulated import load_tape
from schwabstream.logs import configure_logging
from schwabstream.settings import load_settings
from schwabstream.simulator import Faults, SchwabSimulator

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """What ``simulate`` was asked for."""

    recording: Path | None = None
    port: int = 0
    seed: int = 7
    futures_depth: bool = False
    speed: float = 1.0
    loop: bool = False
    verbosity: int = 0


def simulate(options: SimulateOptions, tell: Callable[[str], None]) -> None:
    """Serve until a signal; ``tell`` gets the lines a client needs once the port is open.

    Raises ``ConfigurationError`` when the port is taken or the file is no recording.
    """
    configure_logging(load_settings().schwab_log_format, verbosity=options.verbosity)
    asyncio.run(_simulate(options, tell))


async def _simulate(options: SimulateOptions, tell: Callable[[str], None]) -> None:
    tape = None
    if options.recording is not None:
        tape = load_tape(options.recording, speed=options.speed, loop=options.loop)
    faults = Faults(futures_depth=options.futures_depth, auto_approve=True)
    with tempfile.TemporaryDirectory(prefix="schwabstream-") as folder:
        async with SchwabSimulator(seed=options.seed, port=options.port, faults=faults, tape=tape) as simulator:
            token_path = Path(folder) / "schwab_token.json"
            TokenStore(token_path).save(TokenSet.from_file(simulator.issue_token()))
            lines = {
                "SCHWAB_API_BASE_URL": simulator.base_url,
                "SCHWAB_CLIENT_ID": simulator.client_id,
                "SCHWAB_CLIENT_SECRET": simulator.client_secret,
                "SCHWAB_TOKEN_PATH": str(token_path),
            }
            for name, value in lines.items():
                tell(f"{name}={shlex.quote(value)}")
            log.info("simulated Schwab", url=simulator.base_url, control=f"{simulator.base_url}/simulator/state")
            await until_signalled(asyncio.ensure_future(_for_ever()))


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()
