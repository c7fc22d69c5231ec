//! What a search found, place by place: the verdicts, and how an operator and a program read them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

/// Locations of one place that are listed; those beyond are only counted.
const MAX_LISTED: usize = 40;

/// Width of the names of places in the text.
const NAME_WIDTH: usize = 16;

/// What was found. Its text names it without quoting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trace {
    /// The session's id, or its recovery code.
    Id,
    /// A key that derives from the id.
    DerivedKey,
    /// A word that was given, by its number from 1.
    Word(usize),
    /// The key of the session's rows, which does not lead to the id.
    Lookup,
    /// Bytes that open with the session's key.
    Sealed,
}

impl Trace {
    /// Whether a reader without the id learns from it what a person wrote, or gets access to it.
    fn is_readable(self) -> bool {
        matches!(self, Trace::Id | Trace::DerivedKey | Trace::Word(_))
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trace::Id => formatter.write_str("the id"),
            Trace::DerivedKey => formatter.write_str("a key of the id"),
            Trace::Word(number) => write!(formatter, "word {number}"),
            Trace::Lookup => formatter.write_str("the lookup"),
            Trace::Sealed => formatter.write_str("sealed bytes"),
        }
    }
}

/// What holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A row that statements see.
    Row,
    /// A row that was deleted or replaced, or whose transaction did not commit.
    DeadRow,
    /// An entry of an index.
    IndexEntry,
    /// The part of a page that belongs to no row any more.
    FreeSpace,
    /// The name of a file.
    FileName,
    /// Anything else.
    Bytes,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Holder::Row => "in a row",
            Holder::DeadRow => "in a deleted row",
            Holder::IndexEntry => "in an index entry",
            Holder::FreeSpace => "in free space",
            Holder::FileName => "in the name of a file",
            Holder::Bytes => "",
        })
    }
}

/// What was found where. The order is that of the output.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) trace: Trace,
    pub(super) holder: Holder,
    /// A table, a column, or a file.
    pub(super) location: String,
}

impl Finding {
    /// Rows of a session are there for whoever has its id; so a row counts as found, whatever of it was seen.
    fn verdict(&self) -> Verdict {
        if self.trace.is_readable() || self.holder == Holder::Row {
            Verdict::Found
        } else {
            Verdict::CiphertextWithoutKey
        }
    }
}

/// What is said of a place. The greater one of several counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing was found.
    Clean,
    /// Only what nobody can read without the id: sealed bytes and lookups that no row has any more.
    CiphertextWithoutKey,
    /// It was not looked at, or not at all of it.
    NotLooked,
    /// The id, a key, a word, or rows.
    Found,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Verdict::Clean => "clean",
            Verdict::CiphertextWithoutKey => "ciphertext without a key",
            Verdict::NotLooked => "not looked",
            Verdict::Found => "FOUND",
        })
    }
}

/// The kinds of places, in the order of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// What statements see.
    Rows,
    /// PostgreSQL's files as a whole, where they cannot be read.
    DataFolder,
    /// Pages of tables: rows.
    Heap,
    /// Pages of indexes.
    Index,
    /// Pages of long values.
    Toast,
    /// Pages of tables and long values: what belongs to no row.
    FreeSpace,
    /// Maps of free space and visibility, and other forks of a table.
    Maps,
    /// The write-ahead log.
    Wal,
    /// PostgreSQL's log.
    ServerLog,
    /// Temporary files.
    TemporaryFiles,
    /// Everything else in PostgreSQL's folder.
    OtherFiles,
    /// Files of an archive of the write-ahead log that were given.
    WalArchive,
    /// Log files that were given.
    Log,
    /// Dumps and backups that were given.
    Dump,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Place::Rows => "Rows",
            Place::DataFolder => "Data folder",
            Place::Heap => "Heap pages",
            Place::Index => "Index pages",
            Place::Toast => "TOAST pages",
            Place::FreeSpace => "Free space",
            Place::Maps => "Maps",
            Place::Wal => "WAL",
            Place::ServerLog => "Server log",
            Place::TemporaryFiles => "Temporary files",
            Place::OtherFiles => "Other files",
            Place::WalArchive => "WAL archive",
            Place::Log => "Logs",
            Place::Dump => "Dumps",
        })
    }
}

/// What is known of one place.
#[derive(Debug, Default)]
struct Known {
    looked_at: u64,
    bytes: u64,
    found: BTreeMap<Finding, u64>,
    /// Occurrences at further locations.
    unlisted: u64,
    /// The greatest verdict of those.
    unlisted_verdict: Option<Verdict>,
    not_looked: Vec<String>,
}

impl Known {
    fn verdict(&self) -> Verdict {
        let found = self.found.keys().map(Finding::verdict).chain(self.unlisted_verdict).max();
        let not_looked = (!self.not_looked.is_empty()).then_some(Verdict::NotLooked);
        found.max(not_looked).unwrap_or(Verdict::Clean)
    }
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Findings {
    places: BTreeMap<Place, Known>,
    notes: Vec<String>,
}

impl Findings {
    /// Something was found, so many times.
    pub(super) fn add(&mut self, place: Place, finding: Finding, count: u64) {
        let known = self.places.entry(place).or_default();
        if known.found.len() < MAX_LISTED || known.found.contains_key(&finding) {
            *known.found.entry(finding).or_default() += count;
        } else {
            known.unlisted += count;
            known.unlisted_verdict = known.unlisted_verdict.max(Some(finding.verdict()));
        }
    }

    /// A place is searched, where there may be no file.
    pub(super) fn begin(&mut self, place: Place) {
        self.places.entry(place).or_default();
    }

    /// A file, a table or the like was looked at.
    pub(super) fn looked_at(&mut self, place: Place, bytes: u64) {
        let known = self.places.entry(place).or_default();
        known.looked_at += 1;
        known.bytes += bytes;
    }

    /// Something was not looked at, for this reason, which says what to do.
    pub(super) fn not_looked(&mut self, place: Place, reason: String) {
        let reasons = &mut self.places.entry(place).or_default().not_looked;
        if reasons.len() < MAX_LISTED && !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }

    /// Whether anything of a place was looked at.
    pub(super) fn was_looked_at(&self, place: Place) -> bool {
        self.places.get(&place).is_some_and(|known| known.looked_at > 0)
    }

    /// What the reader must know beside the places.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The verdict on all places: the greatest one.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.places.values().map(Known::verdict).max().unwrap_or(Verdict::NotLooked)
    }

    /// 0: nothing but ciphertext without a key; 1: something was found; 2: nothing was found, and something was not looked at.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.verdict() {
            Verdict::Clean | Verdict::CiphertextWithoutKey => 0,
            Verdict::Found => 1,
            Verdict::NotLooked => 2,
        }
    }

    /// All of it for a program. The names of members and their values do not change, apart from texts for people.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let places: Vec<Value> = self
            .places
            .iter()
            .map(|(place, known)| {
                let found = known.found.iter().map(|(finding, count)| {
                    let Finding { trace, holder, location } = finding;
                    let (what, word) = match trace {
                        Trace::Word(number) => (json!("word"), Some(number)),
                        trace => (json!(trace), None),
                    };
                    let verdict = finding.verdict();
                    json!({"what": what, "word": word, "in": holder, "location": location, "count": count, "verdict": verdict})
                });
                json!({
                    "place": place,
                    "verdict": known.verdict(),
                    "looked_at": known.looked_at,
                    "bytes": known.bytes,
                    "found": found.collect::<Vec<_>>(),
                    "unlisted": known.unlisted,
                    "not_looked": known.not_looked,
                })
            })
            .collect();
        json!({"verdict": self.verdict(), "exit_code": self.exit_code(), "places": places, "notes": self.notes})
    }
}

impl fmt::Display for Findings {
    /// A line for each place, and below it what was found there.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, known) in &self.places {
            let verdict = known.verdict().to_string();
            let unit = if *place == Place::Rows { "columns" } else { "files" };
            write!(formatter, "{:<NAME_WIDTH$} {verdict:<25}", place.to_string())?;
            match place {
                Place::FreeSpace => write!(formatter, "of these pages")?,
                _ => write!(formatter, "{} {unit}", known.looked_at)?,
            }
            if known.bytes > 0 {
                write!(formatter, ", {} KiB", known.bytes.div_ceil(1024))?;
            }
            writeln!(formatter)?;
            for (finding, count) in &known.found {
                let Finding { trace, holder, location } = finding;
                let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
                let space = if *holder == Holder::Bytes { "" } else { " " };
                writeln!(formatter, "  {trace}, {times}{space}{holder}: {location}")?;
            }
            if known.unlisted > 0 {
                writeln!(formatter, "  and {} times elsewhere", known.unlisted)?;
            }
            for reason in &known.not_looked {
                writeln!(formatter, "  not looked: {reason}")?;
            }
        }
        for note in &self.notes {
            writeln!(formatter, "{:<NAME_WIDTH$} {note}", "Note")?;
        }
        let result = match self.verdict() {
            Verdict::Clean => "clean: nothing of the session was found",
            Verdict::CiphertextWithoutKey => {
                "clean but for ciphertext without a key: nobody can open it without the id, and no row of the session is left"
            }
            Verdict::NotLooked => "not certain: nothing was found where it was looked for, and not all was looked at",
            Verdict::Found => "FOUND: rows of the session are there, or something that can be read",
        };
        writeln!(formatter, "{:<NAME_WIDTH$} {result}", "Result")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(trace: Trace, holder: Holder) -> Finding {
        Finding { trace, holder, location: "somewhere".to_owned() }
    }

    #[test]
    fn the_exit_code_follows_from_the_worst_finding() {
        for (case, found, has_not_looked, exit_code) in [
            ("nothing", vec![], false, 0),
            ("nothing where it was looked", vec![], true, 2),
            ("a lookup in WAL", vec![finding(Trace::Lookup, Holder::Bytes)], false, 0),
            ("ciphertext, and a place not looked at", vec![finding(Trace::Sealed, Holder::DeadRow)], true, 2),
            ("a row", vec![finding(Trace::Lookup, Holder::Row)], false, 1),
            ("a word", vec![finding(Trace::Word(2), Holder::FreeSpace)], false, 1),
            ("an id, and a place not looked at", vec![finding(Trace::Id, Holder::Bytes)], true, 1),
            ("a key", vec![finding(Trace::DerivedKey, Holder::Bytes)], false, 1),
        ] {
            let mut findings = Findings::default();
            findings.looked_at(Place::Heap, 8192);
            for one in found {
                findings.add(Place::Wal, one, 1);
            }
            if has_not_looked {
                findings.not_looked(Place::Dump, "it is encrypted".to_owned());
            }
            assert_eq!(findings.exit_code(), exit_code, "{case}: {findings}");
            assert_eq!(findings.to_json()["exit_code"], exit_code, "{case}");
        }
        assert_eq!(Findings::default().exit_code(), 2, "nothing was looked at");
    }

    #[test]
    fn locations_beyond_the_limit_are_counted_with_their_verdict() {
        let mut findings = Findings::default();
        for number in 0..MAX_LISTED {
            let location = number.to_string();
            findings.add(Place::Wal, Finding { trace: Trace::Lookup, holder: Holder::Bytes, location }, 1);
        }
        findings.add(Place::Wal, finding(Trace::Lookup, Holder::Bytes), 5);
        assert_eq!(findings.verdict(), Verdict::CiphertextWithoutKey);
        findings.add(Place::Wal, finding(Trace::Word(1), Holder::Bytes), 2);
        assert_eq!(findings.verdict(), Verdict::Found);
        assert!(findings.to_string().contains("and 7 times elsewhere"), "{findings}");
    }
}
