//! Keywords: what stands between dollar signs.

use super::program::Clock;

/// What a keyword stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    /// `$NULL$`.
    Null,
    /// `$OPERATION$`.
    Operation,
    /// `$USER$`.
    User,
    /// A moment, a day or a time of day, as what stands opposite asks for it.
    Clock(Clock),
    /// `$WEEKDAY$`.
    Weekday,
    /// The form's name.
    Form,
    /// The name of this instance.
    Server,
    /// The kind of database.
    Database,
    /// The version of this program.
    Version,
    /// NULL: nothing here has it.
    Nothing,
    /// NULL, but in a client of AR System.
    ClientOnly,
    /// `$DEFAULT$`: refused.
    Default,
}

/// In alphabetical order, without those that only a client fills.
const KEYWORDS: [(&str, Keyword); 19] = [
    ("CLIENT-TYPE", Keyword::Nothing),
    ("CURRENTTIMESTAMP", Keyword::Clock(Clock::Timestamp)),
    ("DATABASE", Keyword::Database),
    ("DATE", Keyword::Clock(Clock::Date)),
    ("DEFAULT", Keyword::Default),
    ("GROUPIDS", Keyword::Nothing),
    ("GROUPS", Keyword::Nothing),
    ("NULL", Keyword::Null),
    ("OPERATION", Keyword::Operation),
    ("ROLES", Keyword::Nothing),
    ("SCHEMA", Keyword::Form),
    ("SCHEMA-ALIAS", Keyword::Form),
    ("SERVER", Keyword::Server),
    ("SERVERTIMESTAMP", Keyword::Clock(Clock::Timestamp)),
    ("TIME", Keyword::Clock(Clock::Time)),
    ("TIMESTAMP", Keyword::Clock(Clock::Timestamp)),
    ("USER", Keyword::User),
    ("VERSION", Keyword::Version),
    ("WEEKDAY", Keyword::Weekday),
];

/// What only a client of AR System fills.
const CLIENT_ONLY: [&str; 36] = [
    "APPLICATION",
    "BROWSER",
    "HARDWARE",
    "OS",
    "LOCALE",
    "VUI",
    "VUI_TYPE",
    "GUIDE",
    "GUIDETEXT",
    "FIELDHELP",
    "FIELDID",
    "FIELDNAME",
    "FIELDLABEL",
    "ROWSELECTED",
    "ROWCHANGED",
    "ROWVISIBLE",
    "LASTID",
    "LASTCOUNT",
    "TCPPORT",
    "HOMEURL",
    "EVENTTYPE",
    "EVENTDATA",
    "EVENTSRCWINID",
    "CURRENTWINID",
    "LASTOPENEDWINID",
    "INBULKTRANS",
    "INCLNTMANAGEDTRANS",
    "ERRNO",
    "ERRMSG",
    "ERRAPPENDMSG",
    "DRAGSRCFIELDID",
    "DROPTGTFIELDID",
    "SHIFT_KEY",
    "CTRL_KEY",
    "ALT_KEY",
    "AUTHSTRING",
];

impl Keyword {
    /// The keyword of a name, in any letter case.
    pub(super) fn of(name: &str) -> Option<Self> {
        if let Some((_, keyword)) = KEYWORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(name)) {
            return Some(*keyword);
        }
        CLIENT_ONLY.iter().any(|word| word.eq_ignore_ascii_case(name)).then_some(Self::ClientOnly)
    }

    /// All names that mean something here, for suggestions.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        KEYWORDS.iter().map(|(word, _)| *word)
    }
}
