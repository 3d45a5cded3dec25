"""Serve a study to readers on this machine: standard library only, localhost only, every answer on disk at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from urllib.parse import parse_qs, urlsplit

from dermforge.common.errors import UserError
from dermforge.common.texts_as_values import json_value
from evalsuite.reader_study.answers import READER, answered, append
from evalsuite.reader_study.blinded_set import IMAGES, BlindedSet, open_study
from evalsuite.reader_study.reading_page import PAGE, SCRIPT

MAX_BODY = 4096
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'unsafe-inline'; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class StudyServer(ThreadingHTTPServer):
    """One study; several readers may answer at the same time."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0, host: str = "127.0.0.1") -> None:
        self.folder, self.study, self.lock = folder, open_study(folder), Lock()
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise UserError(
                f"cannot serve on port {port} ({error.strerror}); give another port, or 0 for a free one"
            ) from error

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: StudyServer
    timeout = 30

    def do_GET(self) -> None:
        if not self._local():
            return
        address = urlsplit(self.path)
        if address.path == "/":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", PAGE.encode())
        elif address.path == "/script.js":
            self._send(HTTPStatus.OK, "text/javascript; charset=utf-8", SCRIPT.encode())
        elif address.path == "/study":
            self._study(parse_qs(address.query).get("reader", [""])[0])
        elif address.path.startswith("/images/"):
            self._image(address.path.removeprefix("/images/").removesuffix(".png"))
        else:
            self._say(HTTPStatus.NOT_FOUND, "no such page")

    def do_POST(self) -> None:
        if not self._local():
            return
        length = self.headers.get("Content-Length", "")
        is_json = self.headers.get("Content-Type", "").startswith("application/json")
        if (
            self.path != "/answer"
            or not is_json
            or not (length.isascii() and length.isdigit())
            or int(length) > MAX_BODY
        ):
            self._say(HTTPStatus.BAD_REQUEST, "expected a small JSON answer")
            return
        try:
            answer = json_value(self.rfile.read(int(length)))
            row = checked(answer, self.server.study)
        except ValueError as error:
            self._say(HTTPStatus.BAD_REQUEST, str(error))
            return
        with self.server.lock:
            append(self.server.folder, row)
        self._say(HTTPStatus.OK, "saved")

    def _local(self) -> bool:
        """Refuse other host names: a page elsewhere must not reach this server through a rebound name."""
        host = self.headers.get("Host", "").rsplit(":", 1)[0]
        if host in ("127.0.0.1", "localhost"):
            return True
        self._say(HTTPStatus.FORBIDDEN, "this server answers to localhost only")
        return False

    def _study(self, reader: str) -> None:
        if not READER.fullmatch(reader):
            self._say(HTTPStatus.BAD_REQUEST, "a reader's name has 1 to 40 letters, digits, - or _")
            return
        body = self.server.study.model_dump() | {"answered": sorted(answered(self.server.folder, reader))}
        self._send(HTTPStatus.OK, "application/json", json.dumps(body).encode())

    def _image(self, item: str) -> None:
        if item not in self.server.study.items:  # the list of items is the only way to a file
            self._say(HTTPStatus.NOT_FOUND, "no such image")
            return
        self._send(HTTPStatus.OK, "image/png", (self.server.folder / IMAGES / f"{item}.png").read_bytes())

    def _say(self, status: HTTPStatus, text: str) -> None:
        self._send(status, "text/plain; charset=utf-8", text.encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep readers' names out of the terminal."""


def checked(answer: object, study: BlindedSet) -> dict[str, str]:
    """An answer as a row of text; raises ValueError where it is not one."""
    if not isinstance(answer, dict):
        raise ValueError("expected a JSON object")
    choices = {"item": study.items, "realism": study.realism, "diagnosis": study.diagnoses, "group": study.groups}
    for name, allowed in choices.items():
        if answer.get(name) not in allowed:
            raise ValueError(f"{name}: not one of the choices")
    if not isinstance(answer.get("reader"), str) or not READER.fullmatch(answer["reader"]):
        raise ValueError("reader: 1 to 40 letters, digits, - or _")
    seconds = answer.get("seconds", 0)
    if not isinstance(seconds, int | float) or not 0 <= seconds < 1e6:
        raise ValueError("seconds: not a time")
    row = {name: str(answer[name]) for name in ("reader", *choices)}
    return row | {"seconds": f"{seconds:.2f}", "time": datetime.now(UTC).isoformat(timespec="seconds")}
