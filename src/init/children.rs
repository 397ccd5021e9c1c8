//! Which tables belong to which: foreign keys say to what they may, names say whether they do.

use super::names;
use super::tables::{ForeignKey, Table};
use std::collections::BTreeMap;

/// Of each table that belongs to another one: the place of that one, and the foreign key that leads there.
pub(super) type Wholes<'a> = BTreeMap<usize, (usize, &'a ForeignKey)>;

/// Finds them among the tables that may be told of. Every way ends at a table that belongs to none.
pub(super) fn wholes<'a>(tables: &'a [Table], candidates: &[usize]) -> Wholes<'a> {
    let mut wholes = Wholes::new();
    for &part in candidates {
        let table = &tables[part];
        let best = table
            .foreign_keys
            .iter()
            .filter_map(|key| {
                let whole = candidates.iter().copied().find(|&whole| tables[whole].oid == key.table)?;
                Some((rank(table, key, &tables[whole])?, whole, key))
            })
            .min_by_key(|(rank, ..)| *rank);
        if let Some((_, whole, key)) = best {
            wholes.insert(part, (whole, key));
        }
    }
    // two that belong to each other belong to nobody
    let in_circles: Vec<usize> = wholes.keys().copied().filter(|&part| is_in_circle(part, &wholes)).collect();
    for part in in_circles {
        wholes.remove(&part);
    }
    wholes
}

/// How surely a foreign key says that a row belongs to another one; the less the surer. None where it does not say so.
fn rank(part: &Table, key: &ForeignKey, whole: &Table) -> Option<u8> {
    if key.table == part.oid || !names::is_part_of(&part.name, &whole.name) {
        return None;
    }
    // who wrote a note is not what it belongs to
    if key.columns.iter().any(|column| names::is_actor(column) || names::is_creator(column)) {
        return None;
    }
    let always = key.columns.iter().all(|name| part.column(name).is_some_and(|column| column.not_null));
    let is_named = names::plain(&part.name).starts_with(&names::singular(&names::plain(&whole.name)));
    let names_it = key.columns.len() == 1 && names::are_alike(&names::base(&key.columns[0]), &whole.name);
    Some(match (is_named, key.cascades, always, names_it) {
        (true, ..) => 0,
        (_, true, ..) => 1,
        (_, _, true, true) => 2,
        (_, _, _, true) => 3,
        (_, _, true, _) => 4,
        _ => return None,
    })
}

fn is_in_circle(start: usize, wholes: &Wholes<'_>) -> bool {
    let mut at = start;
    for _ in 0..=wholes.len() {
        match wholes.get(&at) {
            Some((whole, _)) if *whole == start => return true,
            Some((whole, _)) => at = *whole,
            None => return false,
        }
    }
    // it leads into a circle of others
    false
}
