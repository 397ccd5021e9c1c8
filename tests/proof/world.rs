//! The tables of the soak: what they are in SQL, to the oracle, and to walhook.

use super::oracle::Event;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

/// A column's value as the workload wrote it.
#[derive(Clone, Debug, PartialEq)]
pub enum Val {
    Null,
    Int(i64),
    Bool(bool),
    Text(Arc<str>),
    /// A numeric with two decimals, in hundredths.
    Cents(i64),
    /// A timestamptz, in seconds since 1970.
    Time(i64),
    Tags(Vec<String>),
    /// A jsonb object with one key.
    Props(i64),
}

impl Val {
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(text.as_ref().into())
    }

    /// As an SQL literal.
    pub fn sql(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Int(number) => number.to_string(),
            Self::Bool(yes) => yes.to_string(),
            Self::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Self::Cents(cents) => format!("{}.{:02}", cents / 100, cents % 100),
            Self::Time(seconds) => format!("to_timestamp({seconds})"),
            Self::Tags(tags) => format!("array[{}]::text[]", quoted(tags)),
            Self::Props(number) => format!("'{{\"n\": {number}, \"deep\": [true, null]}}'::jsonb"),
        }
    }

    /// What `to_jsonb` would give for it.
    pub fn json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => json!(number),
            Self::Bool(yes) => json!(yes),
            Self::Text(text) => json!(&**text),
            Self::Cents(cents) => {
                serde_json::from_str(&format!("{}.{:02}", cents / 100, cents % 100)).unwrap()
            }
            Self::Time(seconds) => {
                let time = jiff::Timestamp::from_second(*seconds).unwrap();
                json!(time.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string())
            }
            Self::Tags(tags) => json!(tags),
            Self::Props(number) => json!({"n": number, "deep": [true, null]}),
        }
    }

    /// As part of an entry id: the value's text.
    pub fn key_text(&self) -> String {
        match self {
            Self::Int(number) => number.to_string(),
            Self::Text(text) => text.to_string(),
            other => panic!("{other:?} is no part of a key here"),
        }
    }

    /// Whether the server stores it out of line, so that an update that leaves it alone does not send it. The
    /// workload writes large values either well above the threshold (2 kB for the row) or well below.
    pub fn is_toasted(&self) -> bool {
        matches!(self, Self::Text(text) if text.len() >= LARGE_BYTES)
    }
}

fn quoted(tags: &[String]) -> String {
    tags.iter().map(|tag| format!("'{}'", tag.replace('\'', "''"))).collect::<Vec<_>>().join(",")
}

/// The length of large texts.
pub const LARGE_BYTES: usize = 5_000;

/// A table and the form over it.
pub struct Table {
    pub name: &'static str,
    pub form: &'static str,
    pub noun: &'static str,
    /// Column names in order, with the names of their fields.
    pub columns: &'static [(&'static str, &'static str)],
    /// The columns of the primary key.
    pub key: &'static [usize],
    /// Whether the log has the old rows.
    pub full: bool,
    /// A change of these alone is no event.
    pub ignored: &'static [usize],
    /// These never leave.
    pub hidden: &'static [usize],
    pub record_id: Option<usize>,
}

pub const INCIDENT: usize = 0;
pub const ASSET: usize = 1;
pub const PERSON: usize = 2;

/// Incidents have their old values in the log, a large text, a bookkeeping and a hidden column; assets have a
/// composite key, a large text and no old values; people have nothing special, and take the bulk.
pub const TABLES: [Table; 3] = [
    Table {
        name: "desk.incident",
        form: "HPD:Help Desk",
        noun: "request",
        columns: &[
            ("number", "number"),
            ("guid", "guid"),
            ("short_description", "Short Description"),
            ("status", "Status"),
            ("assigned_to", "assigned_to"),
            ("details", "details"),
            ("seen", "seen"),
            ("token", "token"),
            ("opened_at", "opened_at"),
        ],
        key: &[0],
        full: true,
        ignored: &[6],
        hidden: &[7],
        record_id: Some(1),
    },
    Table {
        name: "desk.\"Asset\"",
        form: "asset",
        noun: "asset",
        columns: &[("site", "site"), ("tag", "tag"), ("name", "name"), ("cost", "cost"), ("note", "note")],
        key: &[0, 1],
        full: false,
        ignored: &[],
        hidden: &[],
        record_id: None,
    },
    Table {
        name: "desk.person",
        form: "person",
        noun: "person",
        columns: &[
            ("id", "id"),
            ("name", "name"),
            ("active", "active"),
            ("tags", "tags"),
            ("props", "props"),
        ],
        key: &[0],
        full: false,
        ignored: &[],
        hidden: &[],
        record_id: None,
    },
];

/// The position of the columns that the workload writes by name.
pub mod column {
    pub const INCIDENT_SHORT: usize = 2;
    pub const INCIDENT_STATUS: usize = 3;
    pub const INCIDENT_ASSIGNED: usize = 4;
    pub const INCIDENT_DETAILS: usize = 5;
    pub const INCIDENT_SEEN: usize = 6;
    pub const INCIDENT_TOKEN: usize = 7;
    pub const ASSET_NAME: usize = 2;
    pub const ASSET_COST: usize = 3;
    pub const ASSET_NOTE: usize = 4;
    pub const PERSON_NAME: usize = 1;
    pub const PERSON_ACTIVE: usize = 2;
    pub const PERSON_TAGS: usize = 3;
    pub const PERSON_PROPS: usize = 4;
}

/// The tables, the publication of them, and the book of transactions in a publication and a slot of its own.
/// Each transaction of the workload signs that book, and the slot gives the signatures back in commit order:
/// a witness that shares nothing with walhook but the server.
pub const SCHEMA: &str = "
    create schema desk;
    create table desk.incident (
        number text primary key, guid uuid not null, short_description text, status int, assigned_to text,
        details text, seen int not null, token text, opened_at timestamptz);
    alter table desk.incident replica identity full;
    alter table desk.incident alter column details set storage external;
    create table desk.\"Asset\" (
        site text, tag int, name text, cost numeric(12,2), note text, primary key (site, tag));
    alter table desk.\"Asset\" alter column note set storage external;
    create table desk.person (id int primary key, name text, active boolean, tags text[], props jsonb);
    create table desk.unmapped (id int primary key generated always as identity, payload text);
    create table desk.book (session int, number int, primary key (session, number));
    create publication walhook for table desk.incident, desk.\"Asset\", desk.person;
    create publication walhook_inserts with (publish = 'insert');
    create publication witness for table desk.book;
    select pg_create_logical_replication_slot('witness', 'pgoutput');
";

/// A webhook of the soak.
pub struct Hook {
    pub id: u64,
    pub name: &'static str,
    /// Where at the receiver, or a whole URL elsewhere.
    pub path: &'static str,
    pub format: &'static str,
    /// Numbers of tables.
    pub tables: &'static [usize],
    pub verbs: &'static [&'static str],
    /// Field names; empty means all.
    pub payload: &'static [&'static str],
    pub custom_json: Option<&'static str>,
    /// Which of these events it wants.
    pub condition: Option<Condition>,
}

/// A condition as walhook reads it, and as the oracle does.
pub struct Condition {
    pub text: &'static str,
    pub holds: fn(&Event) -> bool,
}

/// Reopened or in the hands of somebody, or gone with a description.
pub const RESTLESS: Condition = Condition {
    text: "'Status' >= 2 AND 'assigned_to' != $NULL$ OR 'TR.Status' < 'DB.Status' \
           OR $OPERATION$ = \"DELETE\" AND 'Short Description' LIKE \"%[aeiou]%\"",
    holds: |event| {
        let number = |val: Option<&Val>| match val {
            Some(Val::Int(number)) => Some(*number),
            _ => None,
        };
        let status = number(event.entry[column::INCIDENT_STATUS].as_ref());
        let was = number(event.old.as_ref().map(|old| &old[column::INCIDENT_STATUS]));
        let is_assigned = !matches!(event.entry[column::INCIDENT_ASSIGNED], None | Some(Val::Null));
        let goes_back = matches!(event.verb, "update" | "merge")
            && status.zip(was).is_some_and(|(status, was)| status < was);
        let has_vowel = matches!(&event.entry[column::INCIDENT_SHORT], Some(Val::Text(text))
            if text.contains(['a', 'e', 'i', 'o', 'u']));
        status.is_some_and(|status| status >= 2) && is_assigned
            || goes_back
            || event.verb == "delete" && has_vowel
    },
};

/// One hears everything; one speaks the old format about some fields; one wants only part, and its endpoint
/// refuses some entries for good; one has a condition.
pub const HOOKS: [Hook; 4] = [
    Hook {
        id: 1,
        name: "everything",
        path: "/everything",
        format: "native",
        tables: &[INCIDENT, ASSET, PERSON],
        verbs: &["create", "update", "merge", "delete"],
        payload: &[],
        custom_json: None,
        condition: None,
    },
    Hook {
        id: 2,
        name: "classic",
        path: "/classic",
        format: "arsys",
        tables: &[INCIDENT],
        verbs: &["create", "update", "merge", "delete"],
        payload: &["Short Description", "Status", "details"],
        custom_json: Some("{\"action\":\"AddToLogicalGroup\",\"group_id\":7}"),
        condition: None,
    },
    Hook {
        id: 3,
        name: "come and gone",
        path: "/come-and-gone",
        format: "native",
        tables: &[ASSET],
        verbs: &["create", "delete"],
        payload: &[],
        custom_json: None,
        condition: None,
    },
    Hook {
        id: 4,
        name: "restless",
        path: "/restless",
        format: "native",
        tables: &[INCIDENT],
        verbs: &["create", "update", "merge", "delete"],
        payload: &[],
        custom_json: None,
        condition: Some(RESTLESS),
    },
];

const PEOPLE: Hook = Hook {
    id: 1,
    name: "alive",
    path: "/alive",
    format: "native",
    tables: &[PERSON],
    verbs: &["create", "update", "delete"],
    payload: &[],
    custom_json: None,
    condition: None,
};

/// One webhook, its endpoint alive.
pub const ALIVE: [Hook; 1] = [PEOPLE];

/// The same beside one whose port nobody listens on (discard, RFC 863).
pub const ALIVE_AND_DEAD: [Hook; 2] =
    [PEOPLE, Hook { id: 2, name: "dead", path: "http://127.0.0.1:9/", ..PEOPLE }];

/// Whether the endpoint of the third webhook refuses an entry for good: these become dead letters.
pub fn is_refused(entry_id: &str) -> bool {
    entry_id.ends_with("13")
}

/// The configuration for `walhook run`.
pub fn configuration(database_url: &str, queue: &str, base_url: &str, admin: &str, hooks: &[Hook]) -> String {
    let mut toml = format!(
        "[source]\nurl = {database_url:?}\n\n[queue]\npath = {queue:?}\n\n[admin]\nlisten = {admin:?}\n"
    );
    for table in &TABLES {
        let names = |columns: &[usize]| {
            columns
                .iter()
                .map(|&column| format!("{:?}", table.columns[column].0))
                .collect::<Vec<_>>()
                .join(", ")
        };
        write!(
            toml,
            "\n[[forms]]\nname = {:?}\nnoun = {:?}\ntable = {:?}\n",
            table.form, table.noun, table.name
        )
        .unwrap();
        writeln!(toml, "entry_id = [{}]", names(table.key)).unwrap();
        writeln!(toml, "ignore = [{}]\nhidden = [{}]", names(table.ignored), names(table.hidden)).unwrap();
        if let Some(column) = table.record_id {
            writeln!(toml, "record_id = {:?}", table.columns[column].0).unwrap();
        }
        toml.push_str("[forms.fields]\n");
        for (column, field) in table.columns.iter().filter(|(column, field)| column != field) {
            writeln!(toml, "{field:?} = {column:?}").unwrap();
        }
    }
    for hook in hooks {
        let forms: Vec<_> = hook.tables.iter().map(|&table| TABLES[table].form).collect();
        write!(
            toml,
            "\n[[webhooks]]\nid = {}\nname = {:?}\nforms = {forms:?}\nevents = {:?}\npayload_fields = {:?}\nformat = {:?}\n\
             schedule = [{}]\ntimeout = \"2s\"\n",
            hook.id,
            hook.name,
            hook.verbs,
            hook.payload,
            hook.format,
            vec!["\"100ms\", \"200ms\", \"500ms\""; 20].join(", "),
        )
        .unwrap();
        if let Some(condition) = &hook.condition {
            writeln!(toml, "condition = '''{}'''", condition.text).unwrap();
        }
        if let Some(custom) = hook.custom_json {
            writeln!(toml, "custom_json = '{custom}'").unwrap();
        }
        let base_url = if hook.path.starts_with('/') { base_url } else { "" };
        write!(toml, "[webhooks.callback]\nurl = \"{base_url}{}\"\n", hook.path).unwrap();
    }
    toml
}
