//! Documents and their renderings.

mod pdf_files;
mod samples;
