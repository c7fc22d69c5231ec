"""What all parts of the test share: the places, a browser that is checked when it is closed, and the looks of a state."""

import contextlib
import glob
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from webdriver import Browser, Failed, wait

SERVICE, SCRIPTED, MODEL = (os.environ[name] for name in ("SERVICE", "SCRIPTED", "MODEL"))
ALLOWED, FOREIGN, FILES, DATA = (os.environ[name] for name in ("ALLOWED", "FOREIGN", "FILES", "DATA"))
EXIT = f"{MODEL}/weather"
AXE = open(os.environ["AXE"], encoding="utf-8").read()
KNOWN_HOSTS = {urllib.parse.urlsplit(url).netloc for url in (SERVICE, SCRIPTED, MODEL, ALLOWED, FOREIGN)}
# Milliseconds from the press to a covered screen.
MAX_COVER_MS = 100


def ok(text):
    print(f"ok      {text}", flush=True)


def check(condition, what):
    if not condition:
        raise Failed(what)


@contextlib.contextmanager
def browser(expected_errors=(), **options):
    """A Chromium that complained of nothing, and asked no other host, when it is closed. `expected_errors` are parts of what it
    may complain of, such as a 503 that the part provokes."""
    chromium = Browser(os.environ["DRIVER"], **options)
    try:
        yield chromium
        chromium.read_logs()
        for request in chromium.requests:
            url = urllib.parse.urlsplit(request["url"])
            check(url.scheme in ("data", "blob", "about", "chrome-error") or url.netloc in KNOWN_HOSTS, f"a request to {request['url']}")
        for complaint in chromium.complaints:
            check(any(part in complaint["message"] for part in expected_errors), f"the console says: {complaint['message']}")
    except Exception:
        with contextlib.suppress(Exception):
            chromium.screenshot(f"{os.environ['SCREENSHOTS']}/failed.png")
            print(f"FAILED  at {chromium.url}\n{chromium.text('body')[:1500]}", flush=True)
        raise
    finally:
        with contextlib.suppress(OSError, Failed):
            chromium.close()


def looks(chromium, name, width=None):
    """Takes a picture of a state, and checks that axe-core finds nothing serious in it and that it needs no sideways scrolling."""
    chromium.screenshot(f"{os.environ['SCREENSHOTS']}/{name}.png")
    wider = chromium.js("""return [document.documentElement, ...document.querySelectorAll("#help .panel, #options .panel, #safety")]
        .filter((it) => it.checkVisibility() && it.scrollWidth > it.clientWidth + 1).map((it) => `${it.id || it.className}: ${it.scrollWidth} in ${it.clientWidth}`)""")
    check(not wider, f"{name} is wider than its room: {wider}")
    found = chromium.js(AXE + """;
        return axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations
            .filter(({ impact }) => ["serious", "critical"].includes(impact))
            .map(({ id, nodes }) => id + ": " + nodes.map(({ html, failureSummary }) => html + " " + failureSummary).join("; ")));""")
    check(not found, f"axe-core in {name}: {found}")
    ok(f"{name}: axe-core finds nothing serious")


def begin(chromium, service=SERVICE, language="en"):
    """Opens the page and begins a conversation."""
    chromium.open(f"{service}/?language={language}")
    chromium.click("#begin button")
    chromium.shown("#message")


def say(chromium, text):
    chromium.type("#message", text)
    chromium.click("#say button")


def session_id(chromium):
    """The id in the last request to the API: the page shows it nowhere."""
    chromium.read_logs()
    credentials = [request["headers"].get("Authorization", "") for request in chromium.requests]
    return [text for text in credentials if text.startswith("Bearer ")][-1].removeprefix("Bearer ")


def call(method, path, body=None, service=SERVICE, **fields):
    """Sends a request to the API, and returns the status and the JSON."""
    fields = {name.replace("_", "-"): value for name, value in fields.items()}
    data = json.dumps(body).encode() if body is not None else None
    if data:
        fields["Content-Type"] = "application/json"
    request = urllib.request.Request(service + path, data, fields, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
            return response.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        return error.code, None


def messages(session):
    """The stored texts of a session, the oldest first."""
    status, history = call("GET", "/api/v1/session/chat?limit=200", Authorization=f"Bearer {session}")
    check(status == 200, f"the history: {status}")
    return [message["content"] for message in history["messages"]]


def model(command):
    """`hold` or `release`: whether answers to messages with "wait" stop after the first piece."""
    call("POST", f"/{command}", service=MODEL)


def rows(table="sessions"):
    """Counts rows in the service's own database."""
    psql = shutil.which("psql") or sorted(glob.glob("/usr/lib/postgresql/*/bin/psql"))[-1]
    command = [psql, "-h", f"{DATA}/socket", "-U", "safespace", "-Atc", f"SELECT count(*) FROM {table}"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout)


def is_erased(session, before):
    """Waits until a session is gone: for the API, and in SQL."""
    wait("the session to be gone for the API",
         lambda: call("GET", "/api/v1/session", Authorization=f"Bearer {session}")[0] == 404)
    check(rows() == before, f"{rows()} rows in sessions, not {before}")


def measure_cover(chromium, event):
    """Has the page report in the console how long after an event of this kind the screen was covered."""
    chromium.js("""
        let last, done = false;
        const look = () => {
            if (done || !last || document.body?.innerText.trim()) return;
            done = true;
            // After the next frame on the screen.
            requestAnimationFrame(() => setTimeout(() => {
                console.info(`covered after ${(performance.now() - last.timeStamp).toFixed(1)} ms, title ${document.title},`
                    + ` stored ${sessionStorage.length + localStorage.length}, cookie ${document.cookie.length}`);
            }));
        };
        addEventListener(arguments[0], (event) => { last = done ? last : event; look(); }, { capture: true });
        new MutationObserver(look).observe(document, { childList: true, subtree: true });""", event)


def covered(chromium):
    """Waits until the page has reported that the screen was covered, and returns the report."""
    def report():
        for entry in chromium._send("POST", "/se/log", {"type": "browser"}):
            if "covered after" in entry["message"]:
                return entry["message"].split('"')[1]
    found = wait("the screen to be covered", report)
    milliseconds = float(found.split()[2])
    check(milliseconds < MAX_COVER_MS, found)
    return found
