"""The page in a real browser, without its window."""

import re
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from live_web import LOOP, WAIT_S, WIDTH, Camera, clean_picture, original_picture, serving

sync_api = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NO_WEBCODECS = "delete window.VideoDecoder"
NO_VIDEO = "delete window.VideoDecoder; delete window.MediaSource; delete window.ManagedMediaSource"
TOKEN = "a-token-of-the-tests-that-nobody-guesses"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def tab(browser):
    """A new tab with no cookies, in which nothing may go wrong unseen."""
    with tab_of(browser) as opened:
        yield opened


@contextmanager
def tab_of(browser, script=None):
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    opened = context.new_page()
    opened.set_default_timeout(WAIT_S * 1000)
    if script is not None:
        opened.add_init_script(script)
    errors = []
    opened.on("pageerror", lambda error: errors.append(error))
    yield opened
    context.close()
    assert errors == []


def until(tab, holds, *, seconds=WAIT_S):
    """Wait in the page until an expression holds; its policy forbids the driver's own way."""
    tab.evaluate(
        f"""() => new Promise((done, fail) => {{
          const late = setTimeout(() => fail(new Error('never came')), {seconds * 1000});
          const look = () => {{
            if (!({holds})) return requestAnimationFrame(look);
            clearTimeout(late);
            done();
          }};
          look();
        }})"""
    )


def shown(tab):
    return int(tab.get_attribute("#picture", "data-frames"))


def runs(tab, *, more=5):
    """Wait for a pair of pictures of the same moment, and some more frames."""
    data = "document.getElementById('picture').dataset"
    until(tab, f"/^(-?\\d+) \\1$/.test({data}.pts) && Number({data}.frames) > {shown(tab) + more}")


def redness(tab, left, right):
    """How much redder than blue the middle rows are between two shares of the width."""
    return tab.evaluate(
        """([left, right]) => {
          const canvas = document.getElementById('picture');
          const x = Math.round(left * canvas.width);
          const width = Math.round(right * canvas.width) - x;
          const { data } = canvas.getContext('2d').getImageData(x, 60, width, 60);
          let sum = 0;
          for (let at = 0; at < data.length; at += 4) sum += data[at] - data[at + 2];
          return sum / (data.length / 4);
        }""",
        [left, right],
    )


def is_original(tab, left, right):
    """Whether a part of the canvas is closer to the original than to the cleaned picture."""
    seen = redness(tab, left, right)
    columns = slice(round(left * WIDTH), round(right * WIDTH))
    clean, original = (
        np.mean([picture(i)[60:120, columns] @ np.array([1.0, 0, -1]) for i in range(0, LOOP, 4)])
        for picture in (clean_picture, original_picture)
    )
    assert original - clean > 30, "they cannot be told apart here"
    return abs(seen - original) < abs(seen - clean)


def divider(tab):
    return tab.get_by_role("slider", name="Divider")


def text(tab, selector):
    return tab.locator(selector).inner_text()


def expect_text(tab, selector, wanted):
    sync_api.expect(tab.locator(selector)).to_have_text(wanted, timeout=WAIT_S * 1000)


def drag(tab, share):
    """Drag the divider to a share of the picture's width."""
    box = tab.locator("#stage").bounding_box()
    grip = divider(tab).bounding_box()
    tab.mouse.move(grip["x"] + grip["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 3, steps=4)
    tab.mouse.up()


def test_picture_advances(tab):
    camera = Camera()
    with serving(camera) as server, camera.running(server):
        tab.goto(server.url)
        runs(tab)
        before = tab.evaluate("document.getElementById('picture').toDataURL()")
        runs(tab)
        assert tab.evaluate("document.getElementById('picture').toDataURL()") != before
        assert tab.locator("#veil").is_hidden()
        assert tab.locator("#notice").is_hidden()
        expect_text(tab, "#link", "connected")
        expect_text(tab, "#page", re.compile(r"\d+ fps, WebCodecs"))


def test_divider_follows_the_pointer_and_the_keys(tab):
    camera = Camera()
    with serving(camera) as server, camera.running(server):
        tab.goto(server.url)
        runs(tab)
        assert is_original(tab, 0.1, 0.48)
        assert not is_original(tab, 0.52, 0.9)
        drag(tab, 0.8)
        runs(tab, more=0)
        assert 78 <= int(divider(tab).get_attribute("aria-valuenow")) <= 82
        assert is_original(tab, 0.5, 0.75)
        assert not is_original(tab, 0.85, 1)
        tab.keyboard.press("Home")
        assert divider(tab).get_attribute("aria-valuenow") == "0"
        runs(tab, more=1)
        assert not is_original(tab, 0, 0.5)
        tab.keyboard.press("Shift+ArrowRight")
        tab.keyboard.press("ArrowRight")
        assert divider(tab).get_attribute("aria-valuetext") == "12 % original"
        tab.keyboard.press("End")
        runs(tab, more=1)
        assert is_original(tab, 0.5, 1)


def test_divider_moves_while_the_picture_stands(tab):
    camera = Camera()
    with serving(camera) as server:
        tab.goto(server.url)
        camera.wait_until(lambda camera: len(camera.asked) >= 2)
        camera.push_next(server)
        until(tab, "document.getElementById('picture').dataset.frames === '1'")
        drag(tab, 0.1)
        until(tab, "document.getElementById('divider').getAttribute('aria-valuenow') === '10'")
        tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        assert not is_original(tab, 0.2, 0.5)
        assert shown(tab) == 1


def test_controls_act_at_once_and_show_what_is_in_force(tab, browser):
    camera = Camera()
    with serving(camera) as server, camera.running(server), tab_of(browser) as other:
        for page in (tab, other):
            page.goto(server.url)
            expect_text(page, "#strength-now", "100 %")
        tab.get_by_label("Strength").fill("0.35")
        camera.knobs.wait_for("strength", 0.35)
        for page in (tab, other):
            expect_text(page, "#strength-now", "35 %")
        sync_api.expect(other.get_by_label("Strength")).to_have_value("0.35")
        tab.get_by_text("off", exact=True).first.click()
        camera.knobs.wait_for("smoothing", "off")
        tab.get_by_label("Smoothing in seconds").fill("0.25")
        camera.knobs.wait_for("smoothing", 0.25)
        expect_text(other, "#smoothing-now", "0.25 s")
        switch = other.get_by_role("switch", name="Bypass")
        switch.click()
        camera.knobs.wait_for("bypass", True)
        sync_api.expect(tab.get_by_role("switch")).to_have_attribute("aria-checked", "true")
        expect_text(tab, "#after", "bypassed")
        switch.click()
        camera.knobs.wait_for("bypass", False)
        expect_text(tab, "#bypass-now", "off")


def test_refusal_is_shown_with_what_stays_in_force(tab):
    camera = Camera()
    with serving(camera) as server:
        tab.goto(server.url)
        expect_text(tab, "#strength-now", "100 %")
        slider = tab.get_by_label("Strength")
        slider.evaluate("slider => { slider.max = 5; }")
        slider.fill("5")
        expect_text(tab, "#refusal", "strength: must be 0 to 1, got 5.0")
        sync_api.expect(slider).to_have_value("1")


def test_figures_are_shown(tab):
    camera = Camera()
    camera.status_fields = {"state": "stalled", "state_s": 75.0, "error": "no picture comes"}
    with serving(camera) as server:
        tab.goto(server.url)
        expect_text(tab, "#state", "stalled for 1 min 15 s")
        expect_text(tab, "#moire-change", "77 % less")
        figures = ("error", "fps", "fps-in", "delay", "delay-p99", "queues", "dropped", "encoder")
        assert [text(tab, f"#{figure}") for figure in figures] == [
            "no picture comes", "24.9", "25.0", "61 ms", "94 ms", "clean 1 · encode 0", "3",
            "libx264",
        ]  # fmt: skip
        assert text(tab, "#moire-before") == "6.31"
        assert text(tab, "#moire-after") == "1.42"
        assert text(tab, "#step") == "full"
        assert text(tab, "#held") == "stalled for 1 min 15 s"
        expect_text(tab, "#viewers", "rtsp 1 · web 1")


def test_page_recovers_when_the_server_comes_back(tab):
    camera = Camera()
    with serving(camera) as server, camera.running(server):
        tab.goto(server.url)
        runs(tab)
    expect_text(tab, "#link", "not connected")
    expect_text(tab, "#notice", "demoire has ended. This page goes on by itself when it is back.")
    before = shown(tab)
    with serving(camera, port=server.port) as server, camera.running(server):
        until(tab, f"Number(document.getElementById('picture').dataset.frames) > {before + 5}")
        expect_text(tab, "#link", "connected")
        assert tab.locator("#notice").is_hidden()
        runs(tab)


def test_token_becomes_a_cookie_and_leaves_the_address(tab, browser):
    camera = Camera()
    with serving(camera, token=TOKEN) as server, camera.running(server):
        tab.goto(server.url)
        runs(tab)
        assert tab.url == f"http://127.0.0.1:{server.port}/"
        tab.reload()
        runs(tab)
        assert tab.evaluate("document.cookie") == ""
        with tab_of(browser) as stranger:
            assert stranger.goto(f"http://127.0.0.1:{server.port}/").status == 403
            assert "Open the address that demoire printed" in text(stranger, "body")
    with serving(camera, token=f"{TOKEN}-2", port=server.port):
        expect_text(
            tab,
            "#notice",
            "The key of this page is no longer valid: open the address that demoire printed.",
        )


def test_another_site_cannot_look(browser):
    camera = Camera()
    # The other site is the same machine under another port, the closest one there is.
    with serving(camera) as server, serving(Camera()) as other, tab_of(browser) as stranger:
        stranger.goto(other.url)
        code = stranger.evaluate(
            f"""() => new Promise((done) => {{
              document.addEventListener('securitypolicyviolation', () => done('policy'));
              const socket = new WebSocket('ws://127.0.0.1:{server.port}/socket?way=units');
              socket.onclose = ({{ code }}) => done(code);
            }})"""
        )
        assert code == "policy"
        stranger.goto("about:blank")
        code = stranger.evaluate(
            f"""() => new Promise((done) => {{
              const socket = new WebSocket('ws://127.0.0.1:{server.port}/socket?way=units');
              socket.onclose = ({{ code }}) => done(code);
            }})"""
        )
        assert code == 1006
        assert camera.viewers == []


def test_cameras_can_be_switched(tab):
    front, garden = Camera("front"), Camera("Gärten & Höfe", tint=1)
    garden.status_fields = {"state": "offline"}
    with serving(front, garden) as server, front.running(server), garden.running(server):
        tab.goto(server.url)
        runs(tab)
        button = tab.get_by_role("button", name="Gärten & Höfe")
        sync_api.expect(button).to_have_attribute("data-state", "offline")
        button.click()
        garden.wait_until(lambda camera: camera.viewers[-1:] == [1])
        front.wait_until(lambda camera: camera.viewers[-1] == 0)
        runs(tab)
        sync_api.expect(button).to_have_attribute("aria-pressed", "true")
        tab.reload()
        runs(tab)
        sync_api.expect(button).to_have_attribute("aria-pressed", "true")


def test_without_webcodecs_the_same_units_come_as_mp4(browser):
    camera = Camera()
    with (
        tab_of(browser, NO_WEBCODECS) as tab,
        serving(camera) as server,
        camera.running(server),
    ):
        tab.goto(server.url)
        runs(tab, more=10)
        assert is_original(tab, 0.1, 0.48)
        assert not is_original(tab, 0.52, 0.9)
        expect_text(tab, "#page", re.compile(r"\d+ fps, MediaSource"))


def test_browser_without_any_way_is_told_what_to_do(browser):
    with tab_of(browser, NO_VIDEO) as tab, serving(Camera()) as server:
        tab.goto(server.url)
        assert "Open this page in a current Chromium" in text(tab, "#notice")


def test_browser_that_cannot_decode_says_so(browser):
    camera = Camera()
    refuse = "VideoDecoder.isConfigSupported = async () => ({ supported: false })"
    with tab_of(browser, refuse) as tab, serving(camera) as server, camera.running(server):
        tab.goto(server.url)
        expect_text(tab, "#notice", re.compile(r"cannot show H\.264 \(avc1\.42c0"))


def test_hevc_is_shown_or_refused_in_words(tab):
    camera = Camera(codec="hevc")
    with serving(camera) as server, camera.running(server):
        tab.goto(server.url)
        if tab.evaluate(
            "VideoDecoder.isConfigSupported({ codec: 'hev1.1.6.L60.90' }).then((a) => a.supported)"
        ):
            runs(tab)
        else:
            expect_text(tab, "#notice", re.compile(r"cannot show HEVC .*; let demoire encode H"))


def test_hidden_tab_takes_no_pictures(tab):
    camera = Camera()
    hide = """(hidden) => {
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event('visibilitychange'));
    }"""
    with serving(camera) as server, camera.running(server):
        tab.goto(server.url)
        runs(tab)
        tab.evaluate(hide, True)
        camera.wait_until(lambda camera: camera.viewers == [1, 0])
        tab.evaluate(hide, False)
        runs(tab)
    assert camera.viewers[:3] == [1, 0, 1]
