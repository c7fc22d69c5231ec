"""A conversation with JavaScript: begin, stream, stop, keep, code, earlier messages, language, erase; and how each state looks."""

from checks import (SCRIPTED, SERVICE, begin, browser, call, check, is_erased, looks, messages, model, ok, rows, say, session_id)
from webdriver import wait


def conversation():
    with browser() as chromium:
        before = rows()
        chromium.open(f"{SERVICE}/?language=en")
        check(chromium.title == "Chat", f"the title is {chromium.title}")
        looks(chromium, "start")
        chromium.click("#help summary")
        looks(chromium, "help")
        chromium.click("#help summary")
        said = [sentence["text"] for sentence in call("GET", "/api/v1/privacy", Accept_Language="en")[1]["summary"]]
        promised = lambda: chromium.js("return [...document.querySelectorAll('#promise li')].map((it) => it.textContent)")
        check(promised() == said, "the page and the API say something else of the words")
        chromium.click("#promise summary")
        looks(chromium, "promise")
        chromium.js("scrollTo(0, 0)")
        chromium.click("#begin button")
        chromium.shown("#message")
        check(chromium.js("return document.activeElement.id") == "message", "the field has no focus")
        check(promised() == said and not chromium.is_shown("#promise"), "what happens with the words is not under the options")
        looks(chromium, "talk-empty")

        model("hold")
        say(chromium, "Please wait")
        chromium.says("#talk", "First piece.")
        check("Second piece" not in chromium.text("#talk"), "the answer is not streamed")
        check("First piece" not in chromium.text("#log"), "a piece is announced")
        looks(chromium, "streaming")
        model("release")
        chromium.says("#log", "First piece. Second piece. The end.")
        ok("an answer is shown as it comes, and announced when it is finished")

        model("hold")
        say(chromium, "Please wait again")
        chromium.says("#coming", "First piece.")
        chromium.click("#stop")
        chromium.hidden("#stop")
        wait("the stopped answer in the log", lambda: chromium.text("#log").count("First piece.") == 2)
        model("release")
        check("The end" not in chromium.text("#log").split("again")[1], "the answer went on")
        session = session_id(chromium)
        check(len(messages(session)) == 4, f"{messages(session)}")
        ok("a stopped answer ends where it was, and is stored so")

        say(chromium, "hostile")
        chromium.says("#log", "<img src=x onerror=alert(1)>")
        chromium.says("#log", "Behind a line separator.")
        check(not chromium.js("return document.querySelector('#log img, #log script, #log b')"), "the answer became markup")
        ok("markup in an answer is shown as text")

        chromium.click("#options summary")
        chromium.shown("#erase-first")
        looks(chromium, "options")
        chromium.click("#promise summary")
        looks(chromium, "options-promise")
        chromium.click("#promise summary")
        chromium.click("#erase-first")
        chromium.shown("#erase-sure")
        looks(chromium, "erase-asked")
        chromium.click("#erase-not")
        chromium.click("#erase-first")
        chromium.click("#erase-sure")
        chromium.says("#notice", "6 messages")
        is_erased(session, before)
        looks(chromium, "erased")
        ok("erase everything: the row is gone, and the page says what was deleted")


def reload():
    with browser() as chromium:
        before = rows()
        begin(chromium)
        say(chromium, "One")
        chromium.says("#log", "Answer to: One")
        first = session_id(chromium)
        chromium.reload()
        chromium.shown("#begin button")
        check(chromium.js("return sessionStorage.length + localStorage.length + document.cookie.length") == 0, "something is stored")
        ok("a reload forgets the conversation")

        chromium.click("#begin button")
        chromium.shown("#message")
        say(chromium, "Two")
        chromium.says("#log", "Answer to: Two")
        chromium.click("#options summary")
        chromium.click("#keep")
        second = session_id(chromium)
        stored = chromium.js("return { ...sessionStorage }")
        check(stored == {"conversation": second}, "not only the id is kept")
        chromium.reload()
        chromium.says("#log", "Answer to: Two")
        check(second not in chromium.url, "the id is in the address")
        chromium.click("#options summary")
        check(chromium.js("return document.querySelector('#keep').checked"), "keep is not checked after the reload")
        looks(chromium, "kept")
        chromium.click("#keep")
        chromium.reload()
        chromium.shown("#begin button")
        ok("a conversation that is kept is there after a reload, until the person changes that")

        for session in (first, second):
            call("DELETE", "/api/v1/session", Authorization=f"Bearer {session}")
        is_erased(first, before)


def code():
    with browser(expected_errors=["422", "404"]) as chromium:
        begin(chromium)
        say(chromium, "Remember me")
        chromium.says("#log", "Answer to: Remember me")
        chromium.click("#options summary")
        chromium.click("#show-code")
        chromium.shown("#code-shown output")
        text = chromium.text("#code-shown output")
        check([len(group) for group in text.split("-")] == [4] * 7, f"the code has another form: {text}")
        looks(chromium, "code-shown")
        session = session_id(chromium)

        chromium.reload()
        chromium.click("#start details summary")
        # As people copy: small letters, spaces, O for 0, l for 1.
        copied = text.lower().replace("-", " ").replace("0", "O").replace("1", "l")
        wrong = ("b" if copied[0] != "b" else "c") + copied[1:]
        chromium.type("#code", wrong)
        chromium.click("#open button")
        chromium.says("#notice", "This is not a code")
        looks(chromium, "code-wrong")
        chromium.js("document.querySelector('#code').value = ''")
        chromium.type("#code", copied)
        chromium.click("#open button")
        chromium.says("#log", "Answer to: Remember me")
        check(session not in chromium.url and text not in chromium.url, "the address names the conversation")
        ok("a code opens the conversation again, and a mistyped one is noticed")
        call("DELETE", "/api/v1/session", Authorization=f"Bearer {session}")


def earlier():
    with browser() as chromium:
        status, session = call("POST", "/api/v1/sessions")
        session, text = session["session_id"], session["recovery_code"]
        for number in range(40):
            status, _ = call("POST", "/api/v1/session/chat", {"message": f"Message {number}."}, Authorization=f"Bearer {session}")
            check(status == 200, f"message {number}: {status}")
        chromium.open(f"{SERVICE}/?language=en")
        chromium.click("#start details summary")
        chromium.type("#code", text)
        chromium.click("#open button")
        chromium.says("#log", "Message 39.")
        shown = lambda: chromium.js("return document.querySelectorAll('#log .message').length")
        check(shown() == 30, f"{shown()} messages")
        looks(chromium, "long")
        for expected in (60, 80):
            top = chromium.js("scrollTo(0, 0); window.oldest = document.querySelector('#log .message');"
                              "return oldest.getBoundingClientRect().top")
            chromium.click("#earlier button")
            wait(f"{expected} messages", lambda: shown() == expected)
            moved = chromium.js("return oldest.getBoundingClientRect().top") - top
            check(abs(moved) < 60, f"the message that was read moved by {moved} px")
        chromium.hidden("#earlier")
        texts = chromium.js("return [...document.querySelectorAll('#log .user p')].map((p) => p.textContent)")
        check(texts == [f"Message {number}." for number in range(40)], "the order or number of messages is wrong")
        ok("a conversation of 80 messages pages backwards to its beginning")
        call("DELETE", "/api/v1/session", Authorization=f"Bearer {session}")


def language():
    with browser() as chromium:
        chromium.open(SERVICE)
        check(chromium.js("return document.documentElement.lang") == "en", "not the language of the browser")
        chromium.click("#languages a[lang=id]")
        wait("Indonesian", lambda: chromium.js("return document.documentElement.lang") == "id")
        looks(chromium, "start-id")
        chromium.click("#begin button")
        chromium.shown("#message")
        say(chromium, "Halo")
        chromium.says("#log", "Answer to: Halo")
        looks(chromium, "talk-id")
        session = session_id(chromium)
        chromium.type("#message", "Unfinished")
        chromium.click("#languages a[lang=en]")
        chromium.says("#leave", "Leave now")
        chromium.says("#log", "Answer to: Halo")
        check("You" in chromium.text("#log") and "Anda" not in chromium.text("#log"), "the log is in the other language")
        check("program" in chromium.js("return document.querySelector('#promise').textContent.toLowerCase()")
              and "Anda" not in chromium.js("return document.querySelector('#promise').textContent"), "the promise is in the other language")
        check(chromium.js("return document.querySelector('#message').value") == "Unfinished", "the field is empty")
        say(chromium, " message")
        chromium.says("#log", "Answer to: Unfinished message")
        check(session_id(chromium) == session, "another conversation")
        ok("the language changes in the middle of a conversation, which goes on")
        call("DELETE", "/api/v1/session", Authorization=f"Bearer {session}")


def appearances():
    for name, width, features in [
        ("dark", 1100, {"prefers_color_scheme": "dark"}),
        ("narrow", 320, {}),
        ("narrow-dark", 320, {"prefers_color_scheme": "dark", "prefers_reduced_motion": "reduce"}),
        # 1280 px at 400 %.
        ("zoomed", 320, {"prefers_reduced_motion": "reduce"}),
        ("forced-colours", 1100, {"forced_colors": "active"}),
    ]:
        with browser() as chromium:
            chromium.resize(width, 256 if name == "zoomed" else 800)
            chromium.emulate(**features)
            chromium.open(f"{SERVICE}/?language=id")
            looks(chromium, f"start-{name}")
            chromium.js("document.querySelector('#promise').open = true")
            looks(chromium, f"promise-{name}")
            chromium.js("document.querySelector('#promise').open = false")
            chromium.click("#begin button")
            chromium.shown("#message")
            chromium.type("#message", "Sebuah pesan dengan_satu_kata_yang_sangat_panjang_" + "panjang_" * 20)
            chromium.click("#say button")
            chromium.says("#log", "Answer to: Sebuah pesan")
            looks(chromium, f"talk-{name}")
            chromium.js("document.querySelector('#options').open = true; scrollTo(0, 0)")
            looks(chromium, f"options-{name}")
            leaves = chromium.js("""
                document.querySelector('#options').open = false;
                return [0, 1e6].map((y) => { scrollTo(0, y); const box = document.querySelector('#leave button').getBoundingClientRect();
                    return box.top >= 0 && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth && box.height >= 44; });""")
            check(leaves == [True, True], f"the way out is not on the screen, or small: {leaves}")
            targets = chromium.js("""
                return [...document.querySelectorAll("button, summary, a, input, textarea")].filter((e) => e.checkVisibility())
                    .map((e) => [e.outerHTML.slice(0, 60), e.getBoundingClientRect()]).filter(([, b]) => b.width < 24 || b.height < 24)
                    .map(([html]) => html)""")
            check(not targets, f"smaller than 24 px: {targets}")
            call("DELETE", "/api/v1/session", Authorization=f"Bearer {session_id(chromium)}")
            ok(f"{name}: nothing is cut off, and the way out is always there")


def keyboard():
    with browser() as chromium:
        chromium.open(f"{SERVICE}/?language=en")
        chromium.press("Tab")
        check(chromium.js("return document.activeElement.closest('#leave') !== null"), "the first stop is not the way out")
        for _ in range(10):
            if chromium.js("return document.activeElement.closest('#begin') !== null"):
                break
            chromium.press("Tab")
            outlined = chromium.js("const s = getComputedStyle(document.activeElement);"
                                   "return s.outlineStyle !== 'none' || s.boxShadow !== 'none'")
            check(outlined, "the focus is not seen")
        chromium.press("Enter")
        chromium.shown("#message")
        chromium.press(*"Hello", "Enter")
        chromium.says("#log", "Answer to: Hello")
        check(chromium.js("return document.activeElement.id") == "message", "the field lost the focus")
        ok("a conversation with the keyboard alone")
        call("DELETE", "/api/v1/session", Authorization=f"Bearer {session_id(chromium)}")


def scripted():
    """The service with its defaults: no model, proof of work."""
    with browser(expected_errors=["429"]) as chromium:
        begin(chromium, SCRIPTED, "id")
        say(chromium, "Saya takut. Suami saya memukul saya.")
        wait("an answer", lambda: chromium.js("return document.querySelectorAll('#log .message').length") == 2)
        looks(chromium, "danger")
        check(chromium.text("#safety") != "", "no help lines where a message speaks of danger")
        ok("with proof of work and without a model the page has answers, and help lines where they are needed")


PARTS = [conversation, reload, code, earlier, language, appearances, keyboard, scripted]
