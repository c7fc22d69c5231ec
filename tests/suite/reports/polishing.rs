//! `?polish=true`: whether a model is asked, and that the report is made whatever it does.

use std::io;
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::chat::Chat;
use crate::support::fake_model::{FakeModel, Reply, answers as says, pauses_at};
use crate::support::http::Client;
use crate::support::reports::{Reports, answers_with, id_of};
use crate::support::server::Gate;

fn given() -> Value {
    answers_with(&json!({"narrative": "rahasia sekali", "occurred_at": "3 Maret", "language": "en"}))
}

/// Makes a report with `?polish=true`.
fn polish(client: &Client, reports: &Reports<'_>) -> Value {
    let path = format!("{}?polish=true", reports.path());
    client.post_json(&path, &given(), &[]).assert_status(201).json()
}

#[test]
fn without_a_model_the_report_is_as_without_polish() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    let (polished, plain) = (polish(&app.client, &reports), reports.create(&given()));
    assert_eq!(
        (&polished["source"], &polished["generated_document"]),
        (&plain["source"], &plain["generated_document"])
    );
    assert_eq!(polished["source"], "template");
}

#[test]
fn a_model_that_joins_sentences_is_accepted_and_never_sees_the_own_words() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let reports = Reports::new(&app);
    model.always(Arc::new(|reply: &mut Reply<'_>| -> io::Result<()> {
        let (joint, connective) =
            if reply.question.contains("Pelapor") { (". P", ", dan p") } else { (". T", ", and t") };
        let text = reply.question.replacen(joint, connective, 1);
        says(&[&text])(reply)
    }));
    let report = polish(&app.client, &reports);
    assert_eq!(report["source"], "model", "{}", report["generated_document"]);
    let plain = reports.create(&given());
    assert_eq!(plain["source"], "template");
    let [polished, of_template] = [&report, &plain].map(|report| report["generated_document"].as_str().unwrap());
    assert_ne!(polished, of_template);
    let unjoined = |document: &str| document.replace(", and t", ". T");
    assert_eq!(unjoined(polished), unjoined(of_template));
    let path = format!("{}?polish=true", reports.path_of(id_of(&plain)));
    let changed = app.client.patch_json(&path, &json!({"language": "id"})).assert_status(200).json();
    assert_eq!(changed["source"], "model");
    // Without the parameter, the next change makes the document of the template.
    assert_eq!(reports.change(id_of(&plain), &json!({})).json()["source"], "template");
    let requests = model.raw_requests();
    assert_eq!(requests.len(), 2, "one for each report that is to be polished");
    for words in ["rahasia", "3 Maret"] {
        assert!(!requests.iter().any(|request| request.contains(words)), "{words}");
    }
}

#[test]
fn a_model_that_invents_fails_or_is_silent_leaves_the_template() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let reports = Reports::new(&app);
    let template = reports.create(&given())["generated_document"].clone();
    for case in ["invents", "fails", "says nothing"] {
        model.always(Arc::new(move |reply: &mut Reply<'_>| -> io::Result<()> {
            let text = reply.question.clone();
            match case {
                "invents" => says(&[&format!("{text}\n\nIt happened on 4 March in Jakarta.")])(reply),
                "fails" => reply.refuse(400),
                _ => says(&[""])(reply),
            }
        }));
        let report = polish(&app.client, &reports);
        assert_eq!((&report["source"], &report["generated_document"]), (&json!("template"), &template), "{case}");
    }
}

/// The conversation of the session of these reports.
fn chat_of<'a>(client: &'a Client, reports: &Reports<'_>) -> Chat<'a> {
    Chat::of(client, reports.session.rsplit('/').next().unwrap())
}

#[test]
fn a_message_takes_the_place_of_polishing_and_the_report_is_of_the_template() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_CONCURRENCY", "1")]);
    let reports = Reports::new(&app);
    let (client, chat) = (&app.client, chat_of(&app.client, &reports));
    thread::scope(|scope| {
        model.next(|reply| reply.stall());
        let polishing = scope.spawn(|| polish(client, &reports));
        model.wait_for_requests(1);
        let answer = chat.send("saya mau bunuh diri malam ini").assert_status(200).json();
        assert_eq!((&answer["source"], &answer["safety"]["level"]), (&json!("companion"), &json!("crisis")));
        assert_eq!(polishing.join().unwrap()["source"], "template");
    });
    // The end of the polishing has left the place of the message alone.
    let gate = Arc::new(Gate::default());
    thread::scope(|scope| {
        model.next(|reply| reply.stall());
        let polishing = scope.spawn(|| polish(client, &reports));
        model.wait_for_requests(3);
        model.next(pauses_at(&gate, "", "an answer"));
        let asking = scope.spawn(|| chat.send("halo"));
        assert_eq!(polishing.join().unwrap()["source"], "template");
        model.wait_for_requests(4);
        chat.send("halo lagi").assert_problem(409);
        gate.open();
        asking.join().unwrap().assert_status(200);
    });
}

#[test]
fn while_a_message_is_answered_the_model_is_not_asked_to_polish() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let reports = Reports::new(&app);
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "", "an answer"));
    thread::scope(|scope| {
        let chat = chat_of(&app.client, &reports);
        let asking = scope.spawn(move || chat.send("halo"));
        model.wait_for_requests(1);
        assert_eq!(polish(&app.client, &reports)["source"], "template");
        gate.open();
        assert_eq!(asking.join().unwrap().assert_status(200).json()["content"], "an answer");
    });
    assert_eq!(model.requests().len(), 1);
}

#[test]
fn a_stop_and_an_erasure_end_the_polishing() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let client = &app.client;
    let path = |reports: &Reports<'_>| format!("{}?polish=true", reports.path());
    for (case, status) in [("stopped", 201), ("erased", 404)] {
        let reports = Reports::new(&app);
        let requests = model.requests().len();
        model.next(|reply| reply.stall());
        thread::scope(|scope| {
            let polishing = scope.spawn(|| client.post_json(&path(&reports), &given(), &[]));
            model.wait_for_requests(requests + 1);
            let chat = chat_of(&app.client, &reports);
            let answer = if case == "stopped" { chat.stop() } else { chat.erase() };
            answer.assert_status(204);
            let report = polishing.join().unwrap();
            assert_eq!(report.status, status, "{case}");
            assert!(status == 404 || report.json()["source"] == "template", "{case}");
        });
    }
}
