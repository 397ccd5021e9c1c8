//! By which rules the entries of a form have, and had, their lanes, through all that changes them.

use super::{Database, form};
use walhook::catalog::Catalog;
use walhook::form::{BoundForm, Form, LaneRule};

const DESK: &str = "create table desk (id int not null, code text not null, b int);
    alter table desk replica identity full;
    alter publication walhook add table desk;";

fn by_code(name: &str) -> Form {
    Form { name: name.to_owned(), entry_id: vec!["code".to_owned()], ..form("desk") }
}

/// What is remembered of a form, the rule used last first: `desk(id) desk(code)`.
fn remembered(catalog: &Catalog, form: &str) -> String {
    let records = catalog.binding_records();
    let Some(record) = records.iter().find(|record| record.form == form) else { return "nothing".into() };
    let rules = record.rules.iter().map(|rule| {
        let key: Vec<&str> = rule.key.iter().map(|(name, _)| name.as_str()).collect();
        format!("{}({})", rule.form, key.join(","))
    });
    rules.collect::<Vec<_>>().join(" ")
}

/// By which rule a form's entries have their lanes, and by which they had them.
fn bound_by(bound: &BoundForm) -> String {
    let columns = |key: &[usize]| -> String {
        let names = key.iter().map(|&column| bound.relation.columns[column].name.as_str());
        names.collect::<Vec<_>>().join(",")
    };
    let former = bound.former.iter().map(|rule| format!(" {}({})", rule.form, columns(&rule.key)));
    format!("{}({}){}", bound.form.name, columns(&bound.key), former.collect::<String>())
}

impl Database {
    /// Reads the log behind a change of everybody's, and tells how the forms are bound by what it says last.
    async fn bound_after(&self, catalog: &mut Catalog, sql: &str) -> Vec<String> {
        self.run("truncate desk").await;
        self.run(sql).await;
        self.run("insert into desk values (1, 'one', 1)").await;
        let id = self.log().await.pop().map(|relation| (relation.id, relation));
        let (id, relation) = id.expect("the log describes the table of an insert");
        catalog.compare().await.unwrap();
        catalog.relation(relation).await.unwrap();
        catalog.forms_of(id).iter().map(|form| bound_by(form)).collect()
    }
}

#[tokio::test]
async fn a_table_that_gets_another_key_has_former_rules() {
    let database = Database::start(DESK).await;
    let mut catalog = database.catalog(vec![by_code("desk")]).await;
    assert_eq!(remembered(&catalog, "desk"), "", "no entry has a lane before there was a change");
    assert_eq!(database.bound_after(&mut catalog, "").await, ["desk(code)"]);
    let keyed = "alter table desk add constraint single primary key (id)";
    assert_eq!(database.bound_after(&mut catalog, keyed).await, ["desk(id) desk(code)"]);
    assert_eq!(remembered(&catalog, "desk"), "desk(id) desk(code)");
    // a rename of a column is none of the rule: it is followed, also by a walhook that was down
    let records = catalog.binding_records();
    database.run("alter table desk rename code to label; alter table desk add code text").await;
    let mut catalog = database.catalog_with(vec![by_code("desk")], records).await;
    let mut labelled = by_code("desk");
    labelled.entry_id = vec!["label".to_owned()];
    assert_eq!(database.bound_after(&mut catalog, "").await, ["desk(id) desk(label)"]);
    let unkeyed = "alter table desk drop constraint single";
    let records = catalog.binding_records();
    let mut catalog = database.catalog_with(vec![labelled.clone()], records).await;
    assert_eq!(database.bound_after(&mut catalog, unkeyed).await, ["desk(label) desk(id)"]);
    assert_eq!(remembered(&catalog, "desk"), "desk(label) desk(id)");
    // what took the table's place has its columns under other numbers
    let replaced = "drop table desk; create table desk (extra int, label text not null, id int primary key);
                    alter publication walhook add table desk";
    database.run(replaced).await;
    database.run("alter table desk replica identity full; insert into desk values (1, 'one', 1)").await;
    let bound = database.bind_log(&mut catalog).await;
    assert_eq!(bound_by(&bound[0]), "desk(id) desk(label)");
    // a column of a former rule that is gone makes no lane, and is remembered for what is in the log still
    database.run("alter table desk rename label to name; alter table desk add label text").await;
    labelled.entry_id = vec!["id".to_owned()];
    let mut catalog = database.catalog_with(vec![labelled], catalog.binding_records()).await;
    database.run("alter table desk drop name; insert into desk values (2, 2, 'two')").await;
    let bound = database.bind_log(&mut catalog).await;
    assert_eq!(bound_by(bound.last().unwrap()), "desk(id)");
    assert_eq!(remembered(&catalog, "desk"), "desk(id) desk(label)");
}

#[tokio::test]
async fn a_form_that_takes_a_table_over_has_the_rules_of_the_one_before() {
    let database = Database::start(DESK).await;
    let mut catalog = database.catalog(vec![by_code("first"), by_code("other")]).await;
    assert_eq!(database.bound_after(&mut catalog, "").await, ["first(code)", "other(code)"]);
    let anew = async |names: [&str; 2], before: &Catalog| {
        let forms = names.map(by_code).to_vec();
        let mut catalog = database.catalog_with(forms, before.binding_records()).await;
        // they are remembered before the log is read
        let at_once = names.map(|name| remembered(&catalog, name));
        let bound = database.bound_after(&mut catalog, "").await;
        (catalog, at_once.join(", "), bound.join(", "))
    };
    let (catalog, at_once, bound) = anew(["second", "other"], &catalog).await;
    assert_eq!((&*at_once, &*bound), ("first(code), other(code)", "second(code) first(code), other(code)"));
    let (catalog, _, bound) = anew(["third", "other"], &catalog).await;
    assert_eq!(bound, "third(code) second(code) first(code), other(code)");
    // it gets its first name back
    let (catalog, _, bound) = anew(["first", "other"], &catalog).await;
    assert_eq!(bound, "first(code) third(code) second(code), other(code)");
    // the latest are remembered, however often that goes on
    let mut catalog = catalog;
    for number in 0..2 * LaneRule::REMEMBERED_MAX {
        let name = format!("form {}", number % 12);
        catalog = anew([&name, "other"], &catalog).await.0;
    }
    let (catalog, _, bound) = anew(["first", "other"], &catalog).await;
    assert!(bound.contains(" form 3(code)"), "{bound}");
    assert!(remembered(&catalog, "first").split(' ').count() > 3);
    // a form that comes beside those that are there has nothing of theirs
    let forms = ["first", "other", "beside"].map(by_code).to_vec();
    let mut catalog = database.catalog_with(forms, catalog.binding_records()).await;
    let bound = database.bound_after(&mut catalog, "").await;
    assert_eq!(bound[1..], ["other(code)", "beside(code)"]);
}

/// A form's name goes to another table, and another form takes the table that it had.
#[tokio::test]
async fn a_name_that_goes_to_another_table_leaves_its_rules_with_the_table() {
    let database = Database::start(DESK).await;
    database
        .run("create table shelf (id int primary key, code text); alter publication walhook add table shelf")
        .await;
    let mut catalog = database.catalog(vec![by_code("named")]).await;
    assert_eq!(database.bound_after(&mut catalog, "").await, ["named(code)"]);
    let forms = vec![Form { name: "named".to_owned(), ..form("shelf") }, by_code("heir")];
    let mut catalog = database.catalog_with(forms, catalog.binding_records()).await;
    assert_eq!(database.bound_after(&mut catalog, "").await, ["heir(code) named(code)"]);
}
