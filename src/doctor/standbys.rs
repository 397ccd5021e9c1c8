//! Whom commits of the application wait for. The server counts everybody who streams from it as a standby, walhook too, and
//! goes by the name of the session alone (`SyncRepGetStandbyPriority` in its source).

use super::finding::{Finding, Mend, Severity};
use crate::postgres::APPLICATION_NAME;

/// Judges `synchronous_standby_names`.
pub(super) fn judge(names: &str) -> Option<Finding> {
    let meant = members(names).find(|name| name == "*" || name.eq_ignore_ascii_case(APPLICATION_NAME))?;
    let what = format!(
        "has {meant:?}, which means walhook too: the application's commits may wait until walhook has stored them, and \
         not for a standby"
    );
    let remedy = "name the standbys that commits have to wait for, as in \
                  alter system set synchronous_standby_names = 'any 1 (first, second)'; select pg_reload_conf();";
    let finding = Finding::new(Severity::Warning, "synchronous_standby_names", what);
    Some(finding.mended_by(Mend::Do(remedy.to_owned())))
}

/// The names in `a, "b"`, `2 (a, b)`, `first 2 (a, b)` or `any 2 (a, b)`.
fn members(names: &str) -> impl Iterator<Item = String> {
    let list = names.split_once('(').map_or(names, |(_, list)| list.trim_end().trim_end_matches(')'));
    list.split(',').map(|name| name.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walhook_is_none_to_wait_for() {
        for names in ["", "a, b", "FIRST 1 (a, \"b c\")", "walhook2", "any 1 (a)"] {
            assert_eq!(judge(names), None, "{names}");
        }
        for names in ["*", "\"*\"", "a, WALHOOK", "ANY 2 (a, *) ", "1 (walhook)"] {
            assert!(judge(names).is_some(), "{names}");
        }
    }
}
