//! Sealing, searches of everything that is stored for anything readable, and what the service promises of that.

mod memory;
mod promise;
mod sealing;
mod stored_files;
mod stored_rows;
mod verify_erasure;
