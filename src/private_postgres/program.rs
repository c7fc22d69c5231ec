//! Runs a program of PostgreSQL to its end.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, PipeReader, Read};
use std::mem;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use parking_lot::Mutex;

use super::error::Error;
use super::reason;

/// How often the state of a process is polled.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long the output of a program that has ended may take to arrive.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);

/// The output that is kept: its last lines, and so many bytes of each.
const MAX_LINES: usize = 200;
const MAX_LINE_BYTES: u64 = 1024;

/// Runs a program, and kills it and its children when `stop` is set. `on_line` gets each line that it writes, from its
/// standard output and its standard error; the last 200 lines are returned.
///
/// The output goes through a pipe: on a full disk a file would not hold the reason.
///
/// # Errors
/// [`Error::Failed`] with the reason, if the program does not end with success; [`Error::Interrupted`].
pub(super) fn run(mut command: Command, stop: &AtomicBool, on_line: &mut dyn FnMut(&str)) -> Result<String, Error> {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string();
    let failed = |error: io::Error| Error::Failed(format!("{program} failed: {error}"));
    let (reader, writer) = io::pipe().map_err(failed)?;
    command.stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    let (mut child, running) = Running::spawn(&mut command).map_err(failed)?;
    // Closes this process's ends of the pipe.
    drop(command);
    let (sender, lines) = mpsc::sync_channel(MAX_LINES);
    thread::spawn(move || read_lines(reader, &sender));
    let (mut kept, mut ended_at) = (VecDeque::new(), None);
    loop {
        match lines.recv_timeout(POLL_INTERVAL) {
            Ok(line) => {
                on_line(&line);
                kept.push_back(line);
                if kept.len() > MAX_LINES {
                    kept.pop_front();
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if matches!(child.try_wait(), Ok(None)) => {}
            // The last lines may be on their way; or a server that the program started keeps the pipe open.
            Err(RecvTimeoutError::Timeout) if ended_at.get_or_insert_with(Instant::now).elapsed() < OUTPUT_TIMEOUT => {}
            Err(RecvTimeoutError::Timeout) => break,
        }
        // The id of a child that has been waited for may belong to another process.
        if ended_at.is_none() && stop.load(Ordering::Relaxed) {
            kill_group(running.group);
            let _ = child.wait();
            return Err(Error::Interrupted);
        }
    }
    let status = child.wait().map_err(failed)?;
    let output = Vec::from(kept).join("\n");
    if status.success() {
        return Ok(output);
    }
    Err(Error::Failed(format!("{program} failed ({status}): {}", reason::find(&output))))
}

/// Kills all programs that run, and their children, for a process that exits at once.
pub fn kill_programs() {
    let running = RUNNING.lock();
    running.iter().for_each(|group| kill_group(*group));
    // No further program starts until the process has exited.
    mem::forget(running);
}

/// The process groups of the programs that run.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A program in [`RUNNING`]; removed when dropped.
struct Running {
    group: Pid,
}

impl Running {
    fn spawn(command: &mut Command) -> io::Result<(Child, Running)> {
        // Under the lock, so that none runs that is not in the list yet.
        let mut running = RUNNING.lock();
        let child = command.spawn()?;
        let group = Pid::from_raw(child.id().cast_signed());
        running.push(group);
        Ok((child, Running { group }))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.lock().retain(|group| *group != self.group);
    }
}

fn kill_group(group: Pid) {
    // An error means that it has ended.
    let _ = killpg(group, Signal::SIGKILL);
}

fn read_lines(reader: PipeReader, lines: &SyncSender<String>) {
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(length) if length > 0 => {}
            _ => return,
        }
        // Without a receiver the rest is read all the same: the program must not block.
        let _ = lines.send(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
}
