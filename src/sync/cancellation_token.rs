//! Cancels a blocking operation from another thread.

use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

type Callback = Box<dyn FnOnce() + Send>;

/// Cancels one operation, from any thread and at any time. All clones share one state.
#[derive(Clone)]
pub struct CancellationToken(Arc<Mutex<Option<Callback>>>);

impl Default for CancellationToken {
    /// A token that is not cancelled. The callback is `None` once it is.
    fn default() -> CancellationToken {
        CancellationToken(Arc::new(Mutex::new(Some(Box::new(|| {})))))
    }
}

impl CancellationToken {
    /// Cancels the operation and runs the callback of [`CancellationToken::on_cancel`] on this thread.
    pub fn cancel(&self) {
        let callback = self.0.lock().take();
        if let Some(callback) = callback {
            callback();
        }
    }

    /// Whether the operation was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.lock().is_none()
    }

    /// Whether both are clones of one token.
    #[must_use]
    pub fn is_same(&self, other: &CancellationToken) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Sets the callback that interrupts the next blocking call. It replaces the previous one, and runs at once when the
    /// operation is cancelled already.
    pub fn on_cancel(&self, callback: impl FnOnce() + Send + 'static) {
        let mut state = self.0.lock();
        if let Some(current) = state.as_mut() {
            let previous = mem::replace(current, Box::new(callback));
            drop(state);
            // Its captures may take locks when they are dropped.
            drop(previous);
        } else {
            drop(state);
            callback();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn cancelling_runs_the_newest_callback_once() {
        let (token, calls) = (CancellationToken::default(), Arc::new(AtomicUsize::new(0)));
        for weight in [100, 1] {
            let calls = calls.clone();
            token.on_cancel(move || _ = calls.fetch_add(weight, Ordering::Relaxed));
        }
        assert!(!token.is_cancelled());
        token.clone().cancel();
        token.cancel();
        assert!(token.is_cancelled());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_callback_set_after_cancelling_runs_at_once() {
        let (token, calls) = (CancellationToken::default(), Arc::new(AtomicUsize::new(0)));
        token.cancel();
        let counter = calls.clone();
        token.on_cancel(move || _ = counter.fetch_add(1, Ordering::Relaxed));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
