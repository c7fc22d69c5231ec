#!/usr/bin/env python3
"""A model that streams slowly, with OpenAI's API. No two answers are the same, so a question that was asked twice shows.

Usage: model.py. The first line of the output is the port. A question that begins with `slow` is answered in two seconds, piece by
piece; any other at once.
"""

import json
import secrets
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECES = 40
SECONDS_BETWEEN_PIECES = 0.05
LETTERS = str.maketrans("0123456789", "ghijklmnop")  # The service takes what looks like a number out of an answer.


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_slow = request["messages"][-1]["content"].rpartition("\n")[2].startswith("slow")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        answer = secrets.token_hex(8).translate(LETTERS)
        try:
            for piece in range(PIECES if is_slow else 2):
                self.event({"delta": {"content": f"{answer} "}, "finish_reason": None})
                if is_slow:
                    time.sleep(SECONDS_BETWEEN_PIECES)
            self.event({"delta": {"content": "end."}, "finish_reason": "stop"})
        except OSError:
            pass  # The service has closed the connection: the turn was stopped or its session erased.

    def event(self, choice):
        self.wfile.write(b"data: " + json.dumps({"choices": [{"index": 0, **choice}]}).encode() + b"\n\n")

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


with Server(("127.0.0.1", 0), Handler) as server:
    print(server.server_port, flush=True)
    server.serve_forever()
