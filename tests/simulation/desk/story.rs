//! What happens at the desk.

use super::{ARTICLE, Change, Desk, MERGED, NOTE, NUMBER, REMOVED, Row, STATUS, State, TICKET};
use crate::proof::random::Random;

/// Writes what happens from a transaction of the play on.
pub fn write(seed: u64, first: usize, transactions: usize) -> Desk {
    let mut writer =
        Writer { random: Random::new(seed, 12), state: State::default(), changes: Vec::new(), notes: 0 };
    let told = (first..transactions).map(|_| {
        writer.transaction();
        (std::mem::take(&mut writer.changes), writer.state.clone())
    });
    Desk { first, transactions: told.collect() }
}

struct Writer {
    random: Random,
    state: State,
    changes: Vec<Change>,
    notes: i64,
}

impl Writer {
    fn transaction(&mut self) {
        let acts = match self.random.below(30) {
            0 => 20 + self.random.below(60),
            1..14 => 1 + self.random.below(4),
            _ => 0,
        };
        for _ in 0..acts {
            match self.random.below(12) {
                0..5 => self.ticket(),
                5 | 6 => self.article(),
                7..10 => self.note(),
                10 => self.emit(),
                _ => self.mark(),
            }
        }
    }

    fn put(&mut self, table: usize, id: i64, after: Option<Row>) {
        let before = self.state.rows[table].remove(&id);
        if let Some(row) = &after {
            self.state.rows[table].insert(id, row.clone());
        }
        self.changes.push(Change::Row { table, before, after });
    }

    fn status(&mut self) -> String {
        (*self.random.pick(&["New", "Open", "Closed"])).to_owned()
    }

    /// A number that no ticket has.
    fn number(&mut self) -> Option<String> {
        let number = Some(format!("N{}", self.random.below(8)));
        self.state.called(number.as_deref()).is_none().then_some(number)?
    }

    fn new_ticket(&mut self, id: i64) -> Option<Row> {
        let number = self.number()?;
        let removed = if self.random.percent(10) { "t" } else { "f" };
        let merged = if self.random.percent(5) { Some("N1".to_owned()) } else { None };
        Some(vec![Some(id.to_string()), Some(number), Some(self.status()), Some(removed.to_owned()), merged])
    }

    fn ticket(&mut self) {
        let id = 1 + self.random.below(6) as i64;
        let Some(row) = self.state.rows[TICKET].get(&id).cloned() else {
            if let Some(row) = self.new_ticket(id) {
                self.put(TICKET, id, Some(row));
            }
            return;
        };
        let mut changed = row.clone();
        match self.random.below(12) {
            0 => return self.put(TICKET, id, None),
            1 => {
                self.put(TICKET, id, None);
                if let Some(row) = self.new_ticket(id) {
                    self.put(TICKET, id, Some(row));
                }
                return;
            }
            2 => {
                let Some(number) = self.number() else { return };
                changed[NUMBER] = Some(number);
            }
            3 | 4 => {
                let removed = row[REMOVED].as_deref() == Some("t");
                changed[REMOVED] = Some(if removed { "f" } else { "t" }.to_owned());
            }
            5 => changed[MERGED] = if row[MERGED].is_some() { None } else { Some("N2".to_owned()) },
            6 => {}
            _ => changed[STATUS] = Some(self.status()),
        }
        self.put(TICKET, id, Some(changed));
    }

    fn article(&mut self) {
        let id = 1 + self.random.below(6) as i64;
        let known = self.state.rows[ARTICLE].contains_key(&id);
        if known && self.random.percent(40) {
            return self.put(ARTICLE, id, None);
        }
        let tickets: Vec<Row> = self.state.rows[TICKET].values().cloned().collect();
        if !tickets.is_empty() {
            let ticket = self.random.pick(&tickets)[NUMBER].clone();
            self.put(ARTICLE, id, Some(vec![Some(id.to_string()), ticket]));
        }
    }

    fn note(&mut self) {
        let led = |id: &&i64| self.state.ticket_of(**id).is_some();
        let articles: Vec<i64> = self.state.rows[ARTICLE].keys().filter(led).copied().collect();
        if articles.is_empty() {
            return;
        }
        let article = *self.random.pick(&articles);
        self.notes += 1;
        self.put(NOTE, self.notes, Some(vec![Some(self.notes.to_string()), Some(article.to_string())]));
        if self.random.percent(20) {
            self.put(ARTICLE, article, None);
        }
    }

    fn emit(&mut self) {
        let tickets: Vec<i64> = self.state.rows[TICKET].keys().copied().collect();
        if !tickets.is_empty() {
            let (id, n) = (*self.random.pick(&tickets), self.random.below(1000));
            let content = format!(
                "{{\"form\": \"Ticket\", \"entry_id\": \"{id}\", \"event\": \"escalated\", \"payload\": {{\"n\": {n}}}}}"
            );
            self.changes.push(Change::Says { prefix: "walhook.emit", content });
        }
    }

    fn mark(&mut self) {
        let (prefix, content) = *self.random.pick(&[
            ("walhook.merge", ""),
            ("walhook.merge", "off"),
            ("walhook.actor", "jane"),
            ("walhook.actor", "bot"),
            ("walhook.mark", "echo"),
            ("walhook.mark", "batch"),
        ]);
        self.changes.push(Change::Says { prefix, content: content.to_owned() });
    }
}
