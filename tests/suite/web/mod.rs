//! The page: what it is made of, and what an operator can change of it.

mod folder;
mod mistakes;
mod texts;
