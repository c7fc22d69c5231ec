"""The page without JavaScript, as with "safest" in Tor Browser. The Chrome DevTools Protocol fills in and sends the forms."""

import re

from checks import EXIT, SERVICE, browser, check, is_erased, looks, messages, ok, rows
from webdriver import wait


class Forms:
    """A page whose scripts did not run."""

    def __init__(self, chromium):
        self.chromium = chromium
        # Another site would be another process, which may begin with scripts.
        chromium.open(f"{SERVICE}/?language=en")
        chromium.scripts(False)

    def html(self, css):
        root = self.chromium.cdp("DOM.getDocument")["root"]["nodeId"]
        node = self.chromium.cdp("DOM.querySelector", nodeId=root, selector=css)["nodeId"]
        return self.chromium.cdp("DOM.getOuterHTML", nodeId=node)["outerHTML"] if node else ""

    def has(self, css, words=""):
        wait(f"{css} with {words!r}", lambda: words in (self.html(css) or "\0"))

    def focus(self, css):
        def attempt():
            # The page may be about to be replaced.
            root = self.chromium.cdp("DOM.getDocument")["root"]["nodeId"]
            self.chromium.cdp("DOM.focus", nodeId=self.chromium.cdp("DOM.querySelector", nodeId=root, selector=css)["nodeId"])
            return True
        wait(f"the focus on {css}", attempt)

    def fill(self, css, text):
        self.focus(css)
        self.chromium.cdp("Input.insertText", text=text)

    def enter(self, css):
        self.focus(css)
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        self.chromium.cdp("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        self.chromium.cdp("Input.dispatchKeyEvent", type="keyUp", **key)

    def begin(self):
        self.chromium.open(f"{SERVICE}/?language=en")
        self.enter("#begin button")
        self.has("#message")
        # Not so where the page's script ran.
        wait("the address of the form", lambda: "/page/begin" in self.chromium.url)

    def say(self, text):
        self.fill("#message", text)
        self.enter("#say button")
        self.has("#log", f"Answer to: {text}")

    def session_id(self):
        id = re.search(r'name="session_id" value="([0-9a-f-]{36})"', self.html("#say"))[1]
        check(id not in self.chromium.url, "the id is in the address")
        return id

    def looks(self, name):
        with self.chromium.peek():
            looks(self.chromium, name)

    def shows_no_conversation_again(self, session):
        """Goes back through the whole history."""
        history = lambda: self.chromium.cdp("Page.getNavigationHistory")
        for entry in reversed(history()["entries"]):
            check(session not in entry["url"], "the id is in the history")
            self.chromium.cdp("Page.navigateToHistoryEntry", entryId=entry["id"])
            wait(f"the entry of {entry['url']}", lambda: history()["entries"][history()["currentIndex"]]["id"] == entry["id"])
            shown = self.html("html")
            check("Answer to" not in shown and session not in shown, f"Back shows the conversation at {entry['url']}")



def without_javascript():
    with browser() as chromium:
        before = rows()
        forms = Forms(chromium)
        forms.begin()
        forms.looks("forms-talk")
        forms.say("Hello form")
        forms.say("Second form")
        session = forms.session_id()
        check(len(messages(session)) == 4, f"stored: {messages(session)}")
        forms.looks("forms-answered")
        forms.enter("#options summary")
        forms.has("#options[open]")
        forms.looks("forms-options")
        code = re.search(r"<output>([0-9A-Z-]+)</output>", forms.html("#code-shown"))[1]
        ok("without JavaScript a conversation begins and is answered; its id stands in no address")

        chromium.open(f"{SERVICE}/?language=en")
        forms.enter("#start details summary")
        forms.fill("#code", code.lower())
        forms.enter("#open button")
        forms.has("#log", "Answer to: Hello form")
        ok("without JavaScript a code opens it again")

        forms.enter("#options summary")
        forms.has("#options[open]")
        forms.enter("#erase-first")
        forms.has("#notice", "4 messages")
        is_erased(session, before)
        forms.looks("forms-erased")
        forms.shows_no_conversation_again(session)
        ok("without JavaScript everything can be erased")


def leaving_without_javascript():
    # The page that leads on is sent with an icon that the browser may ask for.
    with browser(expected_errors=["favicon"]) as chromium:
        before = rows()
        forms = Forms(chromium)
        forms.begin()
        forms.say("A secret form")
        session = forms.session_id()
        forms.enter("#leave button")
        wait("the other site", lambda: chromium.url == EXIT)
        is_erased(session, before)
        forms.shows_no_conversation_again(session)
        ok("without JavaScript a person leaves: the row is gone, and Back shows nothing of the conversation")


def narrow_without_javascript():
    with browser(expected_errors=["favicon"]) as chromium:
        chromium.resize(320, 640)
        chromium.emulate(prefers_color_scheme="dark")
        forms = Forms(chromium)
        chromium.open(f"{SERVICE}/?language=id")
        forms.looks("forms-start-narrow-dark")
        forms.enter("#begin button")
        forms.say("Halo")
        forms.looks("forms-talk-narrow-dark")
        forms.enter("#leave button")
        wait("the other site", lambda: chromium.url == EXIT)


PARTS = [without_javascript, leaving_without_javascript, narrow_without_javascript]
