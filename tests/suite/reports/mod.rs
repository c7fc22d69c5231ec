//! Reports: what they say, how they are polished, the file of their texts, and their routes.

mod documents_of_reports;
mod export;
mod fixture;
mod lifecycle;
mod limits;
mod polish;
mod polishing;
mod renderings;
mod requests;
mod template_files;
