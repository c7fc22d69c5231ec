"""A headless Chromium, driven through chromedriver (W3C WebDriver, and the Chrome DevTools Protocol over it)."""

import base64
import contextlib
import http.client
import json
import time
import urllib.parse

# Seconds until a condition must be true.
PATIENCE = 20
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"Escape": "\ue00c", "Enter": "\ue007", "Tab": "\ue004", "Space": "\ue00d"}


class Failed(Exception):
    """A check failed, or a command of WebDriver."""


def wait(what, condition, seconds=PATIENCE):
    """Waits until the condition returns something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(Failed):
            found = condition()
            if found:
                return found
        if time.monotonic() > deadline:
            raise Failed(f"within {seconds} s not: {what}")
        time.sleep(0.05)


class Browser:
    """One Chromium with an empty profile."""

    def __init__(self, driver, size=(1100, 900), arguments=(), preferences=None):
        self.driver = urllib.parse.urlsplit(driver).netloc
        self.requests = []
        self.complaints = []
        self.dialogs = []
        options = {
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--lang=en",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
                f"--window-size={size[0]},{size[1]}", *arguments,
            ],
            "prefs": {"intl.accept_languages": "en", **(preferences or {})},
            # chromedriver turns the cache of left pages off, which people have.
            "excludeSwitches": ["disable-back-forward-cache"],
        }
        capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
                        "unhandledPromptBehavior": "ignore"}
        self.session = ""
        self.session = "/session/" + self._send("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]

    def close(self):
        self._send("DELETE", "")

    def _send(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.driver, timeout=45)
        body = json.dumps(body) if body is not None else None
        connection.request(method, self.session + path, body, {"Content-Type": "application/json"})
        value = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(value, dict) and "error" in value:
            raise Failed(f"{value['error']}: {value['message'].splitlines()[0]}")
        return value

    # The page.

    def open(self, url):
        self._send("POST", "/url", {"url": url})

    @property
    def url(self):
        return self._send("GET", "/url")

    @property
    def title(self):
        return self._send("GET", "/title")

    def back(self):
        self._send("POST", "/back", {})

    def reload(self):
        self._send("POST", "/refresh", {})

    def js(self, script, *arguments):
        """Runs a script in the page and returns its value. A promise is awaited."""
        return self._send("POST", "/execute/sync", {"script": script, "args": arguments})

    def cdp(self, command, **parameters):
        return self._send("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def frame(self, element=None):
        """Goes into a frame; without one, to the page itself."""
        self._send("POST", "/frame", {"id": element and {ELEMENT: element}})

    # Elements. A name is a CSS selector.

    def find(self, css, seconds=PATIENCE):
        found = lambda: self._send("POST", "/element", {"using": "css selector", "value": css})
        return wait(f"{css} on the page", found, seconds)[ELEMENT]

    def is_shown(self, css):
        return self.js("const e = document.querySelector(arguments[0]); return !!e && e.checkVisibility({ visibilityProperty: true });", css)

    def shown(self, css, seconds=PATIENCE):
        wait(f"{css} to be seen", lambda: self.is_shown(css), seconds)

    def hidden(self, css, seconds=PATIENCE):
        wait(f"{css} to be hidden", lambda: not self.is_shown(css), seconds)

    def text(self, css):
        """What is seen of an element, and nothing where it is not there."""
        return self.js("return document.querySelector(arguments[0])?.innerText.trim() ?? ''", css)

    def says(self, css, words, seconds=PATIENCE):
        """Waits until an element shows these words."""
        try:
            wait("", lambda: words in self.text(css), seconds)
        except Failed:
            raise Failed(f"{css} does not show {words!r} but {self.text(css)[:300]!r}") from None

    def click(self, css):
        self.shown(css)
        self.click_element(self.find(css))

    def click_element(self, element):
        self._send("POST", f"/element/{element}/click", {})

    def type(self, css, text):
        self._send("POST", f"/element/{self.find(css)}/value", {"text": text})

    def press(self, *keys):
        """Presses keys where the focus is."""
        actions = [{"type": kind, "value": KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")]
        self._send("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    # Conditions of the browser.

    def emulate(self, **features):
        """Media features, such as prefers-color-scheme."""
        self.cdp("Emulation.setEmulatedMedia",
                 features=[{"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def resize(self, width, height=800, **more):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False, **more)

    def network(self, offline=False, bytes_per_second=-1, latency=0):
        self.cdp("Network.enable")
        self.cdp("Network.emulateNetworkConditions", offline=offline, latency=latency,
                 downloadThroughput=bytes_per_second, uploadThroughput=bytes_per_second)

    def scripts(self, on):
        """Whether pages may run scripts, as with "safest" in Tor Browser. WebDriver's own need them: see `peek`."""
        self.cdp("Emulation.setScriptExecutionDisabled", value=not on)

    @contextlib.contextmanager
    def peek(self):
        """Lets WebDriver look at a page that was loaded without scripts, which do not run then."""
        self.scripts(True)
        try:
            yield
        finally:
            self.scripts(False)

    # What happened.

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._send("GET", "/screenshot")))

    def read_logs(self):
        """Reads the requests and the complaints of the console since the last time."""
        for entry in self._send("POST", "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"])
            if message["method"] == "Network.webSocketCreated":
                self.requests.append(message["params"])
            if message["method"] == "Page.javascriptDialogOpening":
                self.dialogs.append(message["params"]["type"])
        self.complaints += [entry for entry in self._send("POST", "/se/log", {"type": "browser"})
                            if entry["level"] in ("SEVERE", "WARNING")]
