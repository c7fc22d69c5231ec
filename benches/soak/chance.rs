//! Random numbers, of which a load needs few.

use uuid::Uuid;

/// A number below the bound; 0 for the bound 0.
pub(crate) fn below(bound: usize) -> usize {
    (Uuid::new_v4().as_u128() as usize).checked_rem(bound).unwrap_or_default()
}

/// True so many times out of a hundred.
pub(crate) fn percent(percent: usize) -> bool {
    below(100) < percent
}

/// A word of letters that nobody else has: the service takes numbers out of answers.
pub(crate) fn word() -> String {
    Uuid::new_v4().as_bytes().iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}
