//! Which columns a condition looks at.

use super::program::{Amount, Field, Node, Step, Term, Test};

impl Node {
    pub(super) fn columns(&self, into: &mut Vec<usize>) {
        let mut leaves = Vec::new();
        self.leaves(&mut leaves);
        for leaf in leaves {
            leaf.test.columns(into);
        }
    }
}

impl Test {
    fn columns(&self, into: &mut Vec<usize>) {
        match self {
            Self::Fixed(_) => {}
            Self::Absent { term, .. } | Self::Like { term, .. } => term.columns(into),
            Self::Compare { left, right, .. } => {
                left.columns(into);
                right.columns(into);
            }
            Self::LikeOf { term, pattern, .. } => {
                term.columns(into);
                pattern.columns(into);
            }
            Self::Amount(amount) => {
                let Amount { value, currency, .. } = &**amount;
                into.extend([value.column, currency.column]);
            }
            Self::Changed(Field { column, .. }) => into.push(*column),
            Self::All(tests) | Self::Any(tests) => {
                for test in tests {
                    test.columns(into);
                }
            }
        }
    }
}

impl Term {
    fn columns(&self, into: &mut Vec<usize>) {
        match self {
            Self::Constant(_) | Self::Moment { .. } | Self::Weekday | Self::Operation | Self::User => {}
            Self::Field(field) => into.push(field.column),
            Self::Negate { term, .. } | Self::Seconds { term, .. } => term.columns(into),
            Self::Chain { first, steps } => {
                first.columns(into);
                for Step { right, .. } in steps {
                    right.columns(into);
                }
            }
        }
    }
}
