//! Mappings of well-known applications, as `packs` has them.

use super::written;

/// A mapping of one application: its forms, by the names of its tables.
#[derive(Clone, Copy, Debug)]
pub struct Pack {
    /// The application.
    pub application: &'static str,
    /// Its forms, as the configuration file has them.
    pub forms: &'static str,
}

/// The help desk Zammad.
pub const ZAMMAD: Pack = Pack { application: "Zammad", forms: include_str!("../../packs/zammad.toml") };
/// The service desk Znuny, and OTRS 6.
pub const ZNUNY: Pack = Pack { application: "Znuny", forms: include_str!("../../packs/znuny.toml") };

impl Pack {
    /// The file's text. `source` is what follows `[source]`, `url` an endpoint that is to hear of everything, and
    /// `events` all that can happen, for each form.
    pub fn to_toml(&self, database: &str, source: &str, url: Option<&str>, events: &[Vec<String>]) -> String {
        let made = format!("For {} in the database", self.application);
        let mut text = written::head(&made, database, "Adapt it", source);
        text.push('\n');
        text.push_str(self.forms);
        written::write_webhook(&mut text, events, url);
        text
    }
}
