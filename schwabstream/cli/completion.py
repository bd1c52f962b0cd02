"""What Tab offers for the values of arguments and options. ``shells`` has the scripts that ask for it.

Writes nothing and never fails: a Redis that is away or slow, or an invalid setting, only means fewer values.
"""

from collections.abc import Iterable, Iterator

import typer

from schwabstream.errors import ConfigurationError, SymbolError

_EMBEDDED = "embedded"
_USUAL_REDIS = "redis://127.0.0.1:6379/0"


def symbols(context: typer.Context, incomplete: str) -> list[str]:
    """The symbols of the running streamer and of the settings, also after a comma; not those already given."""
    return _of_list(context, incomplete, _symbols(context, added_only=False))


def added_symbols(context: typer.Context, incomplete: str) -> list[str]:
    """The symbols that were added to the running streamer: the others cannot be removed."""
    return _of_list(context, incomplete, _symbols(context, added_only=True))


def redis(_context: typer.Context, incomplete: str) -> list[str]:
    """The usual address, as an example of the form."""
    return _offered(incomplete, [_USUAL_REDIS])


def redis_or_embedded(_context: typer.Context, incomplete: str) -> list[str]:
    """The word that starts a Redis."""
    return _offered(incomplete, [_EMBEDDED])


def _of_list(context: typer.Context, incomplete: str, names: Iterable[str]) -> list[str]:
    """The values for the last symbol of a comma-separated text, in lower case if that is how it begins."""
    before, comma, word = incomplete.rpartition(",")
    given = ",".join([before, *(context.params.get("symbols") or ())]).upper().split(",")
    written = str.lower if word.islower() else str
    return _offered(incomplete, [f"{before}{comma}{written(name)}" for name in names if name.upper() not in given])


def _offered(incomplete: str, values: Iterable[str]) -> list[str]:
    """The values that begin so.

    Without one, the text with a blank, which the scripts skip: for no value at all, a shell would offer file names.
    """
    return [value for value in values if value.startswith(incomplete)] or [f"{incomplete} "]


def _symbols(context: typer.Context, *, added_only: bool) -> Iterator[str]:
    """The symbols to offer, each key once; a text that cannot be a symbol never reaches the command line."""
    from schwabstream.clock import today
    from schwabstream.monitoring.streamed_symbols import streamed_symbols
    from schwabstream.protocol.symbols import parse_symbol
    from schwabstream.settings import examine_settings

    redis_url = context.params.get("redis")
    try:
        settings, problems = examine_settings(redis_url=None if redis_url == _EMBEDDED else redis_url)
    except ConfigurationError:
        return
    # In place of an invalid address the settings have the usual one, where another streamer may run.
    is_invalid = any(problem.startswith(("REDIS_URL:", "--redis:")) for problem in problems)
    streamed = [] if is_invalid else streamed_symbols(settings.redis_url, settings.schwab_redis_prefix)
    names = [each.symbol for each in streamed if each.source == "added" or not added_only]
    keys: set[str] = set()
    for name in names if added_only else [*names, *settings.symbols]:
        try:
            symbol = parse_symbol(name, today())
        except SymbolError:
            continue
        if symbol.key not in keys:
            keys.add(symbol.key)
            yield symbol.alias
