//! What somebody may have meant, as a remedy.

pub(in crate::app) use crate::nearby::remedy;
