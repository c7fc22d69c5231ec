#!/usr/bin/env python3
"""Hammers a service with people who create, talk, stop and erase, and writes down all that it acknowledged, to compare it later.

Usage: ledger.py run RECORD SECONDS URL... [--people N] [--no-failures] [--failover]
       ledger.py verify URL RECORD...

Each person sends every request to one of the URLs, chosen at random. SIGTERM ends a run early. `run` exits with 1 if something was
wrong at once: an acknowledged session was gone, an erased one was there, or its answer was still shown. `verify` exits with 1 if
something acknowledged is lost or changed, something erased is back, a key has two answers, or the order is wrong. The service needs
RATE_LIMIT=off. A request that failed is repeated as docs/chat.md tells a client to; --no-failures makes it an error.
--failover: a standby is promoted meanwhile. It has no claims of turns until their instances take them again, so for a moment a
session can be answered twice at a time, or a stop find nothing to stop; what is stored is compared all the same.
"""

import argparse
import collections
import json
import random
import signal
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from client import Client, Failed, Watch

SESSION, CHAT, STOP = "/api/v1/session", "/api/v1/session/chat", "/api/v1/session/chat/stop"
MAX_SESSIONS = 20_000
MAX_PATIENCE_SECONDS = 60  # How long a person repeats one request.
MAX_SECONDS_TO_FIRST_TEXT = 10
SECONDS_TO_LEARN_OF_THE_END = 0.5  # Between the end of an answer and a thread's reading of it.
# How long text of a session may still arrive after its erasure or its stop was acknowledged. On a machine with too much to do, the
# time in which this program had to wait for a processor comes on top.
MAX_SHOWN_MS = 300
SECONDS_BETWEEN_TICKS = 0.01


# What is measured, in milliseconds.
FIGURES = ["shown after an erasure", "shown after a stop", "stop answered", "answered by a repeated request"]


class Ledger:
    """What the service acknowledged, and what was wrong at once. Shared by all people."""

    def __init__(self, has_failover):
        self.has_failover = has_failover
        self.lock = threading.Lock()
        self.sessions = []  # {"id", "erased": null, "asked" or "acknowledged", "turns": [those of new_turn]}
        self.requests = 0
        self.failed = collections.Counter()
        self.wrong = collections.Counter()
        self.writes = []  # When a write was acknowledged.
        self.figures = {name: [] for name in FIGURES}
        self.stalls = []  # When a processor came too late for a tick, and by how many seconds.
        self.is_over = threading.Event()

    def count(self, kind=None):
        with self.lock:
            self.requests += 1
            if kind:
                self.failed[kind] += 1

    def note_wrong(self, what):
        with self.lock:
            self.wrong[what] += 1

    def note_write(self):
        with self.lock:
            self.writes.append(time.monotonic())

    def measure(self, name, seconds):
        with self.lock:
            self.figures[name].append(round(max(0, seconds * 1000)))

    def tick(self):
        while True:
            before = time.monotonic()
            time.sleep(SECONDS_BETWEEN_TICKS)
            now = time.monotonic()
            self.stalls.append((now, now - before - SECONDS_BETWEEN_TICKS))

    def stalled_seconds(self, start, end):
        return sum(late for at, late in list(self.stalls) if start < at - late and at < end)


class GaveUp(Exception):
    """A request failed for MAX_PATIENCE_SECONDS."""


def new_turn(session, kind):
    turn = {"key": str(uuid.uuid4()), "text": f"{kind} {uuid.uuid4()}", "answer": None, "failed": False}
    session["turns"].append(turn)
    return turn


class Person:
    """A thread that does one thing after the other until the run is over."""

    def __init__(self, ledger, urls):
        self.ledger, self.urls, self.client = ledger, urls, Client()

    def live(self):
        while not self.ledger.is_over.is_set() and len(self.ledger.sessions) < MAX_SESSIONS:
            try:
                random.choices([act for act, _ in ACTS], [weight for _, weight in ACTS])[0](self)
            except GaveUp:
                self.ledger.note_wrong("a request got no answer, however often it was repeated")
            time.sleep(random.uniform(0, 0.05))

    def request(self, method, path, client=None, max_attempts=1000, **arguments):
        """Repeats until there is an answer. Also tells whether this was the first attempt."""
        deadline = time.monotonic() + MAX_PATIENCE_SECONDS
        status, document = None, {}
        for attempt in range(max_attempts):
            if time.monotonic() > deadline:
                raise GaveUp
            try:
                status, document = (client or self.client).request(random.choice(self.urls), method, path, **arguments)
                self.ledger.count()
                if document.get("code") != "turn_in_progress":
                    break
                wait = 0.5
            except Failed as failed:
                self.ledger.count(str(failed))
                wait = failed.retry_after * random.uniform(0.5, 1)
            time.sleep(wait)
        return status, document, attempt == 0

    def create(self):
        status, document, _ = self.request("POST", "/api/v1/sessions")
        if status != 201:
            raise SystemExit(f"a session could not be created: {status} {document.get('code')}")
        self.ledger.note_write()
        session = {"id": document["session_id"], "erased": None, "turns": []}
        with self.ledger.lock:
            self.ledger.sessions.append(session)
        return session

    def message(self, session, turn):
        return {"session": session["id"], "document": {"message": turn["text"]}, "headers": {"Idempotency-Key": turn["key"]}}

    def say(self, session, turn, is_streamed, watch=None, client=None):
        """Sends the message until it has its answer or can have none."""
        arguments, asked_at = self.message(session, turn), time.monotonic()
        if is_streamed:
            arguments["headers"]["Accept"] = "text/event-stream"
        status, document, is_first = self.request("POST", CHAT, client, watch=watch, **arguments)
        turn["failed"] |= not is_first
        if status == 200:
            self.note_answer(turn, document)
            if not is_first:
                self.ledger.measure("answered by a repeated request", time.monotonic() - asked_at)
        elif status == 404 and not session["erased"]:
            self.ledger.note_wrong("a session was not found though nobody had erased it")
        elif status not in (404, 409):
            self.ledger.note_wrong(f"a message got {status} {document.get('code')}")

    def note_answer(self, turn, document):
        answer = {"id": document["id"], "content": document["content"]}
        if document.get("streamed") is not None and document["streamed"].strip() != answer["content"].strip():
            self.ledger.note_wrong("the stored answer is another one than the stream showed")
        if turn["answer"] and turn["answer"] != answer:
            self.ledger.note_wrong("a key got two different answers")
        turn["answer"] = answer
        self.ledger.note_write()

    def erase(self, session):
        """Returns when the erasure was acknowledged."""
        session["erased"] = "asked"
        status, document, is_first = self.request("DELETE", SESSION, session=session["id"])
        if status == 404 and is_first:
            self.ledger.note_wrong("a session was not found though nobody had erased it")
        elif status not in (204, 404):
            self.ledger.note_wrong(f"an erasure got {status} {document.get('code')}")
        acknowledged_at = time.monotonic()
        session["erased"] = "acknowledged"
        self.ledger.note_write()
        return acknowledged_at

    def expect_gone(self, session):
        if self.request("GET", CHAT, session=session["id"])[0] != 404:
            self.ledger.note_wrong("a session was there after its erasure")

    def begin_slow_answer(self, session):
        """Starts a stream in a thread of its own, and waits for its first text and a little longer."""
        watch, turn = Watch(), new_turn(session, "slow")
        thread = threading.Thread(target=self.listen, args=(session, watch, turn), daemon=True)
        thread.start()
        deadline = time.monotonic() + MAX_SECONDS_TO_FIRST_TEXT
        while watch.first is None and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.6))
        return thread, watch, turn

    def listen(self, session, watch, turn):
        try:
            self.say(session, turn, True, watch, Client())
        except GaveUp:
            self.ledger.note_wrong("a request got no answer, however often it was repeated")

    def create_and_erase(self):
        session = self.create()
        if random.random() < 0.5:
            self.erase(session)
            self.expect_gone(session)

    def talk(self):
        session = self.create()
        for _ in range(random.randint(1, 4)):
            self.say(session, new_turn(session, "quick"), random.random() < 0.5)
        if random.random() < 0.3:
            self.erase(session)
            self.expect_gone(session)

    def erase_in_answer(self):
        session = self.create()
        thread, watch, _ = self.begin_slow_answer(session)
        was_running = watch.is_running()
        erased_at = self.erase(session)
        self.expect_gone(session)
        thread.join()
        if was_running:
            self.note_shown("shown after an erasure", watch, erased_at)

    def stop_in_answer(self):
        session = self.create()
        failed = self.ledger.failed.total()
        thread, watch, _ = self.begin_slow_answer(session)
        was_running, asked_at = watch.is_running(), time.monotonic()
        status, document, is_first = self.request("POST", STOP, session=session["id"])
        stopped_at = time.monotonic()
        if status != 204:
            self.ledger.note_wrong(f"a stop got {status} {document.get('code')}")
        history = self.request("GET", CHAT, session=session["id"])[1].get("messages", [])
        if was_running and is_first:
            self.ledger.measure("stop answered", stopped_at - asked_at)
            self.note_shown("shown after a stop", watch, stopped_at)
            is_claimed = failed == self.ledger.failed.total() and not self.ledger.has_failover
            if is_claimed and (not history or history[-1]["role"] != "model"):
                self.ledger.note_wrong("a stop was acknowledged before the answer was stored")
        thread.join()

    def send_again_in_answer(self):
        session = self.create()
        thread, _, turn = self.begin_slow_answer(session)
        self.say(session, turn, random.random() < 0.5)
        thread.join()

    def interrupt_answer(self):
        """One attempt while another answer runs, which is refused; the message is sent again when that answer is complete."""
        session = self.create()
        thread, watch, _ = self.begin_slow_answer(session)
        turn = new_turn(session, "quick")
        was_running, failed = watch.is_running(), self.ledger.failed.total()
        status, _, _ = self.request("POST", CHAT, max_attempts=1, **self.message(session, turn))
        turn["failed"] = status is None
        thread.join(SECONDS_TO_LEARN_OF_THE_END)
        is_claimed = failed == self.ledger.failed.total() and not self.ledger.has_failover
        if status == 200 and was_running and watch.is_running() and is_claimed:
            self.ledger.note_wrong("a session answered two messages at a time")
        thread.join()
        self.say(session, turn, False)

    def note_shown(self, name, watch, acknowledged_at):
        seconds = watch.last - acknowledged_at
        self.ledger.measure(name, seconds)
        if (seconds - self.ledger.stalled_seconds(acknowledged_at, watch.last)) * 1000 > MAX_SHOWN_MS:
            self.ledger.note_wrong(f"text of an answer was {name} for longer than {MAX_SHOWN_MS} ms")


# What people do, and how often.
ACTS = [
    (Person.create_and_erase, 6),
    (Person.talk, 6),
    (Person.erase_in_answer, 2),
    (Person.stop_in_answer, 1),
    (Person.send_again_in_answer, 1),
    (Person.interrupt_answer, 1),
]


def run(options):
    ledger = Ledger(options.failover)
    signal.signal(signal.SIGTERM, lambda *_: ledger.is_over.set())
    threading.Thread(target=ledger.tick, daemon=True).start()
    threads = [threading.Thread(target=Person(ledger, options.urls).live) for _ in range(options.people)]
    for thread in threads:
        thread.start()
    ledger.is_over.wait(options.seconds)
    ledger.is_over.set()
    for thread in threads:
        thread.join()
    with open(options.record, "w") as file:
        json.dump(ledger.sessions, file)
    erased = sum(session["erased"] is not None for session in ledger.sessions)
    answers = sum(turn["answer"] is not None for session in ledger.sessions for turn in session["turns"])
    pauses = [after - before for before, after in zip(sorted(ledger.writes), sorted(ledger.writes)[1:])]
    print(f"  {len(ledger.sessions)} sessions, {erased} of them erased, {answers} answers; {ledger.requests} requests, "
          f"{ledger.failed.total()} failed; longest time without a write {max(pauses, default=0):.1f} s")
    worst = max((late for _, late in ledger.stalls), default=0)
    if worst > 0.1:
        print(f"  a busy machine: this program waited for a processor for up to {worst * 1000:.0f} ms")
    for kind, times in sorted(ledger.failed.items()):
        print(f"  failed {times} times: {kind}")
    for name, values in ledger.figures.items():
        if values:
            print(f"  {name}: {len(values)} times, {sum(values) / len(values):.0f} ms on average, {max(values)} ms at most")
    if options.no_failures and ledger.failed:
        ledger.wrong["requests failed"] = ledger.failed.total()
    return ledger.wrong


def verify(options):
    sessions = []
    for record in options.records:
        with open(record) as file:
            sessions += json.load(file)
    clients = threading.local()

    def check(session):
        clients.own = getattr(clients, "own", None) or Client()
        return check_session(options.url, session, clients.own)

    wrong = collections.Counter()
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(check, sessions):
            wrong.update(found)
    print(f"  {len(sessions)} sessions compared")
    return wrong


def check_session(url, session, client):
    """What is wrong with the session, each once."""
    status, document = read(url, session, client)
    if session["erased"] == "acknowledged":
        return [] if status == 404 else ["an erased session is back"]
    if session["erased"] == "asked" and status == 404:
        return []
    if status != 200:
        return [f"an acknowledged session is lost ({status})"]
    return check_messages(session["turns"], document["messages"])


def read(url, session, client):
    deadline = time.monotonic() + MAX_PATIENCE_SECONDS
    while True:
        try:
            return client.request(url, "GET", CHAT, session=session["id"])
        except Failed as failed:
            if time.monotonic() > deadline:
                return str(failed), {}
            time.sleep(failed.retry_after)


def check_messages(turns, messages):
    wrong = set()
    questions = [message["content"] for message in messages if message["role"] == "user"]
    place = {message["content"] if message["role"] == "user" else message["id"]: at for at, message in enumerate(messages)}
    if len(set(questions)) < len(questions):
        wrong.add("a message is stored twice")
    if not set(questions) <= {turn["text"] for turn in turns}:
        wrong.add("a message is stored that nobody sent")
    answered = [turn for turn in turns if turn["answer"]]
    for turn in answered:
        question, answer = place.get(turn["text"]), place.get(turn["answer"]["id"])
        if question is None or answer is None:
            wrong.add("an acknowledged message or its answer is lost")
        elif messages[answer]["content"] != turn["answer"]["content"]:
            wrong.add("an acknowledged answer is stored with other words")
        # A message that was repeated after a failure may have another one behind it, and is answered behind that.
        elif answer != question + 1 and not (turn["failed"] and answer > question):
            wrong.add("an answer is not directly behind its message")
    if [text for text in questions if text in {turn["text"] for turn in answered}] != [turn["text"] for turn in answered]:
        wrong.add("messages are stored in another order")
    if len(messages) - len(questions) > len(answered) + sum(turn["text"] in place for turn in turns if not turn["answer"]):
        wrong.add("a message has two answers")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run")
    running.add_argument("record")
    running.add_argument("seconds", type=float)
    running.add_argument("urls", nargs="+")
    running.add_argument("--people", type=int, default=16)
    running.add_argument("--no-failures", action="store_true")
    running.add_argument("--failover", action="store_true")
    running.set_defaults(command=run)
    verifying = commands.add_parser("verify")
    verifying.add_argument("url")
    verifying.add_argument("records", nargs="+")
    verifying.set_defaults(command=verify)
    options = parser.parse_args()
    wrong = options.command(options)
    for what, times in sorted(wrong.items()):
        print(f"WRONG  {times} times: {what}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
