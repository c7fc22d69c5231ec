//! What an operator meets: configuration, the process, logs, metrics, documents, the repository's own rules.

mod benchmark;
mod check;
mod configuration;
mod doctor;
mod documentation;
mod logs;
mod metrics;
mod numbers;
mod poolers;
mod process;
mod repository;
mod soak;
