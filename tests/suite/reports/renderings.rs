//! A report in the formats that its client can ask for.

use std::thread;

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::http::Answer;
use crate::support::reports::{Reports, answers_with, id_of};

#[test]
fn accept_chooses_the_format_and_json_is_the_default() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    let made = reports.create(&answers_with(&json!({"narrative": "Kata-kata."})));
    let (json, pdf) = ("application/json", "application/pdf");
    let [text, markdown, html] =
        ["text/plain; charset=utf-8", "text/markdown; charset=utf-8", "text/html; charset=utf-8"];
    for (accept, media_type) in [
        ("", json),
        ("*/*", json),
        ("application/json", json),
        ("application/*", json),
        ("image/png", json),
        ("application/pdf;q=0", json),
        ("application/pdf", pdf),
        ("Application/PDF", pdf),
        ("application/pdf, */*", pdf),
        ("*/*, application/pdf", pdf),
        ("application/pdf;q=0.5, text/plain", text),
        ("text/*", text),
        ("text/plain", text),
        ("text/markdown, text/html;q=0.9", markdown),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", html),
        ("application/json, text/plain, */*", json),
    ] {
        for answer in [reports.newest_as(accept), app.client.get_as(&reports.path_of(id_of(&made)), accept)] {
            let answer = answer.assert_status(200);
            assert_eq!(answer.header("Content-Type"), Some(media_type), "{accept}");
            assert!(answer.header("Vary").is_some_and(|names| names.starts_with("Accept")), "{accept}");
            assert_eq!(answer.header("Cache-Control"), Some("no-store"), "{accept}");
        }
        let head = app.client.send_with("HEAD", &reports.path(), &[("Accept", accept)]).assert_status(200);
        assert_eq!((head.header("Content-Type"), head.body.len()), (Some(media_type), 0), "{accept}");
    }
}

#[test]
fn each_format_is_a_file_with_a_neutral_name_and_says_what_the_report_says() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    let made = reports.create(&answers_with(&json!({"narrative": "Satu <b>dua</b> *tiga*."})));
    for (media_type, name, words) in [
        ("text/plain", "dokumen.txt", "Satu <b>dua</b> *tiga*."),
        ("text/markdown", "dokumen.md", "Satu \\<b\\>dua\\</b\\> \\*tiga\\*."),
        ("text/html", "dokumen.html", "Satu &lt;b&gt;dua&lt;/b&gt; *tiga*."),
    ] {
        let answer = reports.newest_as(media_type).assert_status(200);
        assert_eq!(answer.header("Content-Disposition"), Some(&*format!("attachment; filename=\"{name}\"")));
        let text = answer.text();
        assert!(text.contains(words) && text.contains("ISI: tanggal dan waktu kejadian"), "{text}");
        assert_eq!(answer.header("Content-Security-Policy").is_some(), media_type == "text/html");
    }
    assert_eq!(reports.newest_as("text/plain").text(), made["generated_document"].as_str().unwrap());
    let policy = reports.newest_as("text/html").header("Content-Security-Policy").unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("script"), "{policy}");
    let pdf = reports.newest_as("application/pdf").assert_status(200);
    assert_eq!(pdf.header("Content-Disposition"), Some("attachment; filename=\"dokumen.pdf\""));
    assert!(pdf.body.starts_with(b"%PDF-1."));
    assert_eq!(reports.newest().header("Content-Disposition"), None);
    let session_id = reports.session.rsplit('/').next().unwrap();
    for part in [session_id, id_of(&made)] {
        assert!(!String::from_utf8_lossy(&pdf.body).contains(part), "no id in the file");
    }
}

#[test]
fn the_document_stays_as_it_was_made_whatever_the_accepted_format_and_the_error_is_json() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    for accept in ["application/pdf", "text/html"] {
        reports.newest_as(accept).assert_problem(404);
    }
    reports.create(&answers_with(&json!({"language": "en"})));
    let pdfs: Vec<Vec<u8>> = (0..2).map(|_| reports.newest_as("application/pdf").assert_status(200).body).collect();
    assert_eq!(pdfs[0], pdfs[1]);
}

#[test]
fn a_session_has_one_pdf_at_a_time_and_others_are_not_kept_waiting() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    reports.create(&answers_with(&json!({"narrative": "kata ".repeat(3_000)})));
    let answers: Vec<Answer> = thread::scope(|scope| {
        let requests: Vec<_> = (0..12).map(|_| scope.spawn(|| reports.newest_as("application/pdf"))).collect();
        requests.into_iter().map(|request| request.join().unwrap()).collect()
    });
    let made = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((1..12).contains(&made), "{made}");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.assert_problem(429);
        assert_eq!(refused.json()["code"], "pdf_in_progress");
        assert_eq!(refused.header("Retry-After"), Some("1"));
    }
    reports.newest_as("application/pdf").assert_status(200);
    reports.newest_as("text/plain").assert_status(200);
}
