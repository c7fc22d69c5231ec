//! A server on a thread of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::outcome::Outcome;

/// The running server; dropping it ends its thread.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    is_closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on a free port. `serve` returns soon after the flag is set and another connection arrives.
    pub(crate) fn start(serve: impl FnOnce(&TcpListener, &AtomicBool) + Send + 'static) -> Outcome<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let is_closing = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let is_closing = is_closing.clone();
            move || serve(&listener, &is_closing)
        });
        Ok(Server { address, is_closing, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_closing.store(true, Ordering::Relaxed);
        // It wakes the thread from `accept`.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
