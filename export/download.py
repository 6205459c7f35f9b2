"""Pretrained weights come from the network: find out within seconds when they cannot, and say what to do instead."""

from __future__ import annotations

import os
import socket
import threading
import urllib.parse
import urllib.request

from profiles.errors import ExportError

CONNECT_S = 5.0
READ_S = 30.0
"""A download that stands still for this long has failed."""

_DEAD_PROXY = "http://127.0.0.1:9"


def check_reachable(url: str, model: str) -> None:
    """A short, bounded look before a download. Errors: ExportError naming --weights random and --weights PATH."""
    socket.setdefaulttimeout(READ_S)
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


def refuse_downloads() -> None:
    """Let every later download of this process fail at once, while files that are cached already still serve."""
    socket.setdefaulttimeout(CONNECT_S)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        os.environ[name] = _DEAD_PROXY
    os.environ.pop("no_proxy", None)
    os.environ.pop("NO_PROXY", None)


def could_not_download(model: str, url: str, reason: object) -> ExportError:
    fix = "use --weights random, or --weights PATH with a file that you have"
    return ExportError(f"the pretrained weights of {model} cannot be downloaded ({reason})", where=url, fix=fix)


def _first_hop(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
