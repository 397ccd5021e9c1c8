//! What names of tables and columns tend to mean. Only where the catalogue says nothing are they asked.

/// The words of a name, in lower case: `ModifiedBy`, `modified-by` and `modified_by` are the same.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    let mut was_lower = false;
    for character in name.chars() {
        if !character.is_alphanumeric() || (character.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        if character.is_alphanumeric() {
            words.last_mut().expect("there is always one").extend(character.to_lowercase());
        }
        was_lower = character.is_lowercase() || character.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A name in lower case, its words joined with `_`.
pub(super) fn plain(name: &str) -> String {
    words(name).join("_")
}

/// A noun in the singular, as far as that can be told.
pub(super) fn singular(word: &str) -> String {
    let end = |suffix: &str| word.strip_suffix(suffix).filter(|rest| rest.len() > 1);
    if matches!(word, "news" | "series" | "species")
        || word.ends_with("ss")
        || word.ends_with("us")
        || word.ends_with("is")
    {
        return word.to_owned();
    }
    match (end("ies"), end("sses"), end("uses"), end("xes"), end("ches"), end("shes"), end("s")) {
        (Some(rest), ..) => format!("{rest}y"),
        (_, Some(rest), ..) => format!("{rest}ss"),
        (_, _, Some(rest), ..) => format!("{rest}us"),
        (_, _, _, Some(rest), ..) => format!("{rest}x"),
        (_, _, _, _, Some(rest), ..) => format!("{rest}ch"),
        (_, _, _, _, _, Some(rest), _) => format!("{rest}sh"),
        (.., Some(rest)) => rest.to_owned(),
        _ => word.to_owned(),
    }
}

/// Whether two names mean the same thing: `Incident`, `incidents`.
pub(super) fn are_alike(one: &str, other: &str) -> bool {
    let plain = |name: &str| words(name).iter().map(|word| singular(word)).collect::<String>();
    plain(one) == plain(other)
}

/// What tables are called whose rows belong to something else.
const PARTS: &[&str] = &[
    "annotation",
    "answer",
    "article",
    "attachment",
    "comment",
    "detail",
    "history",
    "journal",
    "line",
    "log",
    "message",
    "note",
    "remark",
    "reply",
    "response",
    "worklog",
];

/// Whether the rows of a table belong to those of another one, by their names: `incident_note` of `incident`, or a table of
/// notes whatever it belongs to.
pub(super) fn is_part_of(part: &str, whole: &str) -> bool {
    let singulars = |name: &str| words(name).iter().map(|word| singular(word)).collect::<Vec<_>>();
    let (part, whole) = (singulars(part), singulars(whole));
    let is_prefixed = part.len() > whole.len() && part.starts_with(&whole);
    is_prefixed || part != whole && part.last().is_some_and(|word| PARTS.contains(&word.as_str()))
}

/// The word for a part, the name of the whole left away: `note` of `incident_notes`.
pub(super) fn part_word(part: &str, whole: &str) -> String {
    let singulars = |name: &str| words(name).iter().map(|word| singular(word)).collect::<Vec<_>>();
    let (part, whole) = (singulars(part), singulars(whole));
    let rest =
        if part.len() > whole.len() && part.starts_with(&whole) { &part[whole.len()..] } else { &part[..] };
    let word: String =
        rest.join("-").chars().filter(|one| one.is_ascii_alphanumeric() || *one == '-').collect();
    if word.starts_with(|first: char| first.is_ascii_lowercase()) { word } else { "part".to_owned() }
}

/// Whether a table is what frameworks keep for themselves.
pub(super) fn is_technical(table: &str) -> bool {
    let name = plain(table);
    matches!(
        name.as_str(),
        "schema_migrations"
            | "ar_internal_metadata"
            | "flyway_schema_history"
            | "alembic_version"
            | "databasechangelog"
            | "databasechangeloglock"
            | "spatial_ref_sys"
            | "delayed_jobs"
            | "sessions"
            | "session"
            | "knex_migrations"
            | "knex_migrations_lock"
    ) || ["django_", "auth_group_permissions", "auth_user_user_permissions", "qrtz_", "act_ru_", "hibernate_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Of a column of texts, how good it is as the name of its row: the less the better, up to [`NO_LABEL`].
pub(super) fn label_rank(column: &str) -> usize {
    const LABELS: &[&str] = &["name", "label", "title", "caption", "text", "value", "description"];
    let name = plain(column);
    if let Some(rank) = LABELS.iter().position(|label| name == *label) {
        return rank;
    }
    let ends = LABELS.iter().position(|label| name.ends_with(&format!("_{label}")));
    ends.map_or(NO_LABEL, |rank| LABELS.len() + rank)
}

/// It is none.
pub(super) const NO_LABEL: usize = 100;

/// Whether a column is of those that lists of names have beside the name.
pub(super) fn is_of_lists(column: &str) -> bool {
    let name = plain(column);
    let last = name.rsplit('_').next().unwrap_or_default();
    matches!(
        last,
        "code"
            | "key"
            | "slug"
            | "color"
            | "colour"
            | "icon"
            | "description"
            | "comment"
            | "comments"
            | "note"
            | "type"
            | "abbreviation"
            | "symbol"
            | "identifier"
            | "shortname"
            | "class"
    )
}

/// Whether a column is bookkeeping: what changes whenever anything does, or says nothing of the business.
pub(super) fn is_bookkeeping(column: &str) -> bool {
    let name = plain(column);
    is_timestamp_of_change(column)
        || matches!(
            name.as_str(),
            "created_at"
                | "created_on"
                | "created"
                | "create_time"
                | "creation_date"
                | "date_created"
                | "date_entered"
                | "inserted_at"
                | "create_date"
                | "ctime"
        )
        || is_actor(column)
        || is_creator(column)
}

/// Whether a column says when the row was changed last, or counts its versions: an update of these alone is no news.
pub(super) fn is_timestamp_of_change(column: &str) -> bool {
    matches!(
        plain(column).as_str(),
        "updated_at"
            | "updated_on"
            | "updated"
            | "modified_at"
            | "modified_on"
            | "modified"
            | "changed_at"
            | "change_time"
            | "update_time"
            | "date_modified"
            | "last_modified"
            | "last_modified_date"
            | "modification_date"
            | "mtime"
            | "write_date"
            | "lock_version"
            | "row_version"
            | "version_lock"
            | "last_updated"
            | "last_update"
            | "last_seen_at"
            | "last_login"
            | "last_login_at"
            | "last_access"
            | "last_activity_at"
            | "lft"
            | "rgt"
            | "search_vector"
            | "tsv"
    )
}

/// Whether a column says who changed the row last.
pub(super) fn is_actor(column: &str) -> bool {
    matches!(
        base(column).as_str(),
        "updated_by"
            | "modified_by"
            | "changed_by"
            | "change_by"
            | "update_by"
            | "last_modified_by"
            | "modified_user"
            | "last_changed_by"
            | "last_updated_by"
            | "write_uid"
            | "editor"
            | "updater"
    )
}

/// Whether a column says who made the row.
pub(super) fn is_creator(column: &str) -> bool {
    matches!(
        base(column).as_str(),
        "created_by"
            | "create_by"
            | "author"
            | "creator"
            | "create_uid"
            | "submitter"
            | "entered_by"
            | "inserted_by"
    )
}

/// Whether a column means that its row is deleted: the time when, or a flag.
pub(super) fn is_deletion(column: &str) -> bool {
    matches!(
        plain(column).as_str(),
        "deleted_at"
            | "deleted_on"
            | "deleted"
            | "is_deleted"
            | "date_deleted"
            | "delete_time"
            | "deletion_date"
            | "removed_at"
    )
}

/// Whether what stands in a column is nobody's business.
pub(super) fn is_secret(column: &str) -> bool {
    const WORDS: &[&str] = &[
        "password",
        "passwd",
        "pwd",
        "pw",
        "passphrase",
        "secret",
        "token",
        "salt",
        "otp",
        "credential",
        "credentials",
    ];
    let words = words(column);
    words.iter().any(|word| WORDS.contains(&word.as_str()))
        || matches!(plain(column).as_str(), "api_key" | "apikey" | "private_key" | "rss_key" | "hashed_pw")
}

/// What a column is about whose changes have a word of their own: `status` for `status_id`; none where they have not.
pub(super) fn transition(column: &str) -> Option<String> {
    const WORDS: &[&str] = &[
        "status",
        "state",
        "stage",
        "phase",
        "priority",
        "severity",
        "urgency",
        "impact",
        "assignee",
        "assigned_to",
        "assigned",
        "assigned_user",
        "assigned_group",
        "owner",
        "team",
        "queue",
        "responsible",
        "category",
    ];
    let name = base(column);
    WORDS.contains(&name.as_str()).then(|| name.replace('_', "-"))
}

/// Whether a column is what people call the entry by.
pub(super) fn is_number(column: &str) -> bool {
    let name = plain(column);
    let last = name.rsplit('_').next().unwrap_or_default();
    matches!(
        last,
        "number" | "no" | "nr" | "num" | "code" | "ref" | "reference" | "tn" | "key" | "identifier"
    )
}

/// Whether a column says of which kind the thing is that another one refers to: `notable_type` and `notable_id`.
pub(super) fn is_kind_of(kind: &str, id: &str) -> bool {
    let (kind, id) = (words(kind), words(id));
    // Odoo's
    if kind == ["model"] && id == ["res", "id"] {
        return true;
    }
    let (Some((what, of)), Some((refers, to))) = (kind.split_last(), id.split_last()) else { return false };
    let is_kind = matches!(what.as_str(), "type" | "kind" | "class" | "model" | "table" | "entity");
    is_kind && matches!(refers.as_str(), "id" | "key" | "ref" | "uuid") && of == to && !of.is_empty()
}

/// A column's name without what says that it refers: `status` of `status_id`, `StatusID`, `id_status` and `fk_status`.
pub(super) fn base(column: &str) -> String {
    let name = plain(column);
    for suffix in ["_id", "_fk", "_uid"] {
        if let Some(rest) = name.strip_suffix(suffix).filter(|rest| !rest.is_empty()) {
            // Odoo's write_uid has no other name
            return if suffix == "_uid" { name } else { rest.to_owned() };
        }
    }
    for prefix in ["id_", "fk_"] {
        if let Some(rest) = name.strip_prefix(prefix).filter(|rest| !rest.is_empty()) {
            return rest.to_owned();
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_however_they_are_written() {
        for name in ["modified_by", "ModifiedBy", "modified-by", "MODIFIED BY", "modifiedBy"] {
            assert_eq!(plain(name), "modified_by", "{name}");
        }
        assert_eq!(plain("HPD:Help Desk"), "hpd_help_desk");
        assert_eq!(
            (base("status_id"), base("StatusID"), base("fk_status")),
            ("status".into(), "status".into(), "status".into())
        );
        assert_eq!(
            (base("id"), base("uuid"), base("write_uid")),
            ("id".into(), "uuid".into(), "write_uid".into())
        );
    }

    #[test]
    fn one_of_many() {
        for (many, one) in [
            ("notes", "note"),
            ("entries", "entry"),
            ("statuses", "status"),
            ("status", "status"),
            ("addresses", "address"),
            ("boxes", "box"),
            ("branches", "branch"),
            ("analysis", "analysis"),
            ("news", "news"),
            ("class", "class"),
            ("cases", "case"),
            ("s", "s"),
        ] {
            assert_eq!(singular(many), one);
        }
        assert!(are_alike("Incident", "incidents") && are_alike("TimeEntry", "time_entries"));
        assert!(!are_alike("incident", "incident_note"));
    }

    #[test]
    fn kinds_stand_beside_what_refers() {
        for (kind, id) in [("notable_type", "notable_id"), ("OwnerType", "OwnerId"), ("model", "res_id")] {
            assert!(is_kind_of(kind, id), "{kind} {id}");
        }
        for (kind, id) in
            [("type", "id"), ("notable_type", "owner_id"), ("mail_type", "mail"), ("model", "id")]
        {
            assert!(!is_kind_of(kind, id), "{kind} {id}");
        }
    }

    #[test]
    fn parts_are_told_from_their_names() {
        assert!(is_part_of("incident_note", "incidents") && is_part_of("journals", "issues"));
        assert!(!is_part_of("customer", "incident") && !is_part_of("notes", "note"));
        assert_eq!(part_word("incident_notes", "incident"), "note");
        assert_eq!(part_word("IncidentWorkLog", "Incident"), "work-log");
        assert_eq!(part_word("journals", "issues"), "journal");
        assert_eq!(part_word("übung", "issues"), "bung");
        assert_eq!(part_word("2nd", "issues"), "part");
    }

    #[test]
    fn columns_are_told_from_their_names() {
        assert_eq!(transition("status_id").as_deref(), Some("status"));
        assert_eq!(transition("AssignedTo").as_deref(), Some("assigned-to"));
        assert_eq!(transition("status_note"), None);
        assert!(is_secret("password_hash") && is_secret("api_token") && !is_secret("compassword"));
        assert!(is_timestamp_of_change("updatedAt") && !is_timestamp_of_change("created_at"));
        assert!(is_actor("modified_by_id") && is_actor("write_uid") && is_creator("author_id"));
        assert!(is_number("ticket_number") && is_number("tn") && !is_number("title"));
        assert!(label_rank("name") < label_rank("title") && label_rank("status_name") < NO_LABEL);
        assert_eq!(label_rank("mail"), NO_LABEL);
    }
}
