//! Whoever waits for an answer.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Event, Tell};

/// Whoever waits for an answer, until they are told of an end.
#[derive(Clone)]
pub(super) struct Audience(Arc<Mutex<Option<Tell>>>);

impl Audience {
    pub(super) fn new(tell: Tell) -> Audience {
        Audience(Arc::new(Mutex::new(Some(tell))))
    }

    /// Tells of an event, unless an end was told already.
    pub(super) fn tell(&self, event: Event) {
        let mut tell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(event, Event::Ended(_) | Event::Failed(_)) {
            let last = tell.take();
            drop(tell);
            if let Some(mut tell) = last {
                tell(event);
            }
        } else if let Some(tell) = tell.as_mut() {
            tell(event);
        }
    }
}
