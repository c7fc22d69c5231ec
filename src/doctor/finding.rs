//! What the doctor says: findings, each of a check with a stable code, and what it could not look at.

use std::fmt::{self, Write};

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A promise of docs/privacy.md is broken, data can be lost, or nobody is served.
    Serious,
    /// A protection is weaker than docs/setup.md has it.
    Warning,
    /// The operator should know it.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Severity::Serious => "serious",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

/// One thing that the doctor looks for.
#[derive(Debug)]
pub struct Check {
    /// Its stable name, such as `postgres.fsync`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Why it matters, as a sentence without its full stop.
    pub meaning: &'static str,
    /// What to do, as an imperative without its full stop.
    pub remedy: &'static str,
}

/// Defines checks as constants, and `ALL` as the list of them.
macro_rules! checks {
    ($($name:ident: $severity:ident, $code:literal, $meaning:literal, $remedy:literal;)*) => {
        $(
            pub(super) const $name: &crate::doctor::finding::Check = &crate::doctor::finding::Check {
                code: $code,
                severity: crate::doctor::finding::Severity::$severity,
                meaning: $meaning,
                remedy: $remedy,
            };
        )*
        /// All of them.
        pub(in crate::doctor) const ALL: &[&crate::doctor::finding::Check] = &[$($name),*];
    };
}
pub(super) use checks;

/// A fault of the deployment.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// The code of its check.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found. It holds no secret and nothing of a session.
    pub what: String,
    /// Why it matters.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// Something that the doctor could not look at.
#[derive(Debug, Serialize)]
pub struct NotChecked {
    /// What, as a noun.
    pub what: String,
    /// Why not, as a clause.
    pub because: String,
    /// How an operator can check it, as an imperative.
    pub remedy: String,
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Report {
    /// The faults, in the order in which they were found.
    pub findings: Vec<Finding>,
    /// What was not looked at.
    pub not_checked: Vec<NotChecked>,
}

impl Report {
    /// Adds a fault.
    pub(super) fn find(&mut self, check: &'static Check, what: impl fmt::Display) {
        let Check { code, severity, meaning, remedy } = *check;
        self.findings.push(Finding { code, severity, what: what.to_string(), meaning, remedy });
    }

    /// Adds what could not be looked at.
    pub(super) fn skip(&mut self, what: impl Into<String>, because: impl fmt::Display, remedy: impl Into<String>) {
        let because = because.to_string();
        self.not_checked.push(NotChecked { what: what.into(), because, remedy: remedy.into() });
    }

    /// Adds another report behind this one.
    pub(super) fn append(&mut self, mut other: Report) {
        self.findings.append(&mut other.findings);
        self.not_checked.append(&mut other.not_checked);
    }

    /// How many findings are of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// A line for each finding, the worst first, and one for the sum.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut findings: Vec<&Finding> = self.findings.iter().collect();
        findings.sort_by_key(|finding| finding.severity);
        for Finding { code, severity, what, meaning, remedy } in findings {
            let _ = writeln!(text, "{severity:<11}  {code}: {}: {meaning}; {remedy}", one_line(what));
        }
        for NotChecked { what, because, remedy } in &self.not_checked {
            let because = one_line(because);
            let _ = writeln!(text, "not checked  {what}, because {because}; to check it, {remedy}");
        }
        let [serious, warnings, notes] = self.counts();
        let _ = writeln!(
            text,
            "{serious} serious, {warnings} warnings, {notes} notes, {} not checked",
            self.not_checked.len()
        );
        text
    }

    /// One JSON object, with a line end: `serious`, `warnings` and `notes` are counts.
    #[must_use]
    pub fn to_json(&self) -> String {
        let [serious, warnings, notes] = self.counts();
        let value = serde_json::json!({
            "serious": serious, "warnings": warnings, "notes": notes,
            "findings": self.findings, "not_checked": self.not_checked,
        });
        format!("{value}\n")
    }

    fn counts(&self) -> [usize; 3] {
        [Severity::Serious, Severity::Warning, Severity::Note].map(|severity| self.count(severity))
    }
}

/// A text of the system or of PostgreSQL, on one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
