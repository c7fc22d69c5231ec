"""A model that streams its answers slowly. What it says depends on the last message. And the site that people leave to."""

import http.server
import json
import threading
import time

# Opened by POST /release; the answers that wait for it go on.
GATE = threading.Event()
COUNT = {"requests": 0}


def words(count):
    """Without digits, which the service takes for an invented telephone number."""
    return [f"word-{chr(97 + number // 26)}{chr(97 + number % 26)} " for number in range(count)]


def reply(message):
    """The pieces of the answer; None where it waits for the gate."""
    if "wait" in message:
        return ["First piece. ", None, "Second piece. ", "The end."]
    if "long" in message:
        return words(600)
    if "hostile" in message:
        return ["<img src=x onerror=alert(1)> <script>alert(2)</script> **bold** & 'quotes'\u2028Behind a line separator."]
    return [f"Answer to: {message}"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/weather":
            # Slow, as on a telephone: what covers the conversation must be there before.
            time.sleep(0.7)
            return self.answer("<!doctype html><title>Weather</title><h1>The weather</h1>", "text/html")
        self.answer(json.dumps(COUNT), "application/json")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/release":
            GATE.set()
            return self.answer("", "text/plain")
        if self.path == "/hold":
            GATE.clear()
            return self.answer("", "text/plain")
        request = json.loads(body)
        COUNT["requests"] += 1
        pieces = reply(request["messages"][-1]["content"])
        if not request.get("stream"):
            text = "".join(piece or "" for piece in pieces)
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            return self.answer(json.dumps({"object": "chat.completion", "choices": [choice]}), "application/json")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in pieces:
            if piece is None:
                # Silence would be a model that hangs.
                while not GATE.wait(1):
                    self.event({})
            else:
                self.event({"content": piece})
        self.event({}, "stop")
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def event(self, delta, finish_reason=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        event = json.dumps({"object": "chat.completion.chunk", "choices": [choice]})
        self.wfile.write(f"data: {event}\n\n".encode())

    def answer(self, text, media_type):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """The service closes the connection of an answer that is stopped."""


server = Server(("127.0.0.1", 0), Handler)
print(f"Model http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
