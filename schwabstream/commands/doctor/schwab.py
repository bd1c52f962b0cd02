"""The checks of Schwab: the network, the login and the entitlements.

Never opens a streamer session: it would end the session of a running streamer.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.commands.doctor.findings import LIMIT_S, Finding, bounded, failed, failure, ok, unchecked, warning
from schwabstream.errors import ProtocolError
from schwabstream.escapes import safe
from schwabstream.protocol.symbols import Symbol
from schwabstream.protocol.user_preference import ASK_FOR_LEVEL2, SIGN, Entitlements, first, read_entitlements
from schwabstream.terminal.text import counted

LARGEST_SKEW_S = 30.0
NOTABLE_SKEW_S = 3.0
_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}
_NETWORK = "check the network, its DNS and its firewall; then Schwab's status page"
_CERTIFICATES = "update the system's certificates; a proxy that decrypts TLS needs its own certificate installed"
_CLOCK = "set the clock: timedatectl set-ntp true"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and a port to connect to."""

    host: str
    port: int
    secure: bool

    @classmethod
    def of(cls, url: str) -> "Endpoint":
        """The endpoint of a URL."""
        parts = urlsplit(url)
        return cls(parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443), parts.scheme in ("https", "wss"))


async def examine_network(
    base_url: str, *, wall: Callable[[], float] = time.time, limit_s: float = LIMIT_S
) -> list[Finding]:
    """DNS, TLS and clock, each within ``limit_s``; each check needs the one before it."""
    endpoint, look = Endpoint.of(base_url), partial(bounded, fix=_NETWORK, code=4, limit_s=limit_s)
    dns = await look("dns", _look_up(endpoint.host))
    if dns.code:
        why = f"{endpoint.host} cannot be found"
        return [dns, unchecked("tls", why), unchecked("clock", why)]
    tls = await look("tls", _shake_hands(endpoint))
    if tls.code:
        return [dns, tls, unchecked("clock", f"{endpoint.host} cannot be reached")]
    return [dns, tls, await look("clock", _compare_clocks(endpoint, wall))]


async def examine_account(auth: SchwabAuthClient, symbols: list[Symbol]) -> tuple[list[Finding], str | None]:
    """The findings about the account, and its customer id, which names the lease and is never shown."""
    kept: list[dict[str, Any]] = []

    async def fetch() -> Finding:
        kept.append(await auth.fetch_user_preference())
        return ok("", "Schwab accepts the login")

    account = await bounded("account", fetch(), fix=_NETWORK, code=4)
    if not kept:
        why = "Schwab did not report the entitlements of this account"
        return [account, *(unchecked(name, why) for name in ("entitlements", "quotes", "streamer"))], None
    quotes, streamer = await asyncio.gather(
        bounded("quotes", _fetch_quotes(auth, symbols), fix=_NETWORK, code=4), _examine_streamer(kept[0])
    )
    info = first(kept[0].get("streamerInfo"))
    customer_id = info.get("schwabClientCustomerId")
    findings = [account, _entitlements(read_entitlements(kept[0])), quotes, streamer]
    return findings, customer_id if isinstance(customer_id, str) else None


async def _look_up(host: str) -> Finding:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except OSError as error:
        return failed("", f"{host}: {error.strerror}", _NETWORK, 4)
    addresses = len({each[4][0] for each in found})
    return ok("", f"{host} has {addresses} address{'es' if addresses != 1 else ''}")


async def _shake_hands(endpoint: Endpoint) -> Finding:
    where = f"{endpoint.host}:{endpoint.port}"
    context = ssl.create_default_context() if endpoint.secure else None
    try:
        _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context)
    except ssl.SSLCertVerificationError as error:
        return failed("", f"{where}: the certificate is not trusted ({error.verify_message})", _CERTIFICATES, 4)
    except ssl.SSLError as error:
        return failed("", f"{where}: no TLS ({error.reason})", _CERTIFICATES, 4)
    except OSError as error:
        return failed("", f"{where}: {error.strerror or 'no connection'}", _NETWORK, 4)
    try:
        tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
        if tls is None:
            return ok("", f"{where} answers; plain HTTP, on loopback")
        not_after = str((tls.getpeercert() or {}).get("notAfter", ""))
        until = datetime.fromtimestamp(ssl.cert_time_to_seconds(not_after), UTC) if not_after else None
        return ok("", f"{where}: {tls.version()}, trusted" + (f" until {until:%Y-%m-%d}" if until else ""))
    finally:
        writer.transport.abort()


async def _compare_clocks(endpoint: Endpoint, wall: Callable[[], float]) -> Finding:
    """Compare our clock with the Date header, which has whole seconds."""
    context = ssl.create_default_context() if endpoint.secure else None
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context)
    try:
        asked_at = wall()
        writer.write(f"GET / HTTP/1.1\r\nHost: {endpoint.host}\r\nConnection: close\r\n\r\n".encode())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = ""
        now = (asked_at + wall()) / 2
    finally:
        writer.transport.abort()
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n") if ": " in line)
    try:
        schwab = parsedate_to_datetime(headers.get("date", "")).timestamp() + 0.5
    except ValueError:
        return unchecked("", "Schwab's answer has no date")
    skew = now - schwab
    if abs(skew) <= NOTABLE_SKEW_S:
        return ok("", f"within {NOTABLE_SKEW_S:g} s of Schwab's")
    detail = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} Schwab's"
    return failed("", detail, _CLOCK, 2) if abs(skew) > LARGEST_SKEW_S else warning("", detail, _CLOCK)


def _entitlements(found: Entitlements) -> Finding:
    market_data = f"market data: {found.market_data or 'not reported'}"
    if not found.level2:
        detail = f"{market_data}; no level 2: books of equities and options stay empty"
        return warning("entitlements", detail, ASK_FOR_LEVEL2)
    if found.market_data is None:
        fix = f"{SIGN}; see whether quotes are delayed"
        return warning("entitlements", f"{market_data}; level 2 allowed", fix)
    return ok("entitlements", f"{market_data}; level 2 allowed (futures: Schwab has top of book only)")


async def _fetch_quotes(auth: SchwabAuthClient, symbols: list[Symbol]) -> Finding:
    """Whether the quotes endpoint has the wanted symbols, in real time."""
    keys = list(dict.fromkeys(symbol.key for symbol in symbols))[:50]
    if not keys:
        return unchecked("", "no symbols are set")
    try:
        quotes = await auth.fetch_quotes(keys)
    except ProtocolError as error:
        return failure("", error)
    entries = [quote for quote in quotes.values() if isinstance(quote, dict) and "realtime" in quote]
    delayed = [entry for entry in entries if entry["realtime"] is False]
    if not entries:
        fix = "check SCHWAB_SYMBOLS; the app needs both products, Accounts and Trading and Market Data"
        return warning("", f"Schwab has no quote for {', '.join(keys[:5])}", fix)
    if delayed:
        return warning("", f"{len(delayed)} of {counted(len(entries), 'symbol')} delayed", SIGN)
    return ok("", f"{len(entries)} of {counted(len(keys), 'symbol')} quoted, in real time")


async def _examine_streamer(preference: dict[str, Any]) -> Finding:
    url = first(preference.get("streamerInfo")).get("streamerSocketUrl")
    if not isinstance(url, str) or not url:
        return failed("streamer", "Schwab names no streamer", "try again; report it if it happens again", 5)
    try:
        return await bounded("streamer", _shake_hands(Endpoint.of(url)), fix=_NETWORK, code=4)
    except ValueError:  # some names fail only where they are resolved
        detail = f"Schwab names a streamer whose address cannot be used ({safe(url[:200])})"
        return failed("streamer", detail, "try again; report it if it happens again", 5)
