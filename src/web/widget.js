// For other sites: a button that opens the page in a frame, and takes the whole site away when the person leaves.
"use strict";
(() => {
  const tag = "chat-widget";
  const script = document.currentScript;
  if (!script || document.querySelector(tag)) return;

  const root = document.documentElement;
  const { label = "Chat", language = "" } = script.dataset;
  const { origin } = new URL(script.src);
  const narrow = matchMedia("(max-width: 480px), (max-height: 480px)");
  const host = document.createElement(tag);
  let frame, exit, left, target, escapes = [];

  // These need no 'unsafe-inline' in the site's Content-Security-Policy.
  function style(element, declarations) {
    for (const [name, value] of Object.entries(declarations)) element.style.setProperty(name, value, "important");
  }
  function add(parent, name, declarations, properties) {
    const element = Object.assign(document.createElement(name), properties);
    style(element, declarations);
    parent.append(element);
    return element;
  }

  style(host, { all: "initial" });
  // Beside <body>, whose transforms and changes do not reach it.
  root.append(host);
  const shadow = host.attachShadow({ mode: "closed" });
  const front = { position: "fixed", "z-index": "2147483647", inset: "auto 16px 16px auto" };
  const press = {
    height: "48px", "min-width": "48px", padding: "0 20px", border: "0", "border-radius": "24px",
    background: "#1f4e5f", color: "#fff", font: "bold 16px system-ui, sans-serif",
  };
  const button = add(shadow, "button", { ...front, ...press, border: "2px solid #fff" },
    { textContent: label, ariaHasPopup: "dialog", onclick: open });
  const dialog = add(shadow, "dialog", {
    ...front, inset: "0", padding: "0", border: "0", "max-width": "none", "max-height": "none", overflow: "hidden",
    "color-scheme": "light dark", background: "Canvas", color: "CanvasText", "box-shadow": "0 0 20px #0008",
  }, { ariaLabel: label, onclose: closed });
  const column = add(dialog, "div", { display: "flex", "flex-direction": "column", height: "100%" });
  add(column, "button", { ...press, background: "none", color: "inherit", "align-self": "start" }, {
    textContent: (language || navigator.language).startsWith("id") ? "Tutup" : "Close",
    onclick: () => dialog.close(),
  });

  function layout() {
    style(dialog, narrow.matches
      ? { margin: "0", width: "100%", height: "100%", "border-radius": "0" }
      : { margin: "auto 16px 16px auto", width: "400px", height: "min(640px, 100vh - 32px)", "border-radius": "12px" });
  }
  layout();
  narrow.addEventListener("change", layout);

  function open() {
    // It stays when the panel is closed: the conversation lives in it.
    frame ??= add(column, "iframe", { flex: "1", width: "100%", border: "0" }, {
      title: label, allow: "", referrerPolicy: "origin", src: `${origin}/${language && "?language=" + language}`,
    });
    if (narrow.matches) dialog.showModal();
    else dialog.show();
    button.hidden = true;
    frame.focus();
  }

  function closed() {
    button.hidden = false;
    button.focus();
  }

  addEventListener("message", (event) => {
    if (!frame || event.source !== frame.contentWindow || event.origin !== origin) return;
    const { safespace, url } = event.data ?? {};
    if (safespace === "ready") exit = url;
    if (safespace === "close") dialog.close();
    if (safespace === "leave") leave(url);
  });

  addEventListener("keydown", (event) => {
    if (!frame || event.key !== "Escape") return;
    // A further press would stop the navigation.
    if (left) event.preventDefault();
    if (left || event.repeat) return;
    escapes = [...escapes, event.timeStamp].slice(-3);
    if (escapes.length < 3 || event.timeStamp - escapes[0] > 2000) return;
    event.preventDefault();
    cover();
    // It erases, then answers. If it is stuck, the person leaves all the same.
    frame.contentWindow.postMessage({ safespace: "leave" }, origin);
    setTimeout(leave, 150, exit);
  }, true);

  // Back to a site that the browser kept leads away again.
  addEventListener("pageshow", (event) => {
    if (event.persisted && target) location.replace(target);
  });

  function cover() {
    if (left) return;
    left = true;
    style(dialog, { visibility: "hidden" });
    button.remove();
    // The frame stays in the document, since it sends the request to erase.
    for (const child of [...root.children]) if (child !== host) child.remove();
    for (const name of root.getAttributeNames()) root.removeAttribute(name);
    root.prepend(document.createElement("head"));
    document.title = "…";
    // The site must not ask whether to stay.
    addEventListener("beforeunload", (event) => event.stopImmediatePropagation(), true);
  }

  function leave(url) {
    cover();
    if (target) return;
    target = /^https?:\/\//i.test(url) ? url : "about:blank";
    go(4000);
  }

  // Again where something stopped it. Each time the other site begins to load anew, so the pauses grow.
  function go(pause) {
    location.replace(target);
    setTimeout(go, pause, pause * 2);
  }
})();
