//! Behaviour that all routes share, and the routes of sessions and health.

mod bad_input;
mod bounds;
mod cors;
mod erase_counts;
mod health;
mod origin;
mod problems;
mod service;
mod sessions;
