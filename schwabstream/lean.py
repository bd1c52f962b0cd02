"""Loads libraries without what they import on the side and nothing here uses: half a second and 20 MB of a streamer.

Nothing of theirs is changed. A part that a library can do without looks not installed while it loads; a package that
would import all it has when one part is asked for loads that part, and itself once something else is asked of it.
Loaders are called before anybody imports the library in the usual way, which then finds it there.
"""

import contextlib
import gc
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """A package whose ``__init__`` runs when a name is wanted that none of its parts has; the parts load without it."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the package holds
        if name.startswith("__"):  # the import system's own questions
            raise AttributeError(name)
        part = f"{self.__name__}.{name}"
        if importlib.util.find_spec(part) is not None:
            return importlib.import_module(part)
        self.__class__ = ModuleType  # type: ignore[assignment]  # mypy knows of no change of class; it is Python's way
        spec = self.__spec__
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(self)
        return getattr(self, name)


def _defer(package: str) -> None:
    """Put the package in place, not executed, unless it is loaded already."""
    if package in sys.modules:
        return
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(package)
    module = importlib.util.module_from_spec(spec)
    module.__class__ = _Deferred
    sys.modules[package] = module
    parent, _, child = package.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


@contextlib.contextmanager
def not_installed(*names: str) -> Iterator[None]:
    """Let these modules look not installed while the block runs, unless they are loaded already."""
    hidden: dict[str, Any] = {name: None for name in names if name not in sys.modules}
    sys.modules.update(hidden)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Load the modules that a command begins with in this block, and the libraries under them come in lean.

    No garbage is looked for meanwhile, for loading makes none: that is a tenth of it. Nor is it looked for afterwards
    in what was loaded, which is there to stay.
    """
    with _uncollected():
        with not_installed("rich"):  # structlog would use it for tracebacks that are not ours
            importlib.import_module("structlog")
        # Commands, clusters and sentinels stay away until somebody asks for redis-py's client; connections need none.
        for package in ("redis", "redis.asyncio"):
            _defer(package)
        yield
        gc.freeze()


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def load_authlib() -> ModuleType:
    """Authlib's OAuth client for httpx, without OAuth 1 and OpenID, whose cryptography nothing here needs."""
    for package in ("authlib.integrations.httpx_client", "authlib.integrations.base_client"):
        _defer(package)
    base = sys.modules["authlib.integrations.base_client"]
    errors = importlib.import_module("authlib.integrations.base_client.errors")
    base.__dict__.update({name: value for name, value in vars(errors).items() if not name.startswith("_")})
    with _uncollected(), not_installed("httpx._main"):  # its command line
        return importlib.import_module("authlib.integrations.httpx_client.oauth2_client")


def load_schwab_client() -> ModuleType:
    """schwab-py's REST client, without its login server and its streamer, which needs websockets' outgoing half."""
    unused = {name: ModuleType(name) for name in ("schwab.auth", "schwab.streaming") if name not in sys.modules}
    sys.modules.update(unused)
    try:
        with not_installed("httpx._main"):
            return importlib.import_module("schwab.client")
    finally:
        for name, placeholder in unused.items():
            del sys.modules[name]
            parent, _, child = name.rpartition(".")
            if getattr(sys.modules.get(parent), child, None) is placeholder:
                delattr(sys.modules[parent], child)
