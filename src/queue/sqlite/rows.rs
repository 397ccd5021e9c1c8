//! What rows mean: states, outcomes, ranges and row changes as they are stored.

use crate::change::{Datum, OldRow, Row, RowBuilder, RowChange};
use crate::delivery::{Attempt, HeldBecause, Outcome, State};
use crate::event::Verb;
use crate::lsn::{Lsn, Position};
use crate::queue::SequenceRange;
use crate::webhook::WebhookId;
use rusqlite::types::Type;
use std::time::Duration;

/// A statement by its file.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("sql/", $name, ".sql"))
    };
}
pub(super) use sql;

/// The number that stands for a state: never 0 or 1, which take no byte (see the schema).
pub(super) fn state_code(state: State) -> i64 {
    match state {
        State::Waiting => 2,
        State::Ready => 3,
        State::Retrying => 4,
        State::Blocking => 5,
        State::Dead => 6,
        State::Delivered => 7,
        State::Dropped => 8,
    }
}

/// The state in a column.
pub(super) fn state_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<State> {
    let code: i64 = row.get(column)?;
    State::ALL
        .into_iter()
        .find(|&state| state_code(state) == code)
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(column, code))
}

/// The unsigned number in a column.
pub(super) fn unsigned_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// The verb in a column.
pub(super) fn verb_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Verb> {
    let word: String = row.get(column)?;
    word.parse().map_err(|_| malformed(column, format!("{word:?} is not an event")))
}

/// Why an event is held, in two columns from `column` on: a word and a reason.
pub(super) fn cause_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<HeldBecause> {
    let word: String = row.get(column)?;
    match word.as_str() {
        "failed" => Ok(HeldBecause::Failed { reason: row.get(column + 1)? }),
        "broken" => Ok(HeldBecause::Broken),
        "behind" => Ok(HeldBecause::Behind),
        _ => Err(malformed(column, format!("{word:?} is no reason to hold an event"))),
    }
}

/// The position in three columns from `column` on.
pub(super) fn position_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Position> {
    Ok(Position {
        epoch: row.get(column)?,
        commit_lsn: Lsn(unsigned_at(row, column + 1)?),
        ordinal: unsigned_at(row, column + 2)?,
    })
}

/// The range in a row of `ranges.sql` and its like.
pub(super) fn range_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<SequenceRange> {
    let known = |column| row.get::<_, Option<i64>>(column).map(|epoch| epoch.is_some());
    Ok(SequenceRange {
        first: unsigned_at(row, 0)?,
        last: unsigned_at(row, 1)?,
        state: state_at(row, 2)?,
        from: if known(3)? { Some(position_at(row, 3)?) } else { None },
        to: if known(6)? { Some(position_at(row, 6)?) } else { None },
        webhook: WebhookId(unsigned_at(row, 9)?),
    })
}

/// An outcome as columns: kind, status, pause asked for in seconds, text.
pub(super) fn outcome_columns(outcome: &Outcome) -> (&'static str, Option<u16>, Option<i64>, &str) {
    match outcome {
        Outcome::Answered { status, retry_after, excerpt } => {
            let asked = retry_after.map(|pause| i64::try_from(pause.as_secs()).unwrap_or(i64::MAX));
            ("answered", Some(*status), asked, excerpt)
        }
        Outcome::TimedOut => ("timed out", None, None, ""),
        Outcome::Unreachable { reason } => ("unreachable", None, None, reason),
        Outcome::Refused { reason } => ("refused", None, None, reason),
    }
}

/// The attempt in a row of `attempts.sql`.
pub(super) fn attempt_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Attempt> {
    let kind: String = row.get(3)?;
    let text: String = row.get(6)?;
    let outcome = match kind.as_str() {
        "answered" => Outcome::Answered {
            status: row.get(4)?,
            retry_after: row
                .get::<_, Option<i64>>(5)?
                .map(|seconds| Duration::from_secs(seconds.max(0).cast_unsigned())),
            excerpt: text,
        },
        "timed out" => Outcome::TimedOut,
        "unreachable" => Outcome::Unreachable { reason: text },
        "refused" => Outcome::Refused { reason: text },
        _ => return Err(malformed(3, format!("{kind:?} is not an outcome"))),
    };
    Ok(Attempt {
        number: row.get(0)?,
        started_at_us: row.get(1)?,
        duration: Duration::from_micros(row.get::<_, i64>(2)?.max(0).cast_unsigned()),
        outcome,
    })
}

/// A value that is not what its column holds.
pub(super) fn malformed(column: usize, reason: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, reason.into())
}

/// A row change as bytes: what each row is, then its cells.
pub(super) fn encode_change(change: &RowChange, out: &mut Vec<u8>) {
    let (old, new) = match change {
        RowChange::Insert { new } => (None, Some(new)),
        RowChange::Update { old, new } => (Some(old), Some(new)),
        RowChange::Delete { old } => (Some(old), None),
    };
    match old {
        None => out.push(0),
        // only events are told that there was no row
        Some(OldRow::Absent | OldRow::NoRow) => out.push(1),
        Some(OldRow::Key(row)) => encode_row(2, row, out),
        Some(OldRow::Full(row)) => encode_row(3, row, out),
    }
    match new {
        None => out.push(0),
        Some(row) => encode_row(1, row, out),
    }
}

fn encode_row(kind: u8, row: &Row, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&(row.len() as u32).to_le_bytes());
    for datum in row.data() {
        match datum {
            Datum::Null => out.push(0),
            Datum::Unchanged => out.push(1),
            Datum::Text(text) => {
                out.push(2);
                out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// The row change in bytes that [`encode_change`] made; none if they are anything else.
pub(super) fn decode_change(mut bytes: &[u8]) -> Option<RowChange> {
    let bytes = &mut bytes;
    let old = match take(bytes, 1)?[0] {
        0 => None,
        1 => Some(OldRow::Absent),
        2 => Some(OldRow::Key(decode_row(bytes)?)),
        3 => Some(OldRow::Full(decode_row(bytes)?)),
        _ => return None,
    };
    let new = match take(bytes, 1)?[0] {
        0 => None,
        1 => Some(decode_row(bytes)?),
        _ => return None,
    };
    match (old, new) {
        _ if !bytes.is_empty() => None,
        (None, Some(new)) => Some(RowChange::Insert { new }),
        (Some(old), Some(new)) => Some(RowChange::Update { old, new }),
        (Some(old), None) => Some(RowChange::Delete { old }),
        (None, None) => None,
    }
}

fn decode_row(bytes: &mut &[u8]) -> Option<Row> {
    let columns = take_length(bytes)?;
    // a cell takes at least a byte, so that a wrong count cannot ask for more memory than there are bytes
    let mut row = RowBuilder::with_capacity(columns.min(bytes.len()));
    for _ in 0..columns {
        row.push(match take(bytes, 1)?[0] {
            0 => Datum::Null,
            1 => Datum::Unchanged,
            2 => {
                let length = take_length(bytes)?;
                Datum::Text(std::str::from_utf8(take(bytes, length)?).ok()?)
            }
            _ => return None,
        });
    }
    Some(row.build())
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let length = take(bytes, 4)?.try_into().expect("four bytes were taken");
    Some(u32::from_le_bytes(length) as usize)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_change_comes_back_as_it_was_and_half_of_it_is_refused() {
        let row: Row =
            [Datum::Text("7"), Datum::Null, Datum::Unchanged, Datum::Text("")].into_iter().collect();
        let changes = [
            RowChange::Insert { new: row.clone() },
            RowChange::Update { old: OldRow::Absent, new: row.clone() },
            RowChange::Update { old: OldRow::Full(row.clone()), new: row.clone() },
            RowChange::Delete { old: OldRow::Key(row) },
        ];
        for change in changes {
            let mut bytes = Vec::new();
            encode_change(&change, &mut bytes);
            assert_eq!(decode_change(&bytes), Some(change));
            for length in 0..bytes.len() {
                assert_eq!(decode_change(&bytes[..length]), None);
            }
        }
    }

    #[test]
    fn every_outcome_has_columns_and_every_state_a_number_of_its_own() {
        let codes: std::collections::BTreeSet<i64> = State::ALL.into_iter().map(state_code).collect();
        assert_eq!(codes.len(), State::ALL.len());
        let outcome = Outcome::Answered { status: 429, retry_after: None, excerpt: "slow".into() };
        assert_eq!(outcome_columns(&outcome), ("answered", Some(429), None, "slow"));
    }
}
