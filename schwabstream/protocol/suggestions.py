"""What a text that cannot be read as a symbol may have meant. Pure; proposes, ``symbols`` decides what exists."""

import re
from collections.abc import Iterator
from difflib import get_close_matches

from schwabstream.protocol.futures import FUTURE_ROOTS

_CONTRACT = re.compile(r"/?(?P<root>[A-Z0-9]{1,4}?)(?P<month>[FGHJKMNQUVXZ])(?:20)?(?P<year>\d{1,2})")


def proposals(upper: str) -> Iterator[str]:
    """Forms that the text, in upper case, may have meant; likelier ones first."""
    body = upper.partition(":")[0].strip()
    letters = re.sub(r"[^A-Z0-9]", "", body)
    if (contract := _CONTRACT.fullmatch(body)) and contract["root"] in FUTURE_ROOTS:
        yield f"/{contract['root']}{contract['month']}{contract['year']}"
    # Other houses' futures: ES=F, /ES_F, ES1!, BTC/USD
    words = re.findall(r"[A-Z0-9]+", body)
    for root in (letters, *words[:1], *(word.rstrip("0123456789") for word in words[:1])):
        if root in FUTURE_ROOTS:
            yield known_root(root)
    yield f"{letters[:3]}/{letters[3:]}"
    if len(letters) > 5:
        yield f"{letters[:3]}/USD"
    yield f"${letters}"
    if body.startswith("./"):
        yield body
    if body.startswith("/") or ":" in upper:
        yield from map(known_root, get_close_matches(letters, FUTURE_ROOTS, 1))


def known_root(root: str) -> str:
    """A root of the table in the form people write."""
    return f"/{root}:{FUTURE_ROOTS[root].mic}"
