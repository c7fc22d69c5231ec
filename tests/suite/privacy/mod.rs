//! Sealing, and searches of everything that is stored for anything readable.

mod sealing;
mod stored_files;
mod stored_rows;
