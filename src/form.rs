//! Forms: tables as the business knows them.

use crate::attachment::{Attachments, BoundAttachment};
use crate::belonging::{Belonging, BoundBelonging, Role};
use crate::change::{Datum, Relation, ReplicaIdentity, Row};
use crate::event::Verb;
use crate::happening::{BoundHappenings, Happenings};
use crate::qualification::{BoundQualification, Dialect, Qualification};
use crate::value::{Kind, Type};
use std::sync::Arc;

/// A form as the operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Its name: `HPD:Help Desk`.
    pub name: String,
    /// For `noun.verb` names: `request`.
    pub noun: String,
    /// The schema of the table; none means the first of the search path that has the table, else `public`, else
    /// the only one that has it.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
    /// The columns of the entry id; empty means the primary key.
    pub entry_id: Vec<String>,
    /// The column of the record id (a GUID).
    pub record_id: Option<String>,
    /// Where old values come from.
    pub old_values: OldValues,
    /// What becomes of several changes of one entry in one transaction.
    pub fold: Fold,
    /// Bookkeeping columns: an update of these alone is no event.
    pub ignore: Vec<String>,
    /// Values that mean NULL here, in PostgreSQL's text form.
    pub unset: Vec<String>,
    /// Columns that never leave.
    pub hidden: Vec<String>,
    /// Fields with a name, an id or both; other columns appear under their own name.
    pub fields: Vec<Field>,
    /// What can happen to its entries beside create, update and delete.
    pub happenings: Happenings,
    /// Whether an update that changed nothing is an event all the same.
    pub unchanged_updates: bool,
    /// Values above this size, in bytes, are left out of bodies and named as not available.
    pub value_bytes_max: usize,
    /// What messages of ITRP and its heirs say of its entries.
    pub itrp: ItrpFields,
    /// The rows of the table are no entries but belong to those of another form.
    pub belonging: Option<Belonging>,
    /// By which columns rows of other tables are led to its own, beside those of the key: each a list of columns.
    pub referred_by: Vec<Vec<String>>,
    /// Its fields that stand in rows of other tables.
    pub supplied: Vec<Supplied>,
    /// Which rows of the table are entries; none means all. A row that begins to meet it is a create, one that
    /// ceases to is a delete.
    pub entries: Option<Arc<Qualification>>,
    /// What it means that an entry is deleted, though its row is there.
    pub deleted: Option<Deleted>,
    /// Its fields that are files.
    pub attachments: Attachments,
    /// Columns that conditions reach as parts of a field: `Cost.TYPE`, `Status History.Closed.TIME`.
    pub parts: Vec<Part>,
    /// How the texts of conditions are read.
    pub dialect: Arc<Dialect>,
}

impl Form {
    /// Whether there are events of its entries that their own rows do not tell, or not alone: a merge may name another entry.
    pub fn has_others(&self) -> bool {
        !self.happenings.children.is_empty()
            || !self.happenings.emitted.is_empty()
            || !self.supplied.is_empty()
            || self.happenings.merges.references.is_some()
    }

    /// Whether rows of its table are looked up in the database where the log has not told of them: entries of which others
    /// tell, rows between, and rows that have fields of an entry.
    pub fn is_looked_up(&self) -> bool {
        match &self.belonging {
            Some(belonging) => matches!(belonging.role, Role::Hop { .. } | Role::Supplement(_)),
            None => self.has_others(),
        }
    }

    /// Everything that can happen to its entries, in the order in which an entry meets it.
    pub fn verbs(&self) -> Vec<Verb> {
        let mut verbs = self.happenings.verbs();
        verbs.extend(Verb::OF_ROWS);
        verbs.sort_unstable();
        verbs.dedup();
        verbs
    }
}

/// A field that stands in a row of another table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supplied {
    /// Its name.
    pub name: String,
    /// The form of the other table.
    pub from: String,
    /// The columns of its value there.
    pub columns: Vec<String>,
}

/// Soft delete: a column that says whether an entry is deleted. Rows of the table stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The column, or the field.
    pub column: String,
    /// The values that mean it, as they stand in the column; none means any but NULL and false.
    pub values: Vec<String>,
}

/// What messages of ITRP and its heirs say of an entry: the names of fields, and where it is found. A field that is not named
/// is the one called so, in any letter case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItrpFields {
    /// The status.
    pub status: Option<String>,
    /// Where the entry comes from.
    pub source: Option<String>,
    /// Its id there.
    pub source_id: Option<String>,
    /// The id of the team.
    pub team: Option<String>,
    /// The name of the team.
    pub team_name: Option<String>,
    /// The id of the member.
    pub member: Option<String>,
    /// The name of the member.
    pub member_name: Option<String>,
    /// The entry's page; `{entry_id}` stands for the entry id.
    pub canonical: Option<String>,
    /// The entry in the application's API, likewise.
    pub resource: Option<String>,
}

/// A column that conditions reach under a name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The name: `Cost.TYPE`.
    pub name: String,
    /// The column it stands for.
    pub column: String,
}

/// A field as the operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name: `Short Description`.
    pub name: String,
    /// The column it stands for.
    pub column: String,
    /// Its number in products that number fields.
    pub id: Option<u64>,
    /// The texts of its values, as (what stands in the column, what people read), in order; empty where it is no
    /// selection, or PostgreSQL knows them (`boolean`, enum types).
    pub labels: Vec<(String, String)>,
    /// What its values mean in conditions, where the column's type does not say it.
    pub meaning: Option<Meaning>,
}

/// What a column's values mean, where its type does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Characters, even if they look like something else.
    Text,
    /// A diary.
    Diary,
    /// An amount with its currency.
    Currency,
    /// When and by whom an entry entered each status.
    StatusHistory,
    /// A file.
    Attachment,
    /// A moment, as seconds since 1970 UTC.
    Epoch,
    /// A time of day, as seconds since midnight.
    SecondsOfDay,
}

/// Where the old values of a form come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OldValues {
    /// The log's where the identity is FULL, else none.
    #[default]
    Auto,
    /// The log's; the table must have `REPLICA IDENTITY FULL`.
    Log,
    /// None, even where the log has them.
    None,
}

/// What becomes of several changes of one entry in one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fold {
    /// One event per entry and transaction.
    #[default]
    Transaction,
    /// One event per row change.
    Row,
}

/// The table that a form is bound to, as it is remembered from one start to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRecord {
    /// The form.
    pub form: String,
    /// The table's oid.
    pub relation: u32,
    /// The schema in which the form's name was found.
    pub schema: String,
    /// The table as the form names it; the table itself may have been renamed since.
    pub table: String,
    /// The columns that the configuration names and those of the primary key, each with its `attnum`, so that a
    /// rename can be followed. A hidden one can stand here several times: all columns that ever had its name stay
    /// hidden; a column of the key under each name that it ever had.
    pub columns: Vec<(String, i16)>,
    /// By which rules its entries have, or had, their lanes: those used last first, and no more than
    /// [`LaneRule::REMEMBERED_MAX`]. Those of a form that had the table before, and another name, are among them.
    pub rules: Vec<LaneRule>,
}

/// What makes the lane of an entry, see [`Lane`]. A form that is renamed, and a table that gets another key, have another
/// one from then on, while deliveries may wait in the lanes of before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneRule {
    /// The form's name.
    pub form: String,
    /// The columns of the identity key, each with its `attnum`; 0 where that is not known, or was another table's.
    pub key: Vec<(String, i16)>,
}

impl LaneRule {
    /// How many rules of a form are remembered. Each costs a look at another lane for each delivery.
    pub const REMEMBERED_MAX: usize = 8;

    /// Whether another rule is the same, whatever its columns are called.
    pub fn is_like(&self, other: &Self) -> bool {
        let is_same = |((name, number), (other_name, other_number)): (&(String, i16), &(String, i16))| {
            if *number == 0 || *other_number == 0 { name == other_name } else { number == other_number }
        };
        self.form == other.form
            && self.key.len() == other.key.len()
            && self.key.iter().zip(&other.key).all(is_same)
    }

    /// Notes that a rule is used.
    pub fn put_first(mut self, rules: &mut Vec<Self>) {
        if let Some(place) = rules.iter().position(|known| known.is_like(&self)) {
            let known = rules.remove(place);
            for ((_, number), (_, known)) in self.key.iter_mut().zip(&known.key).filter(|(one, _)| one.1 == 0)
            {
                *number = *known;
            }
        }
        rules.insert(0, self);
        rules.truncate(Self::REMEMBERED_MAX);
    }

    /// Adds a rule as the one that was used first.
    pub fn put_last(self, rules: &mut Vec<Self>) {
        if rules.len() < Self::REMEMBERED_MAX && !rules.iter().any(|known| known.is_like(&self)) {
            rules.push(self);
        }
    }
}

/// A form bound to its table as the log described it last: names have become column numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundForm {
    /// The form.
    pub form: Arc<Form>,
    /// The table.
    pub relation: Arc<Relation>,
    /// The fields in column order; hidden columns are not among them.
    pub fields: Vec<BoundField>,
    /// The columns that identify the row for ordering and folding: the primary key; where old rows do not have
    /// it, the columns of the replica identity's index; where there is neither, the entry id.
    pub key: Vec<usize>,
    /// By which rules its entries had their lanes before, as far as the columns are there. Nearly always none.
    pub former: Vec<BoundRule>,
    /// The columns of the entry id.
    pub entry_id: Vec<usize>,
    /// The column of the record id.
    pub record_id: Option<usize>,
    /// Per column: an update of these alone is no event (bookkeeping and hidden columns).
    pub ignored: Vec<bool>,
    /// Whether old rows are to be used at all.
    pub uses_old_values: bool,
    /// Whether a delete and an insert of one key in one transaction are a merge.
    pub delete_insert_is_merge: bool,
    /// What else can happen to its entries.
    pub happenings: BoundHappenings,
    /// How its rows belong to the entries of another form.
    pub belonging: Option<BoundBelonging>,
    /// Columns that conditions reach under names of their own.
    pub parts: Vec<BoundPart>,
    /// Which rows are entries; none means all.
    pub entries: Option<Arc<BoundQualification>>,
    /// The column that says whether an entry is deleted.
    pub deleted: Option<usize>,
    /// Its fields that are files.
    pub attachments: Vec<BoundAttachment>,
}

/// A lane rule bound to its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundRule {
    /// The form's name.
    pub form: String,
    /// The columns of the identity key.
    pub key: Vec<usize>,
}

impl BoundRule {
    /// The lane that the rule gives to a row. None where a value of its key was not sent.
    fn lane_of(&self, row: &Row) -> Option<Lane> {
        let is_known = |&column: &usize| row.datum(column) != Datum::Unchanged;
        self.key.iter().all(is_known).then(|| Lane::of(&self.form, &key_bytes(&self.key, row)))
    }
}

/// A field bound to its column.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundField {
    /// Its name.
    pub name: String,
    /// Its number, where it has one.
    pub id: Option<u64>,
    /// The column's number in the rows.
    pub column: usize,
    /// The column's type.
    pub type_: Type,
    /// What its values mean in conditions.
    pub kind: Kind,
}

/// A part bound to its column.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundPart {
    /// Its name: `Cost.TYPE`.
    pub name: String,
    /// The column's number in the rows.
    pub column: usize,
    /// What its values mean in conditions.
    pub kind: Kind,
}

impl BoundForm {
    /// How many columns of its rows are the table's own; those behind them stand in rows of other tables.
    pub fn own_columns(&self) -> usize {
        self.relation.columns.len() - self.form.supplied.len()
    }

    /// Whether not every row of the table is an entry.
    pub fn chooses_rows(&self) -> bool {
        self.entries.is_some() || self.deleted.is_some()
    }

    /// The value of a column with the form's unset values as NULL.
    pub fn datum<'a>(&self, row: &'a Row, column: usize) -> Datum<'a> {
        match row.datum(column) {
            Datum::Text(text) if self.form.unset.iter().any(|unset| unset == text) => Datum::Null,
            datum => datum,
        }
    }

    /// The entry id of a row: the values of its columns joined by `|`; `|` and `\` inside a value are escaped
    /// by `\`.
    pub fn entry_id_of(&self, row: &Row) -> String {
        let mut id = String::new();
        for (number, &column) in self.entry_id.iter().enumerate() {
            if number > 0 {
                id.push('|');
            }
            let Datum::Text(text) = row.datum(column) else { continue };
            if self.entry_id.len() == 1 {
                id.push_str(text);
                continue;
            }
            for character in text.chars() {
                if matches!(character, '|' | '\\') {
                    id.push('\\');
                }
                id.push(character);
            }
        }
        id
    }

    /// Whether a row says which entry it is: one of the columns of the entry id has a value.
    pub fn says_which(&self, row: &Row) -> bool {
        self.entry_id.iter().any(|&column| matches!(row.datum(column), Datum::Text(_)))
    }

    /// The values of the columns of an entry id as [`Self::entry_id_of`] writes it; none where it is no such text.
    pub fn entry_id_values(&self, id: &str) -> Option<Vec<String>> {
        if self.entry_id.len() == 1 {
            return Some(vec![id.to_owned()]);
        }
        let mut values = vec![String::new()];
        let mut characters = id.chars();
        while let Some(character) = characters.next() {
            match character {
                '|' => values.push(String::new()),
                '\\' => values.last_mut()?.push(characters.next()?),
                character => values.last_mut()?.push(character),
            }
        }
        (values.len() == self.entry_id.len()).then_some(values)
    }

    /// The row's identity key, as bytes that differ for different keys.
    pub fn key_of(&self, row: &Row) -> Vec<u8> {
        key_bytes(&self.key, row)
    }

    /// The lane of an entry by its identity key.
    pub fn lane_of(&self, key: &[u8]) -> Lane {
        Lane::of(&self.form.name, key)
    }

    /// The lanes that a row's entry had by former rules. `knows` says which of the row's columns are known.
    pub fn former_lanes_of(&self, row: &Row, knows: impl Fn(usize) -> bool) -> impl Iterator<Item = Lane> {
        let known = self.former.iter().filter(move |rule| rule.key.iter().all(|&column| knows(column)));
        known.filter_map(|rule| rule.lane_of(row))
    }

    /// Whether a column's value is known even where only the key of an old row is.
    pub fn identifies(&self, column: usize) -> bool {
        self.key.contains(&column)
            || self.entry_id.contains(&column)
            || (self.relation.identity != ReplicaIdentity::Full && self.relation.columns[column].in_identity)
    }

    /// Whether two rows have the same identity key.
    pub fn same_key(&self, one: &Row, other: &Row) -> bool {
        self.key.iter().all(|&column| one.datum(column) == other.datum(column))
    }
}

/// The values of columns, as bytes that differ for different values.
fn key_bytes(columns: &[usize], row: &Row) -> Vec<u8> {
    let mut key = Vec::with_capacity(16 * columns.len());
    for &column in columns {
        match row.datum(column) {
            Datum::Text(text) => {
                key.extend_from_slice(&(text.len() as u32).to_be_bytes());
                key.extend_from_slice(text.as_bytes());
            }
            // no text is so long: PostgreSQL's values end at 1 GiB
            Datum::Null | Datum::Unchanged => key.extend_from_slice(&u32::MAX.to_be_bytes()),
        }
    }
    key
}

/// What must stay in order: the deliveries of one entry to one webhook share a lane.
///
/// A hash of the form and the row's identity key, the same in every process. Two entries that share one by
/// chance are ordered more strictly than needed, nothing worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u64);

impl Lane {
    fn of(form: &str, key: &[u8]) -> Self {
        let mut hash = Fnv::new();
        hash.write(form.as_bytes());
        hash.write(&[0]);
        hash.write(key);
        Self(hash.finish())
    }
}

/// FNV-1a, 64 bits (RFC 9923): stable across releases, which the standard library's hasher is not.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    fn finish(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
pub(crate) mod sample {
    use super::{BoundField, BoundForm, Fold, Form, OldValues};
    use crate::change::{Column, Datum, Relation, ReplicaIdentity, Row};
    use crate::happening::{BoundHappenings, Happenings};
    use crate::value::{Kind, Type};
    use std::sync::Arc;

    /// A form whose fields are its columns, the first one the key, with `REPLICA IDENTITY FULL`.
    pub(crate) fn form(name: &str, columns: &[(&str, Type)]) -> BoundForm {
        let relation = Relation {
            id: 1,
            schema: "public".into(),
            name: "incident".into(),
            identity: ReplicaIdentity::Full,
            columns: columns
                .iter()
                .map(|(name, _)| Column {
                    name: (*name).into(),
                    type_oid: 25,
                    type_modifier: -1,
                    in_identity: true,
                })
                .collect(),
        };
        let form = Form {
            name: name.into(),
            noun: "request".into(),
            schema: None,
            table: "incident".into(),
            entry_id: vec![],
            record_id: None,
            old_values: OldValues::Auto,
            fold: Fold::Transaction,
            ignore: vec![],
            unset: vec![],
            hidden: vec![],
            fields: vec![],
            happenings: Happenings::default(),
            itrp: super::ItrpFields::default(),
            belonging: None,
            referred_by: vec![],
            unchanged_updates: false,
            value_bytes_max: 1 << 20,
            entries: None,
            parts: vec![],
            supplied: vec![],
            deleted: None,
            attachments: crate::attachment::Attachments::default(),
            dialect: Arc::default(),
        };
        let fields = columns.iter().enumerate();
        BoundForm {
            form: Arc::new(form),
            relation: Arc::new(relation),
            fields: fields
                .map(|(column, (name, type_))| BoundField {
                    name: (*name).into(),
                    id: None,
                    column,
                    type_: type_.clone(),
                    kind: Kind::Text { folds_case: false, padded: false },
                })
                .collect(),
            key: vec![0],
            former: vec![],
            entry_id: vec![0],
            record_id: None,
            ignored: vec![false; columns.len()],
            uses_old_values: true,
            delete_insert_is_merge: true,
            happenings: BoundHappenings::default(),
            belonging: None,
            parts: vec![],
            entries: None,
            deleted: None,
            attachments: vec![],
        }
    }

    /// A row from words; `NULL` is NULL, `?` a large value that was not sent.
    pub(crate) fn row(words: &[&str]) -> Row {
        let data = words.iter().map(|word| match *word {
            "NULL" => Datum::Null,
            "?" => Datum::Unchanged,
            word => Datum::Text(word),
        });
        data.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::sample;
    use crate::value::Type;

    #[test]
    fn an_entry_id_gives_its_values_back() {
        let mut form = sample::form("Odd", &[("a", Type::Text), ("b", Type::Text), ("c", Type::Text)]);
        for columns in [vec![0], vec![2, 0], vec![0, 1, 2]] {
            form.entry_id = columns;
            for words in [["1", "2", "3"], ["a|b", "\\", "\\|"], ["", "|", "ä\\\\"]] {
                let id = form.entry_id_of(&sample::row(&words));
                let values: Vec<_> = form.entry_id.iter().map(|&column| words[column].to_owned()).collect();
                assert_eq!(form.entry_id_values(&id), Some(values), "{id}");
            }
        }
        assert_eq!(form.entry_id_values("1|2"), None);
        assert_eq!(form.entry_id_values("1|2|3\\"), None);
    }
}
