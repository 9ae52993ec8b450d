"""The page of ``xlsr-ref explain`` in a real browser: nothing is fetched, keys move the cursor, a phone can show it.

A Chromium without a window is spoken to over its DevTools pipe; nothing is installed for it. Skips where there is none.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from itertools import count
from pathlib import Path

import pytest

import xlsr_ref
from xlsr_ref.cli import main

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None or os.name == "nt", reason="no Chromium was found")

CLIP = Path(xlsr_ref.__file__).parent / "data" / "clips" / "en" / "tt-monkeysintro.flac"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-pipe",
]  # fmt: skip
PATIENCE = 120  # seconds until a browser that says nothing counts as broken


class Browser:
    """A Chromium with one page. Events are kept in ``events``; commands raise what the browser complains of."""

    def __init__(self, profile: Path) -> None:
        to_it, ours = os.pipe()
        theirs, from_it = os.pipe()

        def descriptors():  # it reads commands on 3 and writes answers on 4
            os.dup2(to_it, 63), os.dup2(from_it, 64)  # out of the way first
            os.dup2(63, 3), os.dup2(64, 4)

        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            command, preexec_fn=descriptors, close_fds=False, stdin=quiet, stdout=quiet, stderr=quiet
        )
        os.close(to_it), os.close(from_it)
        self.out, self.into = ours, os.fdopen(theirs, "rb")
        self.numbers, self.events, self.rest = count(1), [], b""
        os.set_blocking(theirs, False)
        target = self("Target.createTarget", session=None, url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", session=None, targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self(f"{domain}.enable")

    session = None

    def __call__(self, method, session="", **parameters):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        answer = self._until(lambda found: found.get("id") == number)
        assert "error" not in answer, answer
        return answer["result"]

    def wait(self, event):
        """Until this event comes, which must be the next of its kind."""
        return self._until(lambda found: found.get("method") == event)

    def _until(self, wanted):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            *whole, self.rest = (self.rest + (self.into.read() or b"")).split(b"\0")
            for at, one in enumerate(whole):
                found = json.loads(one)
                if "method" in found:
                    self.events.append(found)
                if wanted(found):
                    self.rest = b"\0".join([*whole[at + 1 :], self.rest])
                    return found
            if not whole:
                time.sleep(0.02)
        raise TimeoutError("the browser does not answer")

    def open(self, path, width, height=800, scripts=True, **media):
        """A page at a width in CSS pixels, with media features such as prefers_color_scheme="dark"."""
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self("Emulation.setEmulatedMedia", features=features)
        self("Emulation.setScriptExecutionDisabled", value=not scripts)
        mobile = width < 600
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.events.clear()
        self("Page.navigate", url=Path(path).resolve().as_uri())
        self.wait("Page.loadEventFired")
        if scripts:
            self.settle()

    def settle(self):
        """Two pictures later, everything that was asked for is drawn."""
        self.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 30))))")

    def js(self, expression):
        found = self("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key, code=None, modifiers=0):
        text = {"text": key} if len(key) == 1 else {}
        codes = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "Tab": 9, " ": 32}
        known = {"key": key, "code": code or key, "windowsVirtualKeyCode": codes.get(key, 0), "modifiers": modifiers}
        self("Input.dispatchKeyEvent", type="keyDown", **known, **text)
        self("Input.dispatchKeyEvent", type="keyUp", **known)
        self.settle()

    def click(self, x, y, kind="mousePressed"):
        self("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        if kind == "mousePressed":
            for what in ("mousePressed", "mouseReleased"):
                self("Input.dispatchMouseEvent", type=what, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.out)
        self.into.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "talk & <b>.html"
    said = ["--text", "they have been carried away by monkeys"]
    assert main(["explain", str(CLIP), "-o", str(path), "--seconds", "2", *said]) == 0
    return path


NOW, LIVE = "document.getElementById('now').textContent", "document.getElementById('live').textContent"


def frame(browser):
    return int(browser.js("document.getElementById('slider').value"))


def complaints(browser):
    """What went wrong: errors, warnings and lines of the console, and what was asked of anything but the file."""
    loud = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    said = [event for event in browser.events if event["method"] in loud]
    asked = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    return said, [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]


def test_nothing_is_fetched_and_nothing_complains(browser, page):
    browser.open(page, 1280)
    browser.js("document.getElementById('play').click()")
    browser.settle()
    assert complaints(browser) == ([], [])
    browser.js("fetch('http://127.0.0.1:9/').catch(() => 0)")  # and the page would not even be allowed to
    said, asked = complaints(browser)
    assert "Content Security Policy" in str(said)
    assert asked == []


def test_the_keyboard_moves_the_cursor_and_the_live_region_says_so(browser, page):
    browser.open(page, 1280)
    browser.js("document.querySelector('[data-lane=features]').focus()")
    first = frame(browser)
    assert browser.js(LIVE) == ""
    seen = [browser.js(NOW)]
    for key, modifiers, there in (("ArrowRight", 0, 1), ("ArrowLeft", 0, 0), ("ArrowRight", 8, 10)):
        browser.press(key, modifiers=modifiers)
        assert frame(browser) == first + there
        seen.append(browser.js(NOW))
    assert seen[0] == seen[2]
    assert len(set(seen)) == 3
    browser.js("new Promise(done => setTimeout(done, 300))")
    assert browser.js(LIVE).startswith(f"Frame {first + 10} of ")
    assert browser.js(LIVE) == browser.js("document.getElementById('slider').getAttribute('aria-valuetext')")
    browser.press("Home")
    assert frame(browser) == 0
    browser.press("ArrowLeft")
    assert frame(browser) == 0
    browser.press("End")
    assert frame(browser) == int(browser.js("document.getElementById('slider').max")) > 90


def test_tab_reaches_every_control_and_the_focus_is_seen(browser, page):
    browser.open(page, 1280)
    reached, outlines = [], []
    for _ in range(80):
        browser("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        browser("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(
            browser.js("(e => e.id || e.dataset.lane || e.className || e.name || e.tagName)(document.activeElement)")
        )
        if reached[-1] in ("wave", "lattice", "play"):
            outlines.append(browser.js("getComputedStyle(document.activeElement).outlineStyle"))
        if reached[-1] == "BODY":
            break
    wanted = {"wave", "spectrogram", "features", "layer", "head", "attention", "scores", "lattice", "word js-only"}
    assert wanted | {"play", "back", "slider", "on", "next-step"} <= set(reached)
    assert outlines == ["solid"] * 3


def test_pointing_moves_one_cursor_in_all_pictures(browser, page):
    browser.open(page, 1280)
    box = "(b => [b.x, b.y, b.width, b.height])(document.querySelector('[data-lane=wave]').getBoundingClientRect())"
    browser.js("document.querySelector('[data-lane=wave]').scrollIntoView({block: 'center', behavior: 'instant'})")
    x, y, width, height = browser.js(box)
    browser.click(x + width / 2, y + height / 2, "moved")
    assert frame(browser) == 50  # half of 2 s
    places = browser.js("[...document.querySelectorAll('.cursor')].map(c => c.style.left)")
    assert len(places) >= 8
    assert set(places) == {"50.5%"}  # in the middle of the frame
    lit = browser.js("document.querySelector('[data-lane=wave] .field').style.cssText")
    assert "left: 50%" in lit
    assert "width: 1.25%" in lit  # 400 of 32,000 samples


def test_choosing_a_head_draws_another_picture(browser, page):
    browser.open(page, 1280)
    pixels = "(() => { const c = document.querySelector('[data-matrix] canvas'); return c.toDataURL() })()"
    seen = [browser.js(pixels)]
    browser.js("document.querySelector('input[name=head][value=\"2\"]').click()")
    seen.append(browser.js(pixels))
    browser.js("const s = document.getElementById('layer'); s.value = '0'; s.dispatchEvent(new Event('change'))")
    seen.append(browser.js(pixels))
    assert len(set(seen)) == 3
    label = "document.querySelector('[data-matrix] canvas').getAttribute('aria-label')"
    assert "block 1, head 3" in browser.js(label)


def test_a_word_is_played_and_the_cursor_goes_along(browser, page):
    browser.open(page, 1280)
    browser.js("document.querySelector('button.word').click()")
    playing = "new Promise(done => setTimeout(() => done(document.getElementById('audio').currentTime), 100))"
    begins = browser.js("JSON.parse(document.getElementById('data').textContent).words[0].first * 0.02")
    assert begins - 0.01 <= browser.js(playing)
    assert complaints(browser) == ([], [])


@pytest.mark.parametrize("width", [360, 390, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_width_and_no_theme_breaks_the_page(browser, page, width, theme):
    browser.open(page, width, prefers_color_scheme=theme, prefers_reduced_motion="reduce")
    assert browser.js("document.documentElement.scrollWidth") <= browser.js("innerWidth") == width
    wide = browser.js(
        "[...document.querySelectorAll('body *')].filter(e => !e.closest('.hidden, .skip, .track, noscript, script')"
        " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert wide == []
    dark = browser.js("getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 24)"
    assert dark == (theme == "dark")
    assert complaints(browser) == ([], [])


TORN = """(() => {
  const torn = new Set(), top = (node, i) => {
    const range = document.createRange();
    range.setStart(node, i);
    range.setEnd(node, i + 1);
    return range.getBoundingClientRect().top;
  };
  for (let wide = 390; wide >= 250; wide -= 5) {
    document.body.style.width = `${wide}px`;
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
      const node = walk.currentNode;
      if (node.parentElement.closest("script, style, noscript, .hidden")) continue;
      for (const found of node.data.matchAll(/\\d[ \\u00a0](?:s|ms|%|kHz)(?!\\w)/g)) {
        if (Math.abs(top(node, found.index) - top(node, found.index + 2)) > 2) torn.add(node.data.slice(0, 60));
      }
    }
  }
  return [...torn];
})()"""


def test_a_number_and_its_unit_stand_on_one_line_of_a_telephone(browser, page):
    """At 390 pixels, and as the lines happen to break when the page is made narrower step by step."""
    browser.open(page, 390)
    assert browser.js(TORN) == []


def test_every_picture_has_words(browser, page):
    browser.open(page, 1280)
    silent = browser.js(
        "[...document.querySelectorAll('canvas, img, svg')].filter(e => !e.closest('[aria-hidden=true]') && "
        "!(e.getAttribute('aria-label') || e.getAttribute('alt'))).map(e => e.outerHTML)"
    )
    assert silent == []


def test_without_javascript_the_pictures_stand_still(browser, page):
    browser.open(page, 360, scripts=False)
    shown = browser.js("[...document.querySelectorAll('.still')].filter(e => e.clientHeight > 50).length")
    assert shown >= 8
    assert browser.js("getComputedStyle(document.querySelector('.bar')).display") == "none"
    assert browser.js("document.documentElement.scrollWidth") == 360
    assert "JavaScript is off" in browser.js("document.body.innerText")
