//! General synchronization primitives, which know nothing of the program.
//!
//! [`Semaphore`] is first come, first served; [`CancellationToken`] cancels an operation from another thread; [`ThreadPool`]
//! is bounded and its idle threads end; [`Timers`] run callbacks at a given time.

mod cancellation_token;
mod semaphore;
mod thread_pool;
mod timer;

pub use cancellation_token::CancellationToken;
pub use semaphore::{Permit, Semaphore};
pub use thread_pool::{Rejected, ThreadPool, ThreadPoolSettings};
pub use timer::{Timer, Timers};
