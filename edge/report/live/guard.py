"""Who may read a live page: requests for this host, with the token where there is one; and what the page may load."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from profiles.errors import ConfigError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LEAST_TOKEN = 16
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def check_token(host: str, token: str | None) -> None:
    """Errors: ConfigError where others could reach the page, and no token or one that can be guessed keeps them out."""
    fix = "--token $(openssl rand -hex 16), or the same in $EDGEBENCH_REPORT_TOKEN"
    if token is None and not is_loopback(host):
        message = f"whoever reaches {host} could read the measurements: that takes a token"
        raise ConfigError(message, where="--host", fix=fix)
    if token is not None and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        message = f"a token has {LEAST_TOKEN} printable ASCII characters at least"
        raise ConfigError(message, where="--token", fix=fix)


def is_loopback(host: str) -> bool:
    found = _address(host)
    return host.lower() == "localhost" if found is None else found.is_loopback


def is_everywhere(host: str) -> bool:
    """Whether it stands for all addresses of this machine."""
    found = _address(host)
    return found is not None and found.is_unspecified


class Guard:
    """Stands before the pages, and reads nothing but headers.

    A name that an attacker's DNS points here is refused (DNS rebinding): only addresses, `localhost`, `host` and this
    machine's own name are served. The token comes once, in the address; then it is a cookie that scripts cannot read.
    """

    def __init__(self, app: App, host: str, token: str | None) -> None:
        self._app = app
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}
        self._token = token
        self._cookie = f"edgebench-{_derived(token or '', 'name')[:8]}", _derived(token or "", "value")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._is_ours(headers.get("host", "")):
            await _answer(send, 421, "This server is not the host of that name.")
        elif scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, "This server is only read.")
        elif self._token is None or self._has_cookie(headers.get("cookie", "")):
            await self._app(scope, receive, _with_headers(send))
        else:
            await self._ask(scope, send)

    def _is_ours(self, header: str) -> bool:
        name = header[1 : header.find("]")] if header.startswith("[") else header.rpartition(":")[0] or header
        return _address(name) is not None or name.lower() in self._names

    def _has_cookie(self, header: str) -> bool:
        try:
            found = SimpleCookie(header).get(self._cookie[0])
        except CookieError:
            return False
        return found is not None and _same(found.value, self._cookie[1])

    async def _ask(self, scope: Scope, send: Send) -> None:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if _same(given, self._token or ""):
            cookie = f"{'='.join(self._cookie)}; Path=/; HttpOnly; SameSite=Strict"
            await _answer(send, 303, "", {"location": "/", "set-cookie": cookie})
        else:
            await _answer(send, 401, "This page takes a token: open the address that the command printed.")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _same(given: str, expected: str) -> bool:
    """In a time that tells nothing of either."""
    return hmac.compare_digest(*(hashlib.sha256(text.encode()).digest() for text in (given, expected)))


def _derived(token: str, what: str) -> str:
    """The same after a restart, and not the token itself; browsers keep cookies by host, so each token has its own."""
    return hmac.new(token.encode(), f"edgebench live report, {what}".encode(), hashlib.sha256).hexdigest()


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_encoded(_HEADERS)]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, text: str, more: dict[str, str] | None = None) -> None:
    headers = {**_HEADERS, "content-type": "text/plain; charset=utf-8", **(more or {})}
    await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": text.encode()})


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
