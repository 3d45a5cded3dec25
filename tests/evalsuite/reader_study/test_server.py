"""The server keeps answers, hides the key and refuses other hosts."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

import pytest
from reader_helpers import answer

from dermforge.common.errors import UserError
from evalsuite.reader_study import analysis
from evalsuite.reader_study.answers import append
from evalsuite.reader_study.blinded_set import KEY
from evalsuite.reader_study.server import StudyServer


def ask(server: StudyServer, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    content = None if body is None else json.dumps(body)
    kind = {"Content-Type": "application/json"} if body is not None else {}
    connection.request("GET" if body is None else "POST", path, content, kind | headers)
    reply = connection.getresponse()
    return reply.status, reply.read()


def test_the_server_keeps_answers_and_hides_the_key(server: StudyServer) -> None:
    study, first = server.study, server.study.items[0]
    assert ask(server, "/")[0] == 200
    assert ask(server, f"/images/{first}.png")[1].startswith(b"\x89PNG")
    for path in ("/key.csv", "/images/../key.csv", "/images/key", "/images/%2e%2e/key.csv", "/responses/ann.csv"):
        assert ask(server, path)[0] == 404
    assert ask(server, "/answer", answer(study, first))[0] == 200
    assert json.loads(ask(server, "/study?reader=ann")[1])["answered"] == [first]
    assert json.loads(ask(server, "/study?reader=bob")[1])["answered"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"item": "q9999"},
        {"realism": "9"},
        {"diagnosis": "=cmd()"},
        {"reader": "../x"},
        {"seconds": "x"},
        {"seconds": -1},
    ],
)
def test_bad_answers_are_refused(server: StudyServer, changes: dict[str, object]) -> None:
    assert ask(server, "/answer", answer(server.study, server.study.items[0]) | changes)[0] == 400
    assert list((server.folder / "responses").iterdir()) == []


def test_other_hosts_and_forms_are_refused(server: StudyServer) -> None:
    """DNS rebinding and cross-site forms cannot write answers."""
    body = answer(server.study, server.study.items[0])
    assert ask(server, "/answer", body, Host="evil.example")[0] == 403
    assert ask(server, "/answer", body, **{"Content-Type": "text/plain"})[0] == 400


def test_a_folder_without_answers_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="serve"):
        analysis.load(folder)
    with pytest.raises(UserError, match="make"):
        analysis.load(tmp_path)


def test_a_port_in_use_and_a_damaged_study_are_told_in_one_line(server: StudyServer, folder: Path) -> None:
    with pytest.raises(UserError, match="another port"):
        StudyServer(folder, server.server_address[1])
    study = server.study
    append(folder, answer(study, study.items[0]) | {"time": "", "realism": "9"})  # edited by hand
    with pytest.raises(UserError, match=r"ann.csv: the realism '9' is not of this study"):
        analysis.load(folder)
    (folder / KEY).unlink()
    with pytest.raises(UserError, match=r"key\.csv is missing"):
        analysis.load(folder)
