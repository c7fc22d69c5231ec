//! Documents and their renderings.

mod html;
mod markdown;
mod pdf;
mod pdf_files;
mod samples;
mod text;
