//! The life of a conversation in forms: begun, spoken, read, erased.

use safespace::session_id::SessionId;

use super::html::{ACCEPT, Html, begin, say, send};
use crate::support::app::TestApp;
use crate::support::chat::{Chat, count_rows, store_messages};
use crate::support::cluster::Cluster;
use crate::support::fake_model::FakeModel;
use crate::support::lock_table;

const HOSTILE: &str = "</textarea><script>alert(1)</script><p \"x\" 'y'>&amp; &#60; {{ 7 * 7 }}\n\u{202e}abc\u{2066}";

fn authors(page: &Html) -> Vec<String> {
    page.messages().into_iter().map(|(author, _)| author).collect()
}

#[test]
fn a_conversation_lives_from_its_beginning_to_its_end() {
    let app = TestApp::start();
    let page = begin(&app);
    let id = page.field("say", "session_id");
    assert_eq!((page.messages(), page.notice(), page.draft()), (Vec::new(), String::new(), String::new()));
    assert_eq!(page.code().parse::<SessionId>().unwrap(), id.parse::<SessionId>().unwrap());
    assert!(page.text.contains("<form id=\"earlier\" method=\"post\" action=\"/page/read?language=en\" hidden>"));

    let said = say(&app, &page, "Hello\r\nyou");
    assert_eq!(said.status, 200);
    assert_eq!(authors(&said), ["user", "model"]);
    assert_eq!(said.messages()[0].1, "Hello\nyou", "the line end of a form is a line feed");
    assert_ne!(said.field("say", "key"), page.field("say", "key"));
    assert_eq!((said.draft(), said.notice()), (String::new(), String::new()));
    let again = say(&app, &said, "And more");
    assert_eq!(authors(&again), ["user", "model", "user", "model"]);

    let code = format!(" {} ", again.code().to_lowercase().replace('-', " "));
    let read = send(&app, "read", &[("session_id", &code)]);
    assert_eq!((read.status, read.messages()), (200, again.messages()));
    assert_eq!(read.field("erase", "session_id"), id);
    assert_eq!(read.field("leave", "session_id"), id);

    let ended = send(&app, "end", &[("session_id", &id)]);
    assert_eq!((ended.status, count_rows(&mut app.sql())), (200, 0));
    assert_eq!(ended.notice(), "Everything is erased, 4 messages.");
    assert!(!ended.text.contains(&id));
    let (gone, ended) = (send(&app, "read", &[("session_id", &id)]), send(&app, "end", &[("session_id", &id)]));
    assert_eq!((gone.status, ended.status), (404, 404));
    assert!(gone.notice().starts_with("This conversation is not there any more"), "{}", gone.notice());
    assert!(gone.text.contains("id=\"begin\"") && !gone.text.contains(&id));
    assert_eq!(ended.notice(), "There is nothing left to erase.");
}

#[test]
fn nothing_on_the_page_of_a_conversation_loses_it_or_works_with_a_script_alone() {
    let app = TestApp::start();
    let page = begin(&app);
    for page in [say(&app, &page, "Hello"), say(&app, &page, " "), page] {
        let shown = page.without_script();
        for part in
            [" href=\"/?", "type=\"button\"", "type=\"checkbox\"", "<template", "{seconds}", "Everything is erased"]
        {
            assert!(!shown.contains(part), "{part}: {shown}");
        }
        assert!(page.text.contains(" href=\"/?language=id\""), "the script has the links");
    }
}

#[test]
fn the_language_changes_without_losing_the_conversation() {
    let app = TestApp::start();
    let said = say(&app, &begin(&app), "Hello");
    assert!(said.text.contains("<form id=\"in-id\" method=\"post\" action=\"/page/read?language=id\">"));
    let (id, form) = (said.field("say", "session_id"), said.field("in-id", "session_id"));
    let read = Html::of(&app.client.post_form("/page/read?language=id", &[("session_id", &form)], &ACCEPT));
    assert!(read.status == 200 && read.text.contains("<html lang=\"id\">"));
    assert_eq!((read.messages(), read.field("in-en", "session_id")), (said.messages(), id.clone()));
    let mut sql = app.sql();
    let lock = lock_table(&mut sql, "sessions");
    let unsure = send(&app, "end", &[("session_id", &id)]);
    assert_eq!(unsure.field("in-id", "session_id"), id);
    assert!(unsure.text.contains("<form id=\"in-id\" method=\"post\" action=\"/page/end?language=id\">"));
    lock.commit().unwrap();
    let start = Html::of(&app.client.get_as("/", "text/html"));
    assert!(start.text.contains("<a href=\"/?language=id\"") && !start.text.contains("id=\"in-id\""));
}

#[test]
fn a_reload_of_a_form_leads_to_the_start() {
    let app = TestApp::start();
    for form in ["begin", "say", "read", "end"] {
        for method in ["GET", "HEAD"] {
            for (asked, language) in [("id", "id"), ("en", "en"), ("//example.org", "id")] {
                let answer = app.client.send(method, &format!("/page/{form}?language={asked}")).assert_status(303);
                assert_eq!(answer.header("Location"), Some(format!("/?language={language}").as_str()));
            }
        }
    }
    app.client.get("/page/other").assert_problem(404);
}

#[test]
fn a_message_sent_again_is_not_doubled_and_another_text_is_another_message() {
    let app = TestApp::start();
    let page = begin(&app);
    let first = say(&app, &page, "Hello");
    let second = say(&app, &page, "Hello");
    assert_eq!((second.status, second.messages()), (200, first.messages()));
    let other = say(&app, &page, "Hello, and more");
    assert_eq!(authors(&other), ["user", "model", "user", "model"]);
}

#[test]
fn a_message_without_an_answer_stays_in_the_field_and_is_not_doubled_when_it_is_sent_again() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let page = begin(&app);
    model.next(|reply| reply.refuse(401));
    let failed = say(&app, &page, "The weather");
    assert_eq!(failed.status, 503);
    assert!(failed.notice().starts_with("The program cannot answer just now"), "{}", failed.notice());
    assert_eq!((authors(&failed), failed.draft()), (vec!["user".to_owned()], "The weather".to_owned()));
    assert_eq!(failed.field("say", "key"), page.field("say", "key"));
    let answered = say(&app, &failed, &failed.draft());
    assert_eq!((answered.status, authors(&answered)), (200, vec!["user".to_owned(), "model".to_owned()]));
}

#[test]
fn a_message_that_cannot_be_sent_stays_in_the_field() {
    let app = TestApp::start();
    let page = begin(&app);
    let most = "\u{1f600}".repeat(4096);
    for text in ["", " \n\t", "a\0b", &format!("{most}!")] {
        let failed = say(&app, &page, text);
        assert_eq!(failed.status, 422, "{}", text.chars().take(9).collect::<String>());
        assert!(failed.notice().starts_with("A message needs some text"), "{}", failed.notice());
        assert_eq!((failed.draft().as_str(), failed.field("say", "key")), (text, page.field("say", "key")));
        assert_eq!(failed.messages(), []);
    }
    let id = page.field("say", "session_id");
    for key in ["", "a\nb", &"k".repeat(201)] {
        assert_eq!(send(&app, "say", &[("session_id", &id), ("key", key), ("message", "Hello")]).status, 422);
    }
    let full = send(&app, "say", &[("session_id", "1"), ("message", "Hello")]);
    assert_eq!(
        (full.status, full.notice().as_str()),
        (422, "This is not a code. Please compare each letter and digit.")
    );
}

#[test]
fn a_message_of_4096_characters_of_four_bytes_is_sent_whatever_the_limit_of_other_bodies_is() {
    let app = TestApp::with(&[("APP_MAX_BODY_BYTES", "1024")]);
    let most = "\u{1f600}".repeat(4096);
    let said = say(&app, &begin(&app), &most);
    assert_eq!((said.status, authors(&said)), (200, vec!["model".to_owned()]), "more than what is read at once");
    let (id, before) = (said.field("say", "session_id"), said.field("earlier", "before"));
    assert!(send(&app, "read", &[("session_id", &id), ("before", &before)]).messages()[0].1 == most);
    let lines = "\r\n".repeat(340);
    let page = begin(&app);
    assert_eq!(say(&app, &page, &format!("a{lines}b")).status, 200);
    let fields = [ACCEPT[0], ("Accept-Language", "en")];
    let too_long = app.client.post_form("/page/say", &[("message", &"x".repeat(60_000))], &fields);
    let page = Html::of(&too_long);
    assert_eq!(page.status, 413);
    assert!(page.notice().starts_with("A message needs some text"), "{}", page.notice());
}

#[test]
fn hostile_text_is_shown_as_it_is() {
    let app = TestApp::with(&[("WEB_NAME", "<b>\"Name\" & 'co'</b>")]);
    let page = begin(&app);
    let said = say(&app, &page, HOSTILE);
    assert_eq!(said.messages()[0].1, HOSTILE);
    let too_long = format!("{HOSTILE}{}", "x".repeat(4096));
    let failed = say(&app, &said, &too_long);
    assert_eq!((failed.status, failed.draft()), (422, too_long));
    let odd_key =
        send(&app, "say", &[("session_id", &failed.field("say", "session_id")), ("key", HOSTILE), ("message", " ")]);
    for page in [&page, &said, &failed, &odd_key] {
        assert!(
            !page.text.contains("<script>") && page.text.matches("<script src=").count() == 1,
            "only the page's own"
        );
        assert!(
            !page.text.contains("<b>\"Name")
                && page.text.contains("&#60;b&#62;&#34;Name&#34; &#38; &#39;co&#39;&#60;/b&#62;")
        );
    }
    assert_eq!(odd_key.field("say", "key"), HOSTILE);
}

#[test]
fn a_long_conversation_is_paged_backwards_and_forwards() {
    let app = TestApp::start();
    let page = begin(&app);
    let id = page.field("say", "session_id");
    // Messages of up to 16 KiB, of which one statement reads few.
    let texts: Vec<String> = (1..=45).map(|number| format!("{number} {}", "\u{1f600}".repeat(number * 90))).collect();
    store_messages(&mut app.sql(), &id, &texts);
    let mut read = send(&app, "read", &[("session_id", &id)]);
    let mut shown: Vec<String> = Vec::new();
    for pages in 0.. {
        assert!(pages < 40 && read.status == 200 && read.messages().len() <= 10);
        let messages: Vec<String> = read.messages().into_iter().map(|(_, text)| text).collect();
        assert_eq!(read.field("newest", "session_id"), id);
        shown.splice(0..0, messages);
        if read.text.contains("<form id=\"earlier\" method=\"post\" action=\"/page/read?language=en\" hidden>") {
            break;
        }
        let before = read.field("earlier", "before");
        read = send(&app, "read", &[("session_id", &id), ("before", &before)]);
    }
    assert_eq!(shown, texts);
    for before in ["1", "550e8400-e29b-41d4-a716-446655440000"] {
        assert_eq!(send(&app, "read", &[("session_id", &id), ("before", before)]).status, 422);
    }
}

#[test]
fn the_help_lines_of_a_message_that_speaks_of_danger_are_those_of_the_api() {
    let app = TestApp::start();
    let page = begin(&app);
    let text = "Saya mau bunuh diri";
    let api = Chat::new(&app).send(text).assert_status(200).json();
    let said = say(&app, &page, text);
    let (_, safety) = said.text.split_once("<div id=\"safety\"").unwrap();
    let (safety, _) = safety.split_once("</div>").unwrap();
    let lines = api["safety"]["resources"].as_array().unwrap();
    assert_eq!(safety.matches("<li>").count(), lines.len());
    assert!(lines.iter().all(|line| safety.contains(line["value"].as_str().unwrap())), "{safety}");
    assert!(!say(&app, &said, "Terima kasih").text.contains("<div id=\"safety\" aria-live=\"polite\"><p>"));
}

#[test]
fn where_proof_of_work_is_required_the_start_says_to_try_again() {
    let app = TestApp::with(&[("RATE_LIMIT", "on"), ("PROOF_OF_WORK", "always")]);
    let page = send(&app, "begin", &[]);
    assert_eq!(page.status, 429);
    assert!(page.notice().starts_with("Many conversations are being started"), "{}", page.notice());
    assert!(page.text.contains("id=\"begin\""));
}

#[test]
fn a_wrong_code_and_an_unknown_session_are_told_apart() {
    let app = TestApp::start();
    let code = begin(&app).code();
    let last = if code.ends_with('0') { "1" } else { "0" };
    for wrong in ["", "x", &format!("{}{last}", &code[..code.len() - 1])] {
        let page = send(&app, "read", &[("session_id", wrong)]);
        assert_eq!(
            (page.status, page.notice().as_str()),
            (422, "This is not a code. Please compare each letter and digit.")
        );
    }
    let page = send(&app, "read", &[("session_id", "550e8400-e29b-41d4-a716-446655440000")]);
    assert_eq!(page.status, 404);
    let page = say(&app, &begin_and_erase(&app), "Hello");
    assert!(page.status == 404 && page.notice().starts_with("This conversation is not there"), "{}", page.notice());
}

fn begin_and_erase(app: &TestApp) -> Html {
    let page = begin(app);
    send(app, "end", &[("session_id", &page.field("say", "session_id"))]);
    page
}

#[test]
fn while_the_database_is_down_a_person_keeps_the_conversation_and_can_try_again() {
    let mut cluster = Cluster::start();
    let app = TestApp::at(&cluster.url(), &[("DB_ACQUIRE_TIMEOUT_MS", "500")]);
    let page = begin(&app);
    let said = say(&app, &page, "Hello");
    let id = said.field("say", "session_id");
    cluster.stop(None);
    let answer = app.client.post_form(
        "/page/say?language=en",
        &[("session_id", &id), ("key", "k"), ("message", "More")],
        &ACCEPT,
    );
    assert!(answer.header("Retry-After").is_some());
    let failed = Html::of(&answer);
    assert_eq!((failed.status, failed.draft().as_str(), failed.field("say", "key").as_str()), (503, "More", "k"));
    assert_eq!(failed.field("newest", "session_id"), id);
    let read = send(&app, "read", &[("session_id", &id)]);
    assert_eq!((read.status, read.field("newest", "session_id")), (503, id.clone()));
    let begun = send(&app, "begin", &[]);
    assert_eq!(
        (begun.status, begun.notice().as_str()),
        (503, "The conversation cannot begin just now. Please try again in a moment.")
    );
    let ended = send(&app, "end", &[("session_id", &id)]);
    assert_eq!(ended.status, 503);
    assert!(ended.notice().starts_with("It is not certain"), "{}", ended.notice());
    cluster.start_again();
    let again = ended.field("end-again", "session_id");
    let mut ended = send(&app, "end", &[("session_id", &again)]);
    for _ in 0..50 {
        if ended.status == 200 {
            break;
        }
        ended = send(&app, "end", &[("session_id", &again)]);
    }
    assert_eq!(ended.notice(), "Everything is erased, 2 messages.");
}

#[test]
fn a_database_that_did_not_answer_a_message_is_not_asked_for_the_conversation() {
    let app = TestApp::with(&[("DB_QUERY_TIMEOUT", "1")]);
    let said = say(&app, &begin(&app), "Hello");
    let mut sql = app.sql();
    let mut lock = sql.transaction().unwrap();
    lock.execute("LOCK TABLE messages IN SHARE MODE", &[]).unwrap();
    let failed = say(&app, &said, "More");
    assert_eq!((failed.status, failed.messages(), failed.draft().as_str()), (504, Vec::new(), "More"));
    assert_eq!(failed.field("say", "key"), said.field("say", "key"));
    let read = send(&app, "read", &[("session_id", &failed.field("newest", "session_id"))]);
    assert_eq!(read.messages(), said.messages(), "reading would have been possible");
    lock.commit().unwrap();
}

#[test]
fn an_erasure_that_takes_long_is_not_certain_after_five_seconds() {
    let app = TestApp::start();
    let page = begin(&app);
    let mut sql = app.sql();
    let lock = lock_table(&mut sql, "sessions");
    let ended = send(&app, "end", &[("session_id", &page.field("say", "session_id"))]);
    assert_eq!((ended.status, ended.field("end-again", "session_id")), (504, page.field("say", "session_id")));
    lock.commit().unwrap();
}
