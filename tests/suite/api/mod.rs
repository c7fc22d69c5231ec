//! Behaviour that all routes share, and the routes of sessions and health.

mod bad_input;
mod bearer;
mod bounds;
mod cors;
mod erase_counts;
mod exit;
mod health;
mod origin;
mod panic;
mod problems;
mod service;
mod sessions;
