//! What a value means where it is compared: in conditions.
//!
//! [`Type`](super::Type) says what a value becomes in JSON; a kind says whether it is a number, a moment or one of
//! a list of labels, whatever column type it is kept in.

use std::sync::{Arc, LazyLock};

/// What a column's values mean in a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Characters.
    Text {
        /// Whether the database itself compares without letter case (`citext`, non-deterministic collations).
        folds_case: bool,
        /// Whether blanks at the end mean nothing (`character(n)`).
        padded: bool,
    },
    /// A number, exact.
    Number {
        /// Whether it has no fraction by its type: then `/` between such numbers truncates.
        whole: bool,
    },
    /// One of a list of labels, compared by number.
    Selection(Arc<Selection>),
    /// A moment.
    Instant(Moment),
    /// A day.
    Date,
    /// A time of day.
    Time {
        /// Kept as seconds since midnight, not in PostgreSQL's text form.
        seconds: bool,
    },
    /// A diary: its entries, one below the other.
    Diary {
        /// As with text.
        folds_case: bool,
    },
    /// An amount with its currency. The parts are columns of their own, or lie in a JSON object with the keys
    /// `value`, `type`, `date` and `functional`.
    Currency,
    /// When and by whom an entry entered each status, in a JSON object by status number, each with `time` and
    /// `user`. Only its parts can be compared.
    StatusHistory,
    /// A file: there or not.
    Attachment,
    /// What cannot be compared, but with NULL: JSON, arrays, row types, bytes.
    Opaque,
}

impl Kind {
    /// Characters in the order of their codes, which is what everything is that nobody knows better.
    pub const TEXT: Self = Self::Text { folds_case: false, padded: false };

    /// What the types that are built into PostgreSQL mean, by oid (`pg_type.dat`).
    ///
    /// None for types that the catalogue has to describe: domains, enums, and everything made by `create type`.
    pub fn built_in(oid: u32) -> Option<Self> {
        Some(match oid {
            16 => Self::Selection(Selection::boolean()),
            20 | 21 | 23 | 26 => Self::Number { whole: true },
            700 | 701 | 790 | 1700 => Self::Number { whole: false },
            // "char", name, text, bpchar, varchar
            18 | 19 | 25 | 1043 => Self::TEXT,
            1042 => Self::Text { folds_case: false, padded: true },
            1082 => Self::Date,
            1083 | 1266 => Self::Time { seconds: false },
            1114 => Self::Instant(Moment::Local),
            1184 => Self::Instant(Moment::Zoned),
            // bytea, int2vector, oidvector, json, xml, jsonb, jsonpath
            17 | 22 | 30 | 114 | 142 | 3802 | 4072 => Self::Opaque,
            // point, lseg, path, box, polygon, line, circle, tsvector, gtsvector, tsquery
            600..=604 | 628 | 718 | 3614 | 3642 | 3615 => Self::Opaque,
            // int4range, numrange, tsrange, tstzrange, daterange, int8range, and those of several ranges
            3904 | 3906 | 3908 | 3910 | 3912 | 3926 | 4451 | 4532..=4536 => Self::Opaque,
            // xid, cid, tid, interval, bit, varbit, uuid, inet, cidr, macaddr, macaddr8, regclass, pg_lsn, xid8 …
            27..=29 | 24 | 1186 | 1560 | 1562 | 2950 | 869 | 650 | 829 | 774 => Self::TEXT,
            2202..=2206 | 3734 | 3769 | 4089 | 4096 | 4191 | 3220 | 5069 | 2970 | 5038 => Self::TEXT,
            _ => return None,
        })
    }
}

/// How a moment is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// `timestamptz`: its text has an offset.
    Zoned,
    /// `timestamp`: a clock in the source's time zone.
    Local,
    /// A number of seconds since 1970 UTC.
    Epoch,
}

/// The values of a selection, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// What can be chosen.
    pub choices: Vec<Choice>,
}

impl Selection {
    /// The two values of a `boolean`.
    pub fn boolean() -> Arc<Self> {
        static BOOLEAN: LazyLock<Arc<Selection>> = LazyLock::new(|| {
            let choice = |number, stored: &str, label: &str| Choice {
                number,
                stored: stored.into(),
                label: label.into(),
            };
            Arc::new(Selection { choices: vec![choice(0, "f", "false"), choice(1, "t", "true")] })
        });
        Arc::clone(&BOOLEAN)
    }

    /// The values of an enum type, in its order; each is its own label.
    pub fn of_enum(labels: &[String]) -> Self {
        let choice = |(place, label): (usize, &String)| Choice {
            number: place as i64,
            stored: label.clone(),
            label: label.clone(),
        };
        Self { choices: labels.iter().enumerate().map(choice).collect() }
    }

    /// Values as somebody configured them: what stands in the column, and what people read. A value's number is
    /// the stored text where that is a whole number, else its place in the list from 0.
    pub fn of_labels(labels: &[(String, String)]) -> Self {
        let choice = |(place, (stored, label)): (usize, &(String, String))| Choice {
            number: stored.parse().unwrap_or(place as i64),
            stored: stored.clone(),
            label: label.clone(),
        };
        Self { choices: labels.iter().enumerate().map(choice).collect() }
    }

    /// The same choices under other labels, where `labels` has one for what is stored, for what it was called, or
    /// for the number.
    pub fn relabelled(&self, labels: &[(String, String)]) -> Self {
        let label_of = |choice: &Choice| {
            let number = choice.number.to_string();
            let names = [&choice.stored, &choice.label, &number];
            let mut found = names.into_iter().filter_map(|name| labels.iter().find(|(of, _)| of == name));
            found.next().map_or_else(|| choice.label.clone(), |(_, label)| label.clone())
        };
        let relabel = |choice: &Choice| Choice { label: label_of(choice), ..choice.clone() };
        Self { choices: self.choices.iter().map(relabel).collect() }
    }

    /// The choice that stands in the column as this text. Blanks at the end, with which `character(n)` fills up,
    /// do not count; a `boolean` is `t` where PostgreSQL prints it, and `true` where it becomes text or JSON.
    pub fn by_stored(&self, stored: &str) -> Option<&Choice> {
        let find = |stored: &str| self.choices.iter().find(|choice| choice.stored == stored);
        find(stored).or_else(|| match stored {
            "true" => find("t"),
            "false" => find("f"),
            stored => find(stored.trim_end_matches(' ')),
        })
    }
}

/// One value of a selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its number: what comparisons compare.
    pub number: i64,
    /// What stands in the column.
    pub stored: String,
    /// What people read.
    pub label: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_choices_are_numbered_by_what_is_stored_or_by_their_place() {
        let labels = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> =
                pairs.iter().map(|(one, two)| ((*one).to_owned(), (*two).to_owned())).collect();
            Selection::of_labels(&pairs)
        };
        let impact = labels(&[("1000", "1-Extensive"), ("2000", "2-Significant")]);
        let stored = |selection: &Selection, text| selection.by_stored(text).map(|choice| choice.number);
        let numbers: Vec<i64> = impact.choices.iter().map(|choice| choice.number).collect();
        assert_eq!(numbers, [1000, 2000]);
        assert_eq!((stored(&impact, "1000"), stored(&impact, "3000")), (Some(1000), None));
        let state = labels(&[("N", "New"), ("C", "Closed")]);
        assert_eq!(
            (stored(&state, "N"), stored(&state, "C "), stored(&state, "X")),
            (Some(0), Some(1), None)
        );
        let boolean = Selection::boolean();
        assert_eq!(
            (stored(&boolean, "true"), stored(&boolean, "t"), stored(&boolean, "f")),
            (Some(1), Some(1), Some(0))
        );
    }

    #[test]
    fn what_postgresql_knows_can_be_called_otherwise_and_keeps_its_numbers() {
        let labels = [("true", "Yes"), ("0", "No")].map(|(one, two)| (one.to_owned(), two.to_owned()));
        let boolean = Selection::boolean().relabelled(&labels);
        let shown: Vec<_> = boolean.choices.iter().map(|c| (c.number, &*c.stored, &*c.label)).collect();
        assert_eq!(shown, [(0, "f", "No"), (1, "t", "Yes")]);
        let mood = Selection::of_enum(&["calm".to_owned(), "cross".to_owned()]);
        let labels = [("cross".to_owned(), "Cross!".to_owned())];
        let mood = mood.relabelled(&labels);
        let shown: Vec<_> = mood.choices.iter().map(|c| (c.number, &*c.stored, &*c.label)).collect();
        assert_eq!(shown, [(0, "calm", "calm"), (1, "cross", "Cross!")]);
    }

    #[test]
    fn what_has_a_type_in_json_has_a_kind() {
        for oid in 1..6000 {
            if crate::value::Type::built_in(oid).is_some() {
                assert!(Kind::built_in(oid).is_some(), "{oid}");
            }
        }
    }
}
