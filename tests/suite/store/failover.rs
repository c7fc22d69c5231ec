//! Several hosts in `DATABASE_URL`, or several addresses of one name: one that hangs delays nothing, and a server that was replaced is
//! not written to.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, socket};
use safespace::config::Database;
use safespace::store::Connector;
use serde_json::json;

use crate::support::app::{TestApp, configure};
use crate::support::cluster::{Cluster, lock_table, url_of_hosts, wait_for_locks};
use crate::support::http::Client;
use crate::support::process::{Binary, Service};
use crate::support::timing::PATIENCE;
use crate::support::{assert_took, eventually, timed};

/// What a request takes at most where one host hangs. Without the others it is a fraction of a second, on a busy machine more.
const IN_TIME: Duration = Duration::from_secs(3);

/// The same for a start, which opens several connections.
const START_IN_TIME: Duration = Duration::from_secs(5);

/// A port whose backlog is full: the system drops the packets of further connections.
struct FullBacklog {
    _listener: std::os::fd::OwnedFd,
    _queued: Vec<TcpStream>,
    address: SocketAddr,
}

impl FullBacklog {
    fn new() -> FullBacklog {
        let listener = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(listener.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let port = getsockname::<SockaddrIn>(listener.as_raw_fd()).unwrap().port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let queued = std::iter::from_fn(connect).take(64).collect();
        FullBacklog { _listener: listener, _queued: queued, address }
    }
}

/// With `DB_CONNECTION_TIMEOUT=3`.
fn connector(url: &str) -> Connector {
    let config = configure(url, &[("DB_CONNECTION_TIMEOUT", "3")]);
    let Database::Server(server) = &config.database else { panic!("a private PostgreSQL") };
    Connector::new(server, &config.pool, config.pool.query_timeout).unwrap()
}

fn create(client: &Client) -> String {
    let session = client.post("/api/v1/sessions").assert_status(201).json();
    session["session_id"].as_str().unwrap().to_owned()
}

/// Creates a session as soon as that succeeds, and returns how long it took.
#[track_caller]
fn time_to_create(client: &Client) -> Duration {
    let started = Instant::now();
    eventually(PATIENCE, || (client.post("/api/v1/sessions").status == 201).then_some(()));
    started.elapsed()
}

fn count_sessions(cluster: &Cluster) -> i64 {
    cluster.sql().query_one("SELECT count(*) FROM sessions", &[]).unwrap().get(0)
}

fn promote(standby: &Cluster) {
    let is_promoted: bool = standby.sql().query_one("SELECT pg_promote()", &[]).unwrap().get(0);
    assert!(is_promoted);
}

/// A service on a primary and its standby, which follows.
fn serve_pair() -> (Cluster, Cluster, Service) {
    let primary = Cluster::start();
    let standby = primary.start_standby();
    // The standby first, which is passed over.
    let url = url_of_hosts(&[&standby.host(), &primary.host()]);
    let service = Binary::new(&[("DATABASE_URL", &url), ("DB_ACQUIRE_TIMEOUT_MS", "500")]).serve();
    (primary, standby, service)
}

#[test]
fn a_first_host_that_hangs_delays_neither_the_start_nor_requests() {
    let (frozen, healthy) = (Cluster::start(), Cluster::start());
    // A database with the schema, so that each start does the same.
    Binary::new(&[("DATABASE_URL", &healthy.url())]).argument("migrate").run();
    frozen.freeze();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let full = FullBacklog::new();
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let [silent, full_address, unused] =
        [silent.local_addr().unwrap(), full.address, unused].map(|address| address.to_string());
    for (case, first) in [
        ("frozen", frozen.host()),
        ("accepts and says nothing", silent),
        ("swallows packets", full_address),
        ("refuses", unused),
    ] {
        let url = url_of_hosts(&[&first, &healthy.host()]);
        let (service, took) = timed(|| Binary::new(&[("DATABASE_URL", &url)]).serve());
        assert!(took < START_IN_TIME, "{case}: the start took {took:?}\n{}", service.log());
        for _ in 0..5 {
            let took = time_to_create(&service.client);
            assert!(took < IN_TIME, "{case}: a request took {took:?}\n{}", service.log());
        }
        service.client.get("/health/ready").assert_status(200);
        assert!(!service.log().contains("went away"), "{case}: {}", service.log());
    }
    frozen.thaw();
}

#[test]
fn a_host_that_never_answers_is_given_up_at_its_deadline() {
    let listeners = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [one, other] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    for (url, expected, deadline) in [
        (format!("postgres://u@{one}/d?connect_timeout=1"), "no connection within 1 s", 1.0),
        (format!("postgres://u@{one}/d?connect_timeout=4"), "no connection within 4 s", 4.0),
        (format!("postgres://u@{one}/d"), "no connection within 3 s", 3.0),
        // The second host is tried a quarter of a second after the first.
        (
            format!("postgres://u@{one},{other}/d?connect_timeout=1"),
            &format!("{other}: no connection within 1 s"),
            1.25,
        ),
        (format!("postgres://u@{one},{other}/d"), &format!("{one}: no connection within 2 s"), 2.25),
    ] {
        let connector = connector(&url);
        let (error, took) = timed(|| connector.connect().err().unwrap().to_string());
        assert!(error.contains(expected), "{url}: {error}");
        assert_took(took, Duration::from_secs_f32(deadline));
    }
}

#[test]
fn writes_go_on_after_a_promotion_while_the_old_primary_is_frozen_and_it_is_not_used_when_it_thaws() {
    let (primary, standby, service) = serve_pair();
    let sessions: Vec<String> = (0..3).map(|_| create(&service.client)).collect();
    eventually(PATIENCE, || (count_sessions(&standby) == 3).then_some(()));
    primary.freeze();
    thread::scope(|scope| {
        let hanging = scope.spawn(|| service.client.post("/api/v1/sessions").status);
        promote(&standby);
        let took = time_to_create(&service.client);
        assert!(took < Duration::from_secs(4), "{took:?}\n{}", service.log());
        eventually(PATIENCE, || (service.client.get("/health/ready").status == 200).then_some(()));
        primary.thaw();
        service.wait_for_log("A server of an older timeline takes writes");
        // What the old primary executes when it thaws does not count.
        let hanging = hanging.join().unwrap();
        assert!(matches!(hanging, 201 | 503), "{hanging}");
        assert!(count_sessions(&standby) >= 4 + i64::from(hanging == 201), "an acknowledged session is lost");
    });
    let before = count_sessions(&primary);
    for session in &sessions {
        eventually(PATIENCE, || {
            let status = service.client.delete(&format!("/api/v1/sessions/{session}")).status;
            assert!(matches!(status, 204 | 503), "{status}");
            (status == 204).then_some(())
        });
    }
    create(&service.client);
    assert_eq!(count_sessions(&primary), before, "the old primary was written to");
    let log = service.log();
    assert_eq!(log.matches("Another server was promoted").count(), 1, "{log}");
    assert_eq!(log.matches("A server of an older timeline").count(), 1, "{log}");
}

#[test]
fn of_two_servers_that_take_writes_the_older_timeline_is_left_at_once() {
    let (primary, standby, service) = serve_pair();
    // The standby is the first host of the URL.
    for (parameter, is_standby) in [("", false), ("?target_session_attrs=any", true)] {
        let url = url_of_hosts(&[&standby.host(), &primary.host()]) + parameter;
        let row = connector(&url).connect().unwrap().query_one("SELECT pg_is_in_recovery()", &[]).unwrap();
        assert_eq!(row.get::<_, bool>(0), is_standby, "{parameter}");
    }
    let sessions: Vec<String> = (0..4).map(|_| create(&service.client)).collect();
    let path = |session: &str| format!("/api/v1/sessions/{session}");
    eventually(PATIENCE, || (count_sessions(&standby) == 4).then_some(()));
    let (mut locking, mut waiting) = (primary.sql(), primary.sql());
    let lock = lock_table(&mut locking, "sessions");
    thread::scope(|scope| {
        let running = scope.spawn(|| service.client.delete(&path(&sessions[0])));
        wait_for_locks(&mut waiting, 1);
        promote(&standby);
        let promoted = Instant::now();
        service.wait_for_log("A server of an older timeline takes writes");
        let took = promoted.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
        lock.commit().unwrap();
        // The old primary has executed it, and that does not count.
        assert_eq!(running.join().unwrap().status, 503);
    });
    for session in &sessions {
        service.client.delete(&path(session)).assert_status(204);
    }
    let created = create(&service.client);
    let message = json!({"message": "hello"});
    service.client.post_json(&format!("{}/chat", path(&created)), &message, &[]).assert_status(200);
    assert_eq!((count_sessions(&primary), count_sessions(&standby)), (3, 1));
    assert_eq!(service.client.get("/health/ready").status, 200);
}

#[test]
fn a_sweep_goes_on_at_the_server_that_was_promoted() {
    let primary = Cluster::start();
    let standby = primary.start_standby();
    let app = TestApp::sweeping_at(&url_of_hosts(&[&primary.host(), &standby.host()]));
    // Each batch takes a tenth of a second, and nine tenths pass until the next one.
    let slow = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END $$;
                CREATE TRIGGER wait AFTER DELETE ON sessions FOR EACH STATEMENT EXECUTE FUNCTION wait();
                INSERT INTO sessions SELECT gen_random_uuid(), '', 0, 0 FROM generate_series(1, 20000)";
    primary.sql().batch_execute(slow).unwrap();
    eventually(PATIENCE, || (1..20000).contains(&count_sessions(&standby)).then_some(()));
    promote(&standby);
    let at_promotion = count_sessions(&standby);
    eventually(PATIENCE, || (count_sessions(&standby) < at_promotion).then_some(()));
    let left = count_sessions(&primary);
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(count_sessions(&primary), left, "the old primary is swept");
    drop(app);
}

/// Forwards connections to a cluster.
fn forward(listener: TcpListener, cluster: &Cluster) {
    let socket = cluster.folder().join("socket/.s.PGSQL.5432");
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = UnixStream::connect(&socket) else { continue };
            let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
            let (mut from_server, mut to_server) = (server.try_clone().unwrap(), server);
            thread::spawn(move || {
                let _ = io::copy(&mut from_client, &mut to_server);
                to_server.shutdown(Shutdown::Write)
            });
            thread::spawn(move || {
                let _ = io::copy(&mut from_server, &mut to_client);
                to_client.shutdown(Shutdown::Write)
            });
        }
    });
}

/// The name has its addresses in a file of hosts that only this process sees.
#[test]
#[ignore = "needs the right to mount"]
fn of_several_addresses_of_a_name_one_that_takes_writes_is_found() {
    let primary = Cluster::start();
    let standby = primary.start_standby();
    Binary::new(&[("DATABASE_URL", &primary.url())]).argument("migrate").run();
    let full = FullBacklog::new();
    let listen = |address, port| TcpListener::bind((address, port)).unwrap();
    let hosts = tempfile::NamedTempFile::new().unwrap();
    fs::write(&hosts, "127.0.0.1 pair.test\n127.0.0.2 pair.test\n").unwrap();
    for case in ["the first only reads", "the second only reads", "the first swallows packets"] {
        let port = if case == "the first swallows packets" {
            forward(listen("127.0.0.2", full.address.port()), &primary);
            full.address.port()
        } else {
            let first = listen("127.0.0.1", 0);
            let port = first.local_addr().unwrap().port();
            let second = listen("127.0.0.2", port);
            let (writes, reads) = if case == "the first only reads" { (second, first) } else { (first, second) };
            forward(writes, &primary);
            forward(reads, &standby);
            port
        };
        let url = format!("postgres://safespace@pair.test:{port}/safespace?target_session_attrs=read-write");
        let mount = r#"mount --bind "$1" /etc/hosts && exec "$2" check"#;
        let mut check = Command::new("unshare");
        check.args(["--map-root-user", "--mount", "sh", "-c", mount, "sh"]).arg(hosts.path());
        check.arg(env!("CARGO_BIN_EXE_safespace")).env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
        check.envs([("DATABASE_URL", url.as_str()), ("DB_SSLMODE", "disable"), ("DB_CONNECTION_TIMEOUT", "4")]);
        let output = check.output().unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success() && text.contains("Schema       version"), "{case}: {text}");
    }
}

#[test]
fn a_host_that_refuses_the_login_is_watched_at_a_lower_rate() {
    let healthy = Cluster::start();
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = refusing.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let logins = count.clone();
    thread::spawn(move || {
        for mut client in refusing.incoming().map_while(Result::ok) {
            logins.fetch_add(1, Ordering::Relaxed);
            // As PostgreSQL does for a role without a line in pg_hba.conf.
            let fields = b"SFATAL\0VFATAL\0C28000\0Mno entry\0\0";
            let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
            let _ = client.read(&mut [0; 1024]);
            let _ = client.write_all(&[b"E", length.as_slice(), fields].concat());
        }
    });
    let url = url_of_hosts(&[&healthy.host(), &address.to_string()]) + "?sslmode=disable";
    let service = Binary::new(&[("DATABASE_URL", &url)]).serve();
    eventually(PATIENCE, || (service.client.get("/health/ready").status == 200).then_some(()));
    eventually(PATIENCE, || (count.load(Ordering::Relaxed) > 0).then_some(()));
    let before = count.load(Ordering::Relaxed);
    thread::sleep(Duration::from_secs(8));
    let watched = count.load(Ordering::Relaxed) - before;
    assert!((1..=5).contains(&watched), "{watched} logins in 8 s");
}
