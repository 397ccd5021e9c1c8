//! Rows of the application's tables as they are now: those that others belong to, where the log has not told of them.

use super::reader::{ANSWER_TIME_MAX, Error};
use crate::change::{Datum, Row};
use crate::form::BoundForm;
use crate::postgres::Session;
use tokio_postgres::SimpleQueryMessage;

/// What a look at a table has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The rows, in the columns of the form's table; there may be none.
    Rows(Vec<Row>),
    /// The server does not show it, and says why.
    Refused(String),
}

/// The rows of a form's table whose columns have these values, as texts; no more than `rows_max`, in the order of its key.
pub(super) async fn look_up(
    session: &Session,
    form: &BoundForm,
    by: &[usize],
    values: &[String],
    rows_max: usize,
) -> Result<Found, Error> {
    const WHAT: &str = "rows that others belong to";
    let statement = statement(form, by, values, rows_max);
    let answer = tokio::time::timeout(ANSWER_TIME_MAX, session.simple_query(&statement)).await;
    let messages = match answer.map_err(|_| Error::Silent { what: WHAT })? {
        Ok(messages) => messages,
        Err(error) => {
            // what the server says of the statement concerns this table; anything else is trouble of the session
            let Some(said) = error.as_db_error() else {
                return Err(Error::Query { what: WHAT, source: error });
            };
            return Ok(Found::Refused(said.message().to_owned()));
        }
    };
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let rows = rows.map(|row| {
        let datum = |column| row.try_get(column).ok().flatten().map_or(Datum::Null, Datum::Text);
        (0..row.len()).map(datum).collect()
    });
    Ok(Found::Rows(rows.collect()))
}

/// The simple protocol gives all values as texts, as the log does, and takes the values that are looked for as literals of
/// the columns' types, so that an index serves.
fn statement(form: &BoundForm, by: &[usize], values: &[String], rows_max: usize) -> String {
    let relation = &form.relation;
    let name =
        |column: usize| relation.columns.get(column).map_or_else(String::new, |column| quoted(&column.name));
    let columns: Vec<String> = (0..form.own_columns()).map(name).collect();
    let wanted =
        by.iter().zip(values).map(|(&column, value)| format!("{} = {}", name(column), literal(value)));
    let wanted: Vec<String> = wanted.collect();
    let (schema, table) = (quoted(&relation.schema), quoted(&relation.name));
    let order: Vec<String> = form.key.iter().map(|&column| name(column)).collect();
    let order = if rows_max > 1 { format!(" order by {}", order.join(", ")) } else { String::new() };
    let (columns, wanted) = (columns.join(", "), wanted.join(" and "));
    format!("select {columns} from {schema}.{table} where {wanted}{order} limit {rows_max}")
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A literal that means the same whatever `standard_conforming_strings` says.
pub(super) fn literal(value: &str) -> String {
    format!("E'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::sample;
    use crate::value::Type;

    #[test]
    fn names_and_values_are_quoted() {
        let form = sample::form("Odd", &[("i\"d", Type::Text), ("b", Type::Text)]);
        assert_eq!(
            statement(&form, &[0, 1], &["it's".to_owned(), "a\\b".to_owned()], 1),
            r#"select "i""d", "b" from "public"."incident" where "i""d" = E'it\'s' and "b" = E'a\\b' limit 1"#
        );
        assert_eq!(
            statement(&form, &[1], &["x".to_owned()], 9),
            r#"select "i""d", "b" from "public"."incident" where "b" = E'x' order by "i""d" limit 9"#
        );
    }
}
