//! Conditions: what is read, what is refused, and what it comes to.

mod agreement;
mod binding;
mod cases;
mod grammar;
mod naive;
mod properties;
mod refusals;
mod trees;
