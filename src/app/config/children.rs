//! `[[forms.children]]`: tables whose rows belong to the entries of a form. Each becomes a form of its own, bound to its
//! table like any other, as does each table between.

use super::happening::word;
use super::reader::{Reader, join};
use super::table::Table;
use crate::belonging::{Belonging, On, Role};
use crate::event::Word;
use crate::form::Form;
use crate::qualification::Dialect;
use std::sync::Arc;

/// How the forms of children are read: as those of `[[forms]]`.
pub(super) type ReadForm<'f> = &'f mut dyn FnMut(&mut Reader<'_>, &Table) -> Option<Form>;

/// What the children of a form come to.
#[derive(Default)]
pub(super) struct Children {
    /// Their tables and those between, as forms.
    pub(super) forms: Vec<Form>,
    /// Their events.
    pub(super) verbs: Vec<Word>,
    /// By which columns of the form's table they refer to it.
    pub(super) referred_by: Vec<Vec<String>>,
}

/// Reads the children of the form of that name.
pub(super) fn read(reader: &mut Reader<'_>, form: &Table, name: &str, read_form: ReadForm<'_>) -> Children {
    let mut children = Children::default();
    for table in form.tables("children") {
        let Some(verb) = table.text("verb") else { continue };
        let verb = word(reader, table.place("verb"), &join(&table.path, "verb"), verb);
        let Some(mut child) = read_form(reader, table) else { continue };
        let Some(verb) = verb else { continue };
        child.name = format!("{name}: {verb} {}", children.forms.len() + 1);
        let hops = hops(reader, table, &child.name, name, read_form, &child.dialect);
        let references = table.strings("references");
        child.belonging = Some(Belonging {
            form: name.to_owned(),
            role: Role::Child { verb, on: on(table) },
            parent: table.strings("parent"),
            kind: kind(table),
            prefix: table.text("prefix").cloned(),
            through: hops.iter().map(|hop| hop.name.clone()).collect(),
            references: references.clone(),
        });
        children.verbs.push(verb);
        if !references.is_empty() && !children.referred_by.contains(&references) {
            children.referred_by.push(references);
        }
        children.forms.extend(hops);
        children.forms.push(child);
    }
    children
}

fn on(table: &Table) -> On {
    match table.word("on") {
        Some(&"update") => On::Update,
        Some(&"delete") => On::Delete,
        _ => On::Insert,
    }
}

pub(super) fn kind(table: &Table) -> Option<(String, String)> {
    let kind = table.table("kind")?;
    Some((kind.text("column")?.clone(), kind.text("value")?.clone()))
}

/// The tables between, the child's next one first.
fn hops(
    reader: &mut Reader<'_>,
    table: &Table,
    child: &str,
    form: &str,
    read_form: ReadForm<'_>,
    dialect: &Arc<Dialect>,
) -> Vec<Form> {
    let mut hops = Vec::new();
    for table in table.tables("through") {
        let Some(mut hop) = read_form(reader, table) else { continue };
        hop.name = format!("{child} through {}", hops.len() + 1);
        hop.dialect = Arc::clone(dialect);
        let by = table.strings("key");
        hop.entry_id.clone_from(&by);
        hop.belonging = Some(Belonging {
            form: form.to_owned(),
            role: Role::Hop { by },
            parent: table.strings("parent"),
            kind: kind(table),
            prefix: table.text("prefix").cloned(),
            through: Vec::new(),
            references: Vec::new(),
        });
        hops.push(hop);
    }
    hops
}
