//! Floods, crowds and clients that misbehave, against the binary: it goes on serving, and is afterwards as it was.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

use crate::support::cluster::Schema;
use crate::support::process::{Binary, Service};
use crate::support::raw::Raw;
use crate::support::{eventually, wait_for_locks};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const POST: &[u8] = b"POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\n\r\n";

/// The binary, and what it had open when nothing was going on.
struct Watched {
    service: Service,
    threads: usize,
    descriptors: usize,
    // Dropped after the service that uses it.
    schema: Schema,
}

impl Watched {
    fn start(further: &[(&str, &str)]) -> Watched {
        // This process needs as many descriptors as the server has connections.
        safespace::http::raise_limit().unwrap();
        let schema = Schema::new();
        let url = schema.url();
        // A pool of one size, so that nothing but the connections of clients changes.
        let mut all = vec![("DATABASE_URL", url.as_str()), ("DB_POOL_MIN_SIZE", "4"), ("DB_POOL_MAX_SIZE", "4")];
        all.extend_from_slice(further);
        Watched::over(Binary::new(&all).serve(), schema)
    }

    fn over(service: Service, schema: Schema) -> Watched {
        let mut watched = Watched { service, threads: 0, descriptors: 0, schema };
        eventually(Duration::from_secs(5), || {
            let pool = watched.service.client.get("/health/db").json()["connection_pool"].take();
            (pool["total"] == pool["max"]).then_some(())
        });
        // Until two looks in a row agree: the last connection to PostgreSQL has ended its thread, and so on.
        let mut before = (0, 0);
        eventually(Duration::from_secs(10), || {
            let now = watched.open();
            thread::sleep(Duration::from_millis(100));
            (std::mem::replace(&mut before, now) == now).then_some(())
        });
        (watched.threads, watched.descriptors) = before;
        watched
    }

    fn address(&self) -> SocketAddr {
        self.service.address
    }

    /// Threads and descriptors.
    fn open(&self) -> (usize, usize) {
        let entries =
            |folder: &str| fs::read_dir(format!("/proc/{}/{folder}", self.service.process_id())).unwrap().count();
        (entries("task"), entries("fd"))
    }

    /// Resident memory in MiB.
    fn resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.service.process_id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
    }

    /// Asserts that it serves as usual, and that nothing of what happened is left.
    #[track_caller]
    fn assert_as_before(&self) {
        // A crowd that goes at once fills the queue for a moment.
        eventually(Duration::from_secs(2), || (self.service.client.get("/").status == 200).then_some(()));
        self.service.client.post("/api/v1/sessions").assert_status(201);
        eventually(Duration::from_secs(5), || {
            let (threads, descriptors) = self.open();
            // The client that asks may have a connection open, and had one before.
            (threads <= self.threads && descriptors <= self.descriptors + 1).then_some(())
        });
        let log = self.service.log();
        assert!(!log.contains("anicked") && !log.contains("ERROR"), "{log}");
    }
}

fn connect_many(address: SocketAddr, count: usize) -> Vec<Raw> {
    (0..count).map(|_| Raw::connect(address)).collect()
}

#[test]
fn more_connections_than_descriptors_do_not_make_it_deaf() {
    safespace::http::raise_limit().unwrap();
    let schema = Schema::new();
    let url = schema.url();
    let pool = [("DATABASE_URL", url.as_str()), ("DB_POOL_MIN_SIZE", "4"), ("DB_POOL_MAX_SIZE", "4")];
    let service = Binary::with_descriptors(&pool, 256).serve();
    let watched = Watched::over(service, schema);
    watched.service.wait_for_log("descriptors allows fewer");
    let mut crowd = connect_many(watched.address(), 400);
    // Also among them, who comes is served.
    assert_eq!(Raw::connect(watched.address()).ask(GET).status, 200);
    crowd.iter_mut().for_each(|raw| raw.send(POST));
    let started = Instant::now();
    drop(crowd);
    watched.service.client.post("/api/v1/sessions").assert_status(201);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    watched.assert_as_before();
}

#[test]
fn running_out_of_descriptors_is_one_line_in_the_log_and_passes() {
    let schema = Schema::new();
    let url = schema.url();
    let few = [("DATABASE_URL", url.as_str()), ("DB_POOL_MIN_SIZE", "1"), ("DB_POOL_MAX_SIZE", "1")];
    // Enough to start, and too few for the 16 connections that are allowed at least.
    let service = Binary::with_descriptors(&few, 26).serve();
    // The pool opens its connection in the background, and must have its descriptors before the crowd comes.
    eventually(Duration::from_secs(5), || (service.client.get("/health/db").status == 200).then_some(()));
    let crowd = connect_many(service.address, 30);
    service.wait_for_log("Cannot accept connections");
    thread::sleep(Duration::from_millis(300));
    drop(crowd);
    let started = Instant::now();
    service.client.get("/").assert_status(200);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let log = service.log();
    assert_eq!(log.matches("Cannot accept connections").count(), 1, "{log}");
    service.wait_for_log("Accepting connections again");
    assert!(!log.contains("anicked"), "{log}");
}

#[test]
fn a_thousand_clients_at_once_are_all_answered() {
    let watched = Watched::start(&[]);
    let mut clients = connect_many(watched.address(), 1000);
    for _ in 0..3 {
        clients.iter_mut().for_each(|raw| raw.send(GET));
        clients.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 200));
    }
    drop(clients);
    watched.assert_as_before();
}

/// A thousand connections that have sent this. Now and then it waits for an answer of its own: all of them in the same
/// moment would be a test of the queue and of how slow a debug build is.
fn send_many(address: SocketAddr, bytes: &[u8]) -> Vec<Raw> {
    let mut raws = Vec::new();
    for _ in 0..20 {
        let mut some = connect_many(address, 50);
        some.iter_mut().for_each(|raw| raw.send(bytes));
        raws.extend(some);
        assert_eq!(Raw::connect(address).ask(GET).status, 200);
    }
    raws
}

/// Probes every 100 ms until the flag is set, and returns the longest time it took.
fn probe_until(done: &AtomicBool, address: SocketAddr) -> Duration {
    let mut longest = Duration::ZERO;
    let mut raw = Raw::connect(address);
    while !done.load(Ordering::Relaxed) {
        let started = Instant::now();
        // In turns on a connection that was kept and on a new one.
        assert_eq!(raw.ask(GET).status, 200);
        assert_eq!(Raw::connect(address).ask(GET).status, 200);
        longest = longest.max(started.elapsed());
        thread::sleep(Duration::from_millis(100));
    }
    longest
}

#[test]
fn slow_heads_slow_bodies_and_slow_readers_hold_up_nobody() {
    let watched = Watched::start(&[("APP_HEAD_TIMEOUT", "2"), ("APP_BODY_TIMEOUT", "2"), ("APP_WRITE_TIMEOUT", "2")]);
    let address = watched.address();
    let mut resident = Vec::new();
    for _ in 0..2 {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let probe = scope.spawn(|| probe_until(&done, address));
            let mut heads = send_many(address, &GET[..20]);
            let head = b"POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{";
            let mut bodies = send_many(address, head);
            let _readers = send_many(address, b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n");
            // All of them get their end: an answer that says why, or, in the middle of one, none.
            heads.iter_mut().chain(&mut bodies).for_each(|raw| assert_eq!(raw.answer().status, 408));
            eventually(Duration::from_secs(20), || (watched.open().1 < watched.descriptors + 100).then_some(()));
            done.store(true, Ordering::Relaxed);
            let longest = probe.join().unwrap();
            assert!(longest < Duration::from_secs(1), "a probe took {longest:?}");
        });
        resident.push(watched.resident());
    }
    watched.assert_as_before();
    assert!(resident[1] < resident[0] + 32, "memory grows: {resident:?} MiB");
}

#[test]
fn clients_that_reset_and_speak_http_2_leave_nothing_behind() {
    let watched = Watched::start(&[]);
    for round in 0..1000 {
        let mut stream = TcpStream::connect(watched.address()).unwrap();
        let beginning = [&GET[..0], &GET[..10], GET, POST][round % 4];
        stream.write_all(beginning).unwrap();
        setsockopt(&stream.as_fd(), sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 }).unwrap();
    }
    for _ in 0..200 {
        let mut raw = Raw::connect(watched.address());
        assert_eq!(raw.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status, 505);
        raw.assert_closed();
    }
    watched.assert_as_before();
}

#[test]
fn workers_that_were_stuck_end_when_others_have_their_place() {
    let patient = ("DB_ACQUIRE_TIMEOUT_MS", "10000");
    let watched = Watched::start(&[("APP_REQUEST_TIMEOUT", "1"), ("APP_WORKERS", "8"), patient]);
    let mut sql = watched.schema.client();
    let mut lock = sql.transaction().unwrap();
    lock.batch_execute("LOCK TABLE sessions").unwrap();
    // However many create sessions, one batch runs and one waits for its turn. Each holds up the worker that leads it,
    // and those who only joined one hold up none.
    let mut stuck = connect_many(watched.address(), 10);
    let mut questions = watched.schema.client();
    stuck[0].send(POST);
    wait_for_locks(&mut questions, 1);
    stuck[1..].iter_mut().for_each(|raw| raw.send(POST));
    stuck.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 504));
    eventually(Duration::from_secs(5), || (watched.open().0 == watched.threads + 2).then_some(()));
    lock.commit().unwrap();
    watched.assert_as_before();
}

#[test]
fn ten_thousand_idle_connections_cost_no_thread_and_little_memory() {
    // What this process can open, beside what other tests need at the same time.
    let limit = usize::try_from(safespace::http::raise_limit().unwrap()).unwrap_or(usize::MAX);
    assert!(limit >= 15_000, "the limit on open descriptors is {limit}; this test needs 15,000");
    let watched = Watched::start(&[("APP_MAX_CONNECTIONS", "10001")]);
    let mut idle = connect_many(watched.address(), 10_000);
    for raw in idle.iter_mut().step_by(10) {
        assert_eq!(raw.ask(GET).status, 200);
    }
    let fastest = (0..20)
        .map(|_| {
            let started = Instant::now();
            assert_eq!(Raw::connect(watched.address()).ask(GET).status, 200);
            started.elapsed()
        })
        .min()
        .unwrap();
    // Other tests run meanwhile, so only the fastest says what it costs.
    assert!(fastest < Duration::from_millis(10), "{fastest:?}");
    assert!(watched.open().0 <= watched.threads, "threads");
    assert!(watched.resident() < 100, "{} MiB", watched.resident());
    assert_eq!(idle[9_999].ask(GET).status, 200);
    drop(idle);
    watched.assert_as_before();
}
