//! The companion: the script, the client of a model, their configuration, and the fake model server itself.

mod circuit_breaker;
mod configuration;
mod dialects;
mod egress;
mod fake_model;
mod fixture;
mod model_faults;
mod model_replies;
mod model_requests;
mod safety;
mod script;
mod script_file;
