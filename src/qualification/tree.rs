//! The tree of a condition. Places are byte ranges of the text.

use std::ops::Range;

/// Something that is true, false or unknown.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// `a AND b`.
    And(Box<Condition>, Box<Condition>),
    /// `a OR b`.
    Or(Box<Condition>, Box<Condition>),
    /// `NOT a`.
    Not(Box<Condition>),
    /// `left operator right`.
    Relation {
        /// What stands left.
        left: Operand,
        /// What is asked.
        operator: Operator,
        /// What stands right.
        right: Operand,
        /// Where it all stands.
        place: Range<usize>,
    },
    /// `value IN (a, b)`.
    In {
        /// What is looked for.
        value: Operand,
        /// Where; at least one.
        list: Vec<Operand>,
        /// Where it all stands.
        place: Range<usize>,
    },
    /// `CHANGED('F')`, `'F' CHANGED FROM x TO y`: walhook's own.
    Changed {
        /// The field; without `TR.` or `DB.`.
        field: Reference,
        /// What it was.
        from: Option<Operand>,
        /// What it is.
        to: Option<Operand>,
        /// Where it all stands.
        place: Range<usize>,
    },
    /// `EXTERNAL('F')`: part of the grammar, refused when bound.
    External {
        /// The field that would hold the condition.
        reference: Reference,
        /// Where it all stands.
        place: Range<usize>,
    },
}

/// Something that has a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A number as it was written: `1.5e1`.
    Number {
        /// Its text.
        text: String,
        /// Where it stands.
        place: Range<usize>,
    },
    /// A string without its quotation marks, doubled ones made single.
    Text {
        /// Its text.
        text: String,
        /// Where it stands, quotation marks included.
        place: Range<usize>,
    },
    /// `'F'`.
    Reference(Reference),
    /// `$…$`: a keyword, or another way to write a reference.
    Dollar {
        /// What stands between the dollar signs.
        name: String,
        /// Where it stands, dollar signs included.
        place: Range<usize>,
    },
    /// `-a`.
    Negate {
        /// What is negated.
        operand: Box<Operand>,
        /// Where it all stands.
        place: Range<usize>,
    },
    /// `left operator right`.
    Arithmetic {
        /// What stands left.
        left: Box<Operand>,
        /// What is done.
        operator: Arithmetic,
        /// What stands right.
        right: Box<Operand>,
        /// Where it all stands.
        place: Range<usize>,
    },
}

impl Operand {
    /// Where it stands.
    pub fn place(&self) -> Range<usize> {
        match self {
            Self::Reference(reference) => reference.place.clone(),
            Self::Number { place, .. }
            | Self::Text { place, .. }
            | Self::Dollar { place, .. }
            | Self::Negate { place, .. }
            | Self::Arithmetic { place, .. } => place.clone(),
        }
    }
}

/// `'F'`: a field by name or number, with what may stand before and behind (`TR.`, `.VALUE`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// What stands between the quotation marks, doubled ones made single.
    pub name: String,
    /// Where it stands, quotation marks included.
    pub place: Range<usize>,
}

/// What a relation asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `LIKE`
    Like,
}

/// What arithmetic does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}

impl Condition {
    /// Whether both say the same in the same order; places do not count.
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::And(a, b), Self::And(c, d)) | (Self::Or(a, b), Self::Or(c, d)) => {
                a.same_as(c) && b.same_as(d)
            }
            (Self::Not(a), Self::Not(b)) => a.same_as(b),
            (
                Self::Relation { left: a, operator: one, right: b, .. },
                Self::Relation { left: c, operator: other, right: d, .. },
            ) => one == other && a.same_as(c) && b.same_as(d),
            (Self::In { value: a, list, .. }, Self::In { value: b, list: others, .. }) => {
                a.same_as(b) && same(list, others)
            }
            (
                Self::Changed { field, from, to, .. },
                Self::Changed { field: other, from: other_from, to: other_to, .. },
            ) => field.name == other.name && same(from, other_from) && same(to, other_to),
            (Self::External { reference, .. }, Self::External { reference: other, .. }) => {
                reference.name == other.name
            }
            _ => false,
        }
    }
}

impl Operand {
    /// Whether both say the same in the same order; places do not count.
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number { text, .. }, Self::Number { text: other, .. })
            | (Self::Text { text, .. }, Self::Text { text: other, .. })
            | (Self::Dollar { name: text, .. }, Self::Dollar { name: other, .. }) => text == other,
            (Self::Reference(one), Self::Reference(other)) => one.name == other.name,
            (Self::Negate { operand: one, .. }, Self::Negate { operand: other, .. }) => one.same_as(other),
            (
                Self::Arithmetic { left: a, operator: one, right: b, .. },
                Self::Arithmetic { left: c, operator: other, right: d, .. },
            ) => one == other && a.same_as(c) && b.same_as(d),
            _ => false,
        }
    }
}

fn same<'a>(
    some: impl IntoIterator<Item = &'a Operand, IntoIter: ExactSizeIterator>,
    others: impl IntoIterator<Item = &'a Operand, IntoIter: ExactSizeIterator>,
) -> bool {
    let (some, others) = (some.into_iter(), others.into_iter());
    some.len() == others.len() && some.zip(others).all(|(one, other)| one.same_as(other))
}
/// A name as a reference spells it.
pub(super) fn quoted(name: &str) -> String {
    format!("'{}'", name.replace('\'', "''"))
}
