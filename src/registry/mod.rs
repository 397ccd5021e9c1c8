//! The registration table: webhooks that programs and people write into the database while walhook runs.
//!
//! [`Row`] is what the log and the table say, [`Registered`] what walhook makes of it, live, for those who send, show
//! and answer; [`Door`] is the way to the table itself. What a row means is decided by an [`Interpreter`], which knows
//! the forms and the defaults of the configuration.

mod described;
mod door;
mod policies;
mod registered;
mod registrar;
mod row;
pub mod secrets;

pub use described::described;
pub use door::{Answer, Door, Error, Notices, Stored};
pub use policies::{PolicyError, PolicyRow};
pub use registered::{Registered, Standing};
pub use registrar::{Refusal, Registrar, masked, shown};
pub use row::{Row, Unreadable, is_table};

use crate::webhook::{Webhook, WebhookId};
use serde_json::Value;

/// The schema of the registration table.
pub const SCHEMA: &str = "walhook";
/// Its name.
pub const TABLE: &str = "webhook";

/// What is wrong with a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field at fault, as the native model names it: `callback.url`; empty where it is the whole.
    pub field: String,
    /// What is wrong, without any value that might be secret.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
    /// Where in the field's text, in bytes, where it is a condition.
    pub place: Option<std::ops::Range<usize>>,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

/// All faults in one line.
pub fn in_one_line(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Makes webhooks of registrations.
pub trait Interpreter: std::fmt::Debug + Send + Sync {
    /// The webhook that a registration in the shape of the native model describes, or everything that is wrong with it.
    fn interpret(&self, id: WebhookId, native: &Value) -> Result<Webhook, Vec<Fault>>;

    /// What keeps a webhook's condition from its forms as their tables are now, as far as they are known. The log asks
    /// nobody for that: what does not fit waits until it does.
    fn misfits(&self, webhook: &Webhook) -> Vec<Fault> {
        let _ = webhook;
        Vec::new()
    }

    /// A row as it may be stored: its secrets sealed.
    fn sealed(&self, row: &Row) -> Row;
}
