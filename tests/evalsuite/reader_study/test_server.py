"""A reader study is blind and balanced; its page works by keyboard, for screen readers and on tablets, and resumes."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from browser import CHROMIUM, Browser
from reader_helpers import answer, images

from dermforge.common.errors import UserError
from evalsuite.reader_study import analysis
from evalsuite.reader_study.design import KEY, REALISM, make, open_study
from evalsuite.reader_study.server import Server, answered, append


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(images("r", 16, 0), images("s", 12, 100), tmp_path / "study", per_cell=2, seed=1, size=64)
    return tmp_path / "study"


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()  # harmless where a test has done so
        thread.join()


def ask(server: Server, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    content = None if body is None else json.dumps(body)
    kind = {"Content-Type": "application/json"} if body is not None else {}
    connection.request("GET" if body is None else "POST", path, content, kind | headers)
    reply = connection.getresponse()
    return reply.status, reply.read()


def test_the_set_is_balanced_seeded_and_blind(folder: Path, tmp_path: Path) -> None:
    study, key = open_study(folder), pd.read_csv(folder / KEY)
    assert (key.groupby(["class", "group", "origin"]).size() == 2).all()
    assert len(key) == 16
    assert study.groups == ["light", "dark"]
    again = make(images("r", 16, 0), images("s", 12, 100), tmp_path / "again", per_cell=2, seed=1, size=64)
    assert pd.read_csv(tmp_path / "again" / KEY).equals(key)
    assert again == study
    shown = (folder / "study.json").read_text() + " ".join(p.name for p in (folder / "images").iterdir())
    assert not any(id in shown for id in key["id"])
    assert "real" not in {p.name for p in folder.rglob("*.png")}


def test_a_study_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(UserError, match="already holds"):
        make(images("r", 4, 0), images("s", 4, 9), folder, per_cell=1, seed=0, size=64)


def test_the_server_keeps_answers_and_hides_the_key(server: Server) -> None:
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
def test_bad_answers_are_refused(server: Server, changes: dict[str, object]) -> None:
    assert ask(server, "/answer", answer(server.study, server.study.items[0]) | changes)[0] == 400
    assert list((server.folder / "responses").iterdir()) == []


def test_other_hosts_and_forms_are_refused(server: Server) -> None:
    """DNS rebinding and cross-site forms cannot write answers."""
    body = answer(server.study, server.study.items[0])
    assert ask(server, "/answer", body, Host="evil.example")[0] == 403
    assert ask(server, "/answer", body, **{"Content-Type": "text/plain"})[0] == 400


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    browser = Browser(tmp_path / "profile")
    yield browser
    browser.close()


def begin(browser: Browser, server: Server, reader: str) -> None:
    browser.call("Page.navigate", url=server.url)
    browser.wait("!document.body.dataset.state && document.readyState === 'complete'")
    assert not browser.value("document.getElementById('reading').checkVisibility()")  # no answer without an image
    browser.value("document.getElementById('reader').focus()")
    browser.press(f"{reader}\n")


def test_a_reader_works_by_keyboard_alone_and_resumes(server: Server, browser: Browser) -> None:
    items = server.study.items
    begin(browser, server, "ann")
    for item in items[:3]:
        browser.wait(f"document.body.dataset.state === 'item-{item}'")
        browser.press("421\n")
    browser.wait(f"document.body.dataset.state === 'item-{items[3]}'")
    begin(browser, server, "ann")  # the tab is closed and opened again: the fourth image is next
    for item in items[3:]:
        browser.wait(f"document.body.dataset.state === 'item-{item}'")
        browser.press("112\n")
    browser.wait("document.body.dataset.state === 'done'")
    assert not browser.value("document.getElementById('reading').checkVisibility()")
    assert answered(server.folder, "ann") == set(items)
    table = pd.read_csv(server.folder / "responses" / "ann.csv")
    assert table["realism"].tolist() == [REALISM[3]] * 3 + [REALISM[0]] * (len(items) - 3)
    assert table["diagnosis"].iloc[0] == "ulcer"
    assert table["group"].tolist() == ["light"] * 3 + ["dark"] * (len(items) - 3)


def test_a_screen_reader_finds_every_control_by_name(server: Server, browser: Browser) -> None:
    """Chromium's own accessibility tree, which is what a screen reader reads."""
    begin(browser, server, "ann")
    first, count = server.study.items[0], len(server.study.items)
    browser.wait(f"document.body.dataset.state === 'item-{first}' && document.getElementById('image').complete")
    nodes = [n for n in browser.call("Accessibility.getFullAXTree")["nodes"] if not n.get("ignored")]
    found = {(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes}
    roles = Counter(n["role"]["value"] for n in nodes)
    assert ("image", f"Image 1 of {count}") in found
    assert {("group", text) for text in ("How real does it look?", "What does it show?", "Which skin type?")} <= found
    assert {("radio", word) for word in REALISM} <= found
    assert {("radio", word) for word in (*server.study.diagnoses, *server.study.groups)} <= found
    assert roles["radio"] == len(REALISM) + len(server.study.diagnoses) + len(server.study.groups)
    assert ("button", "Save and go on") in found
    assert roles["status"] == 1
    assert browser.value("document.activeElement.name") == "realism"  # where one goes on by Tab and arrows


@pytest.mark.parametrize("width", [360, 820, 1280])
def test_the_page_fits_a_phone_a_tablet_and_a_screen(server: Server, browser: Browser, width: int) -> None:
    """No sideways scrolling, and what is touched is at least 44 px high (WCAG 2.5.5)."""
    screen = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 900}
    browser.call("Emulation.setDeviceMetricsOverride", **screen)
    begin(browser, server, "ann")
    browser.wait("document.body.dataset.state && document.getElementById('image').complete")
    assert browser.value("document.documentElement.scrollWidth") <= width
    touched = "[...document.querySelectorAll('label,button')].filter(e => e.offsetParent)"
    assert browser.value(f"Math.min(...{touched}.map(e => e.getBoundingClientRect().height))") >= 44
    shown = "document.getElementById('image').getBoundingClientRect()"
    assert browser.value(f"{shown}.width") >= 300
    assert browser.value(f"{shown}.width / {shown}.height") == pytest.approx(1, abs=0.01)  # images are square


def test_a_double_press_skips_no_image_and_a_lost_server_is_told(server: Server, browser: Browser) -> None:
    """Both would lose answers without a word."""
    items = server.study.items
    begin(browser, server, "ann")
    browser.wait(f"document.body.dataset.state === 'item-{items[0]}'")
    browser.press("111")
    browser.value("{const form = document.getElementById('answers'); form.requestSubmit(); form.requestSubmit()}")
    browser.wait(f"document.body.dataset.state === 'item-{items[1]}'")
    assert pd.read_csv(server.folder / "responses" / "ann.csv")["item"].tolist() == items[:1]
    server.shutdown()
    server.server_close()
    browser.press("111\n")
    browser.wait("document.querySelector('[role=status]').textContent.startsWith('Not saved')")
    assert browser.value("document.body.dataset.state") == f"item-{items[1]}"
    assert browser.value("document.querySelectorAll(':checked').length") == 3  # the answer is still there


def test_a_folder_without_answers_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="serve"):
        analysis.load(folder)
    with pytest.raises(UserError, match="make"):
        analysis.load(tmp_path)


def test_a_port_in_use_and_a_damaged_study_are_told_in_one_line(server: Server, folder: Path) -> None:
    with pytest.raises(UserError, match="another --port"):
        Server(folder, server.server_address[1])
    study = server.study
    append(folder, answer(study, study.items[0]) | {"time": "", "realism": "9"})  # edited by hand
    with pytest.raises(UserError, match=r"ann.csv: the realism '9' is not of this study"):
        analysis.load(folder)
    (folder / KEY).unlink()
    with pytest.raises(UserError, match=r"key\.csv is missing"):
        analysis.load(folder)
