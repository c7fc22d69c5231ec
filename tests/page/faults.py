"""Faults in the middle of a conversation: no network, a broken connection, a stopped database, a slow reader."""

import contextlib
import os
import pathlib
import signal
import urllib.parse

from checks import (DATA, EXIT, KNOWN_HOSTS, SERVICE, begin, browser, call, check, covered, is_erased, looks, measure_cover, messages,
                    model, ok, rows, say, session_id)
from proxy import Proxy
from webdriver import wait

# What Chromium itself says of a failed request. A message that is sent again may meet its own turn.
FAILED = ["409", "ERR_INTERNET_DISCONNECTED", "ERR_FAILED", "503", "504", "ERR_TIMED_OUT", "ERR_NETWORK"]


def has_once(session, text):
    """Whether a message is stored once, with one answer after it."""
    stored = messages(session)
    check([stored.count(text), stored.count(f"Answer to: {text}")] == [1, 1], f"stored: {stored}")


def offline():
    with browser(expected_errors=FAILED) as chromium:
        begin(chromium)
        say(chromium, "Online")
        chromium.says("#log", "Answer to: Online")
        session = session_id(chromium)
        chromium.network(offline=True)
        say(chromium, "Offline")
        chromium.says("#notice", "There is no connection")
        looks(chromium, "offline")
        chromium.click("#help summary")
        chromium.shown("#help a")
        chromium.click("#help summary")
        chromium.network()
        chromium.says("#log", "Answer to: Offline")
        has_once(session, "Offline")
        ok("what is written without a network is sent once it is back, once; help lines are there meanwhile")
        call("DELETE", "/api/v1/session", Authorization=f"Bearer {session}")


def broken_stream():
    proxy = Proxy(SERVICE)
    KNOWN_HOSTS.add(urllib.parse.urlsplit(proxy.url).netloc)
    with browser(expected_errors=[*FAILED, "ERR_CONNECTION", "ERR_INCOMPLETE_CHUNKED", "ERR_EMPTY_RESPONSE"]) as chromium:
        begin(chromium, proxy.url)
        model("hold")
        say(chromium, "Please wait")
        chromium.says("#coming", "First piece.")
        session = session_id(chromium)
        proxy.cut()
        chromium.shown("#again")
        looks(chromium, "broken")
        chromium.click("#again")
        proxy.cut()
        model("release")
        chromium.says("#log", "The end.", 60)
        stored = messages(session)
        check(stored == ["Please wait", "First piece. Second piece. The end."], f"stored: {stored}")
        ok("a message whose answer broke off is sent again, also by hand, and is there once")
        call("DELETE", "/api/v1/session", Authorization=f"Bearer {session}")


@contextlib.contextmanager
def stopped_database():
    """Stops the service's own PostgreSQL, so that it answers nothing and refuses nothing."""
    postmaster = int(pathlib.Path(DATA, "cluster", "postmaster.pid").read_text().split()[0])
    children = pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    processes = [postmaster, *map(int, children)]
    def send(wanted):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, wanted)
    send(signal.SIGSTOP)
    try:
        yield
    finally:
        send(signal.SIGCONT)


def database():
    with browser(expected_errors=FAILED) as chromium:
        before = rows()
        begin(chromium)
        say(chromium, "Before")
        chromium.says("#log", "Answer to: Before")
        session = session_id(chromium)
        with stopped_database():
            say(chromium, "During")
            chromium.says("#notice", "The program cannot answer just now", 40)
            check("50" not in chromium.text("#state"), "the page shows a number of an error")
            looks(chromium, "database-stopped")
        chromium.says("#log", "Answer to: During", 60)
        has_once(session, "During")
        ok("while the database is stopped the page says so in words, and sends the message once it is back, once")

        chromium.click("#options summary")
        chromium.click("#erase-first")
        with stopped_database():
            chromium.click("#erase-sure")
            chromium.says("#notice", "It is not certain", 40)
            looks(chromium, "erase-unsure")
        chromium.says("#notice", "rased", 60)
        is_erased(session, before)
        looks(chromium, "erased-late")
        ok("erasing that could not be confirmed is said so, and tried again until it is")


def database_ends():
    with browser(expected_errors=FAILED) as chromium:
        begin(chromium)
        postmaster = int(pathlib.Path(DATA, "cluster", "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGQUIT)
        say(chromium, "Crash")
        chromium.says("#log", "Answer to: Crash", 60)
        session = session_id(chromium)
        has_once(session, "Crash")
        ok("a database that ends and starts again delays a message, and doubles nothing")
        call("DELETE", "/api/v1/session", Authorization=f"Bearer {session}")


def slow_reader():
    with browser() as chromium:
        begin(chromium)
        chromium.network(bytes_per_second=4000, latency=300)
        say(chromium, "A long answer")
        chromium.says("#coming", "word-ba ")
        looks(chromium, "slow")
        chromium.network()
        chromium.says("#log", "word-xb", 60)
        session = session_id(chromium)
        check(len(messages(session)) == 2, f"stored: {len(messages(session))} messages")
        ok("a slow reader gets the whole answer")
        call("DELETE", "/api/v1/session", Authorization=f"Bearer {session}")


def leave_without_database():
    with browser(expected_errors=FAILED) as chromium:
        begin(chromium)
        say(chromium, "Hello")
        chromium.says("#log", "Answer to: Hello")
        session = session_id(chromium)
        measure_cover(chromium, "click")
        with stopped_database():
            chromium.click("#leave button")
            found = covered(chromium)
            wait("the other site", lambda: chromium.url == EXIT)
        ok(f"leaving waits for no database: {found}")
        call("DELETE", "/api/v1/session", Authorization=f"Bearer {session}")


PARTS = [offline, broken_stream, slow_reader, database, leave_without_database, database_ends]
