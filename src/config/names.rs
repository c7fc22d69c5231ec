//! Variables that are set and not used: misspelled ones, and those that only libpq reads.

use super::reader::Reader;
use super::variables::{is_known, resembles_known, similar};

/// libpq takes from these what its URL does not have.
const OF_LIBPQ: [&str; 12] = [
    "PGDATABASE",
    "PGHOST",
    "PGHOSTADDR",
    "PGOPTIONS",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGPORT",
    "PGSERVICE",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGTARGETSESSIONATTRS",
    "PGUSER",
];

/// Names that are told one by one.
const MAX_TOLD: usize = 20;

pub(super) fn warn(reader: &mut Reader) {
    let mut names: Vec<String> = reader.names().map(ToOwned::to_owned).collect();
    names.sort_unstable();
    let misspelled: Vec<&String> = names.iter().filter(|name| !is_known(name) && resembles_known(name)).collect();
    for name in misspelled.iter().take(MAX_TOLD) {
        let meant =
            similar(name).map_or_else(|| ";".to_owned(), |variable| format!("; did you mean {}?", variable.name));
        let warning = format!("{name} is set and means nothing{meant} --help lists the variables there are");
        reader.name_warnings.push(warning);
    }
    if let Some(more @ 1..) = misspelled.len().checked_sub(MAX_TOLD) {
        reader.name_warnings.push(format!("and {more} more variables that mean nothing"));
    }
    names.retain(|name| OF_LIBPQ.contains(&name.as_str()));
    if !names.is_empty() {
        reader.name_warnings.push(format!(
            "{}: set for libpq and not used here; SafeSpace reads DATABASE_URL or the DB_* variables",
            names.join(", ")
        ));
    }
}
