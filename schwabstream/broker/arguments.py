"""Checks the arguments of the public functions, for programs that no type checker has read. Pure.

Without the checks, a wrong channel or prefix would be waited for forever. The errors name the argument and what it
needs; they do not repeat its value, which may be long, unprintable or a URL with a password.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from schwabstream.errors import ConfigurationError
from schwabstream.events import Channel

_CHANNELS: Final = ", ".join(f"Channel.{channel.name}" for channel in Channel)
_POSITION: Final = re.compile(r"\$|[0-9]+(-[0-9]+)?")


def check_channel(name: str, given: Any) -> Channel:
    """The channel; a string with its value is one, too."""
    try:
        return Channel(given)
    except ValueError:
        raise ConfigurationError(f"{name} must be one of {_CHANNELS}") from None


def check_channels(name: str, given: object) -> list[Channel]:
    """At least one channel, from any collection."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigurationError(f"{name} must be a collection of channels, such as [Channel.TICKS]")
    channels = [check_channel(f"each of {name}", each) for each in given]
    if not channels:
        raise ConfigurationError(f"{name} must contain at least one of {_CHANNELS}")
    return channels


def check_texts(**given: object) -> None:
    """Texts that are not empty and have no control characters, by the names of the arguments."""
    for name, text in given.items():
        if not (isinstance(text, str) and text.strip() and text.isprintable()):
            raise ConfigurationError(f"{name} must be a non-empty string without control characters")


def check_position(name: str, given: object) -> None:
    """A position in a Redis stream."""
    if not (isinstance(given, str) and _POSITION.fullmatch(given)):
        raise ConfigurationError(f"{name} must be '0', '$' or the id of an entry, such as '1763760000000-0'")


def check_number(name: str, given: object, lowest: int) -> None:
    """A whole number that is not below ``lowest``."""
    if type(given) is not int or given < lowest:
        raise ConfigurationError(f"{name} must be a whole number, {lowest} or more")
