//! A report that a person prepares from five answers: what it says, without any fact that was not given.

mod advice;
mod facts;
mod generate;
mod level;
mod polish;
mod stored;
mod templates;
mod text;

pub use advice::Step;
pub use facts::{Description, Evidence, Facts, Location, Need, Perpetrator, UserGoal, missing};
pub use level::Level;
pub use polish::PolishPrompt;
pub use stored::{Report, Source};
pub use templates::Templates;
