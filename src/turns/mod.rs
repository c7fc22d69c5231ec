//! Chat turns: the user's message is stored, the companion is called, its answer is stored.
//!
//! Where the script is the companion, question and answer are stored together. Any other turn blocks one thread from top to
//! bottom, without holding a database connection while it waits for anything else. Its client receives [`Event`]s and may
//! disconnect without ending the turn.
//!
//! - `event`: what a turn is given, the events it sends, and their delivery until the first terminal one.
//! - `turns`: starts, stops and erases turns, and waits for them at shutdown.
//! - `resources`: what all turns share.
//! - `scripted`: a turn that the script answers, with one statement and without a thread.
//! - `turn`: any other turn from top to bottom.
//! - `polish`: has the model rewrite a text of a session, under the same bounds.
//! - `active_turns`: at most one turn for each session, and its cancellation.
//! - `fair_semaphore`: the permits for calls to the companion, and the turns that give way.
//! - `companion_usage`: how long each client has used the companion lately.

mod active_turns;
mod companion_usage;
mod event;
mod fair_semaphore;
mod polish;
mod resources;
mod scripted;
mod turn;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod turns;

pub use self::turns::{TurnLimits, Turns};
pub use event::{Event, EventHandler, Failure, Question};
pub use polish::{Polish, PolishCallback};
