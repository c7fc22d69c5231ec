//! Reports: what they say, how they are polished, the file of their texts, and their routes.

mod documents_of_reports;
mod fixture;
mod lifecycle;
mod polish;
mod requests;
mod template_files;
