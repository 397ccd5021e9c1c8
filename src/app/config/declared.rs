//! Every key of the configuration file, listed once.

use super::keys::{Key, Kind, Words};
use super::{field, webhook};
use crate::admin::accounts::Role;
use crate::format;

/// The file.
pub static FILE: &[Key] = &[
    Key::default("source", Kind::Table(SOURCE), "{}", "Where the changes come from."),
    Key::default("queue", Kind::Table(QUEUE), "{}", "Where deliveries wait."),
    Key::optional("forms", Kind::Tables(FORM), "Tables as the business knows them."),
    Key::optional("webhooks", Kind::Tables(WEBHOOK), "Who wants to hear of what, and where."),
    Key::default("capture", Kind::Table(CAPTURE), "{}", "Limits of reading."),
    Key::default("dispatch", Kind::Table(DISPATCH), "{}", "Limits and defaults of sending."),
    Key::default("admin", Kind::Table(ADMIN), "{}", "What walhook says about itself over HTTP."),
    Key::default("secrets", Kind::Table(SECRETS), "{}", "The keys that seal secrets."),
    Key::later("images", "Last known rows of tables whose old values are not in the log."),
    Key::optional("mail", Kind::Table(MAIL), "A relay for mail about suspended and broken webhooks."),
];

static SOURCE: &[Key] = &[
    Key::optional(
        "url",
        Kind::Secret,
        "The address of the database; absent, the PG* variables say it, as for psql.",
    ),
    Key::default("slot", Kind::Text, r#""walhook""#, "The replication slot; `walhook run` creates it."),
    Key::default(
        "publication",
        Kind::Text,
        r#""walhook""#,
        "The publication; `walhook setup` creates it, and beside it one named with `_inserts` appended.",
    ),
    Key::default(
        "plugin",
        Kind::Word(Words { known: || vec!["pgoutput"], later: &["wal2json"] }),
        r#""pgoutput""#,
        "The output plugin of the slot.",
    ),
    Key::default(
        "case",
        Kind::Word(Words { known: || vec!["database", "sensitive", "insensitive"], later: &[] }),
        r#""database""#,
        "Whether letter case counts where conditions compare texts; `database`: as the column's type and collation \
         have it.",
    ),
    Key::default(
        "time_zone",
        Kind::Text,
        r#""UTC""#,
        "For date and time texts of conditions without offset, `$DATE$`, `$WEEKDAY$` and columns of type timestamp.",
    ),
    Key::default(
        "date_formats",
        Kind::List(&Kind::Text),
        "[]",
        "Further forms of date and time texts in conditions, as strftime has them: \"%d.%m.%Y %H:%M\".",
    ),
];

static QUEUE: &[Key] = &[
    Key::default(
        "path",
        Kind::Text,
        r#""walhook.db""#,
        "The file of the queue; a relative path starts at the folder of the configuration file.",
    ),
    Key::default("bytes_max", Kind::Size, r#""10GiB""#, "How large the queue may grow."),
    Key::default(
        "retention",
        Kind::Duration,
        r#""7d""#,
        "How long delivered and dropped deliveries stay listed, with their bodies and attempts.",
    ),
];

static CAPTURE: &[Key] = &[
    Key::default(
        "staging_bytes_max",
        Kind::Size,
        r#""8GiB""#,
        "How much disk one transaction that is too large for memory may take.",
    ),
    Key::default(
        "value_bytes_max",
        Kind::Size,
        r#""16MiB""#,
        "Larger values are left out of payloads and named in `unavailable_fields`.",
    ),
    Key::default(
        "attachments_bytes_max",
        Kind::Size,
        r#""32MiB""#,
        "How much all attachments of one message may have together; those beyond it are named in `attachments_missing`.",
    ),
];

static DISPATCH: &[Key] = &[
    Key::default(
        "in_flight_max",
        Kind::Whole(1, 65_536),
        "1024",
        "How many attempts may be under way at once, over all webhooks.",
    ),
    Key::default("timeout", Kind::Duration, r#""30s""#, "How long an attempt may take."),
    Key::default(
        "schedule",
        Kind::List(&Kind::Duration),
        r#"["5s", "30s", "2m", "10m", "30m", "1h", "3h", "6h", "12h", "24h"]"#,
        "The pauses between attempts; after the last one a delivery is a dead letter.",
    ),
    Key::default(
        "allow",
        Kind::List(&Kind::Text),
        "[]",
        "Private networks that webhooks registered outside this file may go to, as 10.0.0.0/8.",
    ),
    Key::default(
        "grace",
        Kind::Duration,
        r#""10s""#,
        "How long attempts that are under way may go on after the signal to stop.",
    ),
    Key::optional(
        "proxy",
        Kind::Secret,
        "A proxy that requests go out by: \"http://user:password@proxy.example:3128\"; absent, they go directly.",
    ),
    Key::default(
        "own_proxies",
        Kind::Flag,
        "false",
        "Whether webhooks registered outside this file may name another proxy, or none, where `proxy` is set.",
    ),
];

static ADMIN: &[Key] = &[
    Key::default(
        "listen",
        Kind::Text,
        r#""127.0.0.1:8640""#,
        "The address of /healthz, /readyz, /metrics and the interfaces.",
    ),
    Key::default(
        "allow_insecure",
        Kind::Flag,
        "false",
        "Whether `listen` may be an address that others can reach although `tls` or accounts are missing.",
    ),
    Key::optional(
        "url",
        Kind::Text,
        "How others reach walhook, for links in messages: \"https://desk.example:8640\"; absent, by the address of \
         `listen`.",
    ),
    Key::optional(
        "tls",
        Kind::Table(ADMIN_TLS),
        "Certificate and key of the listener; relative paths start at the folder of the configuration file.",
    ),
    Key::default("itrp", Kind::Table(ADMIN_ITRP), "{}", "The interface of ITRP, 4me, Xurrent and R-Service."),
    Key::optional("users", Kind::Tables(USER), "Who may log in with a password."),
    Key::optional("tokens", Kind::Tables(TOKEN), "Which programs may come with a token."),
];

static ADMIN_ITRP: &[Key] = &[
    Key::optional(
        "account",
        Kind::Text,
        "The name of the account; absent, every name is answered that a program brings along.",
    ),
    Key::default(
        "create_status",
        Kind::Whole(200, 201),
        "200",
        "The status that answers a registration: 200 as documented, or 201.",
    ),
    Key::default(
        "verification",
        Kind::Flag,
        "false",
        "Whether a webhook that is registered there stays disabled until its endpoint has called the link that a message \
         `webhook.verify` brings it.",
    ),
    Key::optional(
        "url",
        Kind::Text,
        "How receivers reach walhook, for links in messages: \"https://desk.example:8640\"; absent, as whoever registers \
         does.",
    ),
];

static ADMIN_TLS: &[Key] = &[
    Key::required("certificate", Kind::Text, "A PEM file with the certificate and its chain."),
    Key::required("key", Kind::Text, "A PEM file with its key, which only its owner may read."),
];

const ROLE: Kind =
    Kind::Word(Words { known: || Role::ALL.into_iter().map(Role::as_str).collect(), later: &[] });

static USER: &[Key] = &[
    Key::required("name", Kind::Text, "The name to log in with."),
    Key::required(
        "password",
        Kind::Secret,
        "The argon2id hash of the password, as `walhook password` makes it.",
    ),
    Key::required("role", ROLE, "Whether the user may change things (admin) or look only (viewer)."),
];

static TOKEN: &[Key] = &[
    Key::required("name", Kind::Text, "What it is called in logs."),
    Key::required("token", Kind::Secret, "The SHA-256 hash of the token, as `walhook token` makes it."),
    Key::required("role", ROLE, "Whether the program may change things (admin) or look only (viewer)."),
];

static SECRETS: &[Key] = &[
    Key::optional(
        "key",
        Kind::OneOrList(&Kind::Secret),
        "The key that seals secrets (whk_ and base64url); several while they are being changed, the newest first.",
    ),
    Key::optional(
        "key_file",
        Kind::Text,
        "A file with the keys, a line each, the newest first; absent, walhook.key beside the queue, which `walhook \
         run` makes.",
    ),
];

static MAIL: &[Key] = &[
    Key::required("relay", Kind::Text, "The SMTP relay, as \"host\" or \"host:port\"."),
    Key::default(
        "tls",
        Kind::Word(Words { known: || vec!["starttls", "tls", "none"], later: &[] }),
        r#""starttls""#,
        "How the connection is kept private: STARTTLS (port 587 where none is said), TLS from the start (465), or not (25).",
    ),
    Key::optional("username", Kind::Text, "The user, where the relay wants one."),
    Key::optional("password", Kind::Secret, "The user's password."),
    Key::required("from", Kind::Text, "The sender."),
    Key::required("to", Kind::OneOrList(&Kind::Text), "Who gets the mails."),
    Key::default("every", Kind::Duration, r#""20m""#, "At most one mail per webhook in this time."),
];

/// A form.
pub(super) static FORM: &[Key] = &[
    Key::optional("name", Kind::Text, "Its name; absent, the table's."),
    Key::optional(
        "noun",
        Kind::Text,
        "For noun.verb names; absent, the table's name in lower case with other characters as `_`.",
    ),
    Key::required(
        "table",
        Kind::Text,
        "The table, as \"schema.table\" or \"table\", spelled as in the catalogue.",
    ),
    Key::optional(
        "entry_id",
        Kind::OneOrList(&Kind::Text),
        "The columns of the entry id, joined with |; absent, the primary key.",
    ),
    Key::optional("record_id", Kind::Text, "The column of the record id."),
    Key::default(
        "old_values",
        Kind::Word(Words { known: || vec!["auto", "log", "none"], later: &["image"] }),
        r#""auto""#,
        "Where old values come from: the log (REPLICA IDENTITY FULL) or nowhere; auto takes what is there.",
    ),
    Key::default(
        "fold",
        Kind::Word(Words { known: || vec!["transaction", "row"], later: &[] }),
        r#""transaction""#,
        "One event per entry and transaction, or one per row change.",
    ),
    Key::default(
        "ignore",
        Kind::List(&Kind::Text),
        "[]",
        "Bookkeeping columns: an update of these alone is no event. Takes effect where old values are known.",
    ),
    Key::default("unset", Kind::List(&Kind::Text), "[]", "Values that mean NULL here."),
    Key::default("hidden", Kind::List(&Kind::Text), "[]", "Columns that never leave."),
    Key::default(
        "unchanged_updates",
        Kind::Flag,
        "false",
        "Whether an update that changed nothing is an event all the same.",
    ),
    Key::optional(
        "fields",
        Kind::Map(&Kind::TextOrTable(FIELD)),
        "Fields by name, each with its column; other columns appear under their own name.",
    ),
    Key::optional(
        "parts",
        Kind::Map(&Kind::Text),
        "Columns that conditions reach as parts of a field: \"Cost.TYPE\" = \"cost_currency\".",
    ),
    Key::optional(
        "where",
        Kind::Text,
        "A condition: which rows of the table are entries; a row that begins to meet it is a create, one that ceases \
         to is a delete.",
    ),
    Key::optional(
        "deleted",
        Kind::TextOrTable(DELETED),
        "Soft delete: the column or field that says whether an entry is deleted, by anything but NULL and false, or by \
         certain values. Setting it is a delete, taking it back a create.",
    ),
    Key::optional("merge", Kind::Table(MERGE), "Which changes are a merge."),
    Key::optional(
        "transitions",
        Kind::Tables(TRANSITION),
        "Events for changes of one field: status-changed.",
    ),
    Key::optional(
        "children",
        Kind::Tables(CHILD),
        "Events for rows of a table that belongs to this one: note-added.",
    ),
    Key::optional(
        "attributes",
        Kind::Tables(ATTRIBUTES),
        "Fields that are rows of another table: one row says which entry, which field, and its value.",
    ),
    Key::optional(
        "extensions",
        Kind::Tables(EXTENSION),
        "Fields that stand in another table, which has one row for an entry.",
    ),
    Key::optional(
        "attachments",
        Kind::Map(&Kind::TextOrTable(ATTACHMENT)),
        "Fields that are files, each with the column of the file's name: format \"arsys\" sends them as parts of their own.",
    ),
    Key::default(
        "emitted",
        Kind::List(&Kind::Text),
        "[]",
        "Events that the application emits itself, by `select walhook.emit(…)`: [\"escalated\"].",
    ),
    Key::optional(
        "rules",
        Kind::Tables(RULE),
        "Automation rules: what webhooks are told when something happens and a condition holds.",
    ),
    Key::optional("actor", Kind::Table(ACTOR), "Who made a change."),
    Key::optional("itrp", Kind::Table(ITRP), "What the messages of format \"itrp\" say of its entries."),
];

static FIELD: &[Key] = &[
    Key::required("column", Kind::Text, "The column."),
    Key::optional("id", Kind::Whole(0, i64::MAX as u64), "Its number, in products that number fields."),
    Key::optional(
        "labels",
        Kind::MapOrList(&Kind::Text),
        "The texts of a selection's values, in their order: by what stands in the column, or a list for 0, 1, 2 and \
         so on.",
    ),
    Key::optional(
        "kind",
        Kind::Word(Words { known: || field::MEANINGS.iter().map(|(word, _)| *word).collect(), later: &[] }),
        "What its values mean in conditions, where the column's type does not say it.",
    ),
];

static ATTACHMENT: &[Key] = &[
    Key::optional("name", Kind::Text, "The column of the file's name; absent, it is called like the field."),
    Key::optional("type", Kind::Text, "The column of its media type; absent, application/octet-stream."),
    Key::optional(
        "size",
        Kind::Text,
        "The column of its size in bytes: of a file that is read later than the change, what tells that it is another one \
         by then.",
    ),
    Key::default("bytes_max", Kind::Size, r#""10MiB""#, "Larger ones are not sent."),
    Key::optional(
        "table",
        Kind::Text,
        "The table that has the bytes, one row for an entry, where the field's value is the file's name: AR System's \
         B<form>C<field>.",
    ),
    Key::optional("key", Kind::Text, "The column of that table that has the entry id."),
    Key::optional(
        "column",
        Kind::Text,
        "The column of that table that has the bytes; they may be compressed (zlib).",
    ),
];

static DELETED: &[Key] = &[
    Key::required("column", Kind::Text, "The column, or the field."),
    Key::optional(
        "values",
        Kind::OneOrList(&Kind::Text),
        "The values that mean deleted, as they stand in the column; absent, any but NULL and false.",
    ),
];

static MERGE: &[Key] = &[
    Key::optional(
        "delete_insert",
        Kind::Flag,
        "Whether one key deleted and inserted in one transaction is a merge; absent, it is, but for \
         partitioned tables.",
    ),
    Key::default(
        "origins",
        Kind::List(&Kind::Text),
        "[]",
        "Replication origins all of whose changes are merges.",
    ),
    Key::optional(
        "marker",
        Kind::OneOrList(&Kind::Text),
        "A field, or several, whose change marks a merge: to anything but NULL and false.",
    ),
    Key::optional("target", Kind::Text, "The column that says into which entry this one was merged."),
    Key::optional(
        "references",
        Kind::Text,
        "The column of this table that the target's values stand in; absent, they are entry ids.",
    ),
];

static RULE: &[Key] = &[
    Key::required("name", Kind::Text, "Its name: lower case letters, digits, - and _."),
    Key::default(
        "events",
        Kind::OneOrList(&Kind::Text),
        r#"["create", "update", "merge"]"#,
        "What has to happen to an entry.",
    ),
    Key::optional("condition", Kind::Text, "What has to hold, as of a webhook; absent, nothing has to."),
    Key::default(
        "webhooks",
        Kind::OneOrList(&Kind::Text),
        "[]",
        "The names of the webhooks that are told; they listen to automation_rule. None means all that do.",
    ),
    Key::optional(
        "payload",
        Kind::Json,
        "What they are told, an object; fields stand in braces: { text = \"{Number} is urgent\" }.",
    ),
];

static TRANSITION: &[Key] = &[
    Key::required(
        "verb",
        Kind::Text,
        "The event, as \"status-changed\": lower case letters, digits, - and _.",
    ),
    Key::required("field", Kind::Text, "The field whose change it is, by its name or its column's."),
    Key::optional(
        "from",
        Kind::OneOrList(&Kind::Text),
        "The values that it changes from, as they stand in the column or as their labels; absent, any.",
    ),
    Key::optional("to", Kind::OneOrList(&Kind::Text), "The values that it changes to; absent, any."),
];

/// A table whose rows belong to entries.
static CHILD: &[Key] = &[
    Key::required("verb", Kind::Text, "The event, as \"note-added\"."),
    Key::required("table", Kind::Text, "The table, as that of a form."),
    Key::required(
        "parent",
        Kind::OneOrList(&Kind::Text),
        "The columns that say to which entry a row belongs, or to which row of the first table between.",
    ),
    Key::optional(
        "references",
        Kind::OneOrList(&Kind::Text),
        "The columns of the form's table that they mean; absent, its primary key.",
    ),
    Key::optional("through", Kind::Tables(HOP), "The tables between, the child's next one first."),
    KIND,
    PREFIX,
    Key::default(
        "on",
        Kind::Word(Words { known: || vec!["insert", "update", "delete"], later: &[] }),
        r#""insert""#,
        "Which change of a row is the event.",
    ),
    Key::optional("where", Kind::Text, "A condition: which rows count, as \"'internal' = \\\"false\\\"\"."),
    Key::optional(
        "entry_id",
        Kind::OneOrList(&Kind::Text),
        "The columns of the child's own id; absent, its primary key.",
    ),
    Key::optional("fields", Kind::Map(&Kind::TextOrTable(FIELD)), "Its fields by name, as those of a form."),
    Key::default("hidden", Kind::List(&Kind::Text), "[]", "Its columns that never leave."),
    Key::default("unset", Kind::List(&Kind::Text), "[]", "Values that mean NULL in it."),
    Key::default(
        "ignore",
        Kind::List(&Kind::Text),
        "[]",
        "Its bookkeeping columns: an update of these alone is no event.",
    ),
    Key::optional("actor", Kind::Table(ACTOR), "Who wrote the row."),
];

/// A table whose rows are fields of an entry.
static ATTRIBUTES: &[Key] = &[
    SUPPLEMENT_TABLE,
    SUPPLEMENT_PARENT,
    SUPPLEMENT_REFERENCES,
    SUPPLEMENT_KEY,
    KIND,
    PREFIX,
    Key::required("attribute", Kind::Text, "The column that says which field a row is: \"field_id\"."),
    Key::required(
        "value",
        Kind::OneOrList(&Kind::Text),
        "The columns of the value; the first that is not NULL is it.",
    ),
    SUPPLEMENT_WHERE,
    SUPPLEMENT_UNSET,
    Key::required(
        "fields",
        Kind::Map(&Kind::Text),
        "The fields: each with what stands in the column `attribute`: \"Severity\" = \"42\".",
    ),
];

/// A table that has one row for an entry.
static EXTENSION: &[Key] = &[
    SUPPLEMENT_TABLE,
    SUPPLEMENT_PARENT,
    SUPPLEMENT_REFERENCES,
    SUPPLEMENT_KEY,
    KIND,
    PREFIX,
    SUPPLEMENT_WHERE,
    SUPPLEMENT_UNSET,
    Key::required("fields", Kind::Map(&Kind::Text), "The fields, each with its column."),
];

const SUPPLEMENT_TABLE: Key = Key::required("table", Kind::Text, "The table, as that of a form.");

const SUPPLEMENT_PARENT: Key =
    Key::required("parent", Kind::OneOrList(&Kind::Text), "The columns that say of which entry a row is.");

const SUPPLEMENT_REFERENCES: Key = Key::optional(
    "references",
    Kind::OneOrList(&Kind::Text),
    "The columns of the form's table that they mean; absent, its primary key.",
);

const SUPPLEMENT_KEY: Key = Key::optional(
    "key",
    Kind::OneOrList(&Kind::Text),
    "The columns that tell its rows apart; absent, the primary key.",
);

const SUPPLEMENT_WHERE: Key = Key::optional("where", Kind::Text, "A condition: which of its rows count.");

const SUPPLEMENT_UNSET: Key =
    Key::default("unset", Kind::List(&Kind::Text), "[]", "Values that mean NULL in it.");

/// A table between a child and the form.
static HOP: &[Key] = &[
    Key::required("table", Kind::Text, "The table, as that of a form."),
    Key::optional(
        "key",
        Kind::OneOrList(&Kind::Text),
        "The columns that the table before refers to; absent, the primary key.",
    ),
    Key::required(
        "parent",
        Kind::OneOrList(&Kind::Text),
        "The columns that say to which row of the next table, or to which entry, a row belongs.",
    ),
    KIND,
    PREFIX,
];

const KIND: Key = Key::optional(
    "kind",
    Kind::Table(POLYMORPH),
    "Where rows belong to entries of several forms: the column that says which, and its value for this one.",
);

const PREFIX: Key = Key::optional(
    "prefix",
    Kind::Text,
    "Where one column says both: what stands before the key, as \"party.party,\" in \"party.party,2\".",
);

static POLYMORPH: &[Key] = &[
    Key::required("column", Kind::Text, "The column: \"notable_type\"."),
    Key::required("value", Kind::Text, "Its value: \"Incident\"."),
];

static ACTOR: &[Key] = &[
    Key::required("column", Kind::Text, "The column that says who changed the row: \"modified_by\"."),
    Key::optional(
        "name",
        Kind::Text,
        "The column with that person's name, where the other one has a number.",
    ),
];

static ITRP: &[Key] = &[
    Key::optional(
        "status",
        Kind::Text,
        "The field of the status; absent, the one called so, in any letter case.",
    ),
    Key::optional("source", Kind::Text, "The field of `source`, likewise."),
    Key::optional("sourceID", Kind::Text, "The field of `sourceID`, likewise."),
    Key::optional("team", Kind::Text, "The field with the id of the team, likewise."),
    Key::optional("team_name", Kind::Text, "The field with its name, likewise."),
    Key::optional("member", Kind::Text, "The field with the id of the member, likewise."),
    Key::optional("member_name", Kind::Text, "The field with that person's name, likewise."),
    Key::optional(
        "canonical",
        Kind::Text,
        "The entry's page, for the header Link: \"https://desk.example/requests/{entry_id}\".",
    ),
    Key::optional("resource", Kind::Text, "The entry in the application's API, for the same header."),
];

/// A webhook.
pub(super) static WEBHOOK: &[Key] = &[
    Key::required("name", Kind::Text, "Its name, unique in the file."),
    Key::optional(
        "id",
        Kind::Whole(1, super::identity::ID_MAX),
        "Its number; absent, one that follows from the name. Renaming a webhook keeps it only where it stands here.",
    ),
    Key::optional("description", Kind::Text, "What it is for."),
    Key::optional("form", Kind::Text, "The form it listens to; \"*\" means all forms."),
    Key::optional("forms", Kind::List(&Kind::Text), "The forms it listens to, where they are several."),
    Key::required(
        "events",
        Kind::List(&Kind::Text),
        "The events it listens to: create, update, merge, delete; or pairs with the noun of a form, as \
         \"request.create\", which need no `form`.",
    ),
    Key::optional(
        "condition",
        Kind::Text,
        "A condition: which of these events it wants, as \"'Status' = \\\"New\\\"\"; absent, all.",
    ),
    Key::default(
        "payload_fields",
        Kind::List(&Kind::Text),
        "[]",
        "The fields it wants, by name or number; none means all.",
    ),
    Key::default(
        "send_unchanged_fields",
        Kind::Flag,
        "false",
        "Whether an update brings all wanted fields or only those that changed, where the format chooses.",
    ),
    Key::optional("custom_json", Kind::Json, "An object that is sent along unchanged; at most 64 KiB."),
    Key::optional(
        "mail_exceptions_to",
        Kind::List(&Kind::Text),
        "Who gets mail when its deliveries fail; absent, those of [mail].",
    ),
    Key::optional("exclude", Kind::Table(EXCLUDE), "Whose changes it does not hear of."),
    Key::optional("body", Kind::Table(BODY), "How its bodies are written, where the format leaves a choice."),
    Key::default("enabled", Kind::Flag, "true", "Whether it takes new changes."),
    Key::default(
        "format",
        Kind::Word(Words {
            known: || format::FORMATS.iter().map(|format| format.name()).collect(),
            later: &[],
        }),
        r#""native""#,
        "The format of its bodies.",
    ),
    Key::required("callback", Kind::Table(CALLBACK), "Where its deliveries go."),
    Key::optional("signature", Kind::Table(SIGNATURE), "How its deliveries are signed."),
    Key::optional(
        "schedule",
        Kind::List(&Kind::Duration),
        "The pauses between attempts; absent, those of [dispatch].",
    ),
    Key::default(
        "on_exhausted",
        Kind::Word(Words { known: || vec!["skip", "block"], later: &[] }),
        r#""skip""#,
        "Whether the later deliveries of an entry go on after a dead letter, or wait for its replay or drop.",
    ),
    Key::default(
        "in_flight_max",
        Kind::Whole(1, 65_536),
        "16",
        "How many attempts may be under way at once.",
    ),
    Key::optional(
        "per_second_max",
        Kind::Whole(1, 1_000_000),
        "How many attempts may start in a second; absent, no limit.",
    ),
    Key::optional("timeout", Kind::Duration, "How long an attempt may take; absent, that of [dispatch]."),
    Key::optional(
        "backlog_bytes_max",
        Kind::Size,
        "How much the bodies that wait for it may take; absent, a quarter of the queue.",
    ),
    Key::optional(
        "retention",
        Kind::Duration,
        "How long its delivered and dropped deliveries stay listed, with their bodies; absent, as [queue] says.",
    ),
];

static EXCLUDE: &[Key] = &[
    Key::default("origins", Kind::List(&Kind::Text), "[]", "Replication origins."),
    Key::default("actors", Kind::List(&Kind::Text), "[]", "Those who made the changes."),
    Key::default(
        "marks",
        Kind::List(&Kind::Text),
        "[]",
        "What sessions were marked with: select pg_logical_emit_message(true, 'walhook.mark', 'sync').",
    ),
];

static BODY: &[Key] = &[
    Key::optional(
        "record_id",
        Kind::Word(Words {
            known: || webhook::RECORD_ID.iter().map(|(word, _)| *word).collect(),
            later: &[],
        }),
        "Which events bring the record id; absent, as the format's product does it.",
    ),
    Key::default(
        "selections",
        Kind::Word(Words {
            known: || webhook::SELECTIONS.iter().map(|(word, _)| *word).collect(),
            later: &[],
        }),
        r#""stored""#,
        "How values of selections are written: as they stand in the column (0), as people read them (\"New\"), or both.",
    ),
    Key::default(
        "skip_empty_updates",
        Kind::Flag,
        "false",
        "Whether an update that would bring no field is not sent.",
    ),
    Key::default(
        "attachments_as_references",
        Kind::Flag,
        "false",
        "Whether attachments are sent as links to walhook, good for 7 days, and not as parts of the message.",
    ),
];

static CALLBACK: &[Key] = &[
    Key::required("url", Kind::Text, "The URL, absolute, http or https."),
    Key::default("authentication", Kind::Scheme, r#"{ type = "NO_AUTH" }"#, "How we authenticate there."),
    Key::optional(
        "headers",
        Kind::Map(&Kind::Text),
        "Further request headers, by name; they are shown, so secrets belong into `authentication`.",
    ),
    Key::optional(
        "proxy",
        Kind::Secret,
        "A proxy that requests go out by, or \"none\"; absent, that of [dispatch].",
    ),
    Key::optional(
        "tls",
        Kind::Table(CALLBACK_TLS),
        "Certificates of its own, for https; relative paths start at the folder of the configuration file.",
    ),
];

static CALLBACK_TLS: &[Key] = &[
    Key::optional(
        "authorities",
        Kind::Text,
        "A PEM file with the authorities that are trusted; absent, the system's.",
    ),
    Key::optional(
        "certificate",
        Kind::Text,
        "A PEM file with our certificate, where the endpoint asks for one.",
    ),
    Key::optional("key", Kind::Text, "A PEM file with its key, which only its owner may read."),
];

static SIGNATURE: &[Key] = &[Key::required(
    "secret",
    Kind::OneOrList(&Kind::Secret),
    "The signing secret (whsec_ and base64); several while they are being changed, the newest first.",
)];
