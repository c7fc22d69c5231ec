//! Behaviour that all routes share, and the routes of sessions and health.

mod bad_input;
mod bounds;
mod health;
mod service;
mod sessions;
