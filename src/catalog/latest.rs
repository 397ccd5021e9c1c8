//! The forms as they were described last, for those who do not read the log.

use super::BindingStatus;
use crate::form::BoundForm;
use std::sync::{Arc, Mutex, PoisonError};

/// The forms as they were described last; every copy shows the same.
#[derive(Clone, Debug, Default)]
pub struct Latest(Arc<Mutex<Option<Arc<Description>>>>);

/// The forms at one time.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// Those that can be bound, in the order of the configuration.
    pub forms: Vec<Arc<BoundForm>>,
    /// How each stands to its table.
    pub statuses: Vec<BindingStatus>,
}

impl Latest {
    /// Shows another description from now on.
    pub fn replace(&self, description: Description) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(description));
    }

    /// The description; none as long as no catalogue has been read.
    pub fn now(&self) -> Option<Arc<Description>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
