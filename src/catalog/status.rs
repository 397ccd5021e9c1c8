//! How forms stand to their tables.

use super::Fault;

/// How a form stands to its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As it was, or bound for the first time.
    Bound,
    /// The table has another name now, and nothing else has the old one: the form goes with it.
    Renamed {
        /// What it was called before.
        was: String,
    },
    /// The table's name belongs to another table now, and that one is published: the form goes with the name.
    Replaced,
    /// The form cannot work as it is; the faults say why.
    Broken,
}

/// How a form stands to its table, and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingStatus {
    /// The form.
    pub form: String,
    /// The table, as in SQL.
    pub table: String,
    /// How it stands.
    pub standing: Standing,
    /// What is wrong; with another standing than `Broken`, what the operator may want to know.
    pub faults: Vec<Fault>,
}

impl BindingStatus {
    /// Whether the form cannot work as it is.
    pub fn is_broken(&self) -> bool {
        self.standing == Standing::Broken
    }

    /// What is wrong and what to do about it, in one text for people; empty if nothing is.
    pub fn reason(&self) -> String {
        let say = |fault: &Fault| {
            let said = fault.to_string();
            // a drawn fault has its help below it
            let between = if said.contains('\n') { "\n  = help: or " } else { ": " };
            format!("{}{between}{}", said.trim_end(), fault.remedy())
        };
        self.faults.iter().map(say).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_fault_keeps_its_lines() {
        let status = |fault| BindingStatus {
            form: "Incident".into(),
            table: "incident".into(),
            standing: Standing::Broken,
            faults: vec![fault],
        };
        let drawn =
            "error: line 1, column 1: no\n  |\n  = help: alter table incident replica identity full;".into();
        let said = status(Fault::Entries { drawn }).reason();
        let lines: Vec<&str> = said.lines().skip(3).collect();
        assert_eq!(
            lines,
            [
                "  = help: alter table incident replica identity full;",
                "  = help: or mend the condition, or take where out to make every row an entry",
            ]
        );
        let plain = status(Fault::NoEntryId { table: "incident".into() }).reason();
        assert!(!plain.contains('\n') && plain.contains(": set entry_id"), "{plain}");
    }
}
