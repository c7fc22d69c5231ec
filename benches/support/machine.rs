//! What the figures of a report depend on: date, processors, versions.

use std::env;
use std::fs;
use std::process::Command;
use std::thread;

use chrono::Utc;

use super::outcome::Outcome;

/// One line for the head of a report. `postgres`: the version of the server.
pub(crate) fn describe(postgres: &str) -> Outcome<String> {
    Ok(format!(
        "{date} UTC, {processors} processors ({model}), PostgreSQL {postgres}, {rustc}, safespace {ours}",
        date = Utc::now().format("%Y-%m-%d %H:%M"),
        processors = thread::available_parallelism()?,
        model = processor_model(),
        rustc = rustc_version()?,
        ours = env!("CARGO_PKG_VERSION"),
    ))
}

fn processor_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    line.map_or("of an unknown model", |(_, model)| model).to_owned()
}

fn rustc_version() -> Outcome<String> {
    let output = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}
