"""The package as a program imports it, in a fresh interpreter."""

import subprocess
import sys

HEAVY = {"pydantic", "redis", "asyncio", "orjson", "hiredis", "typer", "structlog"}


def test_importing_the_package_is_cheap() -> None:
    """``import schwabstream`` loads neither pydantic nor redis, nor an event loop; using a name does."""
    code = f"import sys, schwabstream; print({HEAVY} & set(sys.modules)); from schwabstream import TickEvent as found"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(found.__name__)"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\nTickEvent\n"
