//! A configuration that is proposed from what the database's catalogue says.
//!
//! ```text
//! catalogue ──► tables ──► forms, children, labels, transitions ──► walhook.toml, with comments that say why
//! ```
//!
//! [`read`] asks the server, and changes nothing there; [`Proposal::of`] judges what it said, as data ([`Proposal::of_arsystem`] asks the data
//! dictionary of an AR System instead); and
//! [`Proposal::to_toml`] writes it down. Where the application is well known, a [`Pack`] says what nobody has to guess. What is proposed is a start that works and that an operator corrects: it
//! prefers what the catalogue says for certain (keys, foreign keys, types) and uses names where only names tell.

mod arsystem;
mod children;
mod error;
mod labels;
mod names;
mod packs;
mod polymorphic;
mod proposal;
mod tables;
mod written;

pub use error::Error;
pub use packs::{Pack, ZAMMAD, ZNUNY};
pub use polymorphic::PolymorphicKey;
pub use proposal::{ChildProposal, FieldProposal, FormProposal, LeftOut, Proposal, TransitionProposal};
pub use tables::{Column, ForeignKey, Table, read};
