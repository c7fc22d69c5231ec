"""A client of docs/chat.md and docs/sessions.md that keeps one connection to each address, and says how a request failed."""

import http.client
import json
import time
import urllib.parse

TIMEOUT_SECONDS = 20  # Of one read or write; longer than COMPANION_TIMEOUT.
MAX_RETRY_AFTER_SECONDS = 5


class Failed(Exception):
    """A request without a usable answer: its text is the kind, such as `503 overloaded` or `no connection`."""

    def __init__(self, kind, retry_after=1.0):
        super().__init__(kind)
        self.retry_after = min(float(retry_after), MAX_RETRY_AFTER_SECONDS)


class Watch:
    """What a person saw of a stream: when its first and its last text came (monotonic seconds), and whether it ended."""

    def __init__(self):
        self.first = self.last = None
        self.has_ended = False

    def see(self):
        self.last = time.monotonic()
        self.first = self.first or self.last

    def is_running(self):
        return self.first is not None and not self.has_ended


class Client:
    """One person's connections; not for several threads."""

    def __init__(self):
        self.connections = {}

    def request(self, url, method, path, session=None, document=None, headers=(), watch=None):
        """Returns the status and the JSON document of the response, or of the last event of a stream."""
        fields = dict(headers)
        if session:
            fields["Authorization"] = f"Bearer {session}"
        if document is not None:
            fields["Content-Type"] = "application/json"
        body = None if document is None else json.dumps(document)
        try:
            connection = self.connect(url)
            connection.request(method, path, body, fields)
            response = connection.getresponse()
            if response.getheader("Content-Type", "").startswith("text/event-stream"):
                status, document = read_stream(response, watch or Watch())
            else:
                status, document = response.status, read_document(response)
        except (OSError, http.client.HTTPException) as error:
            self.connections.pop(url).close()
            raise Failed(f"no answer ({type(error).__name__})") from error
        if status >= 500:
            wait = response.getheader("Retry-After") or document.get("retry_after") or 1
            raise Failed(f"{status} {document.get('code')}", wait)
        return status, document

    def connect(self, url):
        if url not in self.connections:
            address = urllib.parse.urlsplit(url).netloc
            self.connections[url] = http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)
        return self.connections[url]


def read_document(response):
    body = response.read()
    try:
        return json.loads(body)
    except ValueError:
        return {}  # No body, or the page of a proxy.


def read_stream(response, watch):
    """The status and the document of the last event, which is `message.end` or `error`. With the text of the pieces as `streamed`,
    which is None if they were taken back."""
    text, event = "", None
    while line := response.readline():
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            event = value
        elif name == "data":
            document = json.loads(value)
            if event == "message.delta":
                watch.see()
                text = (text or "") + document["text"]
            elif event == "message.reset":
                text = None
            elif event == "message.end":
                watch.see()
                watch.has_ended = True
                response.read()
                return 200, {**document, "streamed": text}
            elif event == "error":
                watch.has_ended = True
                response.read()
                return document["status"], document
    raise http.client.IncompleteRead(b"")
