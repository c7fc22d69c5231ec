//! A report that a person prepares from five answers: what it says, without any fact that was not given.

mod facts;
mod stored;

pub use facts::{Description, Evidence, Facts, Location, Need, Perpetrator, UserGoal};
pub use stored::{Report, Source};
