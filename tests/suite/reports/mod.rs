//! Reports: what they say, how they are polished, and the file of their texts.

mod documents_of_reports;
mod fixture;
mod polish;
mod template_files;
