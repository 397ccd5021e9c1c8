//! Forms of BMC Remedy AR System, from its own data dictionary: `arschema` has the forms, `field` their fields, and
//! `field_enum_values` the texts of selections. A form's rows stand in `t<schemaid>`, a field's values in its column
//! `c<fieldid>`; `c1` is the request id. (BMC, "The AR System data dictionary" and "Relationship between forms and database
//! tables"; names are matched in any letter case.)

use super::proposal::{FieldProposal, FormProposal, LeftOut, Proposal, TransitionProposal, name_of};
use super::tables::Table;
use super::{Error, names};
use std::collections::BTreeMap;
use tokio_postgres::Client;

/// Core fields, by their numbers.
const REQUEST_ID: u32 = 1;
const ASSIGNED_TO: u32 = 4;
const LAST_MODIFIED_BY: u32 = 5;
const MODIFIED_DATE: u32 = 6;
const STATUS: u32 = 7;
const GUID: u32 = 179;

/// A field that is shown and not kept.
const DISPLAY_ONLY: u32 = 4;

/// What the dictionary says of a field.
#[derive(Clone, Debug)]
struct Field {
    id: u32,
    name: String,
    data_type: u32,
    option: u32,
}

/// What the dictionary says, by the numbers of forms.
#[derive(Debug, Default)]
struct Dictionary {
    /// Name and type.
    forms: BTreeMap<u64, (String, u32)>,
    fields: BTreeMap<u64, Vec<Field>>,
    /// The texts of selections: form, field, then what stands in the column.
    labels: BTreeMap<(u64, u32), Vec<(String, String)>>,
}

impl Proposal {
    /// What the data dictionary of an AR System says of its forms.
    pub async fn of_arsystem(session: &Client, tables: &[Table]) -> Result<Self, Error> {
        let dictionary = read(session, tables).await?;
        let mut proposal = Self::default();
        for (id, (name, kind)) in &dictionary.forms {
            let left_out = |reason: &str| LeftOut { table: name.clone(), reason: reason.to_owned() };
            let reason = match kind {
                1 => None,
                2 => Some("is a join form: take the forms that it joins"),
                3 => Some("is a view form: take what it shows"),
                5 => Some("is a vendor form, which has its data elsewhere"),
                // dialogs keep nothing
                _ => continue,
            };
            match (reason, table(tables, &format!("t{id}"))) {
                (Some(reason), _) => proposal.left_out.push(left_out(reason)),
                (None, None) => proposal.left_out.push(left_out(&format!("has no table t{id} here"))),
                (None, Some(table)) => proposal.forms.push(form(*id, name, table, &dictionary)),
            }
        }
        proposal.forms.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(proposal)
    }
}

async fn read(session: &Client, tables: &[Table]) -> Result<Dictionary, Error> {
    let mut dictionary = Dictionary::default();
    for [id, name, kind] in rows(session, tables, "arschema", ["schemaid", "name", "schematype"]).await? {
        if let (Ok(id), Ok(kind)) = (id.parse(), kind.parse()) {
            dictionary.forms.insert(id, (name, kind));
        }
    }
    let columns = ["schemaid", "fieldid", "fieldname", "datatype", "foption"];
    for [form, id, name, data_type, option] in rows(session, tables, "field", columns).await? {
        let numbers = (form.parse(), id.parse(), data_type.parse(), option.parse());
        if let (Ok(form), Ok(id), Ok(data_type), Ok(option)) = numbers {
            dictionary.fields.entry(form).or_default().push(Field { id, name, data_type, option });
        }
    }
    let columns = ["schemaid", "fieldid", "enumid", "value"];
    for [form, field, value, label] in rows(session, tables, "field_enum_values", columns).await? {
        if let (Ok(form), Ok(field)) = (form.parse(), field.parse()) {
            dictionary.labels.entry((form, field)).or_default().push((value, label));
        }
    }
    dictionary.fields.values_mut().for_each(|fields| fields.sort_by_key(|field| field.id));
    for labels in dictionary.labels.values_mut() {
        labels.sort_by_key(|(value, _)| value.parse::<i64>().unwrap_or(i64::MAX));
    }
    Ok(dictionary)
}

/// A table by its name in any letter case.
fn table<'a>(tables: &'a [Table], name: &str) -> Option<&'a Table> {
    tables.iter().find(|table| table.name.eq_ignore_ascii_case(name))
}

/// A column by its name in any letter case.
fn column(table: &Table, name: &str) -> Option<String> {
    let columns = table.columns.iter().map(|column| &column.name);
    columns.into_iter().find(|column| column.eq_ignore_ascii_case(name)).cloned()
}

/// The rows of a table of the dictionary, as texts; those with a NULL say nothing.
async fn rows<const N: usize>(
    session: &Client,
    tables: &[Table],
    name: &'static str,
    columns: [&str; N],
) -> Result<Vec<[String; N]>, Error> {
    let of = table(tables, name).ok_or(Error::NoDictionary { table: name, column: None })?;
    let mut names = Vec::with_capacity(N);
    for wanted in columns {
        let missing = || Error::NoDictionary { table: name, column: Some(wanted.to_owned()) };
        names.push(column(of, wanted).ok_or_else(missing)?);
    }
    let failed = |source| Error::Catalogue { what: name, source };
    let statement = session
        .query_one(include_str!("../../sql/init/rows.sql"), &[&of.schema, &of.name, &names])
        .await
        .map_err(failed)?;
    let statement: String = statement.get(0);
    let rows = session.query(statement.as_str(), &[]).await.map_err(failed)?;
    let texts = rows.iter().filter_map(|row| {
        let texts: Option<Vec<String>> = (0..N).map(|place| row.get::<_, Option<String>>(place)).collect();
        texts?.try_into().ok()
    });
    Ok(texts.collect())
}

fn form(id: u64, name: &str, table: &Table, dictionary: &Dictionary) -> FormProposal {
    let described = dictionary.fields.get(&id).map_or(&[][..], Vec::as_slice);
    let kept =
        described.iter().filter(|field| (2..=14).contains(&field.data_type) && field.option != DISPLAY_ONLY);
    // attachments and the status history stand in tables of their own
    let kept: Vec<(&Field, String)> =
        kept.filter_map(|field| Some((field, column(table, &format!("c{}", field.id))?))).collect();
    let column_of =
        |wanted: u32| kept.iter().find(|(field, _)| field.id == wanted).map(|(_, column)| column.clone());
    let mut fields: Vec<FieldProposal> = Vec::new();
    let mut parts = Vec::new();
    for (field, column_name) in kept.iter().filter(|(field, _)| !names::is_secret(&field.name)) {
        // names need not be unique in AR System
        let is_taken = fields.iter().any(|known| known.name == field.name);
        let name = if is_taken { format!("{} ({})", field.name, field.id) } else { field.name.clone() };
        if field.data_type == 12 {
            for (suffix, part) in [("v", "VALUE"), ("c", "TYPE"), ("d", "DATE")] {
                let found = column(table, &format!("c{}{suffix}", field.id));
                parts.extend(found.map(|found| (format!("{name}.{part}"), found)));
            }
        }
        let labels = dictionary.labels.get(&(id, field.id)).filter(|_| field.data_type == 6);
        fields.push(FieldProposal {
            name,
            column: column_name.clone(),
            id: Some(field.id),
            kind: match field.data_type {
                5 => Some("diary"),
                7 => Some("epoch"),
                12 => Some("currency"),
                14 => Some("seconds_of_day"),
                _ => None,
            },
            labels: labels.cloned().unwrap_or_default(),
            labels_of: "field_enum_values".to_owned(),
        });
    }
    let transition = |(verb, field): (&str, u32)| {
        let field = fields.iter().find(|known| known.id == Some(field))?;
        let values = field.labels.iter().map(|(_, label)| label.clone()).collect();
        Some(TransitionProposal { verb: verb.to_owned(), field: field.name.clone(), values })
    };
    let transitions = [("status-changed", STATUS), ("assigned-to-changed", ASSIGNED_TO)];
    let transitions = transitions.into_iter().filter_map(transition).collect();
    let secret = kept.iter().filter(|(field, _)| names::is_secret(&field.name));
    let noun: String = name.chars().map(|sign| if sign.is_alphanumeric() { sign } else { '_' }).collect();
    let request_id = column_of(REQUEST_ID);
    FormProposal {
        name: name.to_owned(),
        noun: noun.to_lowercase(),
        table: name_of(table),
        rows: table.rows,
        entry_id: request_id.into_iter().filter(|column| table.primary_key != [column.clone()]).collect(),
        record_id: column_of(GUID),
        actor: column_of(LAST_MODIFIED_BY),
        ignore: [LAST_MODIFIED_BY, MODIFIED_DATE].into_iter().filter_map(column_of).collect(),
        hidden: secret.map(|(_, column)| column.clone()).collect(),
        lacks_old_values: !table.has_full_identity,
        transitions,
        parts,
        fields,
        ..FormProposal::default()
    }
}
