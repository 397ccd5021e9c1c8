//! What the values of a column mean in conditions: what its type says, and what the operator says on top.

use crate::form::{Field, Meaning};
use crate::value::{Kind, Moment, Selection};
use std::sync::Arc;

/// The kind of a column by that of its type. `folds_case` is whether its collation takes letters of either case
/// for equal; `field` is what is configured for it.
pub(super) fn kind_of(of_type: Kind, folds_case: bool, field: Option<&Field>) -> Kind {
    let mut kind = of_type;
    if let Kind::Text { folds_case: folds, .. } = &mut kind {
        *folds |= folds_case;
    }
    let Some(field) = field else { return kind };
    if !field.labels.is_empty() {
        return Kind::Selection(Arc::new(match &kind {
            Kind::Selection(known) => known.relabelled(&field.labels),
            _ => Selection::of_labels(&field.labels),
        }));
    }
    let folds_case = matches!(kind, Kind::Text { folds_case: true, .. });
    match field.meaning {
        None => kind,
        Some(Meaning::Text) if matches!(kind, Kind::Text { .. }) => kind,
        Some(Meaning::Text) => Kind::TEXT,
        Some(Meaning::Diary) => Kind::Diary { folds_case },
        Some(Meaning::Currency) => Kind::Currency,
        Some(Meaning::StatusHistory) => Kind::StatusHistory,
        Some(Meaning::Attachment) => Kind::Attachment,
        Some(Meaning::Epoch) => Kind::Instant(Moment::Epoch),
        Some(Meaning::SecondsOfDay) => Kind::Time { seconds: true },
    }
}
