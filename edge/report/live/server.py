"""The server: a page, its parts, its data, and events that say when those have changed."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from edge.report.live.guard import App, Guard, is_everywhere
from edge.report.live.source import EVERY_S, Now, Source
from edge.report.page import html
from profiles.errors import ConfigError, EdgebenchError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_ENDS_WITHIN_S = 3
_QUIET = 15  # looks without a word, after which a comment keeps the connection


def application(source: Source, ending: Callable[[], bool]) -> App:
    """What answers, without the guard; `ending` says that the server is to stop. Errors: ConfigError without the
    libraries."""
    try:
        from starlette.applications import Starlette
        from starlette.responses import HTMLResponse, StreamingResponse
        from starlette.routing import Route
    except ImportError:
        raise _missing() from None
    page, plotly = html.served(), html.plotly_js()
    css, script = html.asset(html.CSS), html.asset(html.JS)

    async def whole(_: Request) -> Response:
        return HTMLResponse(page)

    async def events(_: Request) -> Response:
        return StreamingResponse(_news(source, ending), media_type="text/event-stream")

    async def data(_: Request) -> Response:
        return await asyncio.to_thread(_data, source)

    def part(path: str, text: str, kind: str) -> Route:
        async def answer(_: Request) -> Response:
            return _typed(text, kind)

        return Route(path, answer)

    found: App = Starlette(
        routes=[
            Route("/", whole),
            Route("/events", events),
            Route("/data.json", data),
            part("/page.css", css, "text/css"),
            part("/page.js", script, "text/javascript"),
            part("/plotly.js", plotly, "text/javascript"),
        ]
    )
    return found


def listen(host: str, port: int) -> socket.socket:
    """A socket of this address; port 0 takes a free one. Errors: ConfigError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"{host} is no address of this machine ({error.strerror})", where="--host") from None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen()  # who opens the address that is printed waits until somebody answers
    except OSError as error:
        made.close()
        message = f"{host} port {port} cannot be listened on ({error.strerror})"
        raise ConfigError(message, where="--port", fix="name another, or 0 for any that is free") from None
    return made


def serve(source: Source, listening: socket.socket, host: str, token: str | None) -> None:
    """Until Ctrl-C, which comes out as KeyboardInterrupt. Errors: ConfigError without the libraries."""
    try:
        import uvicorn
    except ImportError:
        raise _missing() from None
    server: Any = None
    guarded = Guard(application(source, lambda: server is not None and server.should_exit), host, token)
    settings = uvicorn.Config(
        guarded, log_level="critical", access_log=False, lifespan="off", ws="none", server_header=False,
        timeout_graceful_shutdown=_ENDS_WITHIN_S,
    )  # fmt: skip
    server = uvicorn.Server(settings)
    server.run(sockets=[listening])


def address(listening: socket.socket, host: str, token: str | None) -> str:
    """What to open in a browser."""
    port = listening.getsockname()[1]
    name = socket.gethostname() if is_everywhere(host) else host
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


async def _news(source: Source, ending: Callable[[], bool]) -> AsyncIterator[str]:
    """What is there, then each change."""
    told: Now | None = None
    quiet = 0
    while not ending():
        now, why = await asyncio.to_thread(_now, source)
        status = why or now.status
        events = []
        if told is None or now.ids != told.ids:
            events.append(_event("measurement", len(now.ids)))
        if told is None or status != told.status:
            events.append(_event("status", status))
        quiet = 0 if events else quiet + 1
        if quiet >= _QUIET:
            events, quiet = [": still here\n\n"], 0
        for event in events:
            yield event
        told = Now(now.ids, status)
        await asyncio.sleep(EVERY_S)


def _now(source: Source) -> tuple[Now, str]:
    """And why it cannot be read."""
    try:
        return source.now(), ""
    except EdgebenchError as error:
        return Now((), ""), str(error)


def _data(source: Source) -> Response:
    from starlette.responses import PlainTextResponse
    from starlette.responses import Response as Plain

    try:
        return Plain(source.document(), media_type="application/json")
    except EdgebenchError as error:
        return PlainTextResponse(str(error), status_code=409)


def _typed(text: str, kind: str) -> Response:
    from starlette.responses import Response as Plain

    return Plain(text, media_type=kind)


def _event(name: str, value: object) -> str:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"


def _missing() -> ConfigError:
    message = "a live page is served by starlette and uvicorn, which are not installed"
    return ConfigError(message, where="--live", fix=html.EXTRA)
