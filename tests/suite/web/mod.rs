//! The page: what it is made of, what an operator can change of it, and its life without JavaScript (with it: `tests/page.sh`).

mod embedding;
mod folder;
mod forms;
mod html;
mod leaving;
mod mistakes;
mod origin;
mod page;
mod reads;
mod texts;
