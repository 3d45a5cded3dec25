"""The set is blind and balanced, the page works by keyboard and resumes, the analysis gives known numbers."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from evalsuite.quality.features import ArrayImages
from evalsuite.reader_study import analysis
from evalsuite.reader_study.design import KEY, REALISM, make, open_study
from evalsuite.reader_study.server import Server, answered, append, checked
from gen.phantoms import draw
from shards.errors import UserError
from shards.schema import Sample

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def images(word: str, n: int, start: int) -> ArrayImages:
    cells = [(c, g) for c in ("macule", "ulcer") for g in ("light", "dark")]
    samples, arrays = [], []
    for i in range(n):
        cls, group = cells[i % 4]
        samples.append(Sample(id=f"{word}-{i}", origin="real", label=cls, group=group))
        arrays.append(draw(cls, group, start + i).image)
    return ArrayImages(samples, arrays)


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
        server.shutdown()
        thread.join()


def ask(server: Server, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    content = None if body is None else json.dumps(body)
    kind = {"Content-Type": "application/json"} if body is not None else {}
    connection.request("GET" if body is None else "POST", path, content, kind | headers)
    reply = connection.getresponse()
    return reply.status, reply.read()


def answer(study: Any, item: str, reader: str = "ann", **changes: object) -> dict[str, object]:
    return {"reader": reader, "item": item, "realism": study.realism[2], "diagnosis": study.diagnoses[0],
            "group": study.groups[0], "seconds": 1.5} | changes


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


@pytest.mark.parametrize("changes", [
    {"item": "q9999"}, {"realism": "9"}, {"diagnosis": "=cmd()"}, {"reader": "../x"}, {"seconds": "x"}, {"seconds": -1},
])
def test_bad_answers_are_refused(server: Server, changes: dict[str, object]) -> None:
    assert ask(server, "/answer", answer(server.study, server.study.items[0]) | changes)[0] == 400
    assert list((server.folder / "responses").iterdir()) == []


def test_other_hosts_and_forms_are_refused(server: Server) -> None:
    """DNS rebinding and cross-site forms cannot write answers."""
    body = answer(server.study, server.study.items[0])
    assert ask(server, "/answer", body, Host="evil.example")[0] == 403
    assert ask(server, "/answer", body, **{"Content-Type": "text/plain"})[0] == 400


class Browser:
    """Chromium without a window, driven through its debugging pipe; keys go in as a reader's would."""

    def __init__(self, profile: Path) -> None:
        (read_in, self.write), (self.read, write_out) = os.pipe(), os.pipe()

        def wire() -> None:  # Chromium reads commands on 3 and answers on 4
            a, b = os.dup(read_in), os.dup(write_out)
            os.dup2(a, 3)
            os.dup2(b, 4)

        command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            command, preexec_fn=wire, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(read_in)
        os.close(write_out)
        self.number, self.buffer, self.session = 0, b"", ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method: str, **params: object) -> dict[str, Any]:
        self.number += 1
        message: dict[str, object] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.buffer:
                part = os.read(self.read, 1 << 16)
                if not part:
                    pytest.fail("chromium closed its pipe")
                self.buffer += part
            line, _, self.buffer = self.buffer.partition(b"\0")
            reply = json.loads(line)
            if reply.get("id") == self.number:
                assert "error" not in reply, reply
                return reply["result"]

    def value(self, script: str) -> Any:
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait(self, script: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self.value(script):
            assert time.monotonic() < end, f"still not true: {script}: {self.value('document.body.innerText')}"
            time.sleep(0.05)

    def press(self, text: str) -> None:
        enter = {"key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13}
        for letter in text:
            key = enter if letter == "\n" else {"key": letter, "text": letter}
            self.call("Input.dispatchKeyEvent", type="keyDown", **key)
            self.call("Input.dispatchKeyEvent", type="keyUp", **{k: v for k, v in key.items() if k != "text"})

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        os.close(self.write)
        os.close(self.read)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_reader_works_by_keyboard_alone_and_resumes(server: Server, tmp_path: Path) -> None:
    items = server.study.items
    browser = Browser(tmp_path / "profile")
    try:
        browser.call("Page.navigate", url=server.url)
        browser.wait("!!document.getElementById('reader') && document.readyState === 'complete'")
        browser.value("document.getElementById('reader').focus()")
        browser.press("ann\n")
        for item in items[:3]:
            browser.wait(f"document.body.dataset.state === 'item-{item}'")
            browser.press("421\n")
        browser.wait(f"document.body.dataset.state === 'item-{items[3]}'")
        # what a screen reader needs: named image, grouped and labelled choices, a live status
        assert browser.value("document.getElementById('image').alt") == f"Image 4 of {len(items)}"
        assert browser.value("[...document.querySelectorAll('fieldset')].every(f => f.querySelector('legend'))")
        assert browser.value("[...document.querySelectorAll('input')].every(i => i.labels.length === 1)")
        assert browser.value("document.querySelector('[role=status]').ariaLive") == "polite"
        assert browser.value("document.getElementById('image').decode().then(() => 1) && 1") == 1
        # the tab is closed and opened again: the fourth image is next
        browser.call("Page.navigate", url=server.url)
        browser.wait("!document.body.dataset.state && document.readyState === 'complete'")
        browser.value("document.getElementById('reader').focus()")
        browser.press("ann\n")
        browser.wait(f"document.body.dataset.state === 'item-{items[3]}'")
        for item in items[3:]:
            browser.wait(f"document.body.dataset.state === 'item-{item}'")
            browser.press("112\n")
        browser.wait("document.body.dataset.state === 'done'")
    finally:
        browser.close()
    assert answered(server.folder, "ann") == set(items)
    table = pd.read_csv(server.folder / "responses" / "ann.csv")
    assert table["realism"].tolist() == [REALISM[3]] * 3 + [REALISM[0]] * (len(items) - 3)
    assert table["diagnosis"].iloc[0] == "ulcer"
    assert table["group"].tolist() == ["light"] * 3 + ["dark"] * (len(items) - 3)


def answers_of(folder: Path, skill: float, readers: int = 3) -> None:
    """Readers who see the truth with a probability and guess otherwise."""
    study, key = open_study(folder), pd.read_csv(folder / KEY).set_index("item")
    for r in range(readers):
        rng = np.random.default_rng(r)
        for item in study.items:
            knows = rng.random() < skill
            realism = (4 if key.loc[item, "origin"] == "real" else 0) if knows else int(rng.integers(0, 5))
            diagnosis = key.loc[item, "class"] if knows else str(rng.choice(study.diagnoses))
            append(folder, checked(answer(
                study, item, f"reader{r}", realism=study.realism[realism], diagnosis=diagnosis,
                group=key.loc[item, "group"],
            ), study))


def test_perfect_readers_get_one_and_guessing_readers_a_half(tmp_path: Path) -> None:
    for name in ("perfect", "guessing"):
        make(images("r", 40, 0), images("s", 40, 100), tmp_path / name, per_cell=10, seed=1, size=64)
        answers_of(tmp_path / name, 1.0 if name == "perfect" else 0.0)
    study, perfect = analysis.load(tmp_path / "perfect")
    overall = analysis.reader_table(perfect, resamples=100).iloc[0]
    assert overall["discrimination"].value == 1.0
    assert overall["diagnosis_real"].value == 1.0
    assert analysis.agreement(perfect, study)["value"].tolist() == pytest.approx([1, 1, 1])
    _, guessing = analysis.load(tmp_path / "guessing")
    chance = analysis.reader_table(guessing, resamples=200).iloc[0]["discrimination"]
    assert chance.low < 0.5 < chance.high
    expected = roc_auc_score(guessing["truth"] == "real", guessing["realism"])
    assert chance.value == pytest.approx(expected)
    assert abs(analysis.agreement(guessing, study)["value"].iloc[0]) < 0.3
    assert analysis.study_section(tmp_path / "guessing")["tables"]


def test_icc_is_shrout_and_fleiss() -> None:
    """Their table 4 example: ICC(2,1) = 0.29."""
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    assert analysis.icc(ratings) == pytest.approx(0.29, abs=0.005)


def test_realism_is_correlated_with_the_gain() -> None:
    rng = np.random.default_rng(0)
    classes = [f"c{i}" for i in range(8)]
    answers = pd.DataFrame({
        "truth": "synthetic", "truth_diagnosis": np.repeat(classes, 5),
        "realism": np.repeat(np.arange(8), 5) + rng.normal(0, 0.1, 40),
    })
    gains = pd.DataFrame({"class": classes, "gain": np.arange(8) ** 2})
    assert analysis.gain_correlation(answers, gains).value == pytest.approx(1.0)
    with pytest.raises(UserError, match="class and gain"):
        analysis.gain_correlation(answers, gains.rename(columns={"gain": "x"}))


def test_a_folder_without_answers_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="serve"):
        analysis.load(folder)
    with pytest.raises(UserError, match="make"):
        analysis.load(tmp_path)
