//! The companion: the script, the model client, their configuration, and the fake model server itself.

mod circuit;
mod configuration;
mod fake_model;
mod model;
mod model_faults;
mod script;
mod script_file;
