//! Reads the id and the words from standard input, where no list of processes and no history of a shell shows them.

use std::io::{self, BufRead, IsTerminal, Read, Stdin, Write};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::forms::MIN_FORM_BYTES;
use crate::session_id::{NotASessionId, SessionId};

/// Bytes of the whole input, of one word, and the number of words at most.
const MAX_INPUT_BYTES: u64 = 128 * 1024;
const MAX_WORD_BYTES: usize = 1024;
const MAX_WORDS: usize = 100;

/// What is searched for. It has no `Debug`; the words are overwritten when it is dropped.
pub struct Wanted {
    pub(super) id: SessionId,
    pub(super) words: Vec<Zeroizing<String>>,
}

/// Why the input cannot be used. The texts quote nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Reading failed.
    #[error("standard input cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is too long.
    #[error("standard input has more than {} KiB", MAX_INPUT_BYTES / 1024)]
    TooLong,
    /// Its first line is no id.
    #[error("the first line of standard input must be a session's id or its recovery code: {0}")]
    NoId(#[from] NotASessionId),
    /// It has too many lines.
    #[error("more than {} words: give fewer lines", MAX_WORDS)]
    TooManyWords,
    /// A word, by its number from 1, is too short or too long.
    #[error(
        "word {} must have {} to {} bytes: a shorter one is found by chance, and a part of a longer one is enough",
        .0, MIN_FORM_BYTES, MAX_WORD_BYTES
    )]
    Length(usize),
}

impl Wanted {
    /// Reads the id, or the recovery code, from the first line, and a word or sentence from each further line; asks for them where
    /// standard input is a terminal, which then shows nothing of what is typed.
    ///
    /// # Errors
    /// As [`InputError`] lists them.
    pub fn read() -> Result<Wanted, InputError> {
        let stdin = io::stdin();
        let mut bytes = Zeroizing::new(Vec::new());
        if stdin.is_terminal() {
            read_terminal(&stdin, &mut bytes)?;
        } else {
            stdin.lock().take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes)?;
        }
        Wanted::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Wanted, InputError> {
        if bytes.len() as u64 > MAX_INPUT_BYTES {
            return Err(InputError::TooLong);
        }
        let text = str::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        let id = lines.next().unwrap_or_default().parse()?;
        let words: Vec<_> = lines.filter(|line| !line.is_empty()).map(|line| Zeroizing::new(line.to_owned())).collect();
        if words.len() > MAX_WORDS {
            return Err(InputError::TooManyWords);
        }
        let is_fit = |word: &Zeroizing<String>| (MIN_FORM_BYTES..=MAX_WORD_BYTES).contains(&word.len());
        match words.iter().position(|word| !is_fit(word)) {
            Some(unfit) => Err(InputError::Length(unfit + 1)),
            None => Ok(Wanted { id, words }),
        }
    }
}

/// Reads lines up to an empty one.
fn read_terminal(stdin: &Stdin, bytes: &mut Vec<u8>) -> Result<(), InputError> {
    let silence = Silence::of(stdin);
    let ask = |text: &str| write!(io::stderr(), "{text}");
    let mut lines = 0;
    loop {
        match lines {
            0 => ask("Id or recovery code (nothing is shown): ")?,
            1 => ask("\nWords to look for, one a line; an empty line begins the search:\n")?,
            _ => {}
        }
        let before = bytes.len();
        let read = stdin.lock().take(MAX_INPUT_BYTES).read_until(b'\n', bytes)?;
        lines += 1;
        let is_empty = bytes[before..].trim_ascii().is_empty();
        if read == 0 || is_empty || bytes.len() as u64 > MAX_INPUT_BYTES {
            break;
        }
    }
    drop(silence);
    ask("\n")?;
    Ok(())
}

/// Keeps a terminal from showing what is typed, until it is dropped.
struct Silence<'a> {
    stdin: &'a Stdin,
    before: Option<Termios>,
}

impl Silence<'_> {
    fn of(stdin: &Stdin) -> Silence<'_> {
        let before = tcgetattr(stdin).ok();
        if let Some(before) = &before {
            let mut silent = before.clone();
            silent.local_flags.remove(LocalFlags::ECHO);
            let _ = tcsetattr(stdin, SetArg::TCSANOW, &silent);
        }
        Silence { stdin, before }
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(self.stdin, SetArg::TCSANOW, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "38ccd37d-31aa-4704-a189-5cc43fd3988c";

    #[test]
    fn the_first_line_is_the_id_and_each_further_one_a_word() {
        let wanted = Wanted::parse(format!("\u{feff} {ID}\r\n\nfirst word\n  \n second word \n").as_bytes());
        let wanted = wanted.expect("it is well-formed");
        assert_eq!(wanted.words.iter().map(|word| word.as_str()).collect::<Vec<_>>(), ["first word", "second word"]);
        let of_code = Wanted::parse(b"736D-6Z9H-N9R4-GRJQ-647Z-9SH3-6Y52").expect("it is well-formed");
        assert!(of_code.id == wanted.id && of_code.words.is_empty());
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_not_quoted() {
        for (input, reason) in [
            (String::new(), "the first line"),
            ("secret".to_owned(), "the first line"),
            (format!("{ID}\nsecret one\nshort"), "word 2 must have 6 to 1024 bytes"),
            (format!("{ID}\n{}", "secret".repeat(200)), "word 1 must have"),
            (format!("{ID}\n{}", "secret\n".repeat(101)), "more than 100 words"),
            (format!("{ID}\n{}", "secret\n".repeat(20_000)), "more than 128 KiB"),
        ] {
            let error = Wanted::parse(input.as_bytes()).err().expect("it is refused").to_string();
            assert!(error.contains(reason) && !error.contains("secret") && !error.contains(ID), "{error}");
        }
        assert!(Wanted::parse(b"\xff").is_err());
    }
}
