//! Proof of work: challenges, and solutions of all kinds. Expiry is tested beside the code, with a clock.

use serde_json::{Value, json};

use super::solver::solve;
use crate::support::app::TestApp;
use crate::support::cluster::Schema;
use crate::support::http::{Answer, Client};
use crate::support::process::Binary;

fn always() -> TestApp {
    TestApp::with(&[("RATE_LIMIT", "on"), ("PROOF_OF_WORK", "always")])
}

fn create(client: &Client, solution: &str) -> Answer {
    client.post_json("/api/v1/sessions", &json!({}), &[("Proof-Of-Work", solution)])
}

/// Asserts a 429 with a fresh challenge, whose detail says `reason`, and returns it.
#[track_caller]
fn assert_refused(answer: &Answer, reason: &str) -> Value {
    let detail = answer.assert_problem(429);
    assert!(detail.contains(reason), "{detail}");
    let problem = answer.json();
    assert_eq!(problem["code"], "proof_of_work");
    assert!(problem["proof_of_work"]["challenge"].is_string(), "{problem}");
    problem
}

#[test]
fn a_session_is_created_with_the_solution_of_a_challenge_once() {
    let app = always();
    let problem = assert_refused(&app.client.post("/api/v1/sessions"), "A new session takes proof of work");
    let (proof_of_work, expected) = (&problem["proof_of_work"], json!(["SHA-256", 12, 16_384]));
    assert_eq!(
        json!([proof_of_work["algorithm"], proof_of_work["difficulty"], proof_of_work["input_bytes"]]),
        expected
    );
    let expires_at: chrono::DateTime<chrono::Utc> = proof_of_work["expires_at"].as_str().unwrap().parse().unwrap();
    let seconds = (expires_at - chrono::Utc::now()).num_seconds();
    assert!((105..=120).contains(&seconds), "{seconds}");
    let solution = solve(&problem);
    let session = create(&app.client, &solution).assert_status(201).json();
    let path = format!("/api/v1/sessions/{}", session["session_id"].as_str().unwrap());
    app.client.get(&path).assert_status(200);
    let again = assert_refused(&create(&app.client, &solution), "was used before");
    assert_ne!(again["proof_of_work"]["challenge"], problem["proof_of_work"]["challenge"]);
    create(&app.client, &solve(&again)).assert_status(201);
    // Only creating takes proof of work.
    app.client.delete(&path).assert_status(204);
}

#[test]
fn what_is_no_solution_gets_429_with_the_reason_and_a_fresh_challenge() {
    let app = always();
    let problem = app.client.post("/api/v1/sessions").json();
    let challenge = problem["proof_of_work"]["challenge"].as_str().unwrap();
    let solution = solve(&problem);
    let other_digit = if challenge.starts_with('f') { "e" } else { "f" };
    // The difficulty is authenticated: nobody can lower it.
    let easy = format!("{}00{}", &challenge[..32], &challenge[34..]);
    for (solution, reason) in [
        (String::new(), "is not a challenge, a colon and a decimal number"),
        (challenge.to_owned(), "is not a challenge, a colon and a decimal number"),
        (solution.replace(':', ":x"), "is not a challenge, a colon and a decimal number"),
        (format!("{other_digit}{}", &solution[1..]), "is for a challenge that this service did not make"),
        (format!("{easy}:1"), "is for a challenge that this service did not make"),
        (format!("{challenge}:18446744073709551615"), "does not solve its challenge"),
    ] {
        assert_refused(&create(&app.client, &solution), reason);
    }
    create(&app.client, &solution).assert_status(201);
}

#[test]
fn after_a_restart_a_challenge_is_unknown_and_a_fresh_one_is_solved() {
    let schema = Schema::new();
    let variables = [("RATE_LIMIT", "on"), ("PROOF_OF_WORK", "always")];
    let before = TestApp::at(&schema.url(), &variables);
    let solution = solve(&before.client.post("/api/v1/sessions").json());
    drop(before);
    let after = TestApp::at(&schema.url(), &variables);
    let fresh = assert_refused(&create(&after.client, &solution), "before it was restarted");
    create(&after.client, &solve(&fresh)).assert_status(201);
}

#[test]
fn an_invalid_body_gets_422_and_costs_no_solution() {
    let app = always();
    let solution = solve(&app.client.post("/api/v1/sessions").json());
    let invalid = app.client.post_json("/api/v1/sessions", &json!([]), &[("Proof-Of-Work", &solution)]);
    invalid.assert_problem(422);
    create(&app.client, &solution).assert_status(201);
}

#[test]
fn clients_can_ask_first_for_a_challenge() {
    let ask = |variables: &[(&str, &str)]| {
        let app = TestApp::with(variables);
        let challenge = app.client.get("/api/v1/challenge").assert_status(200).json();
        (app, challenge)
    };
    let (app, challenge) = ask(&[("RATE_LIMIT", "on"), ("PROOF_OF_WORK", "always")]);
    assert_eq!(challenge["required"], true);
    create(&app.client, &solve(&challenge)).assert_status(201);
    // Where it is not required yet, a challenge can be solved in advance, and a wrong solution does no harm.
    let (app, challenge) = ask(&[("RATE_LIMIT", "on")]);
    assert_eq!(challenge["required"], false);
    create(&app.client, &solve(&challenge)).assert_status(201);
    create(&app.client, "nonsense").assert_status(201);
    // Where it is never required, there is none.
    for variables in
        [[("RATE_LIMIT", "on"), ("PROOF_OF_WORK", "off")], [("RATE_LIMIT", "off"), ("PROOF_OF_WORK", "auto")]]
    {
        assert_eq!(ask(&variables).1, json!({"required": false}));
    }
}

#[test]
fn refusals_are_counted_by_reason() {
    let schema = Schema::new();
    let url = schema.url();
    let variables =
        [("DATABASE_URL", url.as_str()), ("RATE_LIMIT", "on"), ("PROOF_OF_WORK", "always"), ("METRICS_PORT", "0")];
    let service = Binary::new(&variables).serve();
    service.client.post("/api/v1/sessions").assert_problem(429);
    create(&service.client, "nonsense").assert_problem(429);
    create(&service.client, "nonsense").assert_problem(429);
    let metrics = service.metrics().get("/metrics").text();
    for (reason, count) in [("proof_of_work", 1), ("proof_of_work_invalid", 2)] {
        let sample = format!("safespace_abuse_refusals_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&sample), "{sample}{metrics}");
    }
}
