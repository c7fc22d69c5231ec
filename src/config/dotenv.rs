//! The file `.env`: one assignment a line, and no line is ever joined with the next.
//!
//! Programs read such files in different ways. What two of them would read differently is an error here, with its line; the
//! lines of other programs are passed over.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::reader::Reader;
use super::settings::is_production;
use super::variables::{is_known, is_read};

const MAX_BYTES: u64 = 1024 * 1024;

/// Lines that are told one by one.
const MAX_TOLD: usize = 20;

/// What to do about a value that cannot be read.
const REMEDY: &str = "put it in single quotes, or in double quotes with \\ before each \", \\ and $";

/// Adds the variables of the file that the environment does not have.
pub(super) fn add(reader: &mut Reader, path: &Path) {
    let bytes = match read(path) {
        Ok(bytes) if bytes.contains(&0) => {
            return reader.problems.push(".env: not UTF-8 (UTF-16, perhaps); save it as UTF-8".to_owned());
        }
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return reader.problems.push(format!(".env: cannot be read: {error}")),
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines = split_lines(text.trim_start_matches('\u{feff}'));
    let mut seen: Vec<(String, usize)> = Vec::new();
    let mut wrong_lines = 0;
    for (index, line) in lines.iter().enumerate() {
        let number = index + 1;
        let (name, value) = match parse_line(line, &lines[number..]) {
            Ok(Some(assignment)) => assignment,
            Ok(None) => continue,
            Err(problem) => {
                wrong_lines += 1;
                if wrong_lines <= MAX_TOLD {
                    reader.problems.push(format!(".env: line {number}: {problem}"));
                }
                continue;
            }
        };
        if value.is_empty() {
            continue;
        }
        if name == "ENVIRONMENT" && reader.set(&name).is_none() && is_production(&value) {
            let problem = "production reads no .env, so it cannot be set there; set it in the environment itself";
            reader.problem(&name, problem);
            continue;
        }
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == name) {
            wrong_lines += 1;
            if wrong_lines <= MAX_TOLD {
                reader
                    .problems
                    .push(format!(".env: line {number}: {name} is set in line {first} too; keep one of them"));
            }
            continue;
        }
        reader.add(&name, &value);
        if is_known(&name) {
            seen.push((name, number));
        }
    }
    if let Some(more @ 1..) = wrong_lines.checked_sub(MAX_TOLD) {
        reader.problems.push(format!(".env: and {more} more lines"));
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

/// Lines end with LF, CR LF or CR.
fn split_lines(text: &str) -> Vec<&str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).collect()
}

/// The name and the value of a line; `None` for a comment and for a line of another program. Problems never quote the value,
/// which may be a password.
fn parse_line(line: &str, later: &[&str]) -> Result<Option<(String, String)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let is_of_name = |character: char| character.is_ascii_alphanumeric() || "_.".contains(character);
    let assignment = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(line);
    let Some((name, value)) = assignment.split_once('=').map(|(name, value)| (name.trim(), value_of(value))) else {
        return unreadable(line, is_of_name);
    };
    if name.is_empty() || !name.chars().all(is_of_name) {
        return unreadable(line, is_of_name);
    }
    let scan = Scan::of(value);
    if is_read(name) {
        return match scan.problem {
            Some(problem) => Err(format!("the value of {name} {problem}; {REMEDY}")),
            None if value.contains(char::REPLACEMENT_CHARACTER) => Err(format!("the value of {name} is not UTF-8")),
            None => decode(name, &value[..scan.end]).map(Some),
        };
    }
    // Another reader takes the lines up to the closing quote for the value, and this one the variables in them.
    match scan.open_quote {
        Some(quote) if later.iter().any(|line| line.contains(quote)) => Err(format!(
            "the value of {name} has a {quote} that is not closed in its line, and a later line has one too; a value \
             cannot have several lines, and a {quote} that is no quote belongs in quotes of the other kind"
        )),
        // A name that is only like one of SafeSpace's is reported, whatever its value is.
        _ => Ok(Some((name.to_owned(), value.to_owned()))),
    }
}

/// The value behind a `=`; empty where only a comment follows.
fn value_of(text: &str) -> &str {
    let value = text.trim();
    if value.starts_with('#') && value.len() < text.trim_end().len() { "" } else { value }
}

/// A line that assigns nothing. One that names a variable of SafeSpace was meant to.
fn unreadable<T>(line: &str, is_of_name: impl Fn(char) -> bool) -> Result<Option<T>, String> {
    match line.split(|character| !is_of_name(character)).find(|word| is_known(word)) {
        Some(name) => Err(format!("it names {name}, and is not {name}=value")),
        None => Ok(None),
    }
}

fn decode(name: &str, value: &str) -> Result<(String, String), String> {
    match dotenvy::from_read_iter(format!("{name}={value}").as_bytes()).next() {
        Some(Ok(assignment)) => Ok(assignment),
        // dotenvy's error quotes the line.
        _ => Err(format!("the value of {name} has a \\ before a character that needs none; {REMEDY}")),
    }
}

/// What a value consists of, up to its comment.
struct Scan {
    /// Where the value ends, and white space or a comment follows.
    end: usize,
    /// The quote that is not closed in this line.
    open_quote: Option<char>,
    /// The first thing that programs read differently.
    problem: Option<&'static str>,
}

impl Scan {
    fn of(value: &str) -> Scan {
        let mut scan = Scan { end: value.len(), open_quote: None, problem: None };
        let mut escaped = false;
        let mut closed = false;
        let mut previous = None;
        for (index, character) in value.char_indices() {
            let is_blank = |character: char| matches!(character, ' ' | '\t');
            let problem = match (scan.open_quote, character) {
                _ if escaped => {
                    escaped = false;
                    None
                }
                (Some('\''), _) if character != '\'' => None,
                (Some(quote), _) if character == quote => {
                    (scan.open_quote, closed) = (None, true);
                    None
                }
                (None, '#') if previous.is_some_and(is_blank) => {
                    scan.end = index;
                    break;
                }
                (None, '#') if index == 0 => Some("begins with #, which begins a comment for some programs"),
                (_, '\\') => {
                    escaped = true;
                    None
                }
                (_, '$') => Some("has a $, and SafeSpace does not expand variables"),
                (None, '\'' | '"') => {
                    scan.open_quote = Some(character);
                    (index > 0).then_some("has a quote inside")
                }
                (None, _) if !is_blank(character) && (closed || previous.is_some_and(is_blank)) => {
                    Some("has white space or a quote inside")
                }
                _ => None,
            };
            scan.problem = scan.problem.or(problem);
            previous = Some(character);
        }
        if scan.open_quote.is_some() {
            scan.problem = scan.problem.or(Some("has a quote that is not closed in its line"));
        } else if escaped {
            scan.problem = scan.problem.or(Some("ends with a \\, and a value cannot have several lines"));
        }
        scan.end = value[..scan.end].trim_end().len();
        scan
    }
}
