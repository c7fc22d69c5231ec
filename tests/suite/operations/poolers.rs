//! A pooler between the service and PostgreSQL: one that drops the settings of a connection, as PgBouncer does, and PgBouncer.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::json;

use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::http::Client;
use crate::support::process::Binary;
use crate::support::timing::PATIENCE;

/// Forwards connections to the cluster as they are, from a Unix socket in this folder.
fn start_forwarder(cluster: &Cluster, folder: &Path) {
    let socket = cluster.folder().join("socket/.s.PGSQL.5432");
    let listener = UnixListener::bind(folder.join(".s.PGSQL.5432")).unwrap();
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let Ok(mut server) = UnixStream::connect(&socket) else { return };
            let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                let _ = io::copy(&mut from_client, &mut to_server);
                to_server.shutdown(Shutdown::Write)
            });
            thread::spawn(move || {
                let _ = io::copy(&mut server, &mut client);
                client.shutdown(Shutdown::Write)
            });
        }
    });
}

/// Forwards connections to the cluster, without the parameter `options` of their startup message.
fn start_pooler(cluster: &Cluster) -> SocketAddr {
    let socket = cluster.folder().join("socket/.s.PGSQL.5432");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            // The last connections may be tried while the test ends.
            if let Ok(server) = UnixStream::connect(&socket) {
                thread::spawn(move || forward(client, server));
            }
        }
    });
    address
}

fn forward(mut client: TcpStream, mut server: UnixStream) -> io::Result<()> {
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    let mut message = vec![0; u32::from_be_bytes(length) as usize - 4];
    client.read_exact(&mut message)?;
    // The version, then names and values, each with a zero at its end, and one more zero.
    let (version, parameters) = message.split_at(4);
    let parameters: Vec<&[u8]> = parameters.split(|byte| *byte == 0).collect();
    let kept = parameters.chunks_exact(2).filter(|pair| pair[0] != b"options" && !pair[0].is_empty());
    let mut message = version.to_vec();
    kept.flatten().for_each(|text| message.extend([text, [0].as_slice()].concat()));
    message.push(0);
    server.write_all(&u32::try_from(message.len() + 4).unwrap().to_be_bytes())?;
    server.write_all(&message)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        to_server.shutdown(Shutdown::Write)
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Write)
}

#[test]
fn a_pooler_that_refuses_the_settings_is_an_error_with_its_remedy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://safespace@{}/safespace?sslmode=disable", listener.local_addr().unwrap());
    thread::spawn(move || {
        // What PgBouncer answers to the startup message.
        let fields = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0";
        let error = [b"E", (fields.len() as u32 + 4).to_be_bytes().as_slice(), fields].concat();
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = client.read(&mut [0; 1024]);
            let _ = client.write_all(&error);
        }
    });
    let check = Binary::new(&[("DATABASE_URL", &url)]).argument("check").run();
    let error = String::from_utf8_lossy(&check.stderr);
    let remedy = "(SQLSTATE 08P01); set ignore_startup_parameters = options in PgBouncer (docs/setup.md)";
    assert!(check.status.code() == Some(1) && error.contains(remedy), "{error}");
}

#[test]
fn settings_that_a_pooler_drops_are_a_warning_until_the_role_has_them() {
    let cluster = Cluster::start();
    let url = format!("postgres://safespace@{}/safespace?sslmode=disable", start_pooler(&cluster));
    let variables = [("DATABASE_URL", url.as_str()), ("DB_QUERY_TIMEOUT", "3")];
    let warnings = || {
        let log = Binary::new(&variables).serve().stop();
        let check = Binary::new(&variables).argument("check").run();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
        [log, String::from_utf8(check.stdout).unwrap()]
    };
    for output in warnings() {
        assert!(output.contains("statement_timeout is 0 and not 3000 ms (DB_QUERY_TIMEOUT)"), "{output}");
        assert!(output.contains("enable_seqscan is on and not off"), "{output}");
        assert!(output.contains("jit is on and not off"), "{output}");
    }
    let mut sql = postgres::Client::connect(&cluster.url(), postgres::NoTls).unwrap();
    sql.batch_execute(
        "ALTER ROLE safespace SET statement_timeout = '3s'; ALTER ROLE safespace SET enable_seqscan = off;
         ALTER ROLE safespace SET jit = off;
         ALTER ROLE safespace SET idle_in_transaction_session_timeout = '3s'",
    )
    .unwrap();
    for output in warnings() {
        assert!(!output.contains("does not get what the service sets"), "{output}");
    }
}

/// PgBouncer in front of a cluster, killed when dropped.
struct Bouncer {
    process: Child,
    folder: tempfile::TempDir,
}

impl Bouncer {
    fn start(cluster: &Cluster, mode: &str) -> Bouncer {
        let folder = tempfile::tempdir().unwrap();
        let (own, server) = (folder.path().display(), cluster.host());
        let settings = format!(
            "[databases]\nsafespace = host={server} user=safespace\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = {own}\n\
             auth_type = any\npool_mode = {mode}\ndefault_pool_size = {}\nignore_startup_parameters = options\n",
            // Two in transaction mode, so that the services share each.
            if mode == "session" { 30 } else { 2 },
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, settings).unwrap();
        // Like PostgreSQL, it does not run as root, and only the user of the server reaches its socket.
        let owner = fs::metadata(cluster.folder().join("cluster")).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
        std::os::unix::fs::chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
        // Debian has it beside the programs of administrators.
        let program = if Path::new("/usr/sbin/pgbouncer").exists() { "/usr/sbin/pgbouncer" } else { "pgbouncer" };
        let mut command = Command::new(program);
        command.arg("-q").arg(file).uid(owner.uid()).gid(owner.gid()).current_dir("/");
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("pgbouncer is installed");
        let bouncer = Bouncer { process, folder };
        let socket = bouncer.folder.path().join(".s.PGSQL.6432");
        eventually(PATIENCE, || UnixStream::connect(&socket).ok());
        bouncer
    }

    fn url(&self) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://safespace@{folder}:6432/safespace")
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Lives of sessions, each with all kinds of statements.
fn live(client: &Client, count: usize) {
    for _ in 0..count {
        let created = client.post("/api/v1/sessions").assert_status(201).json();
        let session = format!("/api/v1/sessions/{}", created["session_id"].as_str().unwrap());
        let read = client.get(&session).assert_status(200).json();
        assert_eq!(read["created_at"], created["created_at"]);
        let chat = format!("{session}/chat");
        client.post_json(&chat, &json!({ "message": "Hello" }), &[]).assert_status(200);
        let history = client.get(&chat).assert_status(200).json();
        assert_eq!(history["messages"].as_array().unwrap().len(), 2);
        let erased =
            client.send_with("DELETE", &session, &[("Prefer", "return=representation")]).assert_status(200).json();
        assert_eq!(erased["deleted"]["messages"], 2, "{erased}");
    }
}

#[test]
#[ignore = "needs PgBouncer"]
fn two_services_whose_statements_have_another_order_do_not_meet_behind_pgbouncer() {
    for mode in ["transaction", "session"] {
        let cluster = Cluster::start();
        let bouncer = Bouncer::start(&cluster, mode);
        let url = bouncer.url();
        let variables = [("DATABASE_URL", url.as_str()), ("DB_POOL_MIN_SIZE", "1"), ("DB_POOL_MAX_SIZE", "3")];
        let [first, second] = [0, 1].map(|_| Binary::new(&variables).serve());
        // The first knows all statements before the second begins with another.
        live(&first.client, 1);
        second.client.get("/api/v1/sessions/00000000-0000-4000-8000-000000000000").assert_status(404);
        thread::scope(|scope| {
            for service in [&first, &second] {
                for _ in 0..2 {
                    scope.spawn(|| live(&service.client, 20));
                }
            }
        });
        let check = Binary::new(&variables).argument("check").run();
        let output = String::from_utf8(check.stdout).unwrap();
        assert!(output.contains("\nStatements   unnamed, "), "{mode}: {output}");
    }
}

#[test]
fn statements_are_prepared_on_a_connection_to_postgres_itself_and_not_through_a_pooler_and_the_operator_is_told() {
    let cluster = Cluster::start();
    let pooled = format!("postgres://safespace@{}/safespace?sslmode=disable", start_pooler(&cluster));
    // A pooler that passes all settings on may still give the process of PostgreSQL to another service later.
    let folder = tempfile::tempdir().unwrap();
    start_forwarder(&cluster, folder.path());
    let forwarded =
        format!("postgres://safespace@{}/safespace", folder.path().display().to_string().replace('/', "%2F"));
    for (url, mode) in [(cluster.url(), "prepared"), (pooled, "unnamed"), (forwarded, "unnamed")] {
        let service = Binary::new(&[("DATABASE_URL", &url), ("LOG_LEVEL", "debug")]).serve();
        live(&service.client, 2);
        // A connection says it once it has executed a statement.
        eventually(PATIENCE, || {
            service.client.get("/health/db").assert_status(200);
            service.log().contains(&format!("Database answers statements={mode}")).then_some(())
        });
        let check = Binary::new(&[("DATABASE_URL", &url)]).argument("check").run();
        let output = String::from_utf8(check.stdout).unwrap();
        assert!(output.contains(&format!("\nStatements   {mode}")), "{output}");
    }
}
