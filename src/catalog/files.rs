//! The bytes of files as they are now: in large objects, in tables beside that of a form, or in its own.

use super::look_up::{literal, quoted};
use super::reader::{ANSWER_TIME_MAX, Error, connect};
use crate::attachment::{BoundAttachment, Elsewhere, Place, unhex};
use crate::form::BoundForm;
use crate::postgres::{Address, Session};
use tokio_postgres::SimpleQueryMessage;

/// Of which file the bytes are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The large object of that oid.
    LargeObject(String),
    /// That of the entry whose entry id has these values.
    Entry(Vec<String>),
}

/// What a look for a file has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFound {
    /// The bytes, as they are stored.
    Bytes(Vec<u8>),
    /// More bytes than wanted.
    TooLarge,
    /// There is none.
    Nothing,
    /// The server does not show it, and says why.
    Refused(String),
}

/// Reads the bytes of a file by a session of its own.
pub async fn read_file(
    address: &Address,
    form: &BoundForm,
    file: &BoundAttachment,
    whose: &Whose,
) -> Result<FileFound, Error> {
    read(&connect(address).await?, form, file, whose).await
}

/// Reads the bytes of a file.
pub(super) async fn read(
    session: &Session,
    form: &BoundForm,
    file: &BoundAttachment,
    whose: &Whose,
) -> Result<FileFound, Error> {
    const WHAT: &str = "attachments";
    let Some(statement) = statement(form, file, whose) else { return Ok(FileFound::Nothing) };
    let answer = tokio::time::timeout(ANSWER_TIME_MAX, session.simple_query(&statement)).await;
    let messages = match answer.map_err(|_| Error::Silent { what: WHAT })? {
        Ok(messages) => messages,
        Err(error) => {
            // what the server says of this file concerns it alone; what it says of itself passes
            let said = error.as_db_error().filter(|said| !is_of_server(said.code().code()));
            let Some(said) = said else { return Err(Error::Query { what: WHAT, source: error }) };
            return Ok(FileFound::Refused(said.message().to_owned()));
        }
    };
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let rows: Vec<_> = rows.collect();
    let row = match rows[..] {
        [] => return Ok(FileFound::Nothing),
        [row] => row,
        _ => return Ok(FileFound::Refused("several rows have this entry id".to_owned())),
    };
    let cell = |column| row.try_get(column).ok().flatten();
    let size: Option<u64> = cell(1).and_then(|size: &str| size.parse().ok());
    Ok(match (cell(0), size) {
        (_, None) => FileFound::Nothing,
        (_, Some(size)) if size > file.bytes_max => FileFound::TooLarge,
        (None, Some(_)) => FileFound::TooLarge,
        (Some(text), Some(_)) => match unhex(text) {
            Some(bytes) => FileFound::Bytes(bytes),
            None => FileFound::Refused("its column has no bytes".to_owned()),
        },
    })
}

/// Whether an error is of the server as a whole, and another try may do: it has no room, goes down, or was told to stop.
fn is_of_server(code: &str) -> bool {
    ["08", "40", "53", "57", "58"].contains(&&code[..code.len().min(2)])
}

/// Gives the bytes, none where they are too many, and how many there are. A large object does not tell its size: one byte
/// more than wanted is read of it. None where nothing can be meant.
fn statement(form: &BoundForm, file: &BoundAttachment, whose: &Whose) -> Option<String> {
    let bytes_max = file.bytes_max;
    let piece = bytes_max.saturating_add(1).min(i32::MAX.cast_unsigned().into());
    let own = |column: usize| form.relation.columns.get(column).map(|column| quoted(&column.name));
    let of_table = |schema: &str, table: &str, column: &str, is_large_object: bool, wanted: &str| {
        let (schema, table) = (quoted(schema), quoted(table));
        let bytes = if is_large_object {
            format!("pg_catalog.lo_get({column}, 0, {piece})")
        } else {
            format!("case when pg_catalog.octet_length({column}) <= {bytes_max} then {column} end")
        };
        let size = if is_large_object {
            format!("pg_catalog.octet_length({bytes})")
        } else {
            format!("pg_catalog.octet_length({column})")
        };
        format!("select {bytes}, {size} from {schema}.{table} where {wanted} limit 2")
    };
    match (whose, &file.place) {
        (Whose::LargeObject(oid), _) => Some(format!(
            "select b, pg_catalog.octet_length(b) from (select pg_catalog.lo_get({}::oid, 0, {piece}) b) f",
            literal(oid)
        )),
        (Whose::Entry(values), Place::Elsewhere(Elsewhere { schema, table, key, column })) => {
            let wanted = format!("{} = {}", quoted(key), literal(values.first()?));
            let schema = schema.as_deref().unwrap_or(&form.relation.schema);
            Some(of_table(schema, table, &quoted(column), false, &wanted))
        }
        (Whose::Entry(values), place @ (Place::Column | Place::LargeObject)) => {
            let pairs = form.entry_id.iter().zip(values);
            let wanted: Option<Vec<String>> = pairs
                .map(|(&column, value)| Some(format!("{} = {}", own(column)?, literal(value))))
                .collect();
            let column = own(form.fields.get(file.field)?.column)?;
            let (schema, table) = (&form.relation.schema, &form.relation.name);
            Some(of_table(schema, table, &column, *place == Place::LargeObject, &wanted?.join(" and ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::sample;
    use crate::value::Type;

    #[test]
    fn names_and_values_are_quoted() {
        let form = sample::form("Odd", &[("i\"d", Type::Text), ("f", Type::Bytea)]);
        let check = |place: Place, whose: Whose, wanted: &str| {
            let file =
                BoundAttachment { field: 1, name: None, media_type: None, size: None, place, bytes_max: 9 };
            assert_eq!(statement(&form, &file, &whose).as_deref(), Some(wanted));
        };
        let entry = || Whose::Entry(vec!["it's\\".into()]);
        check(
            Place::Column,
            entry(),
            r#"select case when pg_catalog.octet_length("f") <= 9 then "f" end, pg_catalog.octet_length("f") from "public"."incident" where "i""d" = E'it\'s\\' limit 2"#,
        );
        check(
            Place::LargeObject,
            entry(),
            r#"select pg_catalog.lo_get("f", 0, 10), pg_catalog.octet_length(pg_catalog.lo_get("f", 0, 10)) from "public"."incident" where "i""d" = E'it\'s\\' limit 2"#,
        );
        check(
            Place::LargeObject,
            Whose::LargeObject("1'2".into()),
            r"select b, pg_catalog.octet_length(b) from (select pg_catalog.lo_get(E'1\'2'::oid, 0, 10) b) f",
        );
        let elsewhere = Elsewhere {
            schema: Some("a\"r".into()),
            table: "b1".into(),
            key: "k".into(),
            column: "c".into(),
        };
        check(
            Place::Elsewhere(elsewhere),
            entry(),
            r#"select case when pg_catalog.octet_length("c") <= 9 then "c" end, pg_catalog.octet_length("c") from "a""r"."b1" where "k" = E'it\'s\\' limit 2"#,
        );
    }
}
