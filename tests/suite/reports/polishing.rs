//! `?polish=true`: whether a model is asked, and that the report is made whatever it does.

use std::io;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::fake_model::{FakeModel, Reply, answers as says};
use crate::support::reports::{Reports, answers_with, id_of};

fn given() -> Value {
    answers_with(&json!({"narrative": "rahasia sekali", "occurred_at": "3 Maret", "language": "en"}))
}

/// Makes a report with `?polish=true`.
fn polish(app: &TestApp, reports: &Reports<'_>) -> Value {
    let path = format!("{}?polish=true", reports.path());
    app.client.post_json(&path, &given(), &[]).assert_status(201).json()
}

#[test]
fn without_a_model_the_report_is_as_without_polish() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    let (polished, plain) = (polish(&app, &reports), reports.create(&given()));
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
    let report = polish(&app, &reports);
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
        let report = polish(&app, &reports);
        assert_eq!((&report["source"], &report["generated_document"]), (&json!("template"), &template), "{case}");
    }
}
