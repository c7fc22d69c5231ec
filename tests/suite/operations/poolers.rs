//! A pooler between the service and PostgreSQL that drops the settings of a connection, as PgBouncer does.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;

use crate::support::cluster::Cluster;
use crate::support::process::Binary;

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
    }
    let mut sql = postgres::Client::connect(&cluster.url(), postgres::NoTls).unwrap();
    sql.batch_execute(
        "ALTER ROLE safespace SET statement_timeout = '3s'; ALTER ROLE safespace SET enable_seqscan = off;
         ALTER ROLE safespace SET idle_in_transaction_session_timeout = '3s'",
    )
    .unwrap();
    for output in warnings() {
        assert!(!output.contains("does not get what the service sets"), "{output}");
    }
}
