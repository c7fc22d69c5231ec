//! The fake model server.

mod reply;
mod request;
mod server;

pub(crate) use reply::{Behaviour, MARKER, Reply, answers, pauses_at};
pub(crate) use request::{API_KEY, MODEL};
pub(crate) use server::FakeModel;
