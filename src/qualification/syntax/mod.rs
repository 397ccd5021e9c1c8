//! From the text to the tree, and from the tree to the text.

mod habit;
mod misreading;
mod parse;
mod print;
mod refusal;
mod token;

pub(super) use parse::parse;
