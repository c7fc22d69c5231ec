//! Memory of the service with many idle connections, and a load of other requests beside them; and after a burst of long histories.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::baseline;
use crate::results::MemoryRow;
use crate::rows::Format;
use crate::services::{SAFESPACE, Service, safespace};
use crate::sessions::Sessions;
use crate::settings::{FEW_SESSIONS, Settings};
use crate::support::outcome::Outcome;
use crate::support::postgres::{OWNER, Postgres};
use crate::support::process::{PROGRAM, TIMEOUT};
use crate::support::stop::StopSignal;
use crate::workload::{Case, Workload};

/// The load beside the open connections.
const BESIDE: Case = Case { workload: Workload::Read, connections: 32 };

/// Connections that the service accepts beyond the idle ones, so that the load does not close any of them.
const SPARE_CONNECTIONS: usize = 100;

/// The timeout of an idle connection in seconds, longer than a measurement.
const IDLE_TIMEOUT: usize = 600;

/// Kinds of rows. The memory of the last two has to return after the burst.
const IDLE: &str = "idle connections";
pub(crate) const STREAMS: &str = "streams";
pub(crate) const HISTORIES: &str = "clients that read histories of 1,000 messages";

/// The burst of histories.
const BURST: Case = Case { workload: Workload::History, connections: 128 };
const BURST_HISTORIES: usize = 32;
const BURST_SECONDS: u64 = 5;

/// From the end of a burst until the memory is read: the allocator returns unused memory after a second, and threads of turns end
/// when none has come for some seconds.
pub(crate) const TIME_TO_RETURN: Duration = Duration::from_secs(12);

/// A small buffer, because there are 10,000 clients.
const BUFFER_BYTES: usize = 1024;

/// A client's end of a connection, which is open until dropped.
type Client = BufReader<TcpStream>;

/// Measures SafeSpace with a burst of histories, and SafeSpace and the baseline with idle connections.
pub(crate) fn measure(settings: &Settings, postgres: &Postgres, stop: &StopSignal) -> Outcome<Vec<MemoryRow>> {
    let mut rows = vec![with_histories(settings, postgres, stop)?];
    rows.push(with_idle_connections(settings, postgres, SAFESPACE, OWNER, Path::new(PROGRAM), stop)?);
    if let Some(program) = &settings.baseline {
        rows.push(with_idle_connections(settings, postgres, baseline::NAME, baseline::NAME, program, stop)?);
    }
    Ok(rows)
}

fn with_histories(settings: &Settings, postgres: &Postgres, stop: &StopSignal) -> Outcome<MemoryRow> {
    let command = |address: SocketAddr| safespace(settings, Path::new(PROGRAM), postgres, OWNER, address);
    postgres.create_database(OWNER)?;
    let sessions = Sessions::new(postgres.client(OWNER)?, Format::Sealed);
    let mut service = Service::start(postgres, SAFESPACE, Some(sessions), command, stop)?;
    service.reset(FEW_SESSIONS, BURST_HISTORIES)?;
    service.measure(BESIDE, settings.seconds)?;
    let before = service.process.resident();
    let sample = service.measure(BURST, BURST_SECONDS)?;
    stop.check()?;
    thread::sleep(TIME_TO_RETURN);
    let resident = [before, sample.resident.unwrap_or_default(), service.process.resident()];
    print(&service.name, HISTORIES, BURST.connections, resident);
    let (wanted, open) = (BURST.connections, BURST.connections);
    Ok(MemoryRow { service: service.name.clone(), kind: HISTORIES, wanted, open, resident, beside: Some(sample) })
}

/// Each connection has had one response.
fn with_idle_connections(
    settings: &Settings,
    postgres: &Postgres,
    name: &str,
    database: &str,
    program: &Path,
    stop: &StopSignal,
) -> Outcome<MemoryRow> {
    let count = settings.idle_connections;
    let command = |address: SocketAddr| {
        let mut command = safespace(settings, program, postgres, database, address);
        command.env("APP_MAX_CONNECTIONS", (count + SPARE_CONNECTIONS).to_string());
        command.env("APP_IDLE_TIMEOUT", IDLE_TIMEOUT.to_string());
        command
    };
    let mut service =
        Service::start(postgres, name, Some(Sessions::new(postgres.client(database)?, Format::Sealed)), command, stop)?;
    service.reset(FEW_SESSIONS, 0)?;
    observe(settings, &mut service, count, stop)
}

/// Opens idle connections one after another, up to the first that fails, and runs a load beside them.
fn observe(settings: &Settings, service: &mut Service, wanted: usize, stop: &StopSignal) -> Outcome<MemoryRow> {
    service.measure(BESIDE, settings.seconds)?;
    let before = service.process.resident();
    let mut clients = Vec::new();
    for index in 0..wanted {
        stop.check()?;
        match open_idle(service.process.address) {
            Ok(client) => clients.push(client),
            Err(error) => {
                eprintln!("{}, {IDLE}: only {index} of {wanted}: {error}", service.name);
                break;
            }
        }
    }
    let during = service.process.resident();
    let beside = service.measure(BESIDE, settings.seconds)?;
    let open = clients.iter_mut().map(is_open).filter(|is_open| *is_open).count();
    drop(clients);
    service.process.settle();
    let resident = [before, during, service.process.resident()];
    print(&service.name, IDLE, open, resident);
    Ok(MemoryRow { service: service.name.clone(), kind: IDLE, wanted, open, resident, beside: Some(beside) })
}

fn print(name: &str, kind: &str, count: usize, [before, during, after]: [f64; 3]) {
    eprintln!("{name}, {count} {kind}: {before:.1} MiB before, {during:.1} during, {after:.1} after");
}

/// Sends one request on a connection that stays open, and reads the response.
fn open_idle(address: SocketAddr) -> io::Result<Client> {
    let mut client = send(address, &format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n"))?;
    let line = read_until(&mut client, "Content-Length:")?;
    let length = line.rsplit(' ').next().and_then(|number| number.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    read_until(&mut client, "")?;
    client.read_exact(&mut vec![0; length])?;
    Ok(client)
}

/// Sends a request and reads the status line, which has to be 200.
fn send(address: SocketAddr, request: &str) -> io::Result<Client> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut client = BufReader::with_capacity(BUFFER_BYTES, stream);
    let mut status = String::new();
    client.read_line(&mut status)?;
    if status.starts_with("HTTP/1.1 200 ") { Ok(client) } else { Err(io::Error::other(status)) }
}

/// Reads lines up to the first that starts with a prefix; for an empty prefix, up to the first empty line.
fn read_until(client: &mut Client, prefix: &str) -> io::Result<String> {
    loop {
        let mut line = String::new();
        if client.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if if prefix.is_empty() { line.is_empty() } else { line.starts_with(prefix) } {
            return Ok(line.to_owned());
        }
    }
}

/// Whether the service has not closed the connection.
fn is_open(client: &mut Client) -> bool {
    if client.get_ref().set_nonblocking(true).is_err() {
        return false;
    }
    let mut buffer = [0; 1024];
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
