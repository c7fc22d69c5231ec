//! The binary as an operator runs it.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::unistd::{User, geteuid};

use super::cluster::{distribution, send_signal};
use super::eventually;
use super::http::Client;
use super::timing::PATIENCE;

/// A command line of the binary with an empty working folder and only the given environment variables.
pub(crate) struct Binary {
    command: Command,
    folder: tempfile::TempDir,
}

impl Binary {
    pub(crate) fn new(variables: &[(&str, &str)]) -> Binary {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_safespace"));
        command.current_dir(&folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap()).stdin(Stdio::null());
        let url = variables.iter().find(|(name, _)| *name == "DATABASE_URL");
        command.envs(url.and_then(|(_, url)| distribution(url)));
        command.envs(variables.iter().copied());
        Binary { command, folder }
    }

    /// The same with a soft and hard limit on open descriptors.
    pub(crate) fn with_descriptors(variables: &[(&str, &str)], limit: u32) -> Binary {
        Binary::under(variables, &format!("ulimit -n {limit}"))
    }

    /// The same after a command of the shell.
    pub(crate) fn under(variables: &[(&str, &str)], prelude: &str) -> Binary {
        let mut binary = Binary::new(variables);
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{prelude}; exec \"$0\" \"$@\"")).arg(binary.command.get_program());
        command.envs(binary.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(&binary.folder).stdin(Stdio::null());
        binary.command = command;
        binary
    }

    /// The same by the user of PostgreSQL in the place of root.
    pub(crate) fn without_root(variables: &[(&str, &str)]) -> Binary {
        let mut binary = Binary::new(variables);
        if geteuid().is_root() {
            let user = User::from_name("postgres").unwrap().unwrap();
            // The folders above the program may be closed to others.
            let folder = binary.folder.path();
            fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
            fs::copy(binary.command.get_program(), folder.join("safespace")).unwrap();
            let mut command = Command::new(folder.join("safespace"));
            command.current_dir(folder).env_clear().stdin(Stdio::null());
            command.envs(binary.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
            binary.command = command;
        }
        binary
    }

    pub(crate) fn argument(mut self, argument: &str) -> Binary {
        self.command.arg(argument);
        self
    }

    /// Runs it with this umask, in octal.
    pub(crate) fn with_umask(variables: &[(&str, &str)], umask: &str) -> Binary {
        Binary::under(variables, &format!("umask {umask}"))
    }

    /// Writes a file into the working folder.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Binary {
        fs::write(self.folder.path().join(name), content).unwrap();
        self
    }

    /// Runs it to its end. A service, which listens before it may fail, does so on a free port.
    pub(crate) fn run(mut self) -> Output {
        let is_set =
            self.command.get_envs().any(|(name, _)| name == "APP_PORT") || self.folder.path().join(".env").exists();
        if self.command.get_args().next().is_none() && !is_set {
            self.command.env("APP_PORT", "0");
        }
        self.command.output().unwrap()
    }

    /// Runs it to its end with this text as its standard input.
    pub(crate) fn run_with_stdin(mut self, text: &str) -> Output {
        let piped = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // It may have ended without reading all of it.
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Runs it to its end with a standard error of its own.
    pub(crate) fn run_with_stderr(mut self, stderr: impl Into<Stdio>) -> ExitStatus {
        self.command.stdout(Stdio::null()).stderr(stderr).status().unwrap()
    }

    /// Runs it to its end with a standard output of its own.
    pub(crate) fn run_with_stdout(mut self, stdout: impl Into<Stdio>) -> Output {
        self.command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
    }

    /// Sets what the test did not: where it listens; and no rates, since tests send more than one client may.
    fn prepare(&mut self) {
        for (name, value) in [("APP_HOST", "127.0.0.1"), ("APP_PORT", "0"), ("RATE_LIMIT", "off")] {
            if !self.command.get_envs().any(|(set, _)| set == name) {
                self.command.env(name, value);
            }
        }
    }

    /// Starts it without waiting until it listens.
    pub(crate) fn start(self) -> Running {
        self.start_with_stdout(Stdio::null())
    }

    /// The same with a standard output of its own.
    pub(crate) fn start_with_stdout(mut self, stdout: impl Into<Stdio>) -> Running {
        self.prepare();
        let log = File::create(self.log_path()).unwrap();
        let child = self.command.stdout(stdout).stderr(log).spawn().unwrap();
        Running { child, folder: self.folder }
    }

    /// Starts it and waits until it listens.
    #[track_caller]
    pub(crate) fn serve(self) -> Service {
        let log = File::create(self.log_path()).unwrap();
        self.serve_with_stderr(log)
    }

    /// The same with another standard error than the file that [`Service::log`] reads.
    #[track_caller]
    pub(crate) fn serve_with_stderr(mut self, stderr: impl Into<Stdio>) -> Service {
        let log = self.log_path();
        self.prepare();
        let mut process = self.command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut greeting = String::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            greeting += &format!("{}\n", line.unwrap());
            if greeting.contains("Stop ") {
                break;
            }
        }
        let address = greeting.split("listening on ").nth(1).and_then(|rest| rest.split(')').next()?.parse().ok());
        let Some(address) = address else { panic!("{greeting}\n{}", fs::read_to_string(log).unwrap_or_default()) };
        Service { process, client: Client::new(address), address, greeting, log, _folder: self.folder }
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

/// A process that may not listen yet; killed when dropped.
pub(crate) struct Running {
    child: Child,
    folder: tempfile::TempDir,
}

impl Running {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits until the log contains `text`.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        eventually(PATIENCE, || self.log().contains(text).then_some(()));
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.child
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.child
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that listens; killed when dropped.
pub(crate) struct Service {
    process: Child,
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    pub(crate) greeting: String,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Service {
    pub(crate) fn signal(&self, signal: &str) {
        send_signal(signal, self.process.id());
    }

    /// Where it serves metrics.
    #[track_caller]
    pub(crate) fn metrics(&self) -> Client {
        let address = self.greeting.split("Metrics  http://").nth(1).and_then(|rest| rest.split('/').next());
        Client::new(address.expect("a metrics address in the greeting").parse().unwrap())
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually(PATIENCE, || self.process.try_wait().unwrap())
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The log as far as it is written. A line follows its event by a few milliseconds; a panic's line precedes the
    /// answer.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log contains `text`, and returns the log.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        eventually(PATIENCE, || Some(self.log()).filter(|log| log.contains(text)))
    }

    /// Stops it in order and returns the whole log.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> String {
        self.signal("TERM");
        assert_eq!(self.wait().code(), Some(0), "{}", self.log());
        self.log()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
