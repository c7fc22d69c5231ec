//! General synchronization primitives, which know nothing of the program.
//!
//! - `semaphore`: a counting semaphore, first come, first served.
//! - `cancellation_token`: cancels an operation from another thread.
//! - `thread_pool`: a bounded pool whose idle threads end.
//! - `timer`: callbacks at a given time.

mod cancellation_token;
mod semaphore;
mod thread_pool;
mod timer;

pub use cancellation_token::CancellationToken;
pub use semaphore::{Permit, Semaphore};
pub use thread_pool::{Rejected, ThreadPool, ThreadPoolSettings};
pub use timer::{Timer, Timers};
