//! General synchronization primitives, which know nothing of the program.
//!
//! [`CancellationToken`] cancels an operation from another thread; [`ThreadPool`] is bounded and its idle threads end;
//! [`Timers`] run callbacks at a given time.

mod cancellation_token;
mod thread_pool;
mod timer;

pub use cancellation_token::CancellationToken;
pub use thread_pool::{Rejected, ThreadPool, ThreadPoolSettings};
pub use timer::{Timer, Timers};
