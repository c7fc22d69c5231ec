"""Leaving: the screen is covered, the row is gone, and nothing leads back."""

from checks import ALLOWED, EXIT, SERVICE, begin, browser, check, covered, is_erased, measure_cover, model, ok, rows, say, session_id
from webdriver import wait


def is_forgotten(chromium, session, before):
    """After leaving: the other site, no row, nothing stored, and Back and Forward show nothing."""
    wait("the other site", lambda: chromium.url == EXIT)
    is_erased(session, before)
    steps = 0
    while chromium.url != "about:blank" and steps < 10:
        check("Answer to" not in chromium.text("body") and session not in chromium.url, f"{chromium.url} shows the conversation")
        chromium.back()
        steps += 1
    chromium.open(f"{SERVICE}/?language=en")
    chromium.shown("#begin button")
    stored = chromium.js("return sessionStorage.length + localStorage.length + document.cookie.length")
    check(stored == 0, "something is stored")


def secret(chromium):
    """A conversation that is kept on the device, in a tab that showed another page before."""
    chromium.open("about:blank")
    chromium.open(f"{ALLOWED}/plain.html")
    begin(chromium)
    say(chromium, "A secret")
    chromium.says("#log", "Answer to: A secret")
    chromium.click("#options summary")
    chromium.click("#keep")
    return session_id(chromium)


def leave_by_button():
    with browser() as chromium:
        before = rows()
        session = secret(chromium)
        measure_cover(chromium, "click")
        chromium.click("#leave button")
        found = covered(chromium)
        check("title …" in found and "stored 0" in found, found)
        wait("the other site", lambda: chromium.url == EXIT)
        chromium.back()
        wait("the page before", lambda: chromium.url == f"{ALLOWED}/plain.html")
        chromium.js("history.forward()")
        is_forgotten(chromium, session, before)
        ok(f"leave now: {found}; the entry in the history is replaced, and the row is gone")


def leave_by_escape():
    with browser() as chromium:
        before = rows()
        session = secret(chromium)
        chromium.press("Escape", "Escape")
        wait("what is missing", lambda: chromium.text("#pressed"))
        measure_cover(chromium, "keydown")
        chromium.press("Escape", "Escape", "Escape")
        found = covered(chromium)
        is_forgotten(chromium, session, before)
        ok(f"Escape three times, and more: {found}; the row is gone")


def leave_while_streaming():
    with browser() as chromium:
        before = rows()
        begin(chromium)
        model("hold")
        say(chromium, "Please wait")
        chromium.says("#coming", "First piece.")
        session = session_id(chromium)
        chromium.press("Escape", "Escape", "Escape")
        is_forgotten(chromium, session, before)
        model("release")
        ok("leaving ends an answer that is being written")


def leave_from_start():
    with browser() as chromium:
        chromium.open("about:blank")
        chromium.open(f"{SERVICE}/?language=en")
        chromium.click("#leave button")
        wait("the other site", lambda: chromium.url == EXIT)
        chromium.back()
        wait("the page before", lambda: chromium.url == "about:blank")
        ok("the start can be left too")


def kept_by_the_browser():
    """The cache of left pages (bfcache), which the test must have for what it says of Back."""
    with browser() as chromium:
        chromium.open(f"{ALLOWED}/plain.html")
        chromium.js("window.isOld = true")
        chromium.open(f"{ALLOWED}/other.html")
        chromium.back()
        check(chromium.js("return window.isOld === true"), "Chromium keeps no left pages: the test of Back is void")
        ok("Chromium keeps left pages")


PARTS = [kept_by_the_browser, leave_by_button, leave_by_escape, leave_while_streaming, leave_from_start]
