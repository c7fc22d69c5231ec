//! Streamed answers of many turns at once: how much later than the model's a piece arrives at the client, what processor time the
//! pieces take, and the memory before, during and after.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use safespace::session_id::SessionId;

use crate::memory::{STREAMS, TIME_TO_RETURN};
use crate::model;
use crate::pgbench::quantile;
use crate::results::{MemoryRow, StreamRow};
use crate::rows::Format;
use crate::services::{SAFESPACE, Service, safespace};
use crate::sessions::Sessions;
use crate::settings::{FEW_SESSIONS, Settings};
use crate::support::outcome::Outcome;
use crate::support::postgres::{OWNER, Postgres};
use crate::support::process::PROGRAM;
use crate::support::stop::StopSignal;
use crate::workload::{SessionChoice, Workload};

/// From one stream that is opened to the next, so that the first piece of each is measured beside the pieces of the others.
const TIME_BETWEEN_OPENS: Duration = Duration::from_millis(4);

/// All streams are open for this long before the measurement, and while it lasts.
const LEAD: Duration = Duration::from_secs(2);
const WINDOW: Duration = Duration::from_secs(10);

/// Timeout in seconds of a turn and, twice this, of its request; longer than a measurement.
const TURN_TIMEOUT: usize = 240;

/// Bound on the wait for the end of all streams.
const TIME_TO_END: Duration = Duration::from_secs(20);

/// Measures as many streams as the settings say.
pub(crate) fn measure(settings: &Settings, postgres: &Postgres, stop: &StopSignal) -> Outcome<(StreamRow, MemoryRow)> {
    let epoch = Instant::now();
    let model = model::start(epoch)?;
    let wanted = settings.open_streams;
    let variables = [
        ("OPENAI_BASE_URL", format!("http://{}/v1", model.address)),
        ("COMPANION_MODEL", "bench".to_owned()),
        ("COMPANION_CONCURRENCY", wanted.to_string()),
        ("COMPANION_TIMEOUT", TURN_TIMEOUT.to_string()),
        ("APP_REQUEST_TIMEOUT", (2 * TURN_TIMEOUT).to_string()),
    ];
    let command = |address: SocketAddr| {
        let mut command = safespace(settings, Path::new(PROGRAM), postgres, OWNER, address);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command
    };
    postgres.create_database(OWNER)?;
    let sessions = Sessions::new(postgres.client(OWNER)?, Format::Sealed);
    let mut service = Service::start(postgres, SAFESPACE, Some(sessions), command, stop)?;
    service.reset(FEW_SESSIONS, 0)?;
    let ids = service.choose(&SessionChoice::New(wanted))?;
    let before = service.process.resident();
    let mut clients = Clients::new(service.process.address, epoch)?;
    let mut next = Instant::now();
    for id in &ids {
        stop.check()?;
        clients.open(id)?;
        next += TIME_BETWEEN_OPENS;
        clients.read_until(next)?;
    }
    clients.read_until(Instant::now() + LEAD)?;
    clients.delays.clear();
    let (spent, began) = (service.process.processor_time(), Instant::now());
    clients.read_until(began + WINDOW)?;
    let processors = (service.process.processor_time() - spent) / began.elapsed().as_micros() as f64;
    let delays = std::mem::take(&mut clients.delays);
    let during = service.process.resident();
    let open = clients.open_streams().filter(|stream| stream.has_begun).count();
    drop(model);
    clients.read_to_end()?;
    std::thread::sleep(TIME_TO_RETURN);
    let after = service.process.resident();
    let pieces_per_second = delays.len() as f64 / WINDOW.as_secs_f64();
    let [first, all] = [clients.first_delays, delays].map(quantiles);
    let row = StreamRow { streams: open, pieces_per_second, first, all, processors };
    eprintln!(
        "{open} of {wanted} streams, {pieces_per_second:.0} pieces/s: first {first:?} ms, all {all:?} ms, {processors:.2} processors"
    );
    let resident = [before, during, after];
    Ok((row, MemoryRow { service: service.name.clone(), kind: STREAMS, wanted, open, resident, beside: None }))
}

/// The median and the 99th percentile; zero without values, which is below no goal since no stream is open then.
fn quantiles(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    [0.5, 0.99].map(|share| quantile(&values, share).unwrap_or_default())
}

struct Stream {
    connection: TcpStream,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    has_begun: bool,
}

/// The clients' ends of all streams.
struct Clients {
    service: SocketAddr,
    epoch: Instant,
    poll: Poll,
    /// `None` where the service has ended the stream.
    streams: Vec<Option<Stream>>,
    /// Milliseconds from the model to the client: of the first piece of each stream, and of all.
    first_delays: Vec<f64>,
    delays: Vec<f64>,
}

impl Clients {
    fn new(service: SocketAddr, epoch: Instant) -> Outcome<Clients> {
        let (first_delays, delays) = (Vec::new(), Vec::new());
        Ok(Clients { service, epoch, poll: Poll::new()?, streams: Vec::new(), first_delays, delays })
    }

    /// Asks for a streamed answer.
    fn open(&mut self, session: &SessionId) -> Outcome<()> {
        let (request, service) = (Workload::Stream.request(), self.service);
        let ([before, after], body, fields) = (request.path, request.body, request.fields);
        let mut connection = std::net::TcpStream::connect(service)?;
        let (method, id, length) = (request.method, session.expose(), body.len());
        let head = format!("{method} {before}{id}{after} HTTP/1.1\r\nHost: {service}\r\nConnection: close\r\n");
        connection.write_all(format!("{head}{fields}Content-Length: {length}\r\n\r\n{body}").as_bytes())?;
        connection.set_nonblocking(true)?;
        let mut connection = TcpStream::from_std(connection);
        self.poll.registry().register(&mut connection, Token(self.streams.len()), Interest::READABLE)?;
        self.streams.push(Some(Stream { connection, line: Vec::new(), has_begun: false }));
        Ok(())
    }

    fn open_streams(&self) -> impl Iterator<Item = &Stream> {
        self.streams.iter().flatten()
    }

    fn read_until(&mut self, end: Instant) -> Outcome<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.poll.poll(&mut events, Some(left))?;
            for event in &events {
                self.read(event.token().0);
            }
        }
    }

    fn read_to_end(&mut self) -> Outcome<()> {
        let deadline = Instant::now() + TIME_TO_END;
        while self.open_streams().next().is_some() && Instant::now() < deadline {
            self.read_until(Instant::now() + Duration::from_millis(50))?;
        }
        self.streams.clear();
        Ok(())
    }

    /// Reads what has arrived on one stream, and notes how late the pieces in its lines are.
    fn read(&mut self, index: usize) {
        let mut buffer = [0; 16 * 1024];
        while let Some(Some(stream)) = self.streams.get_mut(index) {
            match stream.connection.read(&mut buffer) {
                Ok(0) => self.streams[index] = None,
                Ok(count) => {
                    let now = self.epoch.elapsed().as_micros() as f64;
                    stream.line.extend_from_slice(&buffer[..count]);
                    let end = stream.line.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
                    let lines: Vec<u8> = stream.line.drain(..end).collect();
                    for time in model::times(&lines) {
                        let delay = (now - f64::from(time)) / 1000.0;
                        if !stream.has_begun {
                            self.first_delays.push(delay);
                        }
                        stream.has_begun = true;
                        self.delays.push(delay);
                    }
                    // Nothing is left that epoll would not report again.
                    if count < buffer.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.streams[index] = None,
            }
        }
    }
}
