//! Merges the environment of the process and the file `.env`.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::Path;

use super::settings::is_production;
use super::variables::is_known;

/// The variables of the environment and, outside production, of the `.env` in the working folder, with the problems met on
/// the way. The environment takes precedence.
pub(super) fn variables() -> (HashMap<String, String>, Vec<String>) {
    let mut variables = HashMap::new();
    let mut problems = Vec::new();
    for (name, value) in env::vars_os() {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => _ = variables.insert(name, value),
            (Ok(name), Err(_)) if is_known(&name) => problems.push(format!("{name}: not UTF-8")),
            _ => {}
        }
    }
    let production = variables.get("ENVIRONMENT").is_some_and(|value| is_production(value));
    if !production && Path::new(".env").exists() {
        add_file(&mut variables, &mut problems);
    }
    (variables, problems)
}

/// Adds the variables of `.env` that the environment does not have.
fn add_file(variables: &mut HashMap<String, String>, problems: &mut Vec<String>) {
    let text = match fs::read_to_string(".env") {
        Ok(text) => text,
        Err(error) => return problems.push(format!(".env: cannot be read: {error}")),
    };
    // Some editors write a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    for pair in dotenvy::from_read_iter(text.as_bytes()) {
        match pair {
            Ok((name, value)) if name == "ENVIRONMENT" && !variables.contains_key(&name) && is_production(&value) => {
                let problem = "production reads no .env, so it cannot be set there; set it in the environment itself";
                problems.push(format!("{name}: {problem}"));
            }
            Ok((name, value)) => _ = variables.entry(name).or_insert(value),
            // dotenvy's error quotes the line, which may hold a password.
            Err(error) => {
                let position = |line: &str| text.lines().position(|found| found.contains(line));
                let index = if let dotenvy::Error::LineParse(line, _) = &error { position(line.trim()) } else { None };
                let line = index.map_or_else(|| "a line".to_owned(), |index| format!("line {}", index + 1));
                let problem = "is not NAME=value; a value with spaces, # or $ belongs in single quotes";
                problems.push(format!(".env: {line} {problem}"));
            }
        }
    }
}
