"""The `serve` command: one Region in one process, from its socket to the end of its last function."""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_region import environment
from local_region.settings import Settings

LOOPBACK = "127.0.0.1"


def serve(settings: Settings, exit_with_stdin: bool) -> int:
    """Serve a Region until a signal, or the end of standard input, says to stop; answers the exit code."""
    # The one line on standard output is the ready line. Whatever a library prints goes to standard error.
    ready_output = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with tempfile.TemporaryDirectory(prefix="local-region-") as scratch:
        listener = _listen(settings.port)
        port = listener.getsockname()[1]
        environment.replace(environment.of_region(settings, port, Path(scratch)))
        tempfile.tempdir = scratch
        logging.basicConfig(level=logging.INFO if settings.verbose else logging.ERROR, stream=sys.stderr)

        from local_region.seams import misfits  # reads ministack

        found = misfits()
        for misfit in found:
            print(f"local_region: {misfit}", file=sys.stderr)
        if found:
            return 1
        asyncio.run(_serve(settings, listener, f"http://{LOOPBACK}:{port}", exit_with_stdin, ready_output))
    return 0


async def _serve(
    settings: Settings, listener: socket.socket, endpoint: str, exit_with_stdin: bool, ready_output: Any
) -> None:
    from hypercorn.asyncio import serve as serve_http
    from hypercorn.config import Config

    from local_region.region import assemble  # imports ministack, which reads the environment

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.set_exception_handler(_report)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if exit_with_stdin:
        threading.Thread(
            target=_at_end_of_stdin, args=(lambda: loop.call_soon_threadsafe(stop.set),), daemon=True
        ).start()

    region = assemble(settings, endpoint, loop)
    ready = json.dumps(settings.ready(endpoint))

    async def announced(scope: dict, receive: Callable, send: Callable) -> None:
        async def announcing(message: dict) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                print(ready, file=ready_output, flush=True)

        await region.asgi(scope, receive, announcing if scope["type"] == "lifespan" else send)

    async def stopped() -> None:
        await stop.wait()
        # The functions first: their connections end with them.
        await asyncio.to_thread(region.close)

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 0.2
    config.loglevel = "INFO" if settings.verbose else "ERROR"
    try:
        await serve_http(announced, config, shutdown_trigger=stopped)
    finally:
        region.close()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody else handles, except requests that are cancelled because the Region ends.

    Python 3.11 reports the cancellation of a connection's task as an error in a callback of its own.
    """
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def _listen(port: int) -> socket.socket:
    """A socket on loopback, and on nothing else."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        raise SystemExit(
            f"local_region: cannot listen on {LOOPBACK}:{port}: {error.strerror}; --port 0 takes a free port"
        ) from error
    listener.listen()
    return listener


def _at_end_of_stdin(then: Callable[[], Any]) -> None:
    while os.read(0, 4096):
        pass
    then()
