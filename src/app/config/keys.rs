//! What can be said about a key of the configuration file.
//!
//! The keys themselves are listed once, in `declared`. The reader checks a file against
//! that list, `config schema` prints it, and the tests of `config.example.toml` hold the example against it.

/// A key.
#[derive(Debug)]
pub struct Key {
    /// Its name: `slot`.
    pub name: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// What holds where it is absent.
    pub presence: Presence,
    /// What it is for, in one sentence.
    pub about: &'static str,
}

/// What may stand at a key.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A text that may be shown.
    Text,
    /// A text that is shown nowhere.
    Secret,
    /// `true` or `false`.
    Flag,
    /// A whole number from the first to the second, both included.
    Whole(u64, u64),
    /// A span of time: `"2m30s"`.
    Duration,
    /// A number of bytes: `"10GiB"`, or a whole number.
    Size,
    /// One word of a list.
    Word(Words),
    /// A list.
    List(&'static Kind),
    /// A list, or one of its elements alone.
    OneOrList(&'static Kind),
    /// A table with these keys: `[source]`.
    Table(&'static [Key]),
    /// Any number of tables with these keys: `[[forms]]`.
    Tables(&'static [Key]),
    /// A table whose keys are names that the operator chooses.
    Map(&'static Kind),
    /// A table whose keys are names that the operator chooses, or a list where the names are 0, 1, 2 and so on.
    MapOrList(&'static Kind),
    /// A text, or a table with these keys for more.
    TextOrTable(&'static [Key]),
    /// A table that becomes a JSON object, or the JSON text of one.
    Json,
    /// A table with a `type` and the settings that the scheme of that name declares, all of them secret.
    Scheme,
    /// Planned, and refused until then.
    Later,
}

/// The words that may stand at a key.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// Those that work.
    pub known: fn() -> Vec<&'static str>,
    /// Those that are planned and refused until then.
    pub later: &'static [&'static str],
}

/// What holds where a key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It must be there.
    Required,
    /// Nothing, or what another key says.
    Optional,
    /// This value, written as in the file.
    Default(&'static str),
}

impl Key {
    /// A key that must be there.
    pub(super) const fn required(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, presence: Presence::Required, about }
    }

    /// A key that may be absent.
    pub(super) const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, presence: Presence::Optional, about }
    }

    /// A key with a default, written as in the file.
    pub(super) const fn default(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        about: &'static str,
    ) -> Self {
        Self { name, kind, presence: Presence::Default(default), about }
    }

    /// A key that is planned.
    pub(super) const fn later(name: &'static str, about: &'static str) -> Self {
        Self { name, kind: Kind::Later, presence: Presence::Optional, about }
    }

    /// Whether it can be used today.
    pub fn works(&self) -> bool {
        !matches!(self.kind, Kind::Later)
    }
}
