//! `POST /api/v1/panic`: erasing with what a page can send in its last moment.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use safespace::session_id::SessionId;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, count_rows};
use crate::support::cluster::Cluster;
use crate::support::fake_model::{FakeModel, pauses_at};
use crate::support::http::Answer;
use crate::support::raw::Raw;
use crate::support::server::Gate;
use crate::support::timing::{PATIENCE, eventually};
use crate::support::{lock_table, timed};

const FORM: &str = "application/x-www-form-urlencoded";

fn panic(app: &TestApp, body: &str) -> Answer {
    app.client.post_body("/api/v1/panic", "text/plain;charset=UTF-8", body.as_bytes())
}

fn multipart(id: &str) -> String {
    let part = "------b\r\nContent-Disposition: form-data; name=";
    format!("{part}\"file\"; filename=\"session_id\"\r\n\r\nx\r\n{part}\"session_id\"\r\n\r\n{id}\r\n------b--\r\n")
}

fn code(id: &str) -> String {
    id.parse::<SessionId>().unwrap().recovery_code().expose().to_owned()
}

#[test]
fn each_form_of_a_body_erases_the_session_whatever_its_media_type() {
    let app = TestApp::start();
    for media_type in ["text/plain;charset=UTF-8", FORM, "application/json", "multipart/form-data; boundary=----b", "x"]
    {
        for body in [
            |id: &str| id.to_owned(),
            |id: &str| format!(" {}\r\n", id.to_uppercase()),
            |id: &str| format!("a=b&session_id={id}"),
            |id: &str| format!("session_id=%20{}", id.replace('-', "%2D")),
            |id: &str| json!({"session_id": id}).to_string(),
            multipart,
            // What pages send that do more or less than they should.
            |id: &str| json!(id).to_string(),
            |id: &str| json!(json!({"session_id": id}).to_string()).to_string(),
            |id: &str| json!({"id": id}).to_string(),
            |id: &str| format!("id={id}"),
            |id: &str| format!("id=%22{}%22", id.replace('-', "%2D")),
            |id: &str| format!("session_id=\"{id}\""),
            |id: &str| format!("session_id={id}\r\nurl=https://www.google.com/?a=b\r\n"),
            |id: &str| format!("url=https://www.google.com/?a=b\r\nsession_id={id}\r\n"),
            |id: &str| format!("\u{feff}{id}"),
            |id: &str| format!("\u{feff}{}", json!({"session_id": id})),
            |id: &str| format!("\n \u{feff}\n{}", json!({"session_id": id})),
            |id: &str| format!("\t{{{id}}}\0"),
            |id: &str| multipart(id).replace("\r\n", "\n"),
            |id: &str| format!("This is a message in several parts.\r\n\r\n{}", multipart(id)),
            code,
            |id: &str| code(id).to_lowercase().replace('-', " "),
            |id: &str| format!("session_id={}", code(id)),
            |id: &str| format!("session_id={}", code(id).replace('-', "+")),
            |id: &str| json!({"session_id": code(id).replace('-', " ")}).to_string(),
            |id: &str| multipart(&code(id).replace('-', " ")),
            |id: &str| format!("id={}", code(id)),
        ] {
            let id = app.create_session();
            let answer = app.client.post_body("/api/v1/panic", media_type, body(&id).as_bytes()).assert_status(204);
            assert!(answer.body.is_empty());
            assert_eq!(count_rows(&mut app.sql()), 0, "{media_type}: {}", body(&id));
        }
    }
}

#[test]
fn the_field_counts_before_any_other_id_in_the_body_and_the_body_before_the_credential() {
    let app = TestApp::start();
    let [kept, id] = [app.create_session(), app.create_session()];
    let credential = |id: &str| format!("Bearer {id}");
    let panic_with = |body: &Value, id: &str| {
        let fields = [("Authorization", credential(id))];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        app.client.post_json("/api/v1/panic", body, &fields).assert_status(204);
    };
    let is_there = |id: &str| app.client.get(&format!("/api/v1/sessions/{id}")).status == 200;
    panic_with(&json!({"other": kept, "session_id": id}), &kept);
    assert_eq!([is_there(&kept), is_there(&id)], [true, false]);
    let id = app.create_session();
    panic_with(&json!({"session_id": "", "other": id}), &kept);
    assert_eq!([is_there(&kept), is_there(&id)], [true, false]);
    for body in [json!(null), json!(""), json!({"session_id": format!("{kept}0")})] {
        let id = app.create_session();
        panic_with(&body, &id);
        assert!(!is_there(&id), "{body}");
    }
    let id = app.create_session();
    let empty = app.client.send_with("POST", "/api/v1/panic", &[("Authorization", &credential(&id))]);
    assert_eq!((empty.status, is_there(&id), is_there(&kept)), (204, false, true));
}

#[test]
fn known_unknown_malformed_and_missing_ids_get_the_same_response_after_the_same_time() {
    let app = TestApp::start();
    let kept = app.create_session();
    let known = app.create_session();
    let expected = panic(&app, &known).assert_status(204).constant_fields();
    assert_eq!(count_rows(&mut app.sql()), 1);
    let invalid = format!("{kept}0");
    for body in [&known, &Uuid::new_v4().to_string(), &invalid, "", "{", "{\"session_id\": 1}", "session_id=", "--x"] {
        let (answer, took) = timed(|| panic(&app, body));
        assert_eq!(answer.assert_status(204).constant_fields(), expected, "{body}");
        assert!(took >= Duration::from_millis(50), "{body}: {took:?}");
    }
    app.client.get(&format!("/api/v1/sessions/{kept}")).assert_status(200);
}

#[test]
fn a_deletion_that_takes_25_ms_more_does_not_move_the_response() {
    let app = TestApp::start();
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.025); RETURN OLD; END $$;
                CREATE TRIGGER slow BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION slow()";
    app.sql().batch_execute(slow).unwrap();
    let pairs = (0..15).map(|_| {
        let known = app.create_session();
        let [known, unknown] = [known, Uuid::new_v4().to_string()].map(|id| timed(|| panic(&app, &id)).1);
        known.as_secs_f64() / unknown.as_secs_f64()
    });
    // Of neighbours, which have the same load beside them.
    let mut ratios: Vec<f64> = pairs.collect();
    ratios.sort_unstable_by(f64::total_cmp);
    assert!((0.75..1.33).contains(&ratios[7]), "{ratios:?}");
}

#[test]
fn panic_cancels_the_running_turn() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    model.next(pauses_at(&Arc::new(Gate::default()), "half", "too late"));
    let chat = Chat::new(&app);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| chat.assert_erased_while_sending(false));
        model.wait_for_requests(1);
        panic(&app, &chat.id).assert_status(204);
        model.wait_for_disconnects(1);
        waiting.join().unwrap();
    });
    assert_eq!(count_rows(&mut app.sql()), 0);
}

#[test]
fn without_a_database_known_and_malformed_ids_get_503() {
    let mut cluster = Cluster::start();
    let app = TestApp::at(&cluster.url(), &[("DB_ACQUIRE_TIMEOUT_MS", "500")]);
    let known = app.create_session();
    cluster.stop(None);
    for id in [&known, &Uuid::new_v4().to_string(), "malformed", ""] {
        let answer = panic(&app, id);
        answer.assert_problem(503);
        assert!(answer.header("Retry-After").is_some(), "{id}");
    }
    cluster.start_again();
    eventually(PATIENCE, || (panic(&app, &known).status == 204).then_some(()));
    app.client.get(&format!("/api/v1/sessions/{known}")).assert_problem(404);
}

#[test]
fn a_deletion_that_waits_gets_504_after_five_seconds_and_is_done_later() {
    let app = TestApp::start();
    let (mut sql, id) = (app.sql(), app.create_session());
    let lock = lock_table(&mut sql, "sessions");
    let (answer, took) = timed(|| panic(&app, &id));
    answer.assert_problem(504);
    assert!((5..20).contains(&took.as_secs()), "{took:?}");
    lock.commit().unwrap();
    eventually(PATIENCE, || (count_rows(&mut app.sql()) == 0).then_some(()));
}

#[test]
fn a_body_of_more_than_1024_bytes_gets_413_and_a_compressed_one_415() {
    let app = TestApp::start();
    let id = app.create_session();
    let body = |length: usize| format!("{:length$}", format!("session_id={id}&more="));
    app.client.post_body("/api/v1/panic", FORM, body(1_025).as_bytes()).assert_problem(413);
    let chunked = format!("401\r\n{}\r\n0\r\n\r\n", body(1_025));
    let head = "POST /api/v1/panic HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut raw = Raw::connect(app.client.address());
    raw.ask(format!("{head}{chunked}").as_bytes()).assert_problem(413);
    let compressed = [("Content-Encoding", "gzip")];
    app.client.post_json("/api/v1/panic", &json!({"session_id": id}), &compressed).assert_problem(415);
    app.client.get(&format!("/api/v1/sessions/{id}")).assert_status(200);
    app.client.post_body("/api/v1/panic", FORM, body(1_024).as_bytes()).assert_status(204);
    app.client.get(&format!("/api/v1/sessions/{id}")).assert_problem(404);
}
