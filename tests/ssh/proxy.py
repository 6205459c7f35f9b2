"""A TCP proxy on loopback that stands for a bad network: cuts after so many bytes, or lets nothing through."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable


class Proxy:
    """Forwards to `target`. `cut_after`: bytes from client to server, over all connections, after which every
    connection is ended once. `black_hole()`: connections stay open and carry nothing. `before` is called with the
    number of each piece that the client sends, from 0 on, before it goes on to the server."""

    def __init__(self, target: int, *, cut_after: int | None = None) -> None:
        self.cut_after = cut_after
        self.passed = 0
        self.pieces = 0
        self.before: Callable[[int], object] = lambda number: None
        self._target = target
        self._open = threading.Event()
        self._open.set()
        self._ended = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._spawn(self._accept)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._open.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def black_hole(self) -> None:
        self._open.clear()

    def reset(self) -> None:
        """End every connection as a crashed host does: what is under way is dropped."""
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()

    def cut(self) -> None:
        """End every connection, both ways."""
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                if self._ended.is_set():
                    return
                raise
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # as a host that refuses
                client.close()
                continue
            self._sockets += [client, server]
            self._spawn(self._pump, client, server, True)
            self._spawn(self._pump, server, client, False)

    def _pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError), source:
            while data := source.recv(65_536):
                if counted:
                    self.before(self.pieces)
                    self.pieces += 1
                self._open.wait()
                sink.sendall(data)
                if counted:
                    self._count(len(data))
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def _count(self, size: int) -> None:
        self.passed += size
        if self.cut_after is not None and self.passed > self.cut_after:
            self.cut_after = None
            self.cut()
