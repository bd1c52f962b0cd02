"""What a server is: a single Redis, a Sentinel or a node of a Cluster; and the URL that suits it."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from schwabstream.broker.nodes import pairs_in
from schwabstream.broker.url import Address
from schwabstream.escapes import safe

Ask = Callable[..., Awaitable[Any]]
"""Sends one command, and returns the reply or the error reply."""


async def url_for(ask: Ask, node: Address, scheme: str) -> str:
    """The URLs, joined by "or", that suit a server that answers at that address. Raises what ``ask`` raises."""
    place = str(node) if node.port else "HOST:PORT"
    mode = pairs_in(await ask("HELLO")).get("mode")  # no ACL can forbid it
    if mode == "cluster":
        return f"{scheme}+cluster://{place}"
    if mode != "sentinel":
        return f"{scheme}://{place}"
    names = await masters_of(ask) or ["NAME"]
    return safe(" or ".join(f"{scheme}+sentinel://{place}/{quote(name)}" for name in names))


async def masters_of(ask: Ask) -> list[str]:
    """The names of the masters that a Sentinel watches; empty when it does not list them."""
    masters = await ask("SENTINEL", "MASTERS")
    return sorted(filter(None, (pairs_in(each).get("name") for each in masters))) if isinstance(masters, list) else []
