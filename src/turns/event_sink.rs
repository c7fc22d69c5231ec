//! Delivers the events of one turn to its client.

use std::sync::Arc;

use parking_lot::Mutex;

use super::event::{Event, EventHandler};

/// Delivers events to the client until the first terminal one; later events are dropped. All clones share one handler.
#[derive(Clone)]
pub(super) struct EventSink(Arc<Mutex<Option<EventHandler>>>);

impl EventSink {
    pub(super) fn new(handler: EventHandler) -> EventSink {
        EventSink(Arc::new(Mutex::new(Some(handler))))
    }

    pub(super) fn send(&self, event: Event) {
        let mut handler = self.0.lock();
        if event.is_terminal() {
            let last = handler.take();
            drop(handler);
            if let Some(mut handler) = last {
                handler(event);
            }
        } else if let Some(handler) = handler.as_mut() {
            handler(event);
        }
    }
}
