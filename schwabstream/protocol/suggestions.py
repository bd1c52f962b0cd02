"""Candidates for a text that is not a valid symbol; ``symbols`` decides which of them exist. Pure."""

import re
from collections.abc import Iterator
from difflib import get_close_matches

from schwabstream.protocol.futures import FUTURE_ROOTS

_CONTRACT = re.compile(r"/?(?P<root>[A-Z0-9]{1,4}?)(?P<month>[FGHJKMNQUVXZ])(?:20)?(?P<year>\d{1,2})")


def proposals(upper: str) -> Iterator[str]:
    """Symbols that the upper-case text may mean, the likeliest first."""
    body = upper.partition(":")[0].strip()
    letters = re.sub(r"[^A-Z0-9]", "", body)
    if (contract := _CONTRACT.fullmatch(body)) and contract["root"] in FUTURE_ROOTS:
        yield f"/{contract['root']}{contract['month']}{contract['year']}"
    # Futures as other services write them: ES=F, /ES_F, ES1!, BTC/USD
    words = re.findall(r"[A-Z0-9]+", body)
    for root in (letters, *words[:1], *(word.rstrip("0123456789") for word in words[:1])):
        if root in FUTURE_ROOTS:
            yield listed_root(root)
    yield f"{letters[:3]}/{letters[3:]}"
    if len(letters) > 5:
        yield f"{letters[:3]}/USD"
    yield f"${letters}"
    if body.startswith("./"):
        yield body
    if body.startswith("/") or ":" in upper:
        yield from map(listed_root, get_close_matches(letters, FUTURE_ROOTS, 1))


def listed_root(root: str) -> str:
    """A root of the table with its slash and market."""
    return f"/{root}:{FUTURE_ROOTS[root].mic}"
