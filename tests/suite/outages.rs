//! PostgreSQL goes away and comes back under a running service.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use safespace::app::App;

use crate::support::app::{TestApp, configure};
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::process::Binary;

/// Restarts PostgreSQL under four clients that create and delete sessions without a pause: they see answers and 503s,
/// and 2 s after PostgreSQL is back every one of them is answered again.
fn restart_under_load(signal: Option<&str>) {
    let mut cluster = Cluster::start();
    let app = TestApp::at(&cluster.url(), &[]);
    let (stop, unavailable) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let answer = app.client.post("/api/v1/sessions");
                        match answer.status {
                            201 => {
                                let id = answer.json()["session_id"].as_str().unwrap().to_owned();
                                let status = app.client.delete(&format!("/api/v1/sessions/{id}")).status;
                                assert!(matches!(status, 204 | 503), "{status}");
                            }
                            503 => _ = unavailable.fetch_add(1, Ordering::Relaxed),
                            status => panic!("{status}: {}", answer.text()),
                        }
                    }
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(200));
        cluster.stop(signal);
        eventually(Duration::from_secs(10), || (unavailable.load(Ordering::Relaxed) > 4).then_some(()));
        app.client.get("/health/live").assert_status(200);
        app.client.get("/health/ready").assert_problem(503);
        let health = app.client.get("/health/db").assert_status(503).json();
        assert_eq!((&health["status"], &health["database"]), (&"unhealthy".into(), &"disconnected".into()));
        assert!(health["error"].as_str().is_some_and(|error| !error.is_empty()));

        cluster.start_again();
        eventually(Duration::from_secs(2), || (app.client.get("/health/db").status == 200).then_some(()));
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap();
        }
        app.create_session();
    });
}

#[test]
fn a_fast_restart_shows_only_503s() {
    restart_under_load(None);
}

#[test]
fn an_immediate_restart_shows_only_503s() {
    restart_under_load(Some("QUIT"));
}

#[test]
fn a_killed_postmaster_shows_only_503s() {
    restart_under_load(Some("KILL"));
}

#[test]
fn idle_connections_that_died_cost_nobody_an_answer() {
    let mut cluster = Cluster::start();
    let app = TestApp::at(&cluster.url(), &[("DB_POOL_MIN_SIZE", "4")]);
    let pool = |field: &str| app.client.get("/health/db").json()["connection_pool"][field].as_u64();
    eventually(Duration::from_secs(5), || (pool("available") == Some(4)).then_some(()));
    cluster.stop(None);
    cluster.start_again();
    // Longer than a connection counts as proven.
    thread::sleep(Duration::from_millis(600));
    app.create_session();
}

#[test]
fn a_frozen_database_leaves_health_within_its_bounds() {
    let cluster = Cluster::start();
    let app = TestApp::at(&cluster.url(), &[]);
    app.create_session();
    cluster.freeze();
    let started = Instant::now();
    app.client.get("/health/db").assert_status(503);
    let took = started.elapsed();
    app.client.get("/health/live").assert_status(200);
    app.client.get("/").assert_status(200);
    cluster.thaw();
    assert!(took < Duration::from_secs(5), "{took:?}");
    eventually(Duration::from_secs(2), || (app.client.get("/health/db").status == 200).then_some(()));
}

#[test]
fn a_start_without_a_database_tries_three_times_and_gives_up() {
    let url = "postgres://nobody:hunter2@127.0.0.1:1/none";
    let output = Binary::new(&[("DATABASE_URL", url)]).run();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    for attempt in 1..=3 {
        assert!(log.contains(&format!("Database not reached attempt={attempt} of=3")), "{log}");
    }
    assert!(log.contains("refused") && !log.contains("hunter2"), "{log}");
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://nobody@{}/none", silent.local_addr().unwrap());
    let config = configure(&url, &[("DB_CONNECTION_TIMEOUT", "1")]);
    let started = Instant::now();
    let error = App::start(&config, &AtomicBool::new(false)).err().expect("it does not start").to_string();
    assert!(error.contains("no connection within 1 s"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn an_outage_is_two_lines_in_the_log() {
    let mut cluster = Cluster::start();
    let service = Binary::new(&[("DATABASE_URL", &cluster.url()), ("DB_ACQUIRE_TIMEOUT_MS", "200")]).serve();
    cluster.stop(None);
    for _ in 0..10 {
        service.client.post("/api/v1/sessions").assert_problem(503);
    }
    cluster.start_again();
    eventually(Duration::from_secs(5), || (service.client.post("/api/v1/sessions").status == 201).then_some(()));
    let log = service.log();
    assert_eq!(log.matches("Database went away").count(), 1, "{log}");
    assert_eq!(log.matches("Database is back").count(), 1, "{log}");
    assert!(!log.contains("ERROR"), "{log}");
}
