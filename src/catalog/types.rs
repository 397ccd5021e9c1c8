//! Type oids become [`Type`]s and [`Kind`]s.

use super::{Error, Reader};
use crate::value::{Attribute, Kind, Selection, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Types nest, but no sane schema nests them deeper.
const DEPTH_MAX: usize = 32;

/// The types of the database as far as somebody has asked for them.
#[derive(Debug, Default)]
pub(super) struct Types {
    described: BTreeMap<u32, Shape>,
}

/// A type as the catalogue describes it, other types named by their oids.
#[derive(Debug)]
enum Shape {
    Leaf(Type, Kind),
    Domain(u32),
    Array { element: u32, delimiter: char },
    Composite(Vec<(String, u32)>),
}

impl Types {
    /// Learns types that are not known yet, and what they consist of. One that does not exist any more is
    /// asked for again the next time.
    pub(super) async fn learn(&mut self, reader: &Reader<'_>, oids: &[u32]) -> Result<(), Error> {
        let unknown = oids.iter().copied().filter(|oid| !self.described.contains_key(oid)).collect();
        self.describe(reader, unknown).await
    }

    /// Reads all known types again, for row types and enums can change without a word in the log. Those that are gone
    /// stay as they were: the log can still have values of them.
    pub(super) async fn learn_again(&mut self, reader: &Reader<'_>) -> Result<(), Error> {
        let known = self.described.keys().copied().collect();
        self.describe(reader, known).await
    }

    async fn describe(&mut self, reader: &Reader<'_>, mut wanted: BTreeSet<u32>) -> Result<(), Error> {
        let mut asked = BTreeSet::new();
        loop {
            wanted.retain(|oid| *oid != 0 && Type::built_in(*oid).is_none() && asked.insert(*oid));
            if wanted.is_empty() {
                return Ok(());
            }
            let oids: Vec<u32> = std::mem::take(&mut wanted).into_iter().collect();
            for row in reader.query("types", include_str!("../../sql/catalog/types.sql"), &[&oids]).await? {
                let shape = Shape::read(&row)?;
                wanted.extend(shape.parts().into_iter().filter(|part| !self.described.contains_key(part)));
                self.described.insert(row.try_get("oid").map_err(Error::shape("types"))?, shape);
            }
        }
    }

    /// The type of an oid. One that nobody learned, or that is gone, is text.
    pub(super) fn type_of(&self, oid: u32) -> Type {
        self.resolve(oid, 0)
    }

    /// The type that an oid's domain is of, or the oid itself where it is none.
    pub(super) fn base_of(&self, oid: u32) -> u32 {
        let mut oid = oid;
        for _ in 0..=DEPTH_MAX {
            match self.described.get(&oid) {
                Some(Shape::Domain(base)) => oid = *base,
                _ => break,
            }
        }
        oid
    }

    /// What the values of an oid's type mean in conditions. One that nobody learned, or that is gone, is text.
    pub(super) fn kind_of(&self, oid: u32) -> Kind {
        let mut oid = oid;
        for _ in 0..=DEPTH_MAX {
            if let Some(kind) = Kind::built_in(oid) {
                return kind;
            }
            match self.described.get(&oid) {
                Some(Shape::Domain(base)) => oid = *base,
                Some(Shape::Leaf(_, kind)) => return kind.clone(),
                Some(Shape::Array { .. } | Shape::Composite(_)) => return Kind::Opaque,
                None => break,
            }
        }
        Kind::TEXT
    }

    fn resolve(&self, oid: u32, depth: usize) -> Type {
        if let Some(type_) = Type::built_in(oid) {
            return type_;
        }
        if depth > DEPTH_MAX {
            return Type::Text;
        }
        match self.described.get(&oid) {
            None => Type::Text,
            Some(Shape::Leaf(type_, _)) => type_.clone(),
            Some(Shape::Domain(base)) => self.resolve(*base, depth + 1),
            Some(&Shape::Array { element, delimiter }) => {
                Type::Array { element: Arc::new(self.resolve(element, depth + 1)), delimiter }
            }
            Some(Shape::Composite(attributes)) => {
                let attribute = |(name, oid): &(String, u32)| Attribute {
                    name: name.clone(),
                    type_: self.resolve(*oid, depth + 1),
                };
                Type::Composite(attributes.iter().map(attribute).collect())
            }
        }
    }
}

impl Shape {
    /// As `jsonb_categorize_type` (jsonb.c) tells types apart: domains are looked through, then arrays, then
    /// row types; the rest is text.
    fn read(row: &tokio_postgres::Row) -> Result<Self, Error> {
        let failed = Error::shape("types");
        let read = || -> Result<Self, tokio_postgres::Error> {
            let kind: String = row.try_get("kind")?;
            Ok(if kind == "d" {
                Self::Domain(row.try_get("base")?)
            } else if row.try_get("is_array")? && row.try_get::<_, u32>("element")? != 0 {
                let delimiter: Option<String> = row.try_get("delimiter")?;
                let delimiter = delimiter.and_then(|text| text.chars().next()).unwrap_or(',');
                Self::Array { element: row.try_get("element")?, delimiter }
            } else if kind == "c" {
                let names: Vec<String> = row.try_get("attribute_names")?;
                let types: Vec<u32> = row.try_get("attribute_types")?;
                Self::Composite(names.into_iter().zip(types).collect())
            } else {
                let name: Option<String> =
                    row.try_get::<_, bool>("names_extension")?.then(|| row.try_get("name")).transpose()?;
                match (kind.as_str(), name.as_deref()) {
                    (_, Some("hstore")) => Self::Leaf(Type::Hstore, Kind::Opaque),
                    (_, Some("citext")) => {
                        Self::Leaf(Type::Text, Kind::Text { folds_case: true, padded: false })
                    }
                    ("e", _) => {
                        let labels: Vec<String> = row.try_get("labels")?;
                        let selection = Selection::of_enum(&labels);
                        Self::Leaf(Type::Text, Kind::Selection(Arc::new(selection)))
                    }
                    ("r" | "m", _) => Self::Leaf(Type::Text, Kind::Opaque), // ranges
                    _ => Self::Leaf(Type::Text, Kind::TEXT),
                }
            })
        };
        read().map_err(failed)
    }

    fn parts(&self) -> Vec<u32> {
        match self {
            Self::Leaf(..) => Vec::new(),
            Self::Domain(part) | Self::Array { element: part, .. } => vec![*part],
            Self::Composite(attributes) => attributes.iter().map(|(_, oid)| *oid).collect(),
        }
    }
}
