//! Text becomes a tree, and the tree text again.

use walhook::qualification::{Condition, Operand, Qualification};

/// A tree with a bracket around everything.
fn bracketed(condition: &Condition) -> String {
    match condition {
        Condition::And(left, right) => format!("({} & {})", bracketed(left), bracketed(right)),
        Condition::Or(left, right) => format!("({} | {})", bracketed(left), bracketed(right)),
        Condition::Not(condition) => format!("(! {})", bracketed(condition)),
        Condition::Relation { left, operator, right, .. } => {
            format!("({} {} {})", value(left), operator.as_str(), value(right))
        }
        Condition::In { value: needle, list, .. } => {
            format!("({} in {})", value(needle), list.iter().map(value).collect::<Vec<_>>().join(" "))
        }
        Condition::Changed { field, from, to, .. } => {
            let side = |side: &Option<Operand>| side.as_ref().map_or("_".to_owned(), value);
            format!("(changed <{}> {} {})", field.name, side(from), side(to))
        }
        Condition::External { reference, .. } => format!("(external <{}>)", reference.name),
    }
}

fn value(operand: &Operand) -> String {
    match operand {
        Operand::Number { text, .. } => text.clone(),
        Operand::Text { text, .. } => format!("{text:?}"),
        Operand::Reference(reference) => format!("<{}>", reference.name),
        Operand::Dollar { name, .. } => format!("${name}"),
        Operand::Negate { operand, .. } => format!("(- {})", value(operand)),
        Operand::Arithmetic { left, operator, right, .. } => {
            format!("({} {} {})", value(left), operator.as_str(), value(right))
        }
    }
}

/// The text has this tree, and this is its normal spelling.
#[track_caller]
fn check(text: &str, tree: &str, spelling: &str) {
    let read = Qualification::parse(text).unwrap_or_else(|fault| panic!("{}", fault.draw(text)));
    assert_eq!(read.root().map_or(String::new(), bracketed), tree);
    assert_eq!(read.to_string(), spelling);
    let again = Qualification::parse(spelling).unwrap_or_else(|fault| panic!("{}", fault.draw(spelling)));
    assert_eq!(
        again.root().map_or(String::new(), bracketed),
        tree,
        "the normal spelling means something else"
    );
    assert_eq!(again.to_string(), spelling);
}

#[test]
fn blank_texts_have_no_tree() {
    check("", "", "");
    check(" \t\r\n\u{a0}", "", "");
}

#[test]
fn values_are_read_as_they_are_written() {
    check("'F'=1", "(<F> = 1)", "'F' = 1");
    check("'Doug''s Requests' = \"x\"", "(<Doug's Requests> = \"x\")", "'Doug''s Requests' = \"x\"");
    check("'''' = \"\"\"\"", "(<'> = \"\\\"\")", "'''' = \"\"\"\"");
    check("\"\" = \"a\\b\"", "(\"\" = \"a\\\\b\")", "\"\" = \"a\\b\"");
    check("\"two\nlines\" = \"it's\"", "(\"two\\nlines\" = \"it's\")", "\"two\nlines\" = \"it's\"");
    check("1. = .5e+3", "(1. = .5e+3)", "1. = .5e+3");
    check("1E5 = 007", "(1E5 = 007)", "1E5 = 007");
    check("$NULL$ = $Short Description$", "($NULL = $Short Description)", "$NULL$ = $Short Description$");
    check("'Grüße' = \"€ 🦀\"", "(<Grüße> = \"€ 🦀\")", "'Grüße' = \"€ 🦀\"");
    check("'AND' = \"OR\"", "(<AND> = \"OR\")", "'AND' = \"OR\"");
}

#[test]
fn operators_bind_as_the_table_of_precedence_says() {
    check("1=1 OR 2=2 AND 3=3", "((1 = 1) | ((2 = 2) & (3 = 3)))", "1 = 1 OR 2 = 2 AND 3 = 3");
    check("(1=1 OR 2=2) AND 3=3", "(((1 = 1) | (2 = 2)) & (3 = 3))", "(1 = 1 OR 2 = 2) AND 3 = 3");
    check("1=1 and 2=2 && 3=3", "(((1 = 1) & (2 = 2)) & (3 = 3))", "1 = 1 AND 2 = 2 AND 3 = 3");
    check("1=1 and (2=2 and 3=3)", "((1 = 1) & ((2 = 2) & (3 = 3)))", "1 = 1 AND (2 = 2 AND 3 = 3)");
    check("1=1||(2=2 Or 3=3)", "((1 = 1) | ((2 = 2) | (3 = 3)))", "1 = 1 OR (2 = 2 OR 3 = 3)");
    check("NOT 1=1 AND 2=2", "((! (1 = 1)) & (2 = 2))", "NOT 1 = 1 AND 2 = 2");
    check("!(1=1&&2=2)", "(! ((1 = 1) & (2 = 2)))", "NOT (1 = 1 AND 2 = 2)");
    check("not not (1=1)", "(! (! (1 = 1)))", "NOT NOT 1 = 1");
    check("!!1=1", "(! (! (1 = 1)))", "NOT NOT 1 = 1");
    check("1+2*3=7", "((1 + (2 * 3)) = 7)", "1 + 2 * 3 = 7");
    check("(1+2)*3=9", "(((1 + 2) * 3) = 9)", "(1 + 2) * 3 = 9");
    check("10-4-3=3", "(((10 - 4) - 3) = 3)", "10 - 4 - 3 = 3");
    check("10-(4-3)=9", "((10 - (4 - 3)) = 9)", "10 - (4 - 3) = 9");
    check("8/4*2%3=1", "((((8 / 4) * 2) % 3) = 1)", "8 / 4 * 2 % 3 = 1");
    check("8/(4*2)=1", "((8 / (4 * 2)) = 1)", "8 / (4 * 2) = 1");
    check("-2*-3=6", "(((- 2) * (- 3)) = 6)", "-2 * -3 = 6");
    check("1--2=3", "((1 - (- 2)) = 3)", "1 - -2 = 3");
    check("--2=2", "((- (- 2)) = 2)", "- -2 = 2");
    check("-(1+2)=-3", "((- (1 + 2)) = (- 3))", "-(1 + 2) = -3");
    check("-(1*2)=-2", "((- (1 * 2)) = (- 2))", "-(1 * 2) = -2");
}

#[test]
fn a_bracket_opens_a_condition_or_a_value() {
    check("((1))=(((2)))", "(1 = 2)", "1 = 2");
    check("(((1=1)))", "(1 = 1)", "1 = 1");
    check("('A'+1)=6", "((<A> + 1) = 6)", "'A' + 1 = 6");
    check("(('A'+1)=6)", "((<A> + 1) = 6)", "'A' + 1 = 6");
    check("(('A')+(1))*2>=6 AND (1=1)", "((((<A> + 1) * 2) >= 6) & (1 = 1))", "('A' + 1) * 2 >= 6 AND 1 = 1");
    check("NOT ('A') = 1", "(! (<A> = 1))", "NOT 'A' = 1");
}

#[test]
fn every_relation_is_read() {
    for operator in ["=", "!=", "<", "<=", ">", ">=", "LIKE"] {
        let text = format!("'A'{operator}\"x\"");
        check(&text, &format!("(<A> {operator} \"x\")"), &format!("'A' {operator} \"x\""));
    }
    check("'A' like \"x\"", "(<A> LIKE \"x\")", "'A' LIKE \"x\"");
    check("'A' in(1)", "(<A> in 1)", "'A' IN (1)");
    check(
        "'A'+1 IN (1,-2,(3+4)*5)",
        "((<A> + 1) in 1 (- 2) ((3 + 4) * 5))",
        "'A' + 1 IN (1, -2, (3 + 4) * 5)",
    );
    check("not 'A' IN ((1))", "(! (<A> in 1))", "NOT 'A' IN (1)");
    check("External('A')", "(external <A>)", "EXTERNAL('A')");
    check("EXTERNAL ( $A$ ) AND 1=1", "((external <A>) & (1 = 1))", "EXTERNAL('A') AND 1 = 1");
}

#[test]
fn changes_are_asked_for_in_two_ways() {
    check("changed('A')", "(changed <A> _ _)", "CHANGED('A')");
    check("'A' Changed", "(changed <A> _ _)", "CHANGED('A')");
    check("'A' CHANGED from 1", "(changed <A> 1 _)", "'A' CHANGED FROM 1");
    check("'A' CHANGED TO 1+1", "(changed <A> _ (1 + 1))", "'A' CHANGED TO 1 + 1");
    check(
        "NOT 'A' CHANGED FROM \"x\" TO 'B' AND CHANGED('C')",
        "((! (changed <A> \"x\" <B>)) & (changed <C> _ _))",
        "NOT 'A' CHANGED FROM \"x\" TO 'B' AND CHANGED('C')",
    );
    check(
        "'FROM' CHANGED FROM (1) TO (2) OR 1=1",
        "((changed <FROM> 1 2) | (1 = 1))",
        "'FROM' CHANGED FROM 1 TO 2 OR 1 = 1",
    );
}

#[test]
fn limits_are_inclusive() {
    let nested = |depth: usize| format!("{}1 = 1{}", "(".repeat(depth), ")".repeat(depth));
    check(&nested(64), "(1 = 1)", "1 = 1");
    assert!(Qualification::parse(&nested(65)).is_err());
    let mixed = format!("{}-(-1) = 1", "NOT ".repeat(61));
    assert!(Qualification::parse(&mixed).is_ok());
    assert!(Qualification::parse(&format!("NOT {mixed}")).is_err());
    // what lies side by side does not lie deep
    let wide = format!("{}1 = 1", "NOT (1 = 1) AND ".repeat(145));
    assert!(Qualification::parse(&wide).is_ok());
    let tokens = |count: usize| format!("1 = {}1", "1+".repeat((count - 3) / 2));
    assert!(Qualification::parse(&tokens(1_023)).is_ok());
    assert!(Qualification::parse(&format!("-{}", tokens(1_023))).is_ok());
    assert!(Qualification::parse(&format!("- -{}", tokens(1_023))).is_err());
    let characters = |count: usize| format!("'A' = \"{}\"", "é".repeat(count - 8));
    assert!(Qualification::parse(&characters(8_192)).is_ok());
    assert!(Qualification::parse(&characters(8_193)).is_err());
}

/// The worst that the limits let through, on a small stack.
#[test]
fn the_deepest_condition_fits_on_a_small_stack() {
    // at each level something waits at every power of operator
    let level = "1 = 1 OR 1 = 1 AND NOT (";
    let mut deep = level.repeat(31);
    deep.push_str("1 = 1 + 2 * - 3");
    deep.push_str(&")".repeat(31));
    let values = format!("1 = {}1{}", "1 + 2 * (".repeat(64), ")".repeat(64));
    let bombs = ["(", "NOT ", "- ", "!", "-", "1 + (", "1=1 AND (", "'A' IN (", "((1)+"];
    let mut texts = vec![deep, values, format!("1 = {}1", "1+".repeat(510))];
    texts.extend(bombs.map(|bomb| bomb.repeat(8_192 / bomb.len())));
    let small = std::thread::Builder::new().stack_size(512 * 1024);
    let judged = small.spawn(move || {
        let read = texts.iter().flat_map(|text| Qualification::parse(text));
        read.filter(|read| !read.clone().to_string().is_empty()).count()
    });
    assert_eq!(judged.unwrap().join().unwrap(), 3);
}
