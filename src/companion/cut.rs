//! Ends a call from another thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ends the call it belongs to, from any thread and at any moment. Clones are the same.
#[derive(Clone, Default)]
pub struct Cut(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    is_cut: bool,
    /// What wakes up whoever is at it.
    interrupt: Option<Box<dyn FnOnce() + Send>>,
}

impl Cut {
    /// Cuts the call.
    pub fn now(&self) {
        let mut state = self.state();
        state.is_cut = true;
        let interrupt = state.interrupt.take();
        drop(state);
        if let Some(interrupt) = interrupt {
            interrupt();
        }
    }

    /// Whether it was cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.state().is_cut
    }

    /// Says what interrupts whatever the call waits for next, in place of what was said before. It is called at once where
    /// the call was cut already.
    pub fn interrupt_with(&self, interrupt: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        if state.is_cut {
            drop(state);
            interrupt();
        } else {
            state.interrupt = Some(Box::new(interrupt));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
