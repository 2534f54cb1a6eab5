"""The TCP connections of the Region's clients, for answers that are none."""

import asyncio
import contextlib
import contextvars
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from hypercorn.asyncio.tcp_server import TCPServer

_current: contextvars.ContextVar["Connection"] = contextvars.ContextVar("connection")


class Connection:
    """The connection a request came by."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._closed = asyncio.Event()

    @classmethod
    def current(cls) -> "Connection":
        """The connection of the request that is being served."""
        return _current.get()

    def reset(self) -> None:
        """Close the connection at once, as a network that fails does: the client gets a reset, and no answer."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()

    async def closed(self, timeout: float | None = None) -> None:
        """Return when the client has closed the connection, or `timeout` seconds have passed."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._closed.wait(), timeout)

    def _note_end(self) -> None:
        self._closed.set()


def follow_connections() -> None:
    """Have every request know its connection."""
    run, read = TCPServer.run, TCPServer._read_data

    async def followed(server: Any) -> None:
        connection = Connection(server.writer)
        # The task that serves a request is started from here, and gets a copy of this context.
        _current.set(connection)
        await _and_then(run(server), connection._note_end)

    async def read_to_the_end(server: Any) -> None:
        # The requests under way are waited for after the last byte was read.
        await _and_then(read(server), _current.get()._note_end)

    TCPServer.run = followed
    TCPServer._read_data = read_to_the_end


async def _and_then(work: Awaitable[None], then: Callable[[], None]) -> None:
    try:
        await work
    finally:
        then()
