//! What a report is made from, and how a wrong request is answered.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::chat::store_session;
use crate::support::http::Answer;
use crate::support::reports::{Reports, answers, answers_with, id_of};

const CHOICES: [(&str, &[&str]); 5] = [
    ("location", &["workplace", "kampus", "online", "public space", "sekolah"]),
    ("perpetrator", &["supervisor", "colleague", "lecturer", "client", "stranger"]),
    (
        "description",
        &[
            "inappropriate comments",
            "unwanted physical touch",
            "repeated pressure",
            "threat or coercion",
            "digital harassment",
        ],
    ),
    ("evidence", &["messages", "emails", "witness", "none"]),
    ("user_goal", &["understand the risk", "document safely", "consider reporting", "explore options"]),
];

/// The codes of the fields that a 422 names.
#[track_caller]
fn wrong_fields(answer: &Answer) -> Vec<String> {
    answer.assert_problem(422);
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    errors.iter().map(|error| error["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_answer_of_the_first_version_gives_a_report_as_its_front_end_reads_it() {
    let app = TestApp::start();
    for (field, values) in CHOICES {
        for value in values {
            let reports = Reports::new(&app);
            let body = answers_with(&json!({ field: value }));
            let report = reports.create(&body);
            for (name, given) in body.as_object().unwrap() {
                assert_eq!(&report[name], given, "{field} {value}");
            }
            let session_id = reports.session.rsplit('/').next().unwrap();
            assert_eq!(report["session_id"], session_id);
            assert!(id_of(&report).parse::<Uuid>().is_ok(), "{report}");
            let created_at = report["created_at"].as_str().unwrap();
            assert_eq!(created_at.len(), "2026-02-21T10:30:45.123456Z".len(), "{created_at}");
            let document = report["generated_document"].as_str().unwrap();
            for heading in [
                "I. Identifikasi Kebutuhan",
                "II. Identifikasi Pelaku",
                "III. Kronologi Kejadian",
                "IV. Bukti Terlampir",
            ] {
                assert!(document.lines().any(|line| line == heading), "{field} {value}: {document}");
            }
            assert_eq!(reports.newest().assert_status(200).json(), report, "{field} {value}");
            assert_eq!(reports.get(id_of(&report)).assert_status(200).json(), report, "{field} {value}");
        }
    }
}

#[test]
fn a_report_says_what_is_missing_and_its_levels_as_the_first_version_did() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    for (perpetrator, level) in [
        ("supervisor", "tinggi"),
        ("lecturer", "tinggi"),
        ("colleague", "sedang"),
        ("client", "sedang"),
        ("stranger", "rendah"),
    ] {
        let report = reports.create(&answers_with(&json!({"perpetrator": perpetrator})));
        assert_eq!(report["power_imbalance"], level, "{perpetrator}");
    }
    let missing = json!(["occurred_at", "frequency", "narrative", "needs"]);
    let draft = reports.create(&answers());
    assert_eq!((&draft["missing"], &draft["placeholders"], &draft["status"]), (&missing, &json!(4), &json!("draft")));
    assert_eq!((&draft["language"], &draft["source"], &draft["needs"]), (&json!("id"), &json!("template"), &json!([])));
    assert!(draft["generated_document"].as_str().unwrap().contains("[ISI: "));
    for absent in ["occurred_at", "frequency", "narrative"] {
        assert!(draft.get(absent).is_none(), "{absent}");
    }
    for step in draft["recommended_steps"].as_array().filter(|steps| !steps.is_empty()).expect("steps") {
        assert!(["text", "source", "date"].iter().all(|name| step[name].as_str().is_some_and(|it| !it.is_empty())));
        let text = step["text"].as_str().unwrap();
        for resource in step["resources"].as_array().unwrap() {
            assert_eq!(resource["verified"], false, "nobody has verified the embedded help lines");
            assert!(text.contains(resource["value"].as_str().unwrap()), "{step}");
        }
    }
    let with_help_line = |step: &serde_json::Value| step["resources"].as_array().is_some_and(|all| !all.is_empty());
    assert!(draft["recommended_steps"].as_array().unwrap().iter().any(with_help_line), "{draft}");
    let given = json!({"occurred_at": "awal Februari", "frequency": "tiga kali", "narrative": "Satu.\n\nDua.",
        "needs": ["shelter", "legal", "legal"], "language": "en"});
    let complete = reports.create(&answers_with(&given));
    assert_eq!(
        (&complete["missing"], &complete["placeholders"], &complete["status"]),
        (&json!([]), &json!(0), &json!("complete"))
    );
    for name in ["occurred_at", "frequency", "narrative", "language"] {
        assert_eq!(complete[name], given[name], "{name}");
    }
    assert_eq!(complete["needs"], json!(["legal", "shelter"]), "each once, in one order");
    let document = complete["generated_document"].as_str().unwrap();
    for words in ["awal Februari", "tiga kali", "Satu.\n\nDua."] {
        assert!(document.contains(words), "{document}");
    }
    assert!(!document.contains("[FILL IN: ") && !document.contains("[ISI: "), "{document}");
}

#[test]
fn wrong_requests_are_422_with_every_wrong_field() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    let five =
        ["location_invalid", "perpetrator_invalid", "description_invalid", "evidence_invalid", "user_goal_invalid"];
    let id = id_of(&reports.create(&answers())).to_owned();
    for (wrong, fields) in [
        (json!({"location": "Kampus"}), &["location_invalid"][..]),
        (json!({"location": "kampus "}), &["location_invalid"]),
        (json!({"location": {"kampus": null}, "evidence": ["none"]}), &["location_invalid", "evidence_invalid"]),
        (json!({"needs": [{"legal": null}], "language": {"en": null}}), &["needs_invalid", "report_language_invalid"]),
        (json!({"perpetrator": ["lecturer"]}), &["perpetrator_invalid"]),
        (json!({"description": 1, "evidence": null}), &["description_invalid", "evidence_invalid"]),
        (json!({"user_goal": ""}), &["user_goal_invalid"]),
        (json!({"occurred_at": "x".repeat(201), "frequency": 3}), &["occurred_at_invalid", "frequency_invalid"]),
        (json!({"occurred_at": "dua\nbaris"}), &["occurred_at_invalid"]),
        (json!({"occurred_at": "dua\u{2028}baris"}), &["occurred_at_invalid"]),
        (json!({"frequency": "tab\t"}), &["frequency_invalid"]),
        (json!({"narrative": "x".repeat(16_385)}), &["narrative_invalid"]),
        (json!({"narrative": "nul \u{0}"}), &["narrative_invalid"]),
        (json!({"narrative": ["x"]}), &["narrative_invalid"]),
        (json!({"needs": "legal"}), &["needs_invalid"]),
        (json!({"needs": ["legal", "money"]}), &["needs_invalid"]),
        (json!({"language": "fr"}), &["report_language_invalid"]),
        (
            json!({"language": "fr", "location": "x", "needs": 1}),
            &["location_invalid", "needs_invalid", "report_language_invalid"],
        ),
    ] {
        assert_eq!(wrong_fields(&reports.try_create(&answers_with(&wrong))), fields, "{wrong}");
        assert_eq!(wrong_fields(&reports.change(&id, &wrong)), fields, "{wrong}");
    }
    assert_eq!(wrong_fields(&reports.try_create(&json!({}))), five, "nothing");
    assert_eq!(wrong_fields(&app.client.post(&reports.path())), five, "no body");
    let all = Reports::of(&app.client, "x").try_create(&json!({"location": "kampus"}));
    assert_eq!(wrong_fields(&all), [&["session_id_invalid"], &five[1..]].concat());
    for query in ["?polish=yes", "?polish=", "?polish=1"] {
        let path = format!("{}{query}", reports.path());
        assert_eq!(wrong_fields(&app.client.post_json(&path, &answers(), &[])), ["polish_invalid"], "{query}");
    }
    assert_eq!(wrong_fields(&reports.change("x", &json!({"location": 1}))), ["report_id_invalid", "location_invalid"]);
    for answer in [reports.get("x"), reports.delete("x"), reports.get("{7d3c9f0e-4b1a-4c57-9e59-6a8f2f1f0c11}")] {
        assert_eq!(wrong_fields(&answer), ["report_id_invalid"]);
    }
    assert_eq!(wrong_fields(&app.client.post_body(&reports.path(), "application/json", b"[]")), ["body_not_object"]);
    assert_eq!(reports.list().len(), 1, "nothing was stored");
}

#[test]
fn what_a_person_writes_comes_back_as_it_is_up_to_the_limits() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    let narratives = [
        "x".repeat(16_384),
        "\u{1f622}".repeat(16_384),
        "\u{1}".repeat(16_384),
        "\n".repeat(16_000) + "x",
        " \"<script>\" # *a* [b](c) \u{202e}\r\n\u{1a42}".to_owned(),
    ];
    for narrative in narratives {
        let line = "\u{1f622}".repeat(200);
        let given = json!({"narrative": narrative, "occurred_at": line, "frequency": line});
        let report = reports.create(&answers_with(&given));
        for name in ["narrative", "occurred_at", "frequency"] {
            assert_eq!(report[name], given[name], "{name}");
        }
        assert!(report["generated_document"].as_str().unwrap().contains(&line));
        assert_eq!(reports.newest().assert_status(200).json(), report);
    }
    // Words with nothing to see, and null, are as none.
    for nothing in [json!(""), json!("  \n"), json!("\u{200b}\u{ad}\u{2800}"), Value::Null] {
        let given = json!({"narrative": nothing, "occurred_at": nothing, "frequency": nothing});
        assert_eq!(reports.create(&answers_with(&given))["placeholders"], 4, "{nothing}");
    }
    let given = json!({"needs": null, "language": null, "unknown": {"a": 1}});
    assert_eq!(reports.create(&answers_with(&given))["language"], "id");
    // Half of a surrogate pair.
    let body = answers_with(&json!({"narrative": "HALF"})).to_string().replace("HALF", "sedih \\ud83d");
    let report = app.client.post_body(&reports.path(), "application/json", body.as_bytes()).assert_status(201).json();
    assert_eq!(report["narrative"], "sedih \u{fffd}");
}

#[test]
fn the_longest_report_has_room_whatever_the_limit_of_other_bodies_is_and_they_keep_theirs() {
    let app = TestApp::with(&[("APP_MAX_BODY_BYTES", "1024")]);
    let reports = Reports::new(&app);
    // Each character is escaped as a surrogate pair.
    let body = answers_with(&json!({"narrative": "ALL"})).to_string().replace("ALL", &"\\ud83d\\ude22".repeat(16_384));
    let send = |path: &str, body: &str| app.client.post_body(path, "application/json", body.as_bytes());
    let report = send(&reports.path(), &body).assert_status(201).json();
    assert_eq!(report["narrative"], "\u{1f622}".repeat(16_384));
    let id = id_of(&report);
    for bytes in [262_144, 262_145] {
        let padded = format!("{body}{}", " ".repeat(bytes - body.len()));
        let status = if bytes == 262_144 { 201 } else { 413 };
        send(&reports.path(), &padded).assert_status(status);
        let bearer = reports.session.rsplit('/').next().unwrap();
        let fields = [("Content-Type", "application/json"), ("Authorization", &*format!("Bearer {bearer}"))];
        let value: Value = serde_json::from_str(&body).unwrap();
        app.client
            .send_json("PATCH", &format!("/api/v1/session/reports/{id}"), &value, &fields[1..])
            .assert_status(200);
    }
    let message = json!({"message": "x".repeat(1024)}).to_string();
    send(&format!("{}/chat", reports.session), &message).assert_status(413);
    send("/api/v1/sessions", &format!("{{}}{}", " ".repeat(1024))).assert_status(413);
}

#[test]
fn a_report_is_used_without_the_id_of_its_session_in_a_path() {
    let app = TestApp::start();
    let id = app.create_session();
    let reports = Reports::of(&app.client, &id);
    let bearer = [("Authorization", &*format!("Bearer {id}"))];
    let report = app.client.post_json("/api/v1/session/report", &answers(), &bearer).assert_status(201).json();
    let own = format!("/api/v1/session/reports/{}", id_of(&report));
    for (path, in_path) in [
        ("/api/v1/session/report", reports.path()),
        (&*own, reports.path_of(id_of(&report))),
        ("/api/v1/session/reports", format!("{}/reports", reports.session)),
    ] {
        let answer = app.client.send_with("GET", path, &bearer).assert_status(200);
        assert_eq!(answer.json(), app.client.get(&in_path).assert_status(200).json(), "{path}");
        app.client.get(path).assert_problem(401);
    }
    app.client.send_json("PATCH", &own, &json!({"language": "en"}), &bearer).assert_status(200);
    assert_eq!(reports.newest().json()["language"], "en");
    app.client.send_with("DELETE", &own, &bearer).assert_status(204);
    assert_eq!(reports.list().len(), 0);
}

#[test]
fn an_unknown_session_and_an_unknown_report_are_404_with_codes_of_their_own() {
    let app = TestApp::start();
    let code = |answer: Answer| {
        answer.assert_problem(404);
        answer.json()["code"].as_str().unwrap().to_owned()
    };
    let unknown = Uuid::new_v4().to_string();
    let ended = store_session(&mut app.sql(), 3_000_000, None, &[3_000_000]);
    for session in [&unknown, &ended] {
        let reports = Reports::of(&app.client, session);
        let answers = [
            reports.try_create(&answers()),
            reports.newest(),
            reports.get(&unknown),
            reports.change(&unknown, &json!({})),
            reports.delete(&unknown),
            app.client.get(&format!("{}/reports", reports.session)),
            app.client.get(&format!("{}/export", reports.session)),
        ];
        let codes: BTreeSet<String> = answers.into_iter().map(code).collect();
        assert_eq!(codes, BTreeSet::from(["session_not_found".to_owned()]));
    }
    let (reports, other) = (Reports::new(&app), Reports::new(&app));
    let of_other = other.create(&answers());
    for id in [&unknown, id_of(&of_other)] {
        for answer in [reports.newest(), reports.get(id), reports.change(id, &json!({})), reports.delete(id)] {
            assert_eq!(code(answer), "report_not_found");
        }
    }
    assert_eq!(reports.list().len(), 0);
    other.get(id_of(&of_other)).assert_status(200);
}
