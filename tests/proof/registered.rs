//! What webhooks that are registered at run time must get: exactly what is committed behind their registration.

use super::oracle::{Event, Expected, wants};
use super::world::{ASSET, HOOKS, Hook, INCIDENT, PERSON, RESTLESS};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A row of the registration table, as far as it means something.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    pub id: u64,
    /// Which of the [`WISHES`].
    pub wish: usize,
    pub enabled: bool,
    pub fault: Option<Fault>,
}

/// Why a row cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    UnknownForm,
    BadCondition,
}

/// What a transaction says of the table.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Written(Registration),
    Deleted(u64),
    Emptied,
}

/// A registration and what is in force of it.
#[derive(Clone, Debug)]
struct Standing {
    row: Registration,
    /// The last version that could work.
    in_force: Option<Registration>,
}

impl Standing {
    fn new(row: Registration, before: Option<Standing>) -> Self {
        // a number of the file is taken
        let works = row.fault.is_none() && !is_of_file(row.id);
        let in_force = if works { Some(row.clone()) } else { before.and_then(|before| before.in_force) };
        Self { row, in_force }
    }

    /// The webhook that takes events; what cannot work can still say stop.
    fn served(&self) -> Option<&'static Hook> {
        let version = self.in_force.as_ref()?;
        (version.enabled && self.row.enabled).then(|| &WISHES[version.wish])
    }
}

fn is_of_file(id: u64) -> bool {
    HOOKS.iter().any(|hook| hook.id == id)
}

/// What the registered webhooks must get. `rows` are those that were read when the slot was made, `said` is what the
/// transactions of the stream say, by the LSN of their commit: it counts for what is committed behind it.
pub fn expect_registered(
    events: &[Arc<Event>],
    rows: &[Registration],
    said: &[(u64, Vec<Said>)],
) -> Vec<Expected> {
    let mut standings: BTreeMap<u64, Standing> =
        rows.iter().map(|row| (row.id, Standing::new(row.clone(), None))).collect();
    let mut wanted: BTreeMap<u64, Wanted> = BTreeMap::new();
    let mut said = said.iter().peekable();
    for event in events {
        while let Some((_, changes)) = said.next_if(|(commit_lsn, _)| *commit_lsn < event.commit_lsn) {
            for change in changes {
                apply(change, &mut standings, &mut wanted);
            }
        }
        for (id, standing) in &standings {
            if let Some(hook) = standing.served().filter(|hook| wants(hook, event)) {
                wanted.entry(*id).or_default().push((Arc::clone(event), hook, false));
            }
        }
    }
    for (_, changes) in said {
        for change in changes {
            apply(change, &mut standings, &mut wanted);
        }
    }
    for (id, wanted) in &mut wanted {
        // what waits for a webhook that stands still goes on waiting
        if standings.get(id).is_none_or(|standing| standing.served().is_none()) {
            spare(wanted);
        }
    }
    wanted.into_iter().map(|(id, wanted)| Expected::new(id, wanted)).collect()
}

type Wanted = Vec<(Arc<Event>, &'static Hook, bool)>;

fn spare(wanted: &mut Wanted) {
    for (.., spared) in wanted.iter_mut() {
        *spared = true;
    }
}

fn apply(said: &Said, standings: &mut BTreeMap<u64, Standing>, wanted: &mut BTreeMap<u64, Wanted>) {
    let mut delete = |id: u64, standings: &mut BTreeMap<u64, Standing>| {
        standings.remove(&id);
        // what was queued is dropped, and may be out already
        if let Some(wanted) = wanted.get_mut(&id) {
            spare(wanted);
        }
    };
    match said {
        Said::Written(row) => {
            let before = standings.remove(&row.id);
            standings.insert(row.id, Standing::new(row.clone(), before));
        }
        Said::Deleted(id) => delete(*id, standings),
        Said::Emptied => {
            for id in standings.keys().copied().collect::<Vec<_>>() {
                delete(id, standings);
            }
        }
    }
}

const ALL: &[&str] = &["create", "update", "merge", "delete"];

const PLAIN: Hook = Hook {
    id: 0,
    name: "registered",
    path: "/registered",
    format: "native",
    tables: &[INCIDENT],
    verbs: ALL,
    payload: &[],
    custom_json: None,
    condition: None,
};

/// What webhooks are registered for.
pub const WISHES: [Hook; 6] = [
    PLAIN,
    Hook { name: "registered things", tables: &[ASSET], verbs: &["create", "update", "delete"], ..PLAIN },
    Hook { name: "registered people", tables: &[PERSON], ..PLAIN },
    Hook { name: "registered changes", tables: &[INCIDENT, PERSON], verbs: &["update", "merge"], ..PLAIN },
    Hook { name: "registered and restless", condition: Some(RESTLESS), ..PLAIN },
    Hook {
        name: "registered and classic",
        format: "arsys",
        payload: &["Short Description", "Status"],
        custom_json: Some("{\"action\":\"Registered\",\"nothing\":null}"),
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::super::history::{Committed, Op};
    use super::super::oracle::foretell;
    use super::super::world::Val;
    use super::*;

    fn person(id: i64) -> Op {
        let row = vec![Val::Int(id), Val::Null, Val::Null, Val::Null, Val::Null];
        Op::Insert { table: PERSON, row: Arc::new(row) }
    }

    fn row(wish: usize) -> Registration {
        Registration { id: 101, wish, enabled: true, fault: None }
    }

    /// People 1 to 5 are committed at 10 to 50: whom the webhook hears of, and whether that may be dropped.
    fn check(rows: &[Registration], said: &[(u64, Said)], expected: &[(&str, bool)]) {
        let committed =
            |id: i64| Committed { commit_lsn: 10 * id as u64, ops: vec![person(id)], ..Committed::default() };
        let (events, _) = foretell(&(1..=5).map(committed).collect::<Vec<_>>());
        let said: Vec<_> = said.iter().map(|(lsn, said)| (*lsn, vec![said.clone()])).collect();
        let all = expect_registered(&events, rows, &said);
        let told: Vec<(String, bool)> = all
            .iter()
            .flat_map(|one| one.events.iter().zip(&one.spared))
            .map(|(event, spared)| (event.key.entry_id.to_string(), *spared))
            .collect();
        let expected: Vec<(String, bool)> =
            expected.iter().map(|(id, spared)| ((*id).into(), *spared)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_registration_counts_for_what_is_committed_behind_it() {
        check(&[], &[(30, Said::Written(row(2)))], &[("4", false), ("5", false)]);
        check(&[row(2)], &[(20, Said::Deleted(101))], &[("1", true), ("2", true)]);
        check(
            &[row(2)],
            &[(20, Said::Emptied), (30, Said::Written(row(2)))],
            &[("1", true), ("2", true), ("4", false), ("5", false)],
        );
        check(&[row(0)], &[], &[]);
    }

    #[test]
    fn a_version_that_cannot_work_leaves_the_one_before_and_may_say_stop() {
        let faulty = |enabled| Registration { enabled, fault: Some(Fault::BadCondition), ..row(0) };
        check(
            &[row(2)],
            &[(40, Said::Written(faulty(true)))],
            &[("1", false), ("2", false), ("3", false), ("4", false), ("5", false)],
        );
        check(&[row(2)], &[(20, Said::Written(faulty(false)))], &[("1", true), ("2", true)]);
        check(&[faulty(true)], &[], &[]);
    }

    #[test]
    fn a_number_of_the_file_is_taken() {
        check(&[Registration { id: 1, ..row(2) }], &[], &[]);
    }
}
