//! PostgreSQL stops, hangs and starts again under a running service.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use safespace::app::App;
use safespace::config::{Authorities, PoolSettings, Server, SslMode};
use safespace::store::{ConnectError, Connector};

use crate::support::app::{TestApp, configure};
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::timing::PATIENCE;

/// Restarts PostgreSQL under four clients that create and delete sessions without a pause. They see successes and 503s, and
/// within 2 s of the restart each of them creates a session again.
fn restart_under_load(signal: Option<&str>) {
    let mut cluster = Cluster::start();
    let app = TestApp::at(&cluster.url(), &[]);
    let (stop, unavailable) = (AtomicBool::new(false), AtomicUsize::new(0));
    let created: [AtomicUsize; 4] = Default::default();
    let counts = || created.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
    thread::scope(|scope| {
        let _stop = SetOnDrop(&stop);
        for created in &created {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let answer = app.client.post("/api/v1/sessions");
                    match answer.status {
                        201 => {
                            created.fetch_add(1, Ordering::Relaxed);
                            let id = answer.json()["session_id"].as_str().unwrap().to_owned();
                            let status = app.client.delete(&format!("/api/v1/sessions/{id}")).status;
                            assert!(matches!(status, 204 | 503), "{status}");
                        }
                        503 => _ = unavailable.fetch_add(1, Ordering::Relaxed),
                        status => panic!("{status}: {}", answer.text()),
                    }
                }
            });
        }
        eventually(PATIENCE, || counts().iter().all(|count| *count > 0).then_some(()));
        cluster.stop(signal);
        eventually(PATIENCE, || (unavailable.load(Ordering::Relaxed) > 4).then_some(()));
        app.client.get("/health/live").assert_status(200);
        app.client.get("/health/ready").assert_problem(503);
        let health = app.client.get("/health/db").assert_status(503).json();
        assert_eq!((&health["status"], &health["database"]), (&"unhealthy".into(), &"disconnected".into()));
        assert!(health["error"].as_str().is_some_and(|error| !error.is_empty()));

        cluster.start_again();
        let before = counts();
        eventually(Duration::from_secs(2), || {
            counts().iter().zip(&before).all(|(now, before)| now > before).then_some(())
        });
    });
}

/// Ends the loops of the clients, also when the test panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
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
fn broken_idle_connections_fail_no_request() {
    let mut cluster = Cluster::start();
    let app = TestApp::at(&cluster.url(), &[("DB_POOL_MIN_SIZE", "4")]);
    let pool = |field: &str| app.client.get("/health/db").json()["connection_pool"][field].as_u64();
    eventually(PATIENCE, || (pool("available") == Some(4)).then_some(()));
    cluster.stop(None);
    cluster.start_again();
    // Longer than a connection is used without a probe.
    thread::sleep(Duration::from_millis(600));
    app.create_session();
}

#[test]
fn a_frozen_database_is_unhealthy_within_five_seconds() {
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
fn a_server_that_accepts_and_never_answers_times_out() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://nobody@{}/none", silent.local_addr().unwrap());
    let config = configure(&url, &[("DB_CONNECTION_TIMEOUT", "1")]);
    let started = Instant::now();
    let error = App::start(&config, &AtomicBool::new(false)).err().expect("it does not start").to_string();
    assert!(error.contains("no connection within 1 s"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn a_network_that_swallowed_many_connections_is_used_again_once_it_works() {
    let server =
        Server { connect: postgres::Config::new(), ssl_mode: SslMode::Disable, authorities: Authorities::None };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut swallowing = server.clone();
    swallowing.connect.host("127.0.0.1").port(silent.local_addr().unwrap().port()).user("u");
    let pool = configure("postgres://u@h/d", &[]).pool;
    let pool = PoolSettings { connection_timeout: Duration::from_millis(20), ..pool };
    let connector = Connector::new(&swallowing, &pool, Duration::from_secs(1)).unwrap();
    let mut refusals = 0;
    for _ in 0..80 {
        match connector.connect().err().expect("nobody answers") {
            ConnectError::TimedOut(_) => {}
            ConnectError::TooManyPending => refusals += 1,
            error => panic!("{error}"),
        }
    }
    assert!(refusals > 0, "pending attempts are bounded");
    // Closing the sockets ends the pending attempts, and the next attempt is made at once.
    drop(silent);
    eventually(PATIENCE, || match connector.connect().err()? {
        ConnectError::Failed(_) => Some(()),
        _ => None,
    });
}

#[test]
fn a_connection_limit_of_the_role_is_not_an_outage() {
    let cluster = Cluster::start();
    let mut sql = postgres::Client::connect(&cluster.url(), postgres::NoTls).unwrap();
    sql.batch_execute("CREATE ROLE few SUPERUSER LOGIN; ALTER ROLE few NOSUPERUSER CONNECTION LIMIT 3; GRANT ALL ON SCHEMA public TO few").unwrap();
    let url = cluster.url().replacen("safespace@", "few@", 1);
    let service = Binary::new(&[("DATABASE_URL", &url)]).serve();
    eventually(PATIENCE, || service.log().contains("too many connections for role").then_some(()));
    service.client.post("/api/v1/sessions").assert_status(201);
    // The connections that there are do what is needed.
    for health in ["/health/ready", "/health/db"] {
        service.client.get(health).assert_status(200);
    }
    assert!(!service.log().contains("went away"), "{}", service.log());
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
    eventually(PATIENCE, || (service.client.post("/api/v1/sessions").status == 201).then_some(()));
    // The log may be written a little later than the response.
    let is_back = || service.log().contains("Database is back").then_some(());
    eventually(PATIENCE, is_back);
    let log = service.log();
    assert_eq!(log.matches("Database went away").count(), 1, "{log}");
    assert_eq!(log.matches("Database is back").count(), 1, "{log}");
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn a_database_frozen_under_load_is_503_or_504_in_time_and_then_used_again() {
    // A minute by hand: FREEZE_SECONDS=60 cargo test --test suite frozen_under_load
    let seconds = std::env::var("FREEZE_SECONDS").map_or(5, |seconds| seconds.parse().expect("a number of seconds"));
    let cluster = Cluster::start();
    // Longer than a probe of the database, so that `/health/db` answers by itself before the server's 504.
    let request_timeout = if seconds > 40 { "30" } else { "4" };
    let service = Binary::new(&[("DATABASE_URL", &cluster.url()), ("APP_REQUEST_TIMEOUT", request_timeout)]).serve();
    let (done, frozen) = (AtomicBool::new(false), AtomicBool::new(false));
    let statuses: Mutex<BTreeMap<(bool, u16), usize>> = Mutex::default();
    let slowest = Mutex::new(BTreeMap::new());
    let ask = |method: &str, path: &str| {
        let started = Instant::now();
        let during = frozen.load(Ordering::SeqCst);
        let answer = service.client.send(method, path);
        let mut slowest = slowest.lock().unwrap();
        let longest: &mut Duration = slowest.entry((method.to_owned(), path.to_owned())).or_default();
        *longest = (*longest).max(started.elapsed());
        (during, answer)
    };
    let created = AtomicUsize::new(0);
    thread::scope(|scope| {
        let _done = SetOnDrop(&done);
        for _ in 0..64 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let (during, answer) = ask("POST", "/api/v1/sessions");
                    created.fetch_add(usize::from(answer.status == 201), Ordering::Relaxed);
                    *statuses.lock().unwrap().entry((during, answer.status)).or_default() += 1;
                    // As a client that respects Retry-After does, if faster.
                    if answer.status != 201 {
                        thread::sleep(Duration::from_millis(20));
                    }
                }
            });
        }
        eventually(PATIENCE, || (created.load(Ordering::Relaxed) > 200).then_some(()));
        cluster.freeze();
        frozen.store(true, Ordering::SeqCst);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(seconds) {
            assert_eq!(ask("GET", "/").1.status, 200);
            assert_eq!(ask("GET", "/health/live").1.status, 200);
            let health = ask("GET", "/health/db").1;
            assert_eq!(health.json()["status"], if health.status == 200 { "healthy" } else { "unhealthy" });
            thread::sleep(Duration::from_millis(100));
        }
        cluster.thaw();
        frozen.store(false, Ordering::SeqCst);
        let thawed = Instant::now();
        eventually(Duration::from_secs(2), || (service.client.get("/health/ready").status == 200).then_some(()));
        let before = created.load(Ordering::Relaxed);
        eventually(Duration::from_secs(2).saturating_sub(thawed.elapsed()), || {
            (created.load(Ordering::Relaxed) > before + 100).then_some(())
        });
    });
    let (statuses, slowest) = (statuses.into_inner().unwrap(), slowest.into_inner().unwrap());
    println!("{statuses:?}\n{slowest:?}");
    assert!(statuses.keys().all(|(_, status)| matches!(status, 201 | 503 | 504)), "{statuses:?}");
    // Requests that wait for a connection at the freeze time out after a second; later ones hardly wait.
    let limits = [("/", 2), ("/health/live", 2), ("/health/db", 5)];
    for (path, limit) in limits {
        let took = slowest[&("GET".to_owned(), path.to_owned())];
        assert!(took < Duration::from_secs(limit), "{path} took {took:?}: {slowest:?}");
    }
    assert!(!service.log().contains("anicked"), "{}", service.log());
}
