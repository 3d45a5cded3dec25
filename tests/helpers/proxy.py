"""A proxy that every library is told to use, and that answers nobody: it sees what would leave the machine."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dermforge.common.telemetry import SWITCHES

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY")
#: What would keep a library from asking it.
EXCEPTIONS = ("NO_PROXY", "no_proxy")


@contextmanager
def silent_proxy() -> Iterator[tuple[dict[str, str], list[str]]]:
    """An environment that names it and switches no report off, and what is asked of it, as it comes."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(200).decode(errors="replace"))

        threading.Thread(target=listen, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        usual = {name: value for name, value in os.environ.items() if name not in SWITCHES}
        yield usual | dict.fromkeys(NAMES, address) | dict.fromkeys(EXCEPTIONS, ""), asked
