"""Masks account numbers in texts from Schwab; pure.

An account number has 8 digits, its hash 64 hexadecimal digits (protocol 4.10). Only the last four characters stay, so
that a person can tell accounts apart. The rule is wide: any run of 8 or more digits is masked, also with separators
between them, except in dates, times and option symbols.
"""

import re
from collections.abc import Iterable

MASK = "****"
_SHOWN, _SHORTEST = 4, 8
_SHORTEST_KNOWN = 5
"""A shorter account would mask prices and quantities that merely contain its digits."""
_GAP = "[^0-9A-Za-z]{0,3}"
# A digit as a JSON text inside of a JSON text has it.
_ESCAPED_DIGIT = re.compile(r"\\+u003([0-9])")
_SUSPECTS = re.compile(
    r"""
    (?P<kept>
        (?<!\d)(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])    # a date, perhaps with a time and a zone
            (?:[ T][0-2]\d:[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?(?!\d)
        | (?<!\d)(?:0[1-9]|1[0-2])/(?:0[1-9]|[12]\d|3[01])/(?:19|20)\d\d(?!\d)
        | (?<!\d)[0-2]\d:[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?!\d)
        | \b[A-Z]{1,6}[ ]{0,5}\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[CP]\d{8}\b
    )
    | [0-9A-Fa-f]{32,}
    | \d(?:[^0-9A-Za-z]{0,3}\d){7,}
    """,
    re.VERBOSE,
)


def mask_text(text: str, accounts: Iterable[str] = ()) -> str:
    """The text with every possible account number masked; ``accounts`` are masked in dates and symbols too."""
    if "\\" in text:
        text = _ESCAPED_DIGIT.sub(r"\1", text)
    return mask_known(_SUSPECTS.sub(_masked, text), accounts)


def mask_known(text: str, accounts: Iterable[str]) -> str:
    """The text with only these account numbers masked, also with separators between their characters."""
    for account in accounts:
        text = re.sub(_GAP.join(map(re.escape, account)), masked(account), text, flags=re.IGNORECASE)
    return text


def masked(account: str) -> str:
    """An account number or its hash in masked form, such as ``****6789``; only asterisks when it is short."""
    characters = plain(account)
    return MASK + characters[-_SHOWN:] if len(characters) >= _SHORTEST else MASK


def plain(account: str) -> str:
    """An account number without separators."""
    return "".join(filter(str.isalnum, account))


def is_account(text: str) -> bool:
    """Whether this text, from a field of an account, is long enough to be searched for in other fields."""
    characters = plain(text)
    return len(characters) >= _SHORTEST_KNOWN and any(map(str.isdigit, characters))


def _masked(match: re.Match[str]) -> str:
    return match[0] if match["kept"] else masked(match[0])
