//! Documents and their renderings.

mod html;
mod markdown;
mod pdf;
mod samples;
mod text;
