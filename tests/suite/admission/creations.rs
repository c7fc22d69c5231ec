//! Floods of new sessions: from one address behind proxies, and from everywhere.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::solver::solve;
use crate::support::app::TestApp;
use crate::support::cluster::Schema;
use crate::support::http::{Answer, Client};
use crate::support::process::Binary;

/// A class of a school at once; docs/operations.md.
const BURST_OF_A_PEER: usize = 60;

fn create(client: &Client, fields: &[(&str, &str)]) -> Answer {
    client.post_json("/api/v1/sessions", &json!({}), fields)
}

fn create_from(client: &Client, address: &str) -> Answer {
    create(client, &[("X-Forwarded-For", address)])
}

/// Creates sessions until one takes proof of work, and returns that response. `create` is given the number of the attempt.
#[track_caller]
fn flood(create: impl Fn(usize) -> Answer) -> Answer {
    let started = Instant::now();
    for created in 0.. {
        let answer = create(created);
        if answer.status == 429 {
            let leaked = started.elapsed().as_secs() as usize;
            let allowed = BURST_OF_A_PEER..=BURST_OF_A_PEER + leaked;
            assert!(allowed.contains(&created), "{created} sessions, {allowed:?} are allowed");
            return answer;
        }
        answer.assert_status(201);
    }
    unreachable!()
}

#[test]
fn a_flood_from_one_network_takes_proof_of_work_from_nobody_else() {
    let app = TestApp::with(&[("RATE_LIMIT", "on"), ("TRUSTED_PROXIES", "127.0.0.1")]);
    let client = &app.client;
    let earlier = app.create_session();
    // The attacker uses all addresses of its network, and invents others to the left of them.
    let refused = flood(|number| create_from(client, &format!("192.0.2.1, 203.0.113.{}", number % 250)));
    refused.assert_problem(429);
    assert_eq!(refused.json()["code"], "proof_of_work");
    assert_eq!(refused.json()["proof_of_work"]["difficulty"], 12);
    for address in ["203.0.114.1", "192.0.2.1", "2001:db8::1"] {
        create_from(client, address).assert_status(201);
    }
    // Without a known address, too.
    create(client, &[]).assert_status(201);
    client.delete(&format!("/api/v1/sessions/{earlier}")).assert_status(204);
    let fields = [("X-Forwarded-For", "203.0.113.7"), ("Proof-Of-Work", &solve(&refused.json()))];
    create(client, &fields).assert_status(201);
    // What was refused is not stored.
    let rows: i64 = app.sql().query_one("SELECT count(*) FROM sessions", &[]).unwrap().get(0);
    assert!(rows < 60 + 20, "{rows}");
}

#[test]
fn x_forwarded_for_of_a_client_that_is_no_trusted_proxy_does_not_give_it_other_addresses() {
    for trusted in ["", "10.0.0.0/8"] {
        let app = TestApp::with(&[("RATE_LIMIT", "on"), ("RATE_LIMIT_BY_ADDRESS", "on"), ("TRUSTED_PROXIES", trusted)]);
        flood(|number| create_from(&app.client, &format!("203.{}.113.1", number % 250)));
    }
}

#[test]
fn loopback_addresses_are_shared_and_have_no_bound_of_their_own() {
    let app = TestApp::with(&[("RATE_LIMIT", "on")]);
    for _ in 0..2 * BURST_OF_A_PEER {
        app.create_session();
    }
    let challenge = app.client.get("/api/v1/challenge").assert_status(200).json();
    assert_eq!(challenge["required"], false, "{challenge}");
}

#[test]
fn in_a_flood_from_everywhere_clients_that_solve_are_served_and_erasing_goes_on() {
    let app = TestApp::with(&[("RATE_LIMIT", "on"), ("APP_WORKERS", "16")]);
    let earlier = app.create_session();
    let (is_flooded, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let client = Client::new(app.client.address());
                while !is_over.load(Ordering::Relaxed) {
                    let answer = client.post("/api/v1/sessions");
                    assert!(matches!(answer.status, 201 | 429), "{}", answer.status);
                    if answer.status == 429 {
                        is_flooded.store(true, Ordering::Relaxed);
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_flooded.load(Ordering::Relaxed) {
            assert!(Instant::now() < deadline, "no creation was refused");
            thread::sleep(Duration::from_millis(10));
        }
        for _ in 0..3 {
            let challenge = app.client.get("/api/v1/challenge").assert_status(200).json();
            create(&app.client, &[("Proof-Of-Work", &solve(&challenge))]).assert_status(201);
        }
        app.client.delete(&format!("/api/v1/sessions/{earlier}")).assert_status(204);
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn nothing_of_an_address_or_a_challenge_is_logged_and_an_unknown_proxy_is_one_warning() {
    let schema = Schema::new();
    let url = schema.url();
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("RATE_LIMIT", "on"),
        ("PROOF_OF_WORK", "always"),
        ("TRUSTED_PROXIES", "10.0.0.1"),
        ("RUST_LOG", "trace"),
    ];
    let mut service = Binary::new(&variables).serve();
    let mut secrets = vec!["127.0.0.1".to_owned(), "203.0.113.9".to_owned(), "198.51.100.1".to_owned()];
    for field in ["X-Forwarded-For", "Forwarded", "Via", "X-Forwarded-For"] {
        let refused = create(&service.client, &[(field, "203.0.113.9, 198.51.100.1")]);
        refused.assert_problem(429);
        let solution = solve(&refused.json());
        create(&service.client, &[(field, "203.0.113.9"), ("Proof-Of-Work", &solution)]).assert_status(201);
        create(&service.client, &[("Proof-Of-Work", &solution)]).assert_problem(429);
        secrets.push(solution.split(':').next().unwrap().to_owned());
    }
    let log = service.stop();
    assert_eq!(log.matches("TRUSTED_PROXIES").count(), 1, "{log}");
    for secret in secrets {
        assert!(!log.contains(&secret), "the log has {secret}");
    }
}
