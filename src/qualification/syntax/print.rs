//! Trees become text again, in the normal spelling: words in capitals, as few brackets as possible.

use crate::qualification::Qualification;
use crate::qualification::tree::{Arithmetic, Condition, Operand, Operator, Reference};
use std::fmt::{self, Display, Formatter};

impl Display for Qualification {
    /// In the normal spelling: words in capitals, as few brackets as it can be read again with.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.root.as_ref().map_or(Ok(()), |root| root.fmt(f))
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Or(left, right) => {
                Bracketed(left.as_ref(), left.power() < OR).fmt(f)?;
                f.write_str(" OR ")?;
                Bracketed(right.as_ref(), right.power() <= OR).fmt(f)
            }
            Self::And(left, right) => {
                Bracketed(left.as_ref(), left.power() < AND).fmt(f)?;
                f.write_str(" AND ")?;
                Bracketed(right.as_ref(), right.power() <= AND).fmt(f)
            }
            Self::Not(condition) => {
                f.write_str("NOT ")?;
                Bracketed(condition.as_ref(), condition.power() < RELATION).fmt(f)
            }
            Self::Relation { left, operator, right, .. } => {
                write!(f, "{left} {} {right}", operator.as_str())
            }
            Self::In { value, list, .. } => {
                write!(f, "{value} IN (")?;
                for (number, element) in list.iter().enumerate() {
                    let separator = if number == 0 { "" } else { ", " };
                    write!(f, "{separator}{element}")?;
                }
                f.write_str(")")
            }
            Self::Changed { field, from: None, to: None, .. } => write!(f, "CHANGED({field})"),
            Self::Changed { field, from, to, .. } => {
                write!(f, "{field} CHANGED")?;
                from.iter().try_for_each(|from| write!(f, " FROM {from}"))?;
                to.iter().try_for_each(|to| write!(f, " TO {to}"))
            }
            Self::External { reference, .. } => write!(f, "EXTERNAL({reference})"),
        }
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { text, .. } => f.write_str(text),
            Self::Text { text, .. } => write!(f, "\"{}\"", text.replace('"', "\"\"")),
            Self::Reference(reference) => reference.fmt(f),
            Self::Dollar { name, .. } => write!(f, "${name}$"),
            Self::Negate { operand, .. } => {
                // a blank between two: people take `--` for a comment
                f.write_str(if matches!(**operand, Self::Negate { .. }) { "- " } else { "-" })?;
                Bracketed(operand.as_ref(), operand.power() < UNARY).fmt(f)
            }
            Self::Arithmetic { left, operator, right, .. } => {
                Bracketed(left.as_ref(), left.power() < self.power()).fmt(f)?;
                write!(f, " {} ", operator.as_str())?;
                Bracketed(right.as_ref(), right.power() <= self.power()).fmt(f)
            }
        }
    }
}

impl Display for Reference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.name.replace('\'', "''"))
    }
}

/// Something with brackets around it, if it needs them.
struct Bracketed<'a, T>(&'a T, bool);

impl<T: Display> Display for Bracketed<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.1 { write!(f, "({})", self.0) } else { self.0.fmt(f) }
    }
}

// how strongly a tree's root holds its parts; operators of one power are read from left to right
const OR: u8 = 1;
const AND: u8 = 2;
const RELATION: u8 = 3;
const SUM: u8 = 1;
const PRODUCT: u8 = 2;
const UNARY: u8 = 3;

impl Condition {
    fn power(&self) -> u8 {
        match self {
            Self::Or(..) => OR,
            Self::And(..) => AND,
            _ => RELATION,
        }
    }
}

impl Operand {
    fn power(&self) -> u8 {
        match self {
            Self::Arithmetic { operator: Arithmetic::Add | Arithmetic::Subtract, .. } => SUM,
            Self::Arithmetic { .. } => PRODUCT,
            _ => UNARY,
        }
    }
}

impl Operator {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Like => "LIKE",
        }
    }
}

impl Arithmetic {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}
