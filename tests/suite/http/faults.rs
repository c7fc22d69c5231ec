//! The binary under floods and misbehaving clients: it keeps serving, and leaks no thread, descriptor or memory.

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
use crate::support::requests::{GET, POST_SESSION};
use crate::support::timing::PATIENCE;
use crate::support::{eventually, lock_table, wait_for_locks};

/// The binary, and the threads and descriptors that it uses when idle.
struct Watched {
    service: Service,
    threads: usize,
    descriptors: usize,
    // Declared after the service, so that it is dropped later.
    schema: Schema,
}

impl Watched {
    fn start(further: &[(&str, &str)]) -> Watched {
        // The tests need as many descriptors as the server has connections.
        safespace::http::raise_limit().unwrap();
        let schema = Schema::new();
        let url = schema.url();
        // A pool of fixed size, so that only client connections change the number of descriptors.
        let mut all = vec![("DATABASE_URL", url.as_str()), ("DB_POOL_MIN_SIZE", "4"), ("DB_POOL_MAX_SIZE", "4")];
        all.extend_from_slice(further);
        Watched::over(Binary::new(&all).serve(), schema)
    }

    fn over(service: Service, schema: Schema) -> Watched {
        let mut watched = Watched { service, threads: 0, descriptors: 0, schema };
        eventually(PATIENCE, || {
            let pool = watched.service.client.get("/health/db").json()["connection_pool"].take();
            (pool["total"] == pool["max"]).then_some(())
        });
        // Until two samples agree: threads that opened the pool's connections have ended.
        let mut before = (0, 0);
        eventually(PATIENCE, || {
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

    /// The numbers of threads and of descriptors.
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

    /// Asserts that the service answers, uses no more threads and descriptors than when idle, and logged no error.
    #[track_caller]
    fn assert_as_before(&self) {
        // Many connections that close at once fill the queue for a moment.
        eventually(Duration::from_secs(2), || (self.service.client.get("/").status == 200).then_some(()));
        self.service.client.post("/api/v1/sessions").assert_status(201);
        eventually(PATIENCE, || {
            let (threads, descriptors) = self.open();
            // The client of this check may have one connection open.
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
fn more_connections_than_descriptors_leave_the_server_responsive() {
    safespace::http::raise_limit().unwrap();
    let schema = Schema::new();
    let url = schema.url();
    let pool = [("DATABASE_URL", url.as_str()), ("DB_POOL_MIN_SIZE", "4"), ("DB_POOL_MAX_SIZE", "4")];
    let service = Binary::with_descriptors(&pool, 256).serve();
    let watched = Watched::over(service, schema);
    assert!(watched.service.log().contains("descriptors allows fewer"), "{}", watched.service.log());
    let mut clients = connect_many(watched.address(), 400);
    // A new client is served beside them.
    assert_eq!(Raw::connect(watched.address()).ask(GET).status, 200);
    clients.iter_mut().for_each(|raw| raw.send(POST_SESSION));
    let started = Instant::now();
    drop(clients);
    watched.service.client.post("/api/v1/sessions").assert_status(201);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    watched.assert_as_before();
}

#[test]
fn exhausted_descriptors_are_logged_once_and_accepting_resumes() {
    let schema = Schema::new();
    let url = schema.url();
    let few = [("DATABASE_URL", url.as_str()), ("DB_POOL_MIN_SIZE", "1"), ("DB_POOL_MAX_SIZE", "1")];
    // Enough to start, and too few for the minimum of 16 connections.
    let service = Binary::with_descriptors(&few, 34).serve();
    // The pool opens its connection in the background, and needs its descriptors before the clients connect.
    eventually(PATIENCE, || (service.client.get("/health/db").status == 200).then_some(()));
    let clients = connect_many(service.address, 30);
    eventually(PATIENCE, || service.log().contains("Cannot accept connections").then_some(()));
    thread::sleep(Duration::from_millis(300));
    drop(clients);
    let started = Instant::now();
    service.client.get("/").assert_status(200);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let log = service.log();
    assert_eq!(log.matches("Cannot accept connections").count(), 1, "{log}");
    eventually(Duration::from_secs(2), || service.log().contains("Accepting connections again").then_some(()));
    assert!(!log.contains("anicked"), "{log}");
}

#[test]
fn a_thousand_concurrent_clients_are_all_answered() {
    let watched = Watched::start(&[]);
    let mut clients = connect_many(watched.address(), 1000);
    for _ in 0..3 {
        clients.iter_mut().for_each(|raw| raw.send(GET));
        clients.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 200));
    }
    drop(clients);
    watched.assert_as_before();
}

/// Opens a thousand connections that have sent these bytes. A request after every fifty paces them: all at once would test
/// the queue limit and the speed of a debug build.
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

/// Sends two requests every 100 ms until the flag is set, and returns the longest duration.
fn probe_until(done: &AtomicBool, address: SocketAddr) -> Duration {
    let mut longest = Duration::ZERO;
    let mut raw = Raw::connect(address);
    while !done.load(Ordering::Relaxed) {
        let started = Instant::now();
        // One on a kept connection, one on a new connection.
        assert_eq!(raw.ask(GET).status, 200);
        assert_eq!(Raw::connect(address).ask(GET).status, 200);
        longest = longest.max(started.elapsed());
        thread::sleep(Duration::from_millis(100));
    }
    longest
}

#[test]
fn slow_heads_bodies_and_readers_do_not_delay_other_requests() {
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
            // The slow requests get 408; the connections of the slow readers are closed.
            heads.iter_mut().chain(&mut bodies).for_each(|raw| assert_eq!(raw.answer().status, 408));
            eventually(PATIENCE, || (watched.open().1 < watched.descriptors + 100).then_some(()));
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
fn clients_that_reset_or_send_http_2_leak_no_thread_or_descriptor() {
    let watched = Watched::start(&[]);
    for round in 0..1000 {
        let mut stream = TcpStream::connect(watched.address()).unwrap();
        let beginning = [&GET[..0], &GET[..10], GET, POST_SESSION][round % 4];
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
fn workers_that_exceeded_the_timeout_end_after_their_replacement() {
    let patient = ("DB_ACQUIRE_TIMEOUT_MS", "10000");
    let watched = Watched::start(&[("APP_REQUEST_TIMEOUT", "1"), ("APP_WORKERS", "8"), patient]);
    let mut sql = watched.schema.client();
    let lock = lock_table(&mut sql, "sessions");
    // One batch runs and one waits for a permit. Each blocks the worker that leads it; requests that join a batch block
    // none.
    let mut stuck = connect_many(watched.address(), 10);
    let mut questions = watched.schema.client();
    stuck[0].send(POST_SESSION);
    wait_for_locks(&mut questions, 1);
    stuck[1..].iter_mut().for_each(|raw| raw.send(POST_SESSION));
    stuck.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 504));
    eventually(PATIENCE, || (watched.open().0 == watched.threads + 2).then_some(()));
    lock.commit().unwrap();
    watched.assert_as_before();
}

#[test]
fn ten_thousand_idle_connections_use_no_threads_and_less_than_100_mib() {
    // The descriptors of this process, which concurrent tests share.
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
    // Concurrent tests disturb single measurements, so the fastest one counts.
    assert!(fastest < Duration::from_millis(10), "{fastest:?}");
    assert!(watched.open().0 <= watched.threads, "threads");
    assert!(watched.resident() < 100, "{} MiB", watched.resident());
    assert_eq!(idle[9_999].ask(GET).status, 200);
    drop(idle);
    watched.assert_as_before();
}
