//! Two requests with ids that nobody else has: what has them in a log would have those of people.

use std::path::{Path, PathBuf};

use ureq::Error;
use uuid::Uuid;

use super::checks;
use super::http::{Answer, Asker};
use super::log_search;
use super::own::FOREIGN_ORIGIN;
use crate::doctor::finding::Report;

/// The ids of one address.
pub(super) struct Probe {
    address: String,
    in_path: String,
    in_authorization: String,
}

impl Probe {
    pub(super) fn new(address: &str) -> Probe {
        let id = || Uuid::new_v4().to_string();
        Probe { address: address.to_owned(), in_path: id(), in_authorization: id() }
    }

    /// Asks for two sessions that do not exist, and returns the answer to the one that is named in the path.
    pub(super) fn send(&self, asker: &Asker) -> Result<Answer, Error> {
        let url = format!("{}/api/v1/sessions/{}", self.address, self.in_path);
        let answer = asker.get(&url, &[("Origin", FOREIGN_ORIGIN)])?;
        let authorization = format!("Bearer {}", self.in_authorization);
        asker.get(&format!("{}/api/v1/session", self.address), &[("Authorization", &authorization)])?;
        Ok(answer)
    }
}

/// Whether an answer is that of SafeSpace to a session that does not exist.
pub(super) fn is_expected(answer: &Answer) -> bool {
    answer.status == 404 && answer.text("code").as_deref() == Some("session_not_found")
}

/// Searches the logs of this machine, and `further` ones, for the ids of probes.
pub(super) fn search_logs(probes: &[Probe], root: &Path, further: &[PathBuf], report: &mut Report) {
    let ids: Vec<&str> = probes.iter().flat_map(|probe| [probe.in_path.as_str(), &probe.in_authorization]).collect();
    let found = log_search::search(root, further, &ids);
    for (file, number) in &found.hits {
        let (address, form) = (&probes[number / 2].address, ["path", "field Authorization"][number % 2]);
        report.find(
            checks::ID_IN_LOG,
            format_args!("{} has the {form} of a request to {address}, with the id of a session in it", file.display()),
        );
    }
    if !found.not_read.is_empty() {
        let (count, first) = (found.not_read.len(), found.not_read[0].display());
        report.skip(
            format!("log files and folders ({count}, such as {first})"),
            "they cannot be read, or are too many to read in time",
            "run the doctor as root, or look into them for /api/v1/sessions/",
        );
    }
}
