//! Memory of the service with many open streams and with many idle connections, and a load of other requests beside them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::baseline;
use crate::model;
use crate::results::MemoryRow;
use crate::rows::Format;
use crate::services::{SAFESPACE, Service, safespace};
use crate::sessions::Sessions;
use crate::settings::{FEW_SESSIONS, Settings};
use crate::support::outcome::Outcome;
use crate::support::postgres::{OWNER, Postgres};
use crate::support::process::{PROGRAM, TIMEOUT};
use crate::support::stop::StopSignal;
use crate::workload::{Case, SessionChoice, Workload};

/// The load beside the open connections.
const BESIDE: Case = Case { workload: Workload::Read, connections: 32 };

/// Connections that the service accepts beyond the idle ones, so that the load does not close any of them.
const SPARE_CONNECTIONS: usize = 100;

/// Timeouts in seconds, all longer than a measurement: of an idle connection, and of a turn and its request.
const IDLE_TIMEOUT: usize = 600;
const TURN_TIMEOUT: usize = 240;

const STREAMS: &str = "open streams";
const IDLE: &str = "idle connections";

/// A small buffer, because there are 10,000 clients.
const BUFFER_BYTES: usize = 1024;

/// A client's end of a connection, which is open until dropped.
type Client = BufReader<TcpStream>;

/// Measures SafeSpace with open streams, and SafeSpace and the baseline with idle connections.
pub(crate) fn measure(settings: &Settings, postgres: &Postgres, stop: &StopSignal) -> Outcome<Vec<MemoryRow>> {
    // The bench has the client's end of each connection, and the model's end of each stream.
    let (_, max) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, max, max)?;
    let mut rows = vec![with_streams(settings, postgres, stop)?];
    rows.push(with_idle_connections(settings, postgres, SAFESPACE, OWNER, Path::new(PROGRAM), stop)?);
    if let Some(program) = &settings.baseline {
        rows.push(with_idle_connections(settings, postgres, baseline::NAME, baseline::NAME, program, stop)?);
    }
    Ok(rows)
}

/// Each stream has had its first delta. The model server finishes all of them at the end.
fn with_streams(settings: &Settings, postgres: &Postgres, stop: &StopSignal) -> Outcome<MemoryRow> {
    let model = model::start()?;
    let variables = [
        ("OPENAI_BASE_URL", format!("http://{}/v1", model.address)),
        ("COMPANION_MODEL", "bench".to_owned()),
        ("COMPANION_CONCURRENCY", settings.open_streams.to_string()),
        ("COMPANION_TIMEOUT", TURN_TIMEOUT.to_string()),
        ("APP_REQUEST_TIMEOUT", (2 * TURN_TIMEOUT).to_string()),
    ];
    let program = Path::new(PROGRAM);
    let command = |address: SocketAddr| {
        let mut command = safespace(settings, program, postgres, OWNER, address);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command
    };
    let mut service = Service::start(
        postgres,
        SAFESPACE,
        Some(Sessions::new(postgres.client(OWNER)?, Format::Sealed)),
        command,
        stop,
    )?;
    service.reset(FEW_SESSIONS, 0)?;
    let ids = service.choose(&SessionChoice::New(settings.open_streams))?;
    let address = service.process.address;
    let connect = |index: usize| open_stream(address, &ids[index].expose().to_string());
    observe(settings, &mut service, (STREAMS, settings.open_streams), connect, || drop(model), stop)
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
    let address = service.process.address;
    observe(settings, &mut service, (IDLE, count), |_| open_idle(address), || (), stop)
}

/// Opens connections one after another, up to the first that fails, and runs a load beside them. `finish` ends what the
/// clients do not end by closing their connections.
fn observe(
    settings: &Settings,
    service: &mut Service,
    (kind, wanted): (&'static str, usize),
    connect: impl Fn(usize) -> io::Result<Client>,
    finish: impl FnOnce(),
    stop: &StopSignal,
) -> Outcome<MemoryRow> {
    service.measure(BESIDE, settings.seconds)?;
    let before = service.process.resident();
    let mut clients = Vec::new();
    for index in 0..wanted {
        stop.check()?;
        match connect(index) {
            Ok(client) => clients.push(client),
            Err(error) => {
                eprintln!("{}, {kind}: only {index} of {wanted}: {error}", service.name);
                break;
            }
        }
    }
    let during = service.process.resident();
    let beside = service.measure(BESIDE, settings.seconds)?;
    let open = clients.iter_mut().map(is_open).filter(|is_open| *is_open).count();
    finish();
    drop(clients);
    service.process.settle();
    let after = service.process.resident();
    let name = service.name.clone();
    eprintln!("{name}, {open} {kind}: {before:.1} MiB before, {during:.1} during, {after:.1} after");
    Ok(MemoryRow { service: name, kind, wanted, open, resident: [before, during, after], beside })
}

/// Asks for a streamed answer, and reads it up to its first delta.
fn open_stream(address: SocketAddr, session: &str) -> io::Result<Client> {
    let request = Workload::Stream.request();
    let ([before, after], body, fields) = (request.path, request.body, request.fields);
    let length = body.len();
    let head =
        format!("{} {before}{session}{after} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n", request.method);
    let mut client = send(address, &format!("{head}{fields}Content-Length: {length}\r\n\r\n{body}"))?;
    read_until(&mut client, "event: message.delta")?;
    // The line of its data and the end of the event.
    for _ in 0..2 {
        client.read_line(&mut String::new())?;
    }
    Ok(client)
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
