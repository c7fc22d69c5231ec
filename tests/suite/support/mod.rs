//! Fixtures and helpers of the tests.

pub(crate) mod app;
pub(crate) mod chat;
pub(crate) mod cluster;
pub(crate) mod disk;
pub(crate) mod events;
pub(crate) mod fake_model;
pub(crate) mod http;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod reports;
pub(crate) mod requests;
pub(crate) mod server;
pub(crate) mod timing;

pub(crate) use app::{Variables, variables};
pub(crate) use cluster::{lock_table, wait_for_lock, wait_for_locks, wait_for_row_locks};
pub(crate) use timing::{SHORT, assert_took, eventually, timed};
