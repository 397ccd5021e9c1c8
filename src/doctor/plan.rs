//! Statements as data: printed first, executed when the operator says so.

use super::finding::Severity;
use super::{Error, Finding};
use serde_json::{Value, json};
use std::fmt;
use tokio_postgres::error::SqlState;

/// How long a statement waits for a table's lock. Others queue up behind one that waits, the application too.
const LOCK_TIMEOUT: &str = "set lock_timeout = '3s'";

/// One statement, or a few that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is about: `publication "walhook"`.
    pub object: String,
    /// What is wrong without it.
    pub lack: String,
    /// How bad that is.
    pub severity: Severity,
    /// What it does, as it goes on after "to": `publish helpdesk.incident`.
    pub purpose: String,
    /// The statement, without the last semicolon.
    pub sql: String,
    /// What it costs or risks.
    pub cost: Option<String>,
    /// Whether it alters a table of the application.
    pub alters_table: bool,
    /// Why the role that asks may not do it: then it is for the database's administrator.
    pub refused: Option<String>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepEnd {
    /// It was done.
    Done,
    /// The role may not: it is left for the database's administrator.
    Left,
}

/// Statements in their order, with remarks.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The statements. Empty means that nothing is to be done.
    pub steps: Vec<Step>,
    /// What else the operator should know.
    pub remarks: Vec<Finding>,
}

impl Plan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What the role that asks may do, as an SQL script with comments.
    pub fn script(&self) -> String {
        script(self.steps.iter().filter(|step| step.refused.is_none()))
    }

    /// What it may not do, as an SQL script for the database's administrator; none if there is nothing.
    pub fn script_for_administrator(&self) -> Option<String> {
        let refused: Vec<&Step> = self.steps.iter().filter(|step| step.refused.is_some()).collect();
        (!refused.is_empty()).then(|| script(refused.into_iter()))
    }

    /// Whether something stands in the way that no statement of it removes.
    pub fn has_errors(&self) -> bool {
        self.remarks.iter().any(|remark| remark.severity == Severity::Error)
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let steps = self.steps.iter().map(|step| {
            json!({
                "object": step.object,
                "purpose": step.purpose,
                "sql": step.sql,
                "cost": step.cost,
                "alters_table": step.alters_table,
                "refused": step.refused,
            })
        });
        let remarks = self.remarks.iter().map(|remark| {
            json!({ "severity": remark.severity.as_str(), "object": remark.object, "what": remark.what })
        });
        json!({ "steps": steps.collect::<Vec<_>>(), "remarks": remarks.collect::<Vec<_>>() })
    }
}

impl fmt::Display for Plan {
    /// An SQL script with everything: remarks and reasons are comments.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for remark in &self.remarks {
            comment(f, &format!("{}: {}: {}", remark.severity.as_str(), remark.object, remark.what))?;
        }
        if self.is_empty() {
            let nothing = if self.remarks.is_empty() { "nothing to do" } else { "nothing else to do" };
            return writeln!(f, "-- {nothing}");
        }
        f.write_str(&self.script())?;
        if let Some(script) = self.script_for_administrator() {
            writeln!(f, "\n-- For the database's administrator: this role may not do the following.")?;
            f.write_str(&script)?;
        }
        Ok(())
    }
}

/// A comment of any text: every line of it is one, for names may contain line ends.
pub(super) fn comment(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    text.split(['\n', '\r']).try_for_each(|line| {
        let space = if line.is_empty() { "" } else { " " };
        writeln!(out, "--{space}{line}")
    })
}

/// An SQL script of these steps.
pub(super) fn script<'a>(steps: impl Iterator<Item = &'a Step>) -> String {
    let mut text = String::new();
    for step in steps {
        if text.is_empty() {
            text.push_str(LOCK_TIMEOUT);
            text.push_str(";\n");
        }
        let mut lead = format!("to {}", step.purpose);
        if step.alters_table {
            lead.push_str("\n  alters a table of the application");
        }
        if let Some(cost) = &step.cost {
            lead.push_str("\n  cost: ");
            lead.push_str(cost);
        }
        if let Some(refused) = &step.refused {
            lead.push_str("\n  ");
            lead.push_str(refused);
        }
        comment(&mut text, &lead).expect("a string takes everything");
        text.push_str(&step.sql);
        text.push_str(";\n");
    }
    text
}

/// Executes a plan, step by step, and tells of each. Steps that the role may not do are left; any other failure
/// ends it, and what was done stays: the next plan begins there.
pub async fn apply(
    session: &tokio_postgres::Client,
    plan: &Plan,
    mut tell: impl FnMut(&Step, StepEnd),
) -> Result<(), Error> {
    let failed = |step: &Step, source| Error::Statement {
        purpose: step.purpose.clone(),
        sql: step.sql.clone(),
        source,
    };
    for step in &plan.steps {
        if step.refused.is_some() {
            tell(step, StepEnd::Left);
            continue;
        }
        session.batch_execute(LOCK_TIMEOUT).await.map_err(|source| failed(step, source))?;
        let executed = session.batch_execute(&step.sql).await;
        if executed.is_err() {
            // a step of several statements leaves its transaction open
            let _ = session.batch_execute("rollback").await;
        }
        let _ = session.batch_execute("reset lock_timeout").await;
        match executed {
            Ok(()) => tell(step, StepEnd::Done),
            Err(source) if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                tell(step, StepEnd::Left);
            }
            Err(source) => return Err(failed(step, source)),
        }
    }
    Ok(())
}
