"""What is loaded without, and that whoever wants the rest gets it; each in a process that has loaded nothing yet."""

import subprocess
import sys

import pytest

HEAD = "import sys, warnings; warnings.simplefilter('ignore'); from schwabstream import lean\n"


def run(script: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", HEAD + script], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_module_that_is_hidden_is_there_again_afterwards() -> None:
    """Within the block the module cannot be imported, after it it can."""
    script = """
with lean.not_installed("colorsys"):
    try:
        import colorsys
    except ImportError:
        print("hidden")
import colorsys
print(colorsys.__name__)
"""
    assert run(script).split() == ["hidden", "colorsys"]


def test_what_is_loaded_already_is_not_hidden() -> None:
    """A module that somebody uses already stays what it is."""
    script = """
import colorsys
with lean.not_installed("colorsys"):
    assert sys.modules["colorsys"] is colorsys
assert sys.modules["colorsys"] is colorsys
print("kept")
"""
    assert run(script) == "kept"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("from redis.asyncio.connection import ConnectionPool", "from redis.asyncio import Redis"),
        ("from redis.exceptions import RedisError", "from redis import Redis"),
        ("from redis.asyncio.connection import ConnectionPool", "import redis.asyncio.client"),
        (
            "from redis.asyncio.connection import ConnectionPool",
            "import redis; redis.Redis, redis.asyncio.RedisCluster",
        ),
        ("", "from redis.asyncio import Redis"),
    ],
)
def test_redis_loads_its_client_only_when_somebody_wants_it(first: str, then: str) -> None:
    """The parts of redis-py come without its client; the client comes when it is asked for, by whatever way."""
    script = f"""
with lean.loading():
    pass
{first}
assert not {{"redis.client", "redis.cluster"}} & set(sys.modules)
{then}
assert "redis.client" in sys.modules
import redis
print(redis.Redis.__name__, redis.RedisError is redis.exceptions.RedisError)
"""
    assert run(script) == "Redis True"


def test_redis_has_the_names_it_lacks_only_where_it_lacks_them() -> None:
    """A name that redis-py does not have is an AttributeError, as ever."""
    script = """
with lean.loading():
    pass
import redis
try:
    redis.nonsense
except AttributeError:
    print("none")
"""
    assert run(script) == "none"


def test_structlog_comes_without_rich_and_rich_without_harm() -> None:
    """Logging loads no rich; whoever wants it has it."""
    script = """
with lean.loading():
    pass
import structlog
assert "rich" not in sys.modules
import rich.console
print(rich.console.Console.__name__)
"""
    assert run(script) == "Console"


def test_authlib_comes_without_cryptography_and_completes_itself() -> None:
    """OAuth for httpx loads neither OpenID nor OAuth 1; both are there for whoever imports them later."""
    script = """
client = lean.load_authlib().AsyncOAuth2Client
assert not {"joserfc", "cryptography", "authlib.oauth1", "httpx._main"} & set(sys.modules)
from authlib.integrations.httpx_client import AsyncOAuth1Client, AsyncOAuth2Client
from authlib.integrations.base_client import OAuthError, OpenIDMixin
from authlib.integrations.httpx_client.oauth2_client import OAuthError as raised
print(client is AsyncOAuth2Client, OAuthError is raised, "joserfc" in sys.modules or "authlib.jose" in sys.modules)
"""
    assert run(script) == "True True True"


def test_garbage_is_looked_for_after_loading_and_not_before() -> None:
    """While a command loads the collector rests; afterwards it runs again, and leaves alone what was loaded."""
    script = """
import gc
with lean.loading():
    print(gc.isenabled())
print(gc.isenabled(), gc.get_freeze_count() > 1000)
"""
    assert run(script).split() == ["False", "True", "True"]
