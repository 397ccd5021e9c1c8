//! `NO_AUTH`: none.

use super::{Authenticator, Error, Scheme, Setting};
use crate::secret::Secret;
use http::HeaderMap;
use std::collections::BTreeMap;

pub(super) struct NoAuth;

impl Scheme for NoAuth {
    fn name(&self) -> &'static str {
        "NO_AUTH"
    }

    fn settings(&self) -> &'static [Setting] {
        &[]
    }

    fn prepare(&self, _: &BTreeMap<String, Secret>) -> Result<Box<dyn Authenticator>, Vec<Error>> {
        Ok(Box::new(Nothing))
    }
}

struct Nothing;

impl Authenticator for Nothing {
    fn apply(&self, _: &mut HeaderMap) {}
}
