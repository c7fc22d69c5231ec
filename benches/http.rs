//! Measures the HTTP server beside rouille's own and an axum peer: `cargo bench --bench http`. It needs `wrk`.
//!
//! `PEERS` names the folder of the peers, of which `axum/` is built and run; without it the bench runs without. Every
//! server is a process of its own beside one PostgreSQL, and they take turns, so that what else the machine does falls
//! on all of them. The exit code is 1 if a goal is missed or the bench cannot run, and 2 if `wrk` is missing.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postgres::NoTls;
use rouille::{Request, Response};
use safespace::api::{self, Context};
use safespace::config::{self, Config, PrivateServer};
use safespace::http::{self, Application, Refusal};
use safespace::store::private::PrivatePostgres;
use safespace::store::{Database, Target};
use signal_hook::consts::{SIGINT, SIGTERM};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How wrk is run, once for every server in every round.
const LOAD: [&str; 4] = ["-t1", "-c128", "-d3s", "--latency"];

/// Three times three, so that each of three servers is first as often as another.
const ROUNDS: usize = 9;

/// The threads of rouille's server: as many as SafeSpace has workers by default.
const POOL_SIZE: usize = 32;

/// An answer of many packets, which shows whether the last of them waits for an acknowledgement.
const LARGE_BYTES: usize = 40 * 1024;
const LARGE_REQUESTS: usize = 500;

/// The goals: how many times the requests per second of rouille and of axum, and in how many milliseconds a large answer.
const LEAST_RATIOS: [f64; 2] = [1.4, 1.0];
const MOST_FOR_LARGE: f64 = 1.0;

/// No answer takes this long, nor does a server to start.
const PATIENCE: Duration = Duration::from_secs(15);

/// The argument that makes this program rouille's server.
const BE_ROUILLE: &str = "be-rouille";

/// Linux counts processor time in hundredths of a second.
const MICROSECONDS_PER_TICK: f64 = 10_000.0;

fn main() -> ExitCode {
    let outcome = match env::args().nth(1) {
        Some(argument) if argument == BE_ROUILLE => be_rouille(),
        _ if is_wrk_missing() => {
            eprintln!("wrk makes the load and is not installed here: apt-get install wrk");
            return ExitCode::from(2);
        }
        _ => compare(),
    };
    let all_met = outcome.unwrap_or_else(|error| {
        eprintln!("The bench cannot run: {error}");
        false
    });
    if all_met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_wrk_missing() -> bool {
    Command::new("wrk").arg("-v").output().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Measures and prints everything, and says whether all goals are met.
fn compare() -> Outcome<bool> {
    let axum = build_axum()?;
    let large = large_answers()?;
    // From here on, a process that a signal ends would leave its PostgreSQL behind.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    // The path of a socket has to be short, hence /tmp.
    let folder = tempfile::Builder::new().prefix("safespace-").tempdir_in("/tmp")?;
    let private = PrivateServer { data_folder: folder.path().to_owned(), binaries: None };
    let _postgres = PrivatePostgres::start(&private, &[], &stop)?;
    let mut servers = start_servers(&private, axum.as_deref())?;
    for round in 0..=ROUNDS {
        for turn in 0..servers.len() {
            let next = (round + turn) % servers.len();
            let server = &mut servers[next];
            let measured = server.measure()?;
            if stop.load(Ordering::Relaxed) {
                return Err("it was stopped".into());
            }
            // The first round warms up and does not count.
            if round > 0 {
                eprintln!("round {round} of {ROUNDS}: {:9} {:7.0} requests/s", server.name, measured.rate);
                server.rounds.push(measured);
            }
        }
    }
    print_table(&servers, large);
    Ok(print_goals(&servers, large))
}

/// Builds the axum peer, where there is one.
fn build_axum() -> Outcome<Option<PathBuf>> {
    let Some(peers) = env::var_os("PEERS") else {
        println!("PEERS is not set, so this runs without peers.");
        return Ok(None);
    };
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axum");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--locked", "--manifest-path"]).arg(Path::new(&peers).join("axum/Cargo.toml"));
    if !command.arg("--target-dir").arg(&target).status()?.success() {
        return Err("the axum peer is not built".into());
    }
    Ok(Some(target.join("release/axum-peer")))
}

/// Starts all servers, ours first.
fn start_servers(private: &PrivateServer, axum: Option<&Path>) -> Outcome<Vec<Server>> {
    let sockets = private.data_folder.join("socket").display().to_string();
    let this_program = env::current_exe()?;
    let ours = |address| of_this_project(env!("CARGO_BIN_EXE_safespace").as_ref(), &sockets, address);
    let rouille = |address| {
        let mut command = of_this_project(&this_program, &sockets, address);
        command.arg(BE_ROUILLE);
        command
    };
    let mut servers = vec![Server::start("SafeSpace", ours)?, Server::start("rouille", rouille)?];
    if let Some(program) = axum {
        // In a database of its own, since its tables have the names of ours.
        PrivatePostgres::server(private).connect.connect(NoTls)?.batch_execute("CREATE DATABASE peer")?;
        let axum = |address: SocketAddr| {
            let mut command = Command::new(program);
            command.env("DATABASE_URL", format!("host={sockets} user=safespace dbname=peer")).arg(address.to_string());
            command
        };
        servers.push(Server::start("axum", axum)?);
    }
    Ok(servers)
}

/// A program that reads SafeSpace's configuration, which is all default but for what it must be told. Neither of the
/// others logs requests, so it does not either.
fn of_this_project(program: &Path, sockets: &str, address: SocketAddr) -> Command {
    let mut command = Command::new(program);
    // There is no .env in that folder.
    command.current_dir(sockets).env_clear().env("LOG_LEVEL", "warn");
    command.env("DATABASE_URL", format!("postgres://safespace@{}/safespace", sockets.replace('/', "%2F")));
    command.env("APP_HOST", address.ip().to_string()).env("APP_PORT", address.port().to_string());
    command
}

/// Serves what SafeSpace serves with rouille's own server, until it is killed.
fn be_rouille() -> Outcome<bool> {
    let config = Config::from_environment()?;
    let config::Database::Server(server) = &config.database else { return Err("DATABASE_URL is not set".into()) };
    let target = Target::new(server, &config.pool, config.pool.query_timeout)?;
    let context = Context { database: Database::open(target, &config.pool), stopping: AtomicBool::new(false) };
    let handler = move |request: &Request| api::serve(&context, request);
    let server = rouille::Server::new((config.http.host.as_str(), config.http.port), handler);
    server.map_err(|error| error.to_string())?.pool_size(POOL_SIZE).run();
    Ok(true)
}

/// A server under test, killed when it goes.
struct Server {
    name: &'static str,
    process: Child,
    address: SocketAddr,
    rounds: Vec<Round>,
}

/// What one run of wrk found.
struct Round {
    /// Requests per second.
    rate: f64,
    /// Milliseconds that half of the requests, and all but one in a hundred, stayed below.
    p50: f64,
    p99: f64,
    /// Answers that were no success, and what failed before an answer was there.
    errors: f64,
    /// Microseconds of processor time that the server took for a request.
    processor: f64,
}

impl Round {
    /// Reads wrk's report.
    fn read(report: &str, processor: f64) -> Option<Round> {
        let requests = sum(report.lines().find_map(|line| line.split_once(" requests in "))?.0);
        // Of these it says nothing while there are none.
        let errors = ["Socket errors:", "Non-2xx or 3xx responses:"].map(|name| after(report, name).map_or(0.0, sum));
        Some(Round {
            rate: after(report, "Requests/sec:")?.parse().ok()?,
            p50: milliseconds(after(report, "50%")?)?,
            p99: milliseconds(after(report, "99%")?)?,
            errors: errors.iter().sum(),
            processor: processor / requests,
        })
    }
}

impl Server {
    /// Starts it on a free port and waits until it answers.
    fn start(name: &'static str, command: impl Fn(SocketAddr) -> Command) -> Outcome<Server> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = command(address);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut server = Server { name, process, address, rounds: Vec::new() };
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = connect(address).and_then(|mut stream| get(&mut stream)) {
            if Instant::now() > deadline || server.process.try_wait()?.is_some() {
                return Err(format!("{name} does not answer: {error}").into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn measure(&self) -> Outcome<Round> {
        let before = self.processor_time()?;
        let output = Command::new("wrk").args(LOAD).arg(format!("http://{}/", self.address)).output()?;
        let processor = self.processor_time()? - before;
        let report = String::from_utf8_lossy(&output.stdout);
        let round = Round::read(&report, processor);
        round.ok_or_else(|| format!("{} is not measured, wrk says: {report}", self.name).into())
    }

    /// Microseconds that all its threads have spent, in itself and in the kernel.
    fn processor_time(&self) -> Outcome<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name before them, in brackets, may hold anything.
        let fields = text.rsplit(") ").next().unwrap_or("").split(' ');
        Ok(fields.skip(11).take(2).map(sum).sum::<f64>() * MICROSECONDS_PER_TICK)
    }

    fn median(&self, field: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(field).collect())
    }

    fn errors(&self) -> f64 {
        self.rounds.iter().map(|round| round.errors).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a line of a report says after the name it begins with.
fn after<'a>(report: &'a str, name: &str) -> Option<&'a str> {
    report.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim)
}

/// The sum of all whole numbers in a text.
fn sum(text: &str) -> f64 {
    text.split(|character: char| !character.is_ascii_digit()).filter_map(|number| number.parse::<f64>().ok()).sum()
}

/// A time as wrk writes it.
fn milliseconds(text: &str) -> Option<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)];
    units.iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Answers every request with the same bytes.
struct Large;

impl Application for Large {
    fn answer(&self, _: &Request) -> Response {
        Response::from_data("application/octet-stream", vec![b'x'; LARGE_BYTES])
    }

    fn refuse_head(&self, _: &Request) -> Option<Response> {
        None
    }

    fn refuse(&self, _: Refusal) -> Response {
        Response::empty_400()
    }
}

/// How long large answers take of SafeSpace's server and of rouille's, both in this process.
fn large_answers() -> Outcome<[f64; 2]> {
    let limits = Config::from_variables(&HashMap::new())?.http.limits;
    let ours = http::Server::start(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, limits, Arc::new(Large))?;
    let rouille = rouille::Server::new((Ipv4Addr::LOCALHOST, 0), |request| Large.answer(request));
    let rouille = rouille.map_err(|error| error.to_string())?;
    let address = rouille.server_addr();
    // It ends with this process.
    thread::spawn(move || rouille.run());
    Ok([large_answer(ours.address())?, large_answer(address)?])
}

/// The median of the milliseconds that large answers take, one after another on one connection.
fn large_answer(address: SocketAddr) -> Outcome<f64> {
    let mut stream = connect(address)?;
    let mut durations = Vec::new();
    for _ in 0..LARGE_REQUESTS {
        let started = Instant::now();
        if get(&mut stream)? < LARGE_BYTES {
            return Err("a large answer that is not".into());
        }
        durations.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(median(durations))
}

fn connect(address: SocketAddr) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Asks for `/`, reads the answer to its last byte, and says how long it was, head and all.
fn get(stream: &mut TcpStream) -> Outcome<usize> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let (mut answer, mut piece) = (Vec::new(), [0; 64 * 1024]);
    while !is_whole(&answer) {
        match stream.read(&mut piece)? {
            0 => return Err("an answer that ends early".into()),
            length => answer.extend_from_slice(&piece[..length]),
        }
    }
    if answer.starts_with(b"HTTP/1.1 200 ") { Ok(answer.len()) } else { Err("an answer that is not 200".into()) }
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    match after(&head.to_ascii_lowercase(), "content-length:") {
        Some(length) => length.parse() == Ok(body.len()),
        // rouille's server sends in chunks what is longer than 32 KiB.
        None => body.ends_with("\r\n0\r\n\r\n"),
    }
}

fn print_table(servers: &[Server], large: [f64; 2]) {
    let processors = thread::available_parallelism().map_or(0, usize::from);
    println!("\nGET / under wrk {}: medians of {ROUNDS} rounds, {processors} processors", LOAD.join(" "));
    println!("server     requests/s    p50 ms    p99 ms  errors  CPU µs per request");
    for server in servers {
        let (name, errors, rate) = (server.name, server.errors(), server.median(|round| round.rate));
        let (p50, p99) = (server.median(|round| round.p50), server.median(|round| round.p99));
        let processor = server.median(|round| round.processor);
        println!("{name:9} {rate:11.0} {p50:9.2} {p99:9.2} {errors:7} {processor:19.1}");
    }
    println!("\n{} KiB on one connection: medians of {LARGE_REQUESTS} answers", LARGE_BYTES / 1024);
    println!("SafeSpace {:8.3} ms\nrouille   {:8.3} ms\n", large[0], large[1]);
}

/// Prints the goals and says whether all are met.
fn print_goals(servers: &[Server], large: [f64; 2]) -> bool {
    let goal = |name: &str, value: f64, wanted: String, met: bool| {
        println!("{name:26} {value:7.3}, wanted {wanted:13} {}", if met { "met" } else { "MISSED" });
        met
    };
    let errors = servers[0].errors();
    let mut met = vec![goal("SafeSpace's errors", errors, "0".to_owned(), errors < 1.0)];
    for (peer, least) in servers[1..].iter().zip(LEAST_RATIOS) {
        let ratio = servers[0].median(|round| round.rate) / peer.median(|round| round.rate);
        met.push(goal(&format!("SafeSpace / {}", peer.name), ratio, format!("at least {least:.1}"), ratio >= least));
    }
    met.push(goal("SafeSpace's 40 KiB in ms", large[0], format!("below {MOST_FOR_LARGE}"), large[0] < MOST_FOR_LARGE));
    met.into_iter().all(|met| met)
}
