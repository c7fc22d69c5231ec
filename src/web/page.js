// The page: begins, streams, keeps, leaves and erases a conversation with the API of the same origin.
//
// The server sends all texts with the page: an element with `data-t="key"` shows the text of that key, and `#words` has those that only
// this script shows. Without this script the forms of the page do the same with the server.
"use strict";

const PAGE_SIZE = 30;         // messages that "Earlier messages" loads
const MAX_TRIES = 8;          // tries without a press of a button; with the waits below they take about two minutes
const MAX_WAIT_S = 30;
const SILENCE_MS = 40_000;    // the service sends at least a comment every 15 s while it answers
const ESCAPES = 3;            // presses of Escape that leave,
const ESCAPES_WITHIN_MS = 2000; // within this time
const STORED = "conversation"; // the key in sessionStorage, only after the person chose to keep the conversation

const framed = self !== top;
const requests = new AbortController(); // Its signal is in every request: leaving aborts them.
let session = null;  // The id: in memory only, never in an address, a cookie or localStorage.
let sending = null;  // The message without an answer: { text, key, bubble }. While it waits for another try also `decide`, which ends the wait, and `mayDrop`.
let isEntering = false, hasLeft = false;

const $ = (selector) => document.querySelector(selector);
const hide = (selector, isHidden = true) => { if ($(selector)) $(selector).hidden = isHidden; }; // Leaving removes everything.

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// ---- Texts ----

/**
 * Unpacks what only this script uses. It comes as data in <script type="text/html">, which text browsers skip; they would show what is
 * hidden. With an id it is a template, without one it has its place in the page.
 */
function unpack(page) {
  for (const block of page.querySelectorAll('script[type="text/html"]')) {
    const { body } = new DOMParser().parseFromString(block.textContent, "text/html");
    if (!block.id) {
      block.replaceWith(...body.childNodes);
      continue;
    }
    const template = page.createElement("template");
    template.id = block.id;
    template.content.append(...body.childNodes);
    block.replaceWith(template);
  }
  return page;
}
unpack(document);

/** A page and its templates, which queries do not enter. */
const partsOf = (page) => [page, ...[...page.querySelectorAll("template")].map((template) => template.content)];

/** Every text of a page by its key. */
function textsOf(page) {
  return new Map(partsOf(page).flatMap((part) => [...part.querySelectorAll("[data-t]")]).map((it) => [it.dataset.t, it.textContent]));
}
let texts = textsOf(document);

/** An element with a text that changes with the language. Values take the place of the words in braces. */
function words(key, values = {}) {
  const span = element("span");
  Object.assign(span.dataset, { t: key, values: JSON.stringify(values) });
  translate(span);
  return span;
}

function translate(element) {
  const values = JSON.parse(element.dataset.values ?? "{}");
  const text = texts.get(element.dataset.t);
  if (text !== undefined) element.textContent = text.replace(/\{(\w+)\}/g, (braces, name) => values[name] ?? braces);
}

/** Shows texts by their keys, or elements, in the place of what is there: `show("#notice", "offline")`. */
function show(selector, ...parts) {
  $(selector)?.replaceChildren(...parts.map((part) => (typeof part === "string" ? words(part) : part)));
}

/** What a person reads in the place of an error. */
function textOf(problem, otherwise = "other") {
  if (problem.code === "offline") return otherwise === "other" ? "offline" : "no_connection";
  return texts.has(problem.code) ? problem.code : otherwise;
}

/** Changes the language without a reload: the conversation, and what is in the fields, stay. */
async function changeLanguage(link) {
  const response = await fetch(link.href, { headers: { Accept: "text/html" }, signal: requests.signal });
  if (!response.ok) throw new Error();
  const page = unpack(new DOMParser().parseFromString(await response.text(), "text/html"));
  texts = new Map([...texts, ...textsOf(page)]);
  const tag = document.documentElement.lang = page.documentElement.lang;
  for (const part of partsOf(document)) {
    part.querySelectorAll("[data-t]").forEach(translate);
    part.querySelectorAll("form").forEach((form) => form.setAttribute("action", form.getAttribute("action").replace(/=\w+/, `=${tag}`)));
    part.querySelectorAll("#ended a").forEach((again) => again.setAttribute("href", `/?language=${tag}`));
  }
  for (const selector of ["#help .panel", "#languages", "#promise"]) { // Also what the service says in that language.
    $(selector)?.replaceChildren(...document.importNode(page.querySelector(selector), true).childNodes);
  }
  $("#languages [aria-current]")?.focus();
  history.replaceState(null, "", link.href); // A reload keeps the language.
}

// ---- The API ----

/** An error: the `code` of a problem document, or "offline" without an answer. */
class Problem extends Error {
  constructor({ status = 0, code = "other", retry_after, proof_of_work }) {
    super(code);
    Object.assign(this, { status, code, retryAfter: Number(retry_after) || 0, proofOfWork: proof_of_work });
  }
  /** Whether the service says that there is no such conversation. A 404 without this code is from a proxy that does not find the service. */
  get isGone() {
    return this.code === "session_not_found";
  }
  /** Whether the same request may succeed later. */
  get isTransient() {
    return !this.isGone && (this.code === "turn_in_progress" || [0, 404, 408, 429].includes(this.status) || this.status >= 500);
  }
}

/** The JSON of an answer. A network that asks people to log in first answers with a page of its own: that is no connection. */
async function json(request) {
  const response = await request;
  return response.json().catch(() => { throw new Problem({ code: "offline" }); });
}

/** Sends a request. The id stands in a header, since addresses are kept in logs. */
async function api(method, path, { id = session, body, headers = {}, signal = requests.signal } = {}) {
  const fields = { "Accept-Language": document.documentElement.lang, ...headers };
  if (id) fields.Authorization = `Bearer ${id}`;
  if (body) fields["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, { method, headers: fields, body: body && JSON.stringify(body), signal });
  } catch {
    throw new Problem({ code: "offline" });
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({})); // The error of a proxy may not be JSON.
  throw new Problem({ retry_after: response.headers.get("Retry-After"), ...problem, status: response.status });
}

/** Tries a request that loses nothing when it is repeated some times, for a service that restarts. */
async function withRetries(request) {
  for (let tries = 1; ; tries++) {
    try {
      return await request();
    } catch (problem) {
      if (!problem.isTransient || problem.code === "proof_of_work" || tries === 3) throw problem;
      await seconds(Math.min(Math.max(problem.retryAfter, tries), 5));
    }
  }
}

const seconds = (count) => new Promise((resolve) => setTimeout(resolve, count * 1000));

/** Seconds until the next try: what the service says, or longer and longer. */
const waitBefore = (tries, problem) => Math.max(problem.retryAfter, Math.min(2 ** (tries - 1), MAX_WAIT_S));

/** A random key for `Idempotency-Key`. `crypto.randomUUID` is missing without https. */
function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Creates a session; where the service asks for it, with proof of work (docs/sessions.md). */
async function createSession() {
  for (let headers = {}, tries = 1; ; tries++) {
    try {
      return await json(api("POST", "sessions", { id: null, headers }));
    } catch (problem) {
      if (problem.code !== "proof_of_work" || !problem.proofOfWork || tries === 4) throw problem;
      if (!crypto.subtle) throw new Problem({ code: "proof_impossible" }); // The page came without https.
      headers = { "Proof-Of-Work": await solve(problem.proofOfWork) };
    }
  }
}

async function solve({ challenge, difficulty, input_bytes }) {
  const input = new Uint8Array(input_bytes), view = new DataView(input.buffer);
  input.set(new TextEncoder().encode(challenge), 8);
  for (let counter = 0; ; counter++) {
    if (counter % 256 === 0) await seconds(0); // Lets the browser handle input and paint.
    view.setUint32(4, counter); // The first eight bytes are the counter, the most significant byte first.
    const hash = new DataView(await crypto.subtle.digest("SHA-256", input));
    if (hash.getUint32(0) >>> (32 - difficulty) === 0) return `${challenge}:${counter}`;
  }
}

/** The events of a stream (docs/chat.md), as pairs of a name and its data. */
async function* eventsOf(response, onPiece) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    onPiece();
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      // Not `.` and `$`, which stop at U+2028 too. A comment has neither field.
      const [, name, data] = event.match(/(?:^|\n)event: ([^\n]*)\ndata: ([^\n]*)/) ?? [];
      if (name) yield [name, JSON.parse(data)];
    }
  }
}

// ---- Start ----

/** Begins a conversation, or opens that of an id or a code. `open` resolves to the session. */
async function enter(open, otherwise) {
  if (isEntering) return;
  isEntering = true;
  show("#notice", "one_moment");
  try {
    const found = await withRetries(open);
    const history = found.isNew ? { messages: [] } : await withRetries(() => historyPage(found.session_id));
    if (hasLeft) return;
    session = found.session_id;
    showTalk(found.recovery_code, history);
  } catch (problem) {
    if (hasLeft) return;
    if (problem.isGone) store()?.removeItem(STORED);
    show("#notice", problem.status === 422 ? "code_wrong" : textOf(problem, otherwise));
  } finally {
    isEntering = false;
  }
}

const begin = () => enter(async () => ({ ...(await createSession()), isNew: true }), "begin_failed");

const openById = (id) => enter(() => json(api("GET", "session", { id })), "no_connection");

function openByCode() {
  const code = $("#code").value.replace(/[^!-~]/g, ""); // No code and no id has spaces, or letters beyond ASCII, which no header may have.
  if (code) openById(code); else show("#notice", "code_wrong");
}

// ---- The talk ----

/** Takes the place of the start, with the markup that the server sends to a browser without JavaScript. */
function showTalk(code, history) {
  if (!$("#talk")) {
    const fold = $("#promise"); // What happens with the words is there in both views.
    $("main").replaceChildren(document.importNode($("#talk-view").content, true));
    if (fold) $("#options .panel").append(Object.assign(fold, { open: false }));
  }
  $("#safety").replaceChildren();
  $("#options").hidden = false;
  $("#anew").hidden = true;
  show("#notice");
  prepareTalk(code);
  showHistory(history);
  scrollToEnd();
  $("#message").focus();
}

/** Shows what works only with this script: keeping, and the code on request. */
function prepareTalk(code) {
  $("#message").removeAttribute("required"); // `submit` ignores an empty message; the browser would complain.
  $("#code-shown").hidden = true;
  $("#code-shown output").textContent = code ?? "";
  $("#show-code").hidden = !code;
  $("#keeping").hidden = false;
  const storage = store();
  if (storage) $("#keep").checked = storage.getItem(STORED) === session;
  else show("#keeping", "keep_blocked");
  growField();
}

/** A message. Each runs in the direction of its own script. */
function bubble(role, text, cut = false) {
  const body = element("p", { dir: "auto", textContent: text + (cut ? " …" : "") });
  return element("div", { className: `message ${role}` }, element("h2", {}, words(role === "user" ? "you" : "program")), body);
}

const historyPage = (id, before) => json(api("GET", `session/chat?limit=${PAGE_SIZE}${before ? `&before=${before}` : ""}`, { id }));

function pastBubble({ id, role, content, cut }) {
  const message = bubble(role, content, cut);
  message.dataset.id = id;
  return message;
}

/** Shows the newest page in the place of all messages. #past is not announced: only what is new is. */
function showHistory({ messages, has_more }) {
  const past = $("#past");
  $("#log").replaceChildren(past);
  past.replaceChildren(...messages.map(pastBubble));
  hide("#earlier", !has_more);
  hide("#newest");
}

/** Puts the page before the oldest message above it; what the person reads stays where it is. */
async function showEarlier() {
  if ($("#earlier").getAttribute("aria-busy") === "true") return;
  $("#earlier").setAttribute("aria-busy", "true");
  try {
    const oldest = $("#log .message");
    const { messages, has_more } = await withRetries(() => historyPage(session, oldest.dataset.id));
    const top = oldest.getBoundingClientRect().top;
    $("#past").prepend(...messages.map(pastBubble));
    $("#earlier").hidden = !has_more;
    scrollBy(0, oldest.getBoundingClientRect().top - top);
    if (!has_more) Object.assign($("#log .message"), { tabIndex: -1 }).focus({ preventScroll: true }); // The button is gone.
  } catch (problem) {
    if (problem.isGone) conversationIsGone();
    else show("#notice", textOf(problem, "no_connection"));
  } finally {
    $("#earlier")?.removeAttribute("aria-busy");
  }
}

/** Sends what is in the field. While a message has no answer, the next one stays in the field. */
function submit() {
  const text = $("#message").value;
  if (sending?.mayDrop && text.trim()) dropMessage();
  else if (sending) return sending.decide?.(true);
  if (!session || !text.trim()) return;
  $("#message").value = "";
  growField();
  send({ text, key: randomKey(), bubble: bubble("user", text) });
}

/** Sends a message until it has an answer. The same key makes every further try safe. */
async function send(message) {
  sending = message;
  $("#log").append(message.bubble);
  scrollToEnd();
  let foundOtherTurn = false;
  for (let tries = 1; sending === message; tries++) {
    try {
      await converse(message);
      sending = null;
      if (foundOtherTurn) await showNewest();
    } catch (problem) {
      if (hasLeft || sending !== message) return;
      $("#coming").replaceChildren(); // The partial answer is not stored, or the next try sends it again.
      foundOtherTurn ||= problem.code === "turn_in_progress"; // Another tab has messages that this one does not show.
      if (problem.isGone) return conversationIsGone();
      if (!problem.isTransient && problem.code !== "answer_stopped") return returnToField(problem);
      if (!(await tryAgain(message, problem, tries))) return;
      if (!navigator.onLine || tries >= MAX_TRIES) tries = 0; // A press, or the network's return, begins a new round of tries.
    }
  }
}

/** One try: sends the message, and shows the answer as it comes. */
async function converse(message) {
  const silence = new AbortController();
  const stop = () => silence.abort();
  let timer = setTimeout(stop, SILENCE_MS);
  const heard = () => { clearTimeout(timer); timer = setTimeout(stop, SILENCE_MS); };
  requests.signal.addEventListener("abort", stop);
  setBusy(true);
  try {
    const response = await api("POST", "session/chat", {
      body: { message: message.text }, signal: silence.signal,
      headers: { Accept: "text/event-stream", "Idempotency-Key": message.key },
    });
    for await (const [name, data] of eventsOf(response, heard)) {
      if (name === "error") throw new Problem(data);
      keepAtEnd(() => ON_EVENT[name]?.(data));
      if (name === "message.end") return;
    }
    throw new Problem({ code: "offline" }); // The stream broke. The answer may be stored: the same key gets it.
  } catch (problem) {
    throw problem instanceof Problem ? problem : new Problem({ code: "offline" });
  } finally {
    clearTimeout(timer);
    requests.signal.removeEventListener("abort", stop);
    setBusy(false);
  }
}

const ON_EVENT = {
  "message.start": startAnswer,
  "message.delta": ({ text }) => $("#coming p").append(text),
  "message.reset": () => $("#coming p").replaceChildren(), // The answer that is stored is another one: it follows.
  "message.end": finishAnswer,
  safety: showSafety,
};

function setBusy(isBusy) {
  if (!$("#say")) return;
  if (!isBusy && document.activeElement === $("#stop")) $("#message").focus();
  $("#say button").setAttribute("aria-disabled", isBusy); // Not `disabled`, which would lose the focus.
  keepAtEnd(() => {
    hide("#stop", !isBusy);
    show("#notice", ...(isBusy ? ["writing"] : []));
  });
}

/** The answer grows in #coming, outside the log: a screen reader announces it once, when it is finished. */
function startAnswer() {
  $("#safety").replaceChildren();
  $("#coming").replaceChildren(bubble("model", ""));
}

/** The whole message takes the place of the pieces, which the service may have withdrawn. */
function finishAnswer({ content, cut }) {
  $("#coming").replaceChildren();
  $("#log").append(bubble("model", content, cut));
}

const stopAnswer = () => api("POST", "session/chat/stop").catch(() => {}); // The stream says what became of the answer.

/** Says why a message has no answer, and waits: for the time, the network or a press. Resolves to whether to send it again. */
function tryAgain(message, problem, tries) {
  const wasStopped = problem.code === "answer_stopped";
  const isAutomatic = problem.isTransient && navigator.onLine && tries < MAX_TRIES;
  message.mayDrop = wasStopped; // It is stored: the person may go on without an answer to it.
  keepAtEnd(() => {
    show("#notice", textOf(problem));
    hide("#again", false);
  });
  return new Promise((resolve) => {
    const clock = isAutomatic && countDown(waitBefore(tries, problem), "#countdown", "sent_in", () => message.decide(true));
    message.decide = (again) => {
      clearInterval(clock);
      message.decide = null;
      if (document.activeElement === $("#again")) $("#message").focus();
      hide("#again");
      show("#countdown");
      show("#notice");
      resolve(again);
    };
  });
}

/** Ends the wait for an answer, and returns the message. */
function dropMessage() {
  const message = sending;
  sending = null;
  message?.decide?.(false);
  return message;
}

/** Counts down outside a live region, so that a screen reader does not read every second. */
function countDown(left, selector, key, done) {
  const clock = setInterval(tick, 1000);
  function tick() {
    if (left <= 0) { clearInterval(clock); return done(); }
    keepAtEnd(() => show(selector, words(key, { seconds: left-- })));
  }
  tick();
  return clock;
}

/** The message was not stored, and would not be: its text goes back into the field. */
function returnToField(problem) {
  const { text, bubble } = dropMessage();
  bubble.remove();
  $("#message").value = [text, $("#message").value].filter((part) => part.trim()).join("\n\n");
  growField();
  show("#notice", textOf(problem));
  hide("#anew", problem.code !== "session_full");
}

/** The session has ended or was erased elsewhere. What was not sent goes with the person into a new one. */
function conversationIsGone() {
  session = null;
  store()?.removeItem(STORED);
  if (sending) returnToField({ code: "session_not_found" });
  else show("#notice", "session_not_found");
  $("#options").hidden = true;
  $("#anew").hidden = false;
}

async function showNewest() {
  const history = await historyPage(session).catch(() => null);
  if (history && !sending) keepAtEnd(() => showHistory(history));
}

/** Help lines that belong to what was said, beside the answer. */
function showSafety({ resources }) {
  show("#safety", "help_note", element("ul", { className: "lines" }, ...resources.map(helpLine)));
}

/** The line as the panel of help lines has it, where the server made its link: each kind of number has its own rules. */
function helpLine({ id, name, kind, value, verified }) {
  const known = $(`#help [data-id="${CSS.escape(id)}"]`);
  if (known) return known.parentNode.cloneNode(true);
  const note = verified ? "" : element("i", {}, "(", words("unverified"), ")");
  return element("li", {}, element("b", { textContent: name }), kind === "whatsapp" ? ` WhatsApp ${value} ` : ` ${value} `, note);
}

// ---- Keep, code, erase ----

/** sessionStorage, or null where the browser blocks it. */
function store() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

function keep(isKept) {
  try {
    if (isKept) store().setItem(STORED, session);
    else store().removeItem(STORED);
  } catch {
    show("#keeping", "keep_blocked");
  }
}

/** The second step takes the place of the first one. */
function askToErase(isAsking) {
  $("#erase-first").hidden = isAsking;
  $("#erase-sure").hidden = $("#erase-not").hidden = !isAsking;
  $(isAsking ? "#erase-not" : "#erase-first").focus();
}

/** Erases until the service has confirmed it, or the person leaves. */
async function erase() {
  dropMessage();
  if (!$("#ended")) $("main").replaceChildren(document.importNode($("#ended-view").content, true));
  hide("#ended a");
  hide("#end-again");
  show("#notice", "erasing");
  for (let tries = 1; ; tries++) {
    try {
      const { deleted } = await json(api("DELETE", "session", { headers: { Prefer: "return=representation" } }));
      return showErased(words("erased", deleted));
    } catch (problem) {
      if (hasLeft) return;
      if (problem.isGone) return showErased("erased_before");
      show("#notice", "erase_unsure");
      await new Promise((resolve) => countDown(waitBefore(tries, problem), "#progress", "erase_retry", resolve));
      show("#progress", "erasing");
    }
  }
}

function showErased(result) {
  session = null;
  store()?.removeItem(STORED);
  show("#progress");
  show("#notice", result);
  hide("#ended a", false);
  $("#notice").focus();
}

// ---- Leave ----

/**
 * Everything in the same turn of the event loop: the next frame on the screen is empty, whatever the network does. The
 * requests survive the page.
 */
function leave() {
  const exit = document.body.dataset.exit;
  hasLeft = true;
  document.body.replaceChildren();
  document.title = "…";
  try {
    for (const id of new Set([session, store()?.getItem(STORED)])) if (id) panic(id); // The kept id has no session here if opening it failed.
    session = sending = null;
    store()?.clear();
    requests.abort();
    if (framed) parent.postMessage({ safespace: "leave", url: exit }, "*"); // The site's widget takes the site away, without a question of the site.
  } finally {
    if (framed) setTimeout(goTo, 300, exit, 4000); // Where the site has no widget.
    else goTo(exit, 4000);
  }
}

/** Erases a session although the page goes. Both ways, since some browsers have no beacons and some extensions only pretend to send them. */
function panic(id) {
  try { navigator.sendBeacon("/api/v1/panic", id); } catch { /* The other way remains. */ }
  fetch("/api/v1/panic", { method: "POST", body: id, keepalive: true }).catch(() => {});
}

/** Takes the place of this page in the history; again where something stopped it. Each time loading begins anew, so the pauses grow. */
function goTo(url, pauseMs) {
  try {
    (framed ? top : self).location.replace(url);
  } catch {
    location.replace(url); // The site's frame does not let its content lead it away.
  }
  setTimeout(goTo, pauseMs, url, 2 * pauseMs);
}

let escapes = []; // Times of the last presses.
function countEscape(event) {
  if (event.key !== "Escape" || isComposing(event)) return;
  event.preventDefault(); // Escape stops a navigation, and so would keep the person here.
  if (event.repeat || hasLeft) return;
  closePanels();
  const now = performance.now();
  escapes = [...escapes.filter((time) => now - time < ESCAPES_WITHIN_MS), now];
  if (escapes.length >= ESCAPES) return leave();
  show("#pressed", words("leave_pressed", { count: ESCAPES - escapes.length }));
  setTimeout(() => { if (performance.now() - escapes.at(-1) >= ESCAPES_WITHIN_MS) show("#pressed"); }, ESCAPES_WITHIN_MS);
}

// ---- Field, focus and scrolling ----

/** The field is as high as its text, up to six lines. */
function growField() {
  const field = $("#message");
  keepAtEnd(() => {
    field.rows = 1;
    while (field.rows < 6 && field.scrollHeight > field.clientHeight + 1) field.rows++;
  });
}

/** Whether the key belongs to a method that composes characters. Safari says so only by the code 229. */
const isComposing = (event) => event.isComposing || event.keyCode === 229;

/** Enter sends; on a touch screen, and with Shift, it makes a line. While a character is composed it only ends that. */
function sendOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || isComposing(event) || matchMedia("(pointer: coarse)").matches) return;
  event.preventDefault();
  submit();
}

const scrollToEnd = () => scrollTo(0, document.documentElement.scrollHeight);

/** Changes the page, and scrolls to its end only if the person is there. */
function keepAtEnd(change) {
  const isAtEnd = document.documentElement.scrollHeight - scrollY - innerHeight < 48;
  change();
  if (isAtEnd) scrollToEnd();
}

/** Panels close when the person goes on elsewhere, so that they hide nothing. */
function closePanels(except = null) {
  for (const panel of document.querySelectorAll("#help[open], #options[open]")) {
    const isInFlow = getComputedStyle(panel.lastElementChild).position === "static"; // On a short screen; closing would move what is pressed.
    if (panel.contains(except) || (except && isInFlow)) continue;
    if (panel.contains(document.activeElement)) panel.querySelector("summary").focus();
    panel.open = false;
  }
}

/** On some phones the keyboard moves the page up: the way out stays on the screen. */
function followKeyboard() {
  document.documentElement.style.setProperty("--keyboard", `${Math.max(0, visualViewport.offsetTop)}px`);
}

// ---- Events ----

const ON_SUBMIT = { leave, begin, open: openByCode, say: submit, earlier: showEarlier, newest: showNewest, erase: () => askToErase(true) };
const ON_CLICK = {
  stop: stopAnswer, again: () => sending?.decide?.(true), anew: begin,
  "show-code": () => { $("#code-shown").hidden = !$("#code-shown").hidden; },
  "erase-sure": erase, "erase-not": () => askToErase(false),
};

addEventListener("submit", (event) => {
  event.preventDefault(); // This script answers every form of the page.
  ON_SUBMIT[event.target.id]();
  if (event.target.id === "say") $("#message").focus();
});
addEventListener("click", (event) => {
  const button = event.target.closest("button[type=button]");
  if (button) ON_CLICK[button.id]?.();
  const language = event.target.closest("#languages a");
  if (language && (session || $("#talk"))) { // Without a conversation the link may simply lead to the page in that language.
    event.preventDefault();
    changeLanguage(language).catch(() => show("#notice", "no_connection"));
  }
});
addEventListener("keydown", countEscape, { capture: true });
addEventListener("keydown", (event) => { if (event.target.id === "message") sendOnEnter(event); });
addEventListener("input", (event) => { if (event.target.id === "message") growField(); });
addEventListener("change", (event) => { if (event.target.id === "keep") keep(event.target.checked); });
addEventListener("online", () => { if (!sending?.mayDrop) sending?.decide?.(true); });
addEventListener("pageshow", (event) => { if (event.persisted && hasLeft) leave(); }); // A page from the back/forward cache leaves again.
addEventListener("message", (event) => {
  if (framed && event.source === parent && event.data?.safespace === "leave") leave();
});
visualViewport?.addEventListener("resize", followKeyboard);
visualViewport?.addEventListener("scroll", followKeyboard);

for (const name of ["click", "focusin"]) addEventListener(name, (event) => closePanels(event.target));

// ---- What the page is when it opens ----

function open() {
  if (framed) {
    document.documentElement.dataset.framed = "";
    parent.postMessage({ safespace: "ready", url: document.body.dataset.exit }, "*"); // The site leaves too, whatever happens here.
  }
  hide("#leave-keys", false);
  const posted = $("main [name=session_id][type=hidden]")?.value; // A form was sent before this script was there.
  if (posted) {
    session = posted;
    if ($("#talk")) {
      prepareTalk($("#code-shown output").textContent);
      scrollToEnd();
      showNewest(); // The server may have shown an older page.
    }
    document.querySelectorAll("[type=hidden], #languages form").forEach((part) => part.remove()); // This script changes the language by the links.
    history.replaceState(null, "", `/?language=${document.documentElement.lang}`); // A reload sends no form again.
  } else if ($("#start")) {
    const kept = store()?.getItem(STORED);
    if (kept) openById(kept);
  }
}
open();
