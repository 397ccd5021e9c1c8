//! The shape of a file of cases in JSON.

use super::cases::{Value, When};
use super::made::MadeField;
use crate::format::Values;
use crate::value::{Kind, Moment, Selection};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with \"form\" and \"cases\"")]
pub(super) struct File {
    pub(super) version: Option<u32>,
    pub(super) dialect: Option<String>,
    #[serde(rename = "note")]
    _note: Option<String>,
    pub(super) form: FormOfFile,
    #[serde(default)]
    pub(super) context: ContextOfFile,
    pub(super) cases: Vec<CaseOfFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with \"name\" and \"fields\"")]
pub(super) struct FormOfFile {
    pub(super) name: String,
    pub(super) fields: Vec<FieldOfFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with \"name\" and \"type\"")]
pub(super) struct FieldOfFile {
    pub(super) id: Option<u64>,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) type_: TypeOfFile,
    pub(super) values: Option<Labels>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum TypeOfFile {
    Char,
    Citext,
    Enum,
    Integer,
    Real,
    Decimal,
    Datetime,
    Timestamp,
    Epoch,
    Date,
    Time,
    SecondsOfDay,
    Diary,
    Currency,
    StatusHistory,
    Attachment,
    Boolean,
    Json,
}

impl FieldOfFile {
    pub(super) fn made(&self) -> Result<MadeField, String> {
        let kind = match self.type_ {
            TypeOfFile::Char => Kind::Text { folds_case: false, padded: false },
            TypeOfFile::Citext => Kind::Text { folds_case: true, padded: false },
            TypeOfFile::Enum => {
                let labels = self.values.as_ref().filter(|labels| !labels.0.is_empty());
                let labels = labels.ok_or_else(|| {
                    format!("field {:?}: an enum needs \"values\": {{\"0\": \"New\"}}", self.name)
                })?;
                Kind::Selection(Arc::new(Selection::of_labels(&labels.0)))
            }
            TypeOfFile::Integer => Kind::Number { whole: true },
            TypeOfFile::Real | TypeOfFile::Decimal => Kind::Number { whole: false },
            TypeOfFile::Datetime => Kind::Instant(Moment::Zoned),
            TypeOfFile::Timestamp => Kind::Instant(Moment::Local),
            TypeOfFile::Epoch => Kind::Instant(Moment::Epoch),
            TypeOfFile::Date => Kind::Date,
            TypeOfFile::Time => Kind::Time { seconds: false },
            TypeOfFile::SecondsOfDay => Kind::Time { seconds: true },
            TypeOfFile::Diary => Kind::Diary { folds_case: false },
            TypeOfFile::Currency => Kind::Currency,
            TypeOfFile::StatusHistory => Kind::StatusHistory,
            TypeOfFile::Attachment => Kind::Attachment,
            TypeOfFile::Boolean => Kind::Selection(Selection::boolean()),
            TypeOfFile::Json => Kind::Opaque,
        };
        if self.values.is_some() && self.type_ != TypeOfFile::Enum {
            return Err(format!("field {:?}: only an enum has \"values\"", self.name));
        }
        Ok(MadeField { name: self.name.clone(), id: self.id, kind })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with \"now\", \"user\" and the like")]
pub(super) struct ContextOfFile {
    pub(super) now: Option<String>,
    pub(super) user: Option<String>,
    pub(super) server: Option<String>,
    pub(super) time_zone: Option<String>,
    #[serde(default)]
    pub(super) date_formats: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with \"qualification\", \"operation\" and \"expect\"")]
pub(super) struct CaseOfFile {
    pub(super) id: Option<String>,
    #[serde(rename = "group")]
    _group: Option<String>,
    pub(super) qualification: String,
    pub(super) operation: Operation,
    pub(super) new: Option<Values>,
    pub(super) old: Option<Values>,
    pub(super) options: Option<Options>,
    pub(super) expect: Expect,
    pub(super) value: Option<Value>,
    pub(super) phase: Option<When>,
    #[serde(rename = "note")]
    _note: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Operation {
    Create,
    Update,
    Merge,
    Delete,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with \"case_insensitive\"")]
pub(super) struct Options {
    #[serde(default)]
    pub(super) case_insensitive: bool,
}

/// `true`, `false` or `"error"`, the first two with or without quotation marks.
#[derive(Clone, Copy)]
pub(super) enum Expect {
    Delivers(bool),
    Error,
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = Expect;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or \"error\"")
            }

            fn visit_bool<E>(self, delivers: bool) -> Result<Expect, E> {
                Ok(Expect::Delivers(delivers))
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Expect, E> {
                match word {
                    "true" => Ok(Expect::Delivers(true)),
                    "false" => Ok(Expect::Delivers(false)),
                    "error" => Ok(Expect::Error),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(Word)
    }
}

/// The labels of a selection in the order of the file: by what stands in the column, or a list for 0, 1, 2 and so on.
pub(super) struct Labels(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of labels, as {\"0\": \"New\"}, or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut labels: Vec<(String, String)> = Vec::new();
                while let Some((stored, label)) = map.next_entry::<String, String>()? {
                    if labels.iter().any(|(known, other)| *known == stored || *other == label) {
                        return Err(A::Error::custom(format!("{stored:?} or {label:?} stands there twice")));
                    }
                    labels.push((stored, label));
                }
                Ok(Labels(labels))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Labels, A::Error> {
                let mut labels: Vec<(String, String)> = Vec::new();
                while let Some(label) = list.next_element::<String>()? {
                    labels.push((labels.len().to_string(), label));
                }
                Ok(Labels(labels))
            }
        }
        deserializer.deserialize_any(InOrder)
    }
}
