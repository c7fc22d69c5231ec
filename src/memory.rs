//! What the memory of the process keeps: buffers and stacks are overwritten after use, and nobody gets a dump of them.
//!
//! The allocator of the binary overwrites each block of the heap when it is freed. Two kinds of memory it does not see: buffers
//! that live on, and stacks, on which every call leaves what it worked with until another call needs the place.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, setrlimit};
use zeroize::{optimization_barrier, zeroize_stack};

/// Without optimisation frames are larger.
const SCALE: usize = if cfg!(debug_assertions) { 4 } else { 1 };

/// Bytes of a stack that are overwritten. Threads that work for sessions were seen to use 28 KiB, but for PDFs (2026-11-26). More than
/// that would make memory resident that nothing else has touched, of each of the threads.
const STACK_BYTES: usize = SCALE * 32 * 1024;

/// The same for a thread that makes PDFs, which was seen to use 48 KiB.
const DEEP_STACK_BYTES: usize = if cfg!(debug_assertions) { 256 * 1024 } else { 64 * 1024 };

/// How long a thread has nothing to do before it overwrites its stack. Under load it does not pause, and does not pay for that.
const PAUSE: Duration = Duration::from_millis(10);

/// A thread without a pause overwrites its stack at the end of the first call after this many calls, or this time.
const MAX_CALLS: u32 = 256;
const MAX_TIME: Duration = Duration::from_secs(1);

/// Overwrites bytes that are not needed any more.
pub fn overwrite(bytes: &mut [u8]) {
    bytes.fill(0);
    // Without it the compiler may drop what nobody reads.
    optimization_barrier(bytes);
}

/// Removes bytes from the front of a buffer, and leaves nothing of them behind its end.
///
/// # Panics
/// If the buffer has fewer bytes.
pub fn consume(buffer: &mut Vec<u8>, count: usize) {
    let rest = buffer.len() - count;
    buffer.copy_within(count.., 0);
    overwrite(&mut buffer[rest..]);
    buffer.truncate(rest);
}

/// Overwrites what calls have left on the stack of this thread, below the frame of the caller. The caller must be the one
/// that has made these calls: a function called before it would have its own frame over what it is to overwrite.
#[inline]
pub fn overwrite_stack() {
    zeroize_stack::<STACK_BYTES>();
}

/// The same for what has made a PDF.
#[inline]
pub fn overwrite_deep_stack() {
    zeroize_stack::<DEEP_STACK_BYTES>();
}

/// What the calls of a thread may have left on its stack.
#[derive(Debug, Default)]
pub struct StackResidue {
    calls: u32,
    /// When the first of them returned.
    since: Option<Instant>,
}

impl StackResidue {
    /// Whether there is any.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.calls > 0
    }

    /// How long the thread waits for its next call before [`StackResidue::overwrite`]; `None` where there is nothing to overwrite.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        self.is_any().then_some(PAUSE)
    }

    /// Notes a call that has returned. Returns whether the stack is to be overwritten without waiting for a pause.
    #[must_use]
    pub fn add_call(&mut self) -> bool {
        self.calls += 1;
        let since = *self.since.get_or_insert_with(Instant::now);
        self.calls >= MAX_CALLS || since.elapsed() >= MAX_TIME
    }

    /// Overwrites the stack, as [`overwrite_stack`] does.
    #[inline]
    pub fn overwrite(&mut self) {
        overwrite_stack();
        *self = StackResidue::default();
    }
}

/// Keeps the operating system from writing the memory of this process to a core file, and on Linux from showing it to other
/// processes of the same user. Programs that it starts write no core file either.
///
/// # Errors
/// When the operating system refuses.
pub fn forbid_dumps() -> io::Result<()> {
    // Before Linux passes a dump to a program it asks for this flag, and not for the limit.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)?;
    Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consuming_a_part_of_a_buffer_leaves_the_rest() {
        for (count, rest) in [(0, "head and body"), (5, "and body"), (9, "body"), (13, "")] {
            let mut buffer = b"head and body".to_vec();
            consume(&mut buffer, count);
            assert_eq!(buffer, rest.as_bytes(), "{count} bytes");
        }
    }

    #[test]
    fn a_thread_overwrites_its_stack_at_its_first_pause_or_after_many_calls() {
        let mut residue = StackResidue::default();
        assert_eq!(residue.pause(), None);
        assert!(!residue.add_call());
        assert_eq!(residue.pause(), Some(PAUSE));
        residue.overwrite();
        assert_eq!(residue.pause(), None);
        assert!((1..MAX_CALLS).all(|_| !residue.add_call()));
        assert!(residue.add_call(), "without any pause");
        residue.overwrite();
        residue.since = Instant::now().checked_sub(MAX_TIME);
        assert!(residue.add_call(), "after few calls that took long");
    }
}
