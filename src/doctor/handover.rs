//! Everything that is missing as one SQL file for somebody else to execute: the database's administrator, who may
//! know neither walhook nor its configuration.

use super::Needs;
use super::check;
use super::facts::Facts;
use super::finding::{Finding, Mend, Severity};
use super::plan::{Plan, Step, comment, script};
use std::fmt::{self, Write};

/// The file. It says what it is for, what it does and costs, how it is executed and how it is undone; what is
/// there already is not in it. Whoever asks for it needs no privilege but to read the catalogue.
pub fn to_administrator(facts: &Facts, needs: &Needs, plan: &Plan) -> String {
    let mut file = String::new();
    let settings = check::settings(facts, needs);
    let written = write(&mut file, facts, needs, plan, &settings);
    written.expect("a string takes everything");
    file
}

fn write(out: &mut String, facts: &Facts, needs: &Needs, plan: &Plan, settings: &[Finding]) -> fmt::Result {
    let database = &facts.server.database;
    let missing: Vec<_> = settings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    if plan.is_empty() && missing.is_empty() && !plan.has_errors() {
        return comment(out, &format!("Database {database:?} has everything that walhook needs."));
    }
    comment(
        out,
        &format!(
            "What walhook needs in database {database:?}, for the database's administrator.\n\
             \n\
             walhook tells other systems of changes, and reads them from the write-ahead log by logical\n\
             replication: publication {:?}, replication slot {:?}, as role {}.\n\
             It writes to no table of the application, and none is altered here{}.\n\
             \n\
             Execute it as a superuser:  psql -v ON_ERROR_STOP=1 -d {database:?} -f THIS_FILE\n\
             pg_hba.conf has to let the role into this database; no line for \"replication\" is needed.\n\
             Undone by:  walhook teardown --drop-role",
            needs.publication,
            needs.slot,
            facts.role_quoted,
            if plan.steps.iter().any(|step| step.alters_table) { " but where it is said" } else { "" },
        ),
    )?;
    for remark in plan.remarks.iter().filter(|remark| is_left(remark, &missing)) {
        writeln!(out)?;
        comment(out, &format!("{}: {}: {}", remark.severity.as_str(), remark.object, remark.what))?;
    }
    for finding in &missing {
        writeln!(out)?;
        comment(out, &format!("setting {} {}", finding.object, finding.what))?;
        match &finding.mend {
            Some(Mend::SqlAndRestart(sql)) => {
                comment(out, "takes effect when the server is RESTARTED, at a time that you choose")?;
                writeln!(out, "{sql}")?;
            }
            Some(Mend::Sql(sql)) => writeln!(out, "{sql}")?,
            Some(Mend::Key(text) | Mend::Do(text)) => comment(out, text)?,
            None => {}
        }
    }
    if !plan.is_empty() {
        // an administrator may do what whoever asks may not
        let steps: Vec<_> = plan.steps.iter().map(|step| Step { refused: None, ..step.clone() }).collect();
        write!(out, "\n{}", script(steps.iter()))?;
    }
    for finding in settings.iter().filter(|finding| finding.severity != Severity::Error) {
        let Some(Mend::Sql(sql) | Mend::SqlAndRestart(sql)) = &finding.mend else { continue };
        writeln!(out)?;
        comment(out, &format!("worth a thought: setting {} {}", finding.object, finding.what))?;
        comment(out, sql)?;
    }
    Ok(())
}

/// Whether a remark says something that no statement of the file mends.
fn is_left(remark: &Finding, missing: &[&Finding]) -> bool {
    remark.severity >= Severity::Warning && missing.iter().all(|finding| finding.object != remark.object)
}
