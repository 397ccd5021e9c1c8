//! Conditions: what is read, what is refused, and what it comes to.

mod binding;
mod cases;
mod grammar;
mod properties;
mod refusals;
mod trees;
