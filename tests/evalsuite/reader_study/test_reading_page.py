"""The page works by keyboard, by touch, for screen readers and on phones, and resumes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from browser import CHROMIUM, Browser

from evalsuite.reader_study.answers import answered
from evalsuite.reader_study.blinded_set import REALISM
from evalsuite.reader_study.server import StudyServer


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    browser = Browser(tmp_path / "profile")
    yield browser
    browser.close()


def begin(browser: Browser, server: StudyServer, reader: str) -> None:
    browser.call("Page.navigate", url=server.url)
    browser.wait("!document.body.dataset.state && document.readyState === 'complete'")
    assert not browser.value("document.getElementById('reading').checkVisibility()")  # no answer without an image
    browser.value("document.getElementById('reader').focus()")
    browser.press(f"{reader}\n")


def test_a_reader_works_by_keyboard_alone_and_resumes(server: StudyServer, browser: Browser) -> None:
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


def test_a_screen_reader_finds_every_control_by_name(server: StudyServer, browser: Browser) -> None:
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
    assert ("button", "Save and continue") in found
    assert roles["status"] == 1
    assert browser.value("document.activeElement.name") == "realism"  # where one continues by Tab and arrows


@pytest.mark.parametrize("width", [360, 820, 1280])
def test_the_page_fits_a_phone_a_tablet_and_a_screen(server: StudyServer, browser: Browser, width: int) -> None:
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


PHONES = [(360, 640), (375, 667), (667, 375)]


@pytest.mark.parametrize(("width", "height"), PHONES)
def test_a_reader_works_by_touch_alone_on_a_phone(
    server: StudyServer, browser: Browser, width: int, height: int
) -> None:
    """The image stays in view, covers nothing that is touched, and the next image is at the top."""
    items = server.study.items
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=True)
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    browser.call("Page.navigate", url=server.url)
    browser.wait("!document.body.dataset.state && document.readyState === 'complete'")
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    browser.tap("document.getElementById('reader')")
    browser.press("ann")
    browser.tap("document.querySelector('#who button')")
    for item, following in pairwise(items[:3]):
        browser.wait(f"document.body.dataset.state === 'item-{item}' && document.getElementById('image').complete")
        assert browser.value("scrollY") == 0
        assert browser.value("document.documentElement.scrollWidth <= innerWidth")
        sizes = "[...document.querySelectorAll('label,button')].filter(e => e.offsetParent)"
        assert (
            browser.value(f"Math.min(...{sizes}.map(e => e.getBoundingClientRect()).flatMap(r => [r.width, r.height]))")
            >= 44
        )
        assert not browser.value("[...document.querySelectorAll('kbd')].some(e => e.checkVisibility())")
        for name in ("realism", "diagnosis", "group"):
            browser.tap(f"document.querySelector('fieldset[data-name={name}] label:last-child')")
        browser.tap("document.getElementById('next')")
        browser.wait(f"document.body.dataset.state === 'item-{following}'")
        browser.value("scrollTo(0, document.body.scrollHeight)")
        box = "document.getElementById('image').getBoundingClientRect()"
        assert browser.value(f"{box}.top >= 0 && {box}.bottom <= innerHeight && {box}.left >= 0")
        assert browser.value(f"{box}.width") >= 0.4 * min(width, height)
        browser.value("scrollTo(0, 0)")
    table = pd.read_csv(server.folder / "responses" / "ann.csv")
    assert table["item"].tolist() == items[:2]
    assert table["realism"].tolist() == [REALISM[-1]] * 2


def test_a_double_press_skips_no_image_and_a_lost_server_is_told(server: StudyServer, browser: Browser) -> None:
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
