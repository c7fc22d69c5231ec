//! Picks the reason of a failure out of what a program of PostgreSQL wrote, and adds what to do.

use std::error::Error as _;

/// Parts of PostgreSQL's messages, and what to do. The first row that matches counts. PostgreSQL's own hints are missing from
/// its log (`log_error_verbosity=terse`), and some of them, such as "You might need to initdb", would cost the data.
const REMEDIES: [(&str, &str); 18] = [
    ("could not create semaphores", "raise the kernel's limit on semaphores, kernel.sem"),
    ("shared memory segment", "there is too little shared memory; enlarge /dev/shm"),
    (FULL_DISK_TEXTS[0], MAKE_ROOM),
    (FULL_DISK_TEXTS[1], MAKE_ROOM),
    ("Read-only file system", "mount the disk writable, or set SAFESPACE_DATA_DIR to another folder"),
    ("Cannot allocate memory", "there is too little memory for PostgreSQL"),
    ("already exists", "another PostgreSQL works with this data; stop it"),
    ("is still in use", "processes of a killed PostgreSQL still work with this data; end them"),
    ("\"postmaster.pid\": Is a directory", "move that folder out of the cluster"),
    ("database files are incompatible", "run `safespace upgrade-data`, or install the version that made the data"),
    ("has invalid permissions", WRONG_OWNER),
    ("has wrong ownership", WRONG_OWNER),
    ("Permission denied", WRONG_OWNER),
    ("not a valid data directory", DAMAGED),
    ("could not find the database system", DAMAGED),
    ("pg_control", DAMAGED),
    ("checkpoint record", DAMAGED),
    ("configuration", "postgres.log names the line; correct it in postgresql.conf or postgresql.auto.conf"),
];

/// The operating system's words for a full disk.
pub(super) const FULL_DISK_TEXTS: [&str; 2] = ["No space left on device", "Disk quota exceeded"];
pub(super) const MAKE_ROOM: &str = "make room on the disk, or set SAFESPACE_DATA_DIR to a folder on another one";
const DAMAGED: &str = "the data is damaged; restore the folder from a backup, or look for a disk that is not mounted";
const WRONG_OWNER: &str =
    "all of the folder cluster must belong to the user that runs PostgreSQL, and be open to no other";

/// What precedes the message of an error that ends a server.
const SEVERITIES: [&str; 2] = ["FATAL:  ", "PANIC:  "];

/// What precedes a message that tells of a full disk, on which PostgreSQL may end with another one.
const ALL_SEVERITIES: [&str; 5] = ["FATAL:  ", "PANIC:  ", "ERROR:  ", "WARNING:  ", "LOG:  "];

/// The setting of PostgreSQL that marks the lines of client connections: what these meet is no reason for the end of the
/// server, and can quote values.
pub(super) const LOG_LINE_PREFIX: &str = "log_line_prefix=%m [%p] %qclient ";
const OF_CLIENT: &str = "] client ";

/// The message of a process that ends with the server.
const ENDED_BY_SERVER: &str = "FATAL:  terminating ";

/// The lines that are quoted if none tells the reason.
const QUOTED_LINES: usize = 3;

/// The last message that ended the program, and what to do about it; without such a message, the last lines.
pub(super) fn find(output: &str) -> String {
    find_message(output).unwrap_or_else(|| {
        let lines: Vec<&str> = lines(output).collect();
        with_remedy(lines[lines.len().saturating_sub(QUOTED_LINES)..].join("; "))
    })
}

/// The last message that ended the program, and what to do about it. One that tells of a full disk comes first: others may
/// follow from it, such as "cannot abort transaction 1, it was already committed".
pub(super) fn find_message(output: &str) -> Option<String> {
    let full_disk = lines(output).filter(|line| FULL_DISK_TEXTS.iter().any(|text| line.contains(text))).last();
    if let Some(line) = full_disk {
        return Some(with_remedy(from_severity(line, &ALL_SEVERITIES).unwrap_or(line).to_owned()));
    }
    let fatal = lines(output).filter_map(|line| from_severity(line, &SEVERITIES));
    // Of programs other than the server: `initdb: error: …`, perhaps after a step of initdb on the same line.
    let error = || lines(output).filter(|line| line.contains(": error: ")).last();
    fatal.last().or_else(error).map(|message| with_remedy(message.to_owned()))
}

/// What the operating system said of a folder, and what to do about a full disk.
pub(super) fn of_system(reason: String) -> String {
    if FULL_DISK_TEXTS.iter().any(|text| reason.contains(text)) { with_remedy(reason) } else { reason }
}

/// What PostgreSQL said to a client, and what to do about it.
pub(super) fn of_client(error: &postgres::Error) -> String {
    let reason = match error.as_db_error() {
        Some(error) => format!("{}: {} (SQLSTATE {})", error.severity(), error.message(), error.code().code()),
        None => error.source().map_or_else(|| error.to_string(), ToString::to_string),
    };
    with_remedy(reason)
}

/// A line of the log from its severity on, if that is one of these.
fn from_severity<'a>(line: &'a str, severities: &[&str]) -> Option<&'a str> {
    let start = severities.iter().find_map(|severity| line.find(severity))?;
    Some(&line[start..])
}

fn lines(output: &str) -> impl Iterator<Item = &str> {
    // PostgreSQL continues a message on lines that begin with a tab.
    let lines = output.lines().filter(|line| !line.starts_with('\t'));
    let tells_a_reason = |line: &&str| !line.is_empty() && !line.contains(OF_CLIENT) && !line.contains(ENDED_BY_SERVER);
    lines.map(str::trim).filter(tells_a_reason)
}

fn with_remedy(reason: String) -> String {
    match REMEDIES.iter().find(|(text, _)| reason.contains(text)) {
        Some((_, remedy)) => format!("{reason} (hint: {remedy})"),
        None => reason,
    }
}
