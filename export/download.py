"""Pretrained weights come from the network: find out within seconds when they cannot, and say what to do instead."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import NoReturn

from profiles.errors import ExportError

CONNECT_S = 5.0
READ_S = 30.0
"""A download that stands still for this long has failed."""


def check_reachable(url: str, model: str) -> None:
    """A short, bounded look before a download. Errors: ExportError naming --weights random and --weights PATH."""
    reason = unreachable(url)
    if reason is not None:
        raise could_not_download(model, url, reason)


def unreachable(url: str) -> str | None:
    """Why the host of `url` (or the proxy in front of it) cannot be connected to, or None. Takes CONNECT_S at most,
    name look-up included: a resolver without a network may take a minute by itself."""
    host, port = _first_hop(url)
    outcome: list[str | None] = [f"no answer from {host} within {CONNECT_S:g} s"]

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=CONNECT_S).close()
            outcome[0] = None
        except OSError as error:
            outcome[0] = f"{host}: {error.strerror or error}"

    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(CONNECT_S)
    return outcome[0]


@contextlib.contextmanager
def stands_still_at_most(seconds: float = READ_S) -> Iterator[None]:
    """Within it a download of which nothing comes for so long fails. torch's and Keras's downloaders take no limit, so
    it is one of every socket that the process makes meanwhile, and of none that it makes later."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


class _Refusal(urllib.request.BaseHandler):
    def default_open(self, request: urllib.request.Request) -> NoReturn:
        raise urllib.error.URLError(f"{request.host}: nothing is downloaded")


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Within it every download through urllib, as Keras's, fails at once; files that are cached already still serve."""
    before = getattr(urllib.request, "_opener", None)
    urllib.request.install_opener(urllib.request.build_opener(_Refusal))
    try:
        yield
    finally:
        urllib.request.install_opener(before)


def could_not_download(model: str, url: str, reason: object) -> ExportError:
    fix = "use --weights random, or --weights PATH with a file that you have"
    return ExportError(f"the pretrained weights of {model} cannot be downloaded ({reason})", where=url, fix=fix)


def _first_hop(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
