"""The page in a frame of other sites, which have another host name than the service, a strict policy and hostile styles."""

import pathlib

from checks import (ALLOWED, EXIT, FILES, FOREIGN, SERVICE, browser, call, check, covered, is_erased, looks, measure_cover, ok, rows, say)
from webdriver import ELEMENT, wait

POLICY = f"default-src 'none'; img-src data:; style-src 'self'; script-src 'self' {SERVICE}; frame-src {SERVICE}"
SITE = f"""<!doctype html>
<html lang="en" class="site"><head><meta charset="utf-8"><title>The bakery</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><meta http-equiv="Content-Security-Policy" content="{POLICY}">
<link rel="stylesheet" href="/site.css"><script src="/site.js"></script>
<script src="{SERVICE}/widget.js" async data-language="en"></script>
<script src="{SERVICE}/widget.js" async data-language="en"></script></head>
<body><main><h1>Fresh bread</h1><p>Every day from seven.</p></main></body></html>
"""
STYLE = """
html { color: #222; background: #fff; }
body { transform: scale(1); }
button, dialog, div, iframe, chat-widget { display: none !important; opacity: 0 !important; position: static !important; }
"""
# A site that asks whether to stay, and takes every key for itself.
SCRIPT = """
const before = new Set(Object.getOwnPropertyNames(window));
addEventListener("beforeunload", (event) => event.preventDefault());
"""
PLAIN = '<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Plain</title><h1>Plain</h1>'

for site in ("allowed", "foreign"):
    for name, text in {"index.html": SITE, "site.css": STYLE, "site.js": SCRIPT, "plain.html": PLAIN, "other.html": PLAIN}.items():
        pathlib.Path(FILES, site, name).write_text(text)

# The shadow root is closed. The test notes it down when it is made.
NOTE_SHADOW = """
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (options) {
  const root = attach.call(this, options);
  Object.defineProperty(window, "theShadow", { value: root, configurable: true });
  return root;
};
"""


class Widget:
    """A site with the widget."""

    def __init__(self, chromium, site):
        self.chromium = chromium
        chromium.cdp("Page.addScriptToEvaluateOnNewDocument", source=NOTE_SHADOW)
        chromium.open("about:blank")
        chromium.open(f"{site}/plain.html")
        chromium.open(f"{site}/")
        self.element("button")

    def element(self, css):
        find = lambda: self.chromium.js("return window.theShadow?.querySelector(arguments[0])", css)
        return wait(f"{css} of the widget", find)[ELEMENT]

    def box(self, css):
        return self.chromium.js("const b = theShadow.querySelector(arguments[0]).getBoundingClientRect();"
                                "return [b.left, b.top, b.right, b.bottom]", css)

    def is_open(self):
        return self.chromium.js("return theShadow.querySelector('dialog').open")

    def open(self):
        self.chromium.click_element(self.element("button"))
        wait("the panel", self.is_open)
        self.enter()

    def enter(self):
        """Goes into the frame."""
        self.chromium.frame(self.element("iframe"))

    def close(self):
        self.chromium.frame()
        self.chromium.click_element(self.element("dialog button"))
        wait("the panel to be closed", lambda: not self.is_open())

    def begin(self):
        """Begins a conversation in the frame and returns its code, which the API takes for an id. The requests of a frame of
        another site are in no log."""
        self.open()
        self.chromium.click("#begin button")
        self.chromium.shown("#message")
        say(self.chromium, "Framed")
        self.chromium.says("#log", "Answer to: Framed")
        return self.chromium.js("return document.querySelector('#code-shown output').textContent")


def has_left(chromium, session, before):
    """The whole site is gone, not only the frame, without a question whether to stay."""
    chromium.frame()
    wait("the other site", lambda: chromium.url == EXIT)
    is_erased(session, before)
    chromium.read_logs()
    check(not chromium.dialogs, f"the browser asked: {chromium.dialogs}")
    chromium.back()
    wait("the page before", lambda: chromium.url == f"{ALLOWED}/plain.html")
    chromium.js("history.forward()")
    wait("the other site", lambda: chromium.url == EXIT)


def widget():
    with browser() as chromium:
        before = rows()
        site = Widget(chromium, ALLOWED)
        wait("the end of the load", lambda: chromium.js("return document.readyState") == "complete")
        check(chromium.js("return document.querySelectorAll('chat-widget').length") == 1, "there are two buttons")
        check(chromium.js("return document.querySelector('chat-widget').shadowRoot") is None, "the shadow root is open")
        left, top, right, bottom = site.box("button")
        width, height = chromium.js("return [innerWidth, innerHeight]")
        check(right - left >= 48 and bottom - top >= 48, "the button is too small")
        check(width - 20 <= right <= width and height - 20 <= bottom <= height, f"the button is at {right}, {bottom}")
        # The others are of this test, and of WebDriver.
        globals = chromium.js("return Object.getOwnPropertyNames(window)"
                              ".filter((name) => !before.has(name) && !['before', 'theShadow', 'ret_nodes'].includes(name))")
        check(not globals, f"the widget sets {globals}")
        check(chromium.js("return theShadow.querySelector('iframe')") is None, "there is a frame before anybody asked for it")
        looks(chromium, "widget-closed")
        ok("the widget adds one button, whatever the site's styles and policy are, and no global")

        session = site.begin()
        check(chromium.js("return document.hasFocus() && document.activeElement.id") == "message", "the focus is not in the frame")
        looks(chromium, "widget-frame")
        chromium.frame()
        left, top, right, bottom = site.box("dialog")
        check((right - left, bottom - top) == (400, 640), f"the panel has {right - left} x {bottom - top}")
        looks(chromium, "widget-open")
        site.close()
        check(chromium.js("return theShadow.activeElement?.textContent") == "Chat", "the focus is not on the button again")
        site.open()
        chromium.says("#log", "Answer to: Framed")
        check(chromium.js("return document.hasFocus()"), "the focus is not in the frame again")
        ok("the panel opens and closes with the focus, and keeps the conversation")

        chromium.frame()
        measure_cover(chromium, "message")
        site.enter()
        chromium.click("#leave button")
        chromium.frame()
        found = covered(chromium)
        has_left(chromium, session, before)
        ok(f"leaving from within takes the whole site away: {found}")


def escape_in_the_frame():
    with browser() as chromium:
        before = rows()
        site = Widget(chromium, ALLOWED)
        session = site.begin()
        chromium.press("Escape", "Escape", "Escape", "Escape")
        has_left(chromium, session, before)
        ok("Escape three times in the frame takes the whole site away")


def escape_on_the_site():
    with browser() as chromium:
        before = rows()
        site = Widget(chromium, ALLOWED)
        chromium.press("Escape", "Escape", "Escape")
        check(chromium.url == f"{ALLOWED}/" and "Fresh" in chromium.text("body"), "Escape leads away before anybody opened the panel")
        session = site.begin()
        site.close()
        measure_cover(chromium, "keydown")
        chromium.press("Escape", "Escape", "Escape", "Escape")
        found = covered(chromium)
        has_left(chromium, session, before)
        ok(f"Escape three times on the site, with the panel closed, leaves too: {found}")


def escape_with_a_stuck_frame():
    """The frame does not answer: the person leaves all the same."""
    with browser() as chromium:
        site = Widget(chromium, ALLOWED)
        session = site.begin()
        chromium.js("addEventListener('message', (event) => event.stopImmediatePropagation(), true)")
        site.close()
        chromium.press("Escape", "Escape", "Escape")
        wait("the other site", lambda: chromium.url == EXIT)
        ok("a frame that does not answer holds nobody back")
        call("DELETE", "/api/v1/session", Authorization=f"Bearer {session}")


def narrow_telephone():
    with browser() as chromium:
        before = rows()
        chromium.resize(360, 740)
        site = Widget(chromium, ALLOWED)
        looks(chromium, "widget-narrow-closed")
        session = site.begin()
        looks(chromium, "widget-narrow-frame")
        check(chromium.is_shown("#leave button"), "the way out is not seen")
        chromium.frame()
        check(site.box("dialog") == [0, 0, 360, 740], f"the panel does not fill the screen: {site.box('dialog')}")
        looks(chromium, "widget-narrow-open")
        site.enter()
        chromium.click("#leave button")
        has_left(chromium, session, before)
        ok("on a narrow telephone the panel fills the screen")


def foreign_site():
    with browser(expected_errors=["frame-ancestors", "ERR_BLOCKED_BY_RESPONSE", "chromewebdata"]) as chromium:
        site = Widget(chromium, FOREIGN)
        site.open()
        shown = chromium.js("return document.body?.innerText ?? ''")
        check("Begin" not in shown and "Mulai" not in shown, "a site that is not listed shows the page")
        chromium.frame()
        chromium.read_logs()
        check(any("frame-ancestors" in entry["message"] for entry in chromium.complaints), "the frame was refused for another reason")
        site.close()
        chromium.press("Escape", "Escape", "Escape")
        wait("an empty page", lambda: chromium.url == "about:blank")
        ok("a site that is not listed cannot show the page")


def storage():
    """Keeping in a frame, with the storage of third parties allowed and blocked, and without any storage."""
    for name, preferences in [
        ("allowed", {}),
        ("third parties blocked", {"profile.block_third_party_cookies": True, "profile.cookie_controls_mode": 1}),
        ("blocked", {"profile.default_content_setting_values.cookies": 2}),
    ]:
        with browser(preferences=preferences) as chromium:
            site = Widget(chromium, ALLOWED)
            session = site.begin()
            chromium.click("#options summary")
            may_keep = chromium.js("try { sessionStorage.length; return true } catch { return false }")
            check(may_keep == chromium.is_shown("#keep"), f"{name}: keeping is offered although it is impossible, or not offered")
            check(may_keep == (name != "blocked"), f"{name}: storage is {may_keep}")
            looks(chromium, f"storage-{name.replace(' ', '-')}")
            if may_keep:
                chromium.click("#keep")
            chromium.frame()
            chromium.open(f"{SERVICE}/?language=en")
            chromium.shown("#begin button")
            if may_keep:
                chromium.open(f"{ALLOWED}/")
                site.open()
                chromium.says("#log", "Answer to: Framed")
                chromium.frame()
                chromium.open(f"{SERVICE}/?language=en")
            chromium.click("#start details summary")
            chromium.type("#code", session)
            chromium.click("#open button")
            chromium.says("#log", "Answer to: Framed")
            ok(f"storage {name}: what the frame keeps is the frame's alone; the code works everywhere")
            call("DELETE", "/api/v1/session", Authorization=f"Bearer {session}")


PARTS = [widget, escape_in_the_frame, escape_on_the_site, escape_with_a_stuck_frame, narrow_telephone, foreign_site, storage]
