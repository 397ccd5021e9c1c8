//! The verdicts that are right.

use walhook::qualification::Truth;

/// Which of true, false, unknown and failure may come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Verdicts(u8);

pub(in super::super) const TRUE: Verdicts = Verdicts(1);
pub(in super::super) const FALSE: Verdicts = Verdicts(2);
pub(in super::super) const UNKNOWN: Verdicts = Verdicts(4);
pub(in super::super) const FAILURE: Verdicts = Verdicts(8);
const EACH: [Verdicts; 4] = [TRUE, FALSE, UNKNOWN, FAILURE];

impl Verdicts {
    pub(in super::super) fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(in super::super) fn or_also(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(in super::super) fn not(self) -> Self {
        Self((self.0 & 0b1100) | ((self.0 & 0b01) << 1) | ((self.0 & 0b10) >> 1))
    }

    pub(in super::super) fn and(self, other: Self) -> Self {
        let mut both = Self(0);
        for one in EACH.into_iter().filter(|one| self.has(*one)) {
            for two in EACH.into_iter().filter(|two| other.has(*two)) {
                both = both.or_also(match (one, two) {
                    (FALSE, _) | (_, FALSE) => FALSE,
                    (FAILURE, UNKNOWN) | (UNKNOWN, FAILURE) => FAILURE.or_also(UNKNOWN),
                    (FAILURE, _) | (_, FAILURE) => FAILURE,
                    (UNKNOWN, _) | (_, UNKNOWN) => UNKNOWN,
                    _ => TRUE,
                });
            }
        }
        both
    }

    pub(in super::super) fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

impl From<bool> for Verdicts {
    fn from(holds: bool) -> Self {
        if holds { TRUE } else { FALSE }
    }
}

impl From<Truth> for Verdicts {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::True => TRUE,
            Truth::False => FALSE,
            Truth::Unknown => UNKNOWN,
        }
    }
}
