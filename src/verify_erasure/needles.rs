//! What is searched for, and the search of one buffer for all of it at once.

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError};
use memchr::memchr_iter;
use zeroize::Zeroizing;

use super::findings::Trace;
use super::forms::Forms;
use crate::message;
use crate::report::Report;
use crate::sealing::{DerivedSecrets, NONCE_BYTES, PEEKED_BYTES, SEALING_OVERHEAD_BYTES, SealingKey, VERSION};
use crate::session_id::SessionId;

/// Bytes of the shortest sealed plaintext, a time.
const MIN_SEALED_BYTES: usize = SEALING_OVERHEAD_BYTES + 8;

/// Zero bytes in a nonce from which on it is none: pages have many, and a random nonce has so many once in 10^13.
const MAX_ZEROS: usize = 8;

/// Bytes of sealed bytes that tell for certain whether the session's key opens them.
pub(super) const PROBED_BYTES: usize = 1 + NONCE_BYTES + PEEKED_BYTES;

/// Everything that is searched for. It has no `Debug`.
pub(super) struct Needles {
    automaton: AhoCorasick,
    /// What each pattern of the automaton is a form of.
    traces: Vec<Trace>,
    key: SealingKey,
}

impl Needles {
    pub(super) fn new(id: &SessionId, words: &[Zeroizing<String>]) -> Result<Needles, BuildError> {
        let (key, secrets) = (SealingKey::derive(id), DerivedSecrets::derive(id));
        let mut wanted = vec![
            (Trace::Id, Forms::of_id(id)),
            (Trace::DerivedKey, Forms::of_bytes(&*secrets.key)),
            (Trace::DerivedKey, Forms::of_bytes(&*secrets.pseudorandom_key)),
            (Trace::Lookup, Forms::of_uuid(key.lookup().expose())),
        ];
        wanted.extend((1..).zip(words).map(|(number, word)| (Trace::Word(number), Forms::of_text(word))));
        let patterns = wanted.iter().flat_map(|(_, forms)| forms.iter());
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(patterns)?;
        let traces = wanted.iter().flat_map(|(trace, forms)| forms.iter().map(|_| *trace)).collect();
        Ok(Needles { automaton, traces, key })
    }

    /// Bytes of the longest pattern.
    pub(super) fn max_bytes(&self) -> usize {
        self.automaton.max_pattern_len()
    }

    /// The session's keys.
    pub(super) fn key(&self) -> &SealingKey {
        &self.key
    }

    /// Each occurrence of a pattern, with its place and its end.
    pub(super) fn find(&self, bytes: &[u8]) -> impl Iterator<Item = (Trace, usize, usize)> {
        let matches = self.automaton.find_overlapping_iter(bytes);
        matches.map(|found| (self.traces[found.pattern().as_usize()], found.start(), found.end()))
    }

    /// Each place from `start` to before `end` at which bytes begin that were sealed under the session's key.
    pub(super) fn find_sealed(&self, bytes: &[u8], start: usize, end: usize) -> impl Iterator<Item = usize> {
        let candidates = memchr_iter(VERSION, &bytes[start..end]).map(move |at| at + start);
        candidates.filter(|at| self.is_sealed(&bytes[*at..]))
    }

    /// Whether bytes that were sealed under the session's key begin here. The row that they were sealed for need not be known: the
    /// key stream is enough to see the structure of a plaintext.
    pub(super) fn is_sealed(&self, bytes: &[u8]) -> bool {
        let Some(shortest) = bytes.get(..MIN_SEALED_BYTES) else { return false };
        let nonce = &shortest[1..=NONCE_BYTES];
        if nonce.iter().filter(|byte| **byte == 0).count() >= MAX_ZEROS {
            return false;
        }
        let Some(plaintext) = self.key.peek(bytes) else { return false };
        let is_time = || {
            // Eight bytes are too few to tell by their structure; their tag tells.
            message::is_plausible_time(&*plaintext)
                && (message::open_creation_time(&self.key, shortest).is_ok()
                    || message::open_last_report(&self.key, shortest).is_ok())
        };
        let is_whole = bytes.len() >= PROBED_BYTES;
        is_whole && (message::is_beginning_of_message(&*plaintext) || Report::is_beginning(&*plaintext)) || is_time()
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use uuid::Uuid;

    use super::*;
    use crate::message::{Message, Role};

    fn needles() -> Needles {
        Needles::new(&SessionId::random(), &[]).expect("an automaton")
    }

    fn message(text: &str) -> Message {
        let created_at = Utc::now();
        Message { id: Uuid::new_v4(), position: 7, role: Role::Script, created_at, text: text.to_owned(), is_cut: true }
    }

    #[test]
    fn messages_of_any_length_and_times_are_recognised_between_other_bytes() {
        let needles = needles();
        let mut sealed: Vec<(String, Vec<u8>)> = ["", "halo", &"\u{1f9ed}".repeat(13), &"x".repeat(5_000)]
            .iter()
            .map(|text| (format!("{} bytes", text.len()), message(text).seal(needles.key())))
            .collect();
        sealed.push(("creation".to_owned(), message::seal_creation_time(needles.key(), Utc::now())));
        sealed.push(("last report".to_owned(), message::seal_last_report(needles.key(), Utc::now())));
        for (case, sealed) in sealed {
            let bytes = [&[1; 100], sealed.as_slice(), &[1; 100]].concat();
            let found: Vec<usize> = needles.find_sealed(&bytes, 0, bytes.len()).collect();
            assert_eq!(found, [100], "{case}");
        }
    }

    #[test]
    fn sealed_bytes_of_other_sessions_and_random_bytes_are_not_recognised() {
        let (needles, other) = (needles(), SealingKey::derive(&SessionId::random()));
        for _ in 0..20_000 {
            let sealed = message("halo").seal(&other);
            assert!(!needles.is_sealed(&sealed));
            assert!(!needles.is_sealed(&message::seal_creation_time(&other, Utc::now())));
        }
    }
}
