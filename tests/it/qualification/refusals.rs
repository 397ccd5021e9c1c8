//! What is no condition is refused where it goes wrong, with what to write instead.

use walhook::qualification::{Fault, Phase, Qualification};

/// Text, the part of it that is marked, and what is said.
const REFUSED: [(&str, &str, &str); 109] = [
    (
        r#"Status = "New""#,
        "Status",
        "Status stands without quotation marks (write 'Status': names of fields stand between single quotation marks)",
    ),
    ("'Status' == 1", "==", "there is no == in a condition (write =)"),
    ("'Status' <> 1", "<>", "there is no <> in a condition (write !=)"),
    (
        "'Status' = 1; DROP TABLE x",
        ";",
        "there is no ; in a condition (a condition ends with its text: leave it out)",
    ),
    ("'Assigned To' = NULL", "NULL", "there is no NULL in a condition (write $NULL$: 'Status' = $NULL$)"),
    ("'Assigned To' IS NULL", "IS NULL", "there is no IS NULL in a condition (write 'Assigned To' = $NULL$)"),
    (
        "'Assigned To' IS NOT NULL AND 1 = 1",
        "IS NOT NULL",
        "there is no IS NOT NULL in a condition (write 'Assigned To' != $NULL$)",
    ),
    (
        "'Count' BETWEEN 1 AND 5",
        "BETWEEN",
        "there is no BETWEEN in a condition (write 'Count' >= … AND 'Count' <= …)",
    ),
    (
        "'Count' NOT BETWEEN 1 AND 5",
        "NOT BETWEEN",
        "there is no BETWEEN in a condition (write ('Count' < … OR 'Count' > …))",
    ),
    (
        r#"'A' NOT LIKE "x%""#,
        "NOT LIKE",
        "NOT stands before what it denies, not behind 'A' (write NOT 'A' LIKE …)",
    ),
    (r#"'A' !LIKE "x%""#, "!LIKE", "NOT stands before what it denies, not behind 'A' (write NOT 'A' LIKE …)"),
    ("'A' NOT IN (1)", "NOT IN", "NOT stands before what it denies, not behind 'A' (write NOT 'A' IN (…))"),
    ("'A' ! = 1", "! =", "there is no ! = in a condition (write !=)"),
    (
        "'Status' =",
        "",
        r#"there is nothing on the right of = (write a value there: "New", 7, 'Status' or $NULL$)"#,
    ),
    (
        "'Status'",
        "'Status'",
        r#"the field 'Status' alone is no condition (write what it is compared with: 'Status' = "New", or 'Status' != $NULL$)"#,
    ),
    (
        r#""New""#,
        r#""New""#,
        r#"the value "New" alone is no condition (write what it is compared with: 'Status' = "New")"#,
    ),
    (
        "1 + 2",
        "1 + 2",
        "the value 1 + 2 alone is no condition (write what it is compared with: 'Status' = 1 + 2)",
    ),
    (
        r#"'Status' = "New" AND 'Flag'"#,
        "'Flag'",
        r#"the field 'Flag' alone is no condition (write what it is compared with: 'Flag' = "New", or 'Flag' != $NULL$)"#,
    ),
    (
        r#"'Status' = "New" AND 'Flag' 'x' = 1"#,
        "'x'",
        "an operator is missing between 'Flag' and 'x' (write one of = != < <= > >= LIKE: 'Flag' = 'x')",
    ),
    (
        r#"'Status' "New""#,
        r#""New""#,
        r#"an operator is missing between 'Status' and "New" (write one of = != < <= > >= LIKE: 'Status' = "New")"#,
    ),
    ("1 < 2 < 3", "<", "< cannot go on behind 1 < 2 (write AND 2 < …)"),
    ("'A' = 1 = 2", "=", "= cannot go on behind 'A' = 1 (write AND 1 = …)"),
    ("('Status' = 1", "(", "this bracket is not closed (write ) where it ends)"),
    ("('Status' = 1 AND ('B' = 2)", "(", "this bracket is not closed (write ) where it ends)"),
    ("'Status' = 1)", ")", "this bracket closes none (leave it out, or open one before it with ()"),
    (
        r#"'Short Description' = "unterminated"#,
        r#"""#,
        r#"this text does not end (write " where it ends; a quotation mark that belongs to the text is written twice: "")"#,
    ),
    (
        r#"'Short Description = "x""#,
        "'",
        "this field name does not end (write ' where it ends; a quotation mark that belongs to the name is written twice: '')",
    ),
    (
        r#"'Doug's Requests' = "x""#,
        "s",
        "the field name ends before s (a quotation mark that belongs to the name is written twice: '')",
    ),
    (
        r#"'A' = "say "hi" now""#,
        "hi",
        r#"the text ends before hi (a quotation mark that belongs to the text is written twice: "")"#,
    ),
    ("'A' = $NULL", "$", "this keyword does not end (keywords stand between two dollar signs: $NULL$)"),
    ("$$ = 1", "$$", "there is no keyword between these dollar signs (write one between them: $NULL$)"),
    (
        r#"UPPER('F') = "X""#,
        "UPPER",
        r#"UPPER(…) is a function, and conditions have none (letter case is left aside with case = "insensitive" in [source], or for some letters with LIKE "[Nn]ew%")"#,
    ),
    (
        r#"'F' = lower("X")"#,
        "lower",
        r#"lower(…) is a function, and conditions have none (letter case is left aside with case = "insensitive" in [source], or for some letters with LIKE "[Nn]ew%")"#,
    ),
    (
        "ROUND('F') = 1",
        "ROUND",
        r#"ROUND(…) is a function, and conditions have none (compare the field itself: 'Status' = "New"; LIKE and arithmetic are all that is done to values)"#,
    ),
    (
        "'F' > now() - interval '1 day'",
        "now",
        "now(…) is a function, and conditions have none (write $TIMESTAMP$; a day before is $TIMESTAMP$ - 24 * 60 * 60)",
    ),
    (
        "'F' > CURRENT_TIMESTAMP",
        "CURRENT_TIMESTAMP",
        "there is no CURRENT_TIMESTAMP in a condition (write $TIMESTAMP$; a day before is $TIMESTAMP$ - 24 * 60 * 60)",
    ),
    ("current_date = 'F'", "current_date", "there is no current_date in a condition (write $DATE$)"),
    (
        r#"coalesce('F', "New") = "New""#,
        "coalesce",
        r#"coalesce(…) is a function, and conditions have none (say what becomes of NULL: 'Status' = "New" OR 'Status' = $NULL$)"#,
    ),
    (
        "EXISTS (SELECT 1)",
        "EXISTS",
        r#"there is no EXISTS in a condition (a condition asks about one entry, by its fields: 'Status' = "New")"#,
    ),
    ("IF ('F' = 1)", "IF", "a condition does not begin with IF (leave it out)"),
    (
        "'F' = TRUE",
        "TRUE",
        r#"there is no TRUE in a condition (a boolean field is a selection: write 1 or "true")"#,
    ),
    (
        "TRUE",
        "TRUE",
        "there is no TRUE in a condition (write 1 = 1, or leave the condition empty: that is always true)",
    ),
    ("'A' = 1 | 'B' = 2", "|", "there is no | in a condition (write OR or ||)"),
    ("'A' = 1 & 'B' = 2", "&", "there is no & in a condition (write AND or &&)"),
    ("‘Status’ = “New”", "‘", "there is no ‘ in a condition (write straight quotation marks: ')"),
    ("'Status' = “New”", "“", r#"there is no “ in a condition (write straight quotation marks: ")"#),
    ("'A' = 1 -- only ours", "--", "a condition has no comments (leave it out)"),
    ("'A' = 1 --", "--", "a condition has no comments (leave it out)"),
    (
        "'A' = 1 /* ours */ AND 'B' = 2",
        "/*",
        "there is no /* in a condition (a condition has no comments: leave it out)",
    ),
    (
        "'' = 1",
        "''",
        r#"there is no field name between these quotation marks (write a field's name or number between them: 'Status'; a text without characters is "")"#,
    ),
    (
        "''Status'' = 1",
        "''",
        "there is no field name between these quotation marks (a field's name stands between single ones: 'Status')",
    ),
    ("'A' IN ()", "()", r#"the list of IN is empty (write at least one value: IN ("New"))"#),
    ("'A' IN 1, 2", " ", r#"the list of IN stands in brackets (write IN ("New", "Assigned"))"#),
    ("'A' IN (1, 2", "(", "this bracket is not closed (write ) where it ends)"),
    ("'A' IN (1 2)", "2", "a comma is missing behind 1 (write one before this)"),
    ("'A' IN (1, )", ",", "there is nothing behind this comma (leave it out, or write one more value)"),
    (
        "'A' IN ('B' = 1)",
        "=",
        "= cannot stand in the list of IN (write values with commas between them, and ) behind the last)",
    ),
    (
        "('A' = 1) = 2",
        "('A' = 1)",
        "('A' = 1) is a condition, and a value is needed here (conditions are connected by AND, OR and NOT; they are not compared or reckoned with)",
    ),
    (
        "1 + (1 = 1) = 2",
        "(1 = 1)",
        "(1 = 1) is a condition, and a value is needed here (conditions are connected by AND, OR and NOT; they are not compared or reckoned with)",
    ),
    (
        "'A' = Assigned To",
        "Assigned To",
        r#"Assigned To stands without quotation marks (write "Assigned To" for a text, 'Assigned To' for a field)"#,
    ),
    (
        "Assigned To = 'x'",
        "Assigned To",
        "Assigned To stands without quotation marks (write 'Assigned To': names of fields stand between single quotation marks)",
    ),
    (
        "'A' = USER",
        "USER",
        r#"USER stands without quotation marks (write $USER$ for the keyword, 'USER' for a field, "USER" for a text)"#,
    ),
    ("WHERE 'A' = 1", "WHERE", "a condition does not begin with WHERE (leave it out)"),
    (
        "() ",
        "()",
        "there is nothing between these brackets (write a condition or a value between them, or leave them out)",
    ),
    (
        "AND 1 = 1",
        "AND",
        "there is nothing on the left of AND (write a condition or a value before it: 'Status' AND …)",
    ),
    (
        "1 = 1 AND",
        "",
        "there is nothing on the right of AND (write a condition there, or leave the word out)",
    ),
    (
        "1 = 1 AND AND 1 = 1",
        "AND",
        "there is nothing between AND and AND (write a condition or a value between them)",
    ),
    ("'A' = 1 'B' = 2", "'B'", "AND or OR is missing behind 'A' = 1 (write one before this)"),
    (
        "'A' > = 1",
        "> =",
        "there is nothing between > and = (the operators are = != < <= > >= LIKE, each in one piece)",
    ),
    (
        "'A' = +1",
        "+",
        "there is nothing between = and + (numbers have no plus sign before them: leave it out)",
    ),
    ("'A' = 1,", ",", "a comma stands only in the list of IN (…) (write AND or OR between conditions)"),
    (
        "CHANGED 'F'",
        "'F'",
        "CHANGED is followed by one field in brackets (write CHANGED('Status'); for several fields, CHANGED('Status') OR CHANGED('Priority'))",
    ),
    (
        "CHANGED('F' FROM 1 TO 2)",
        "FROM",
        "CHANGED is followed by one field in brackets (write CHANGED('Status'); for several fields, CHANGED('Status') OR CHANGED('Priority'))",
    ),
    (
        "CHANGED('F', 'G')",
        ",",
        "CHANGED is followed by one field in brackets (write CHANGED('Status'); for several fields, CHANGED('Status') OR CHANGED('Priority'))",
    ),
    ("1 CHANGED", "1", "CHANGED asks about a field, and 1 is none (write 'Status' CHANGED)"),
    (
        "'A' CHANGED TO 1 FROM 2",
        "FROM",
        r#"FROM belongs behind CHANGED (write 'Status' CHANGED FROM "New" TO "Closed", in this order)"#,
    ),
    (
        "'A' CHANGED FROM",
        "",
        r#"there is nothing on the right of FROM (write a value there: "New", 7, 'Status' or $NULL$)"#,
    ),
    ("'A' = 5d", "d", r#"the number ends before d (texts stand between quotation marks: "5d")"#),
    ("EXTERNAL 'x'", "'x'", "EXTERNAL is followed by one field in brackets (write EXTERNAL('Field'))"),
    ("'A' ≠ 1", "≠", "there is no ≠ in a condition (write !=)"),
    (
        "'A' = [x]",
        "[",
        "there is no [ in a condition (names of fields stand between quotation marks: 'Status'; a list is written IN (…))",
    ),
    (
        "'T' > 09:00",
        ":",
        r#"there is no : in a condition (dates and times stand between quotation marks: "09:30:00")"#,
    ),
    ("'A' = NOT 1", "1", "the value 1 alone is no condition (write what it is compared with: 'Status' = 1)"),
    ("'A' = 1 XOR 'B' = 2", "XOR", "there is no XOR in a condition (write (a AND NOT b) OR (b AND NOT a))"),
    (
        r#"'A' CONTAINS "x""#,
        "CONTAINS",
        r#"there is no CONTAINS in a condition (write 'A' LIKE "%…%"; % stands for any characters)"#,
    ),
    (
        r#"'A' ilike "x""#,
        "ilike",
        r#"there is no ilike in a condition (write 'A' LIKE "…"; % stands for any characters)"#,
    ),
    (r#"'A' IS "x""#, "IS", "there is no IS in a condition (write 'A' = …)"),
    (r#"'A' IS NOT "x""#, "IS NOT", "there is no IS NOT in a condition (write 'A' != …)"),
    ("'A' eq 1", "eq", "there is no eq in a condition (write 'A' = …)"),
    ("'A' HAS CHANGED", "HAS", "there is no HAS in a condition (write 'A' CHANGED)"),
    (
        "'A' NOT CHANGED",
        "NOT CHANGED",
        "NOT stands before what it denies, not behind 'A' (write NOT 'A' CHANGED)",
    ),
    (
        "'A' LIKE",
        "",
        r#"there is nothing on the right of LIKE (write a value there: "New", 7, 'Status' or $NULL$)"#,
    ),
    ("'A' ** 2 = 4", "**", "there is no ** in a condition (write the multiplication out)"),
    ("'A' = 1 ~ 2", "~", "there is no ~ in a condition (write LIKE; % stands for any characters)"),
    (
        "HPD:Status = 1",
        "HPD",
        "HPD stands without quotation marks (write 'HPD': names of fields stand between single quotation marks)",
    ),
    (
        "TR.Status = 1",
        "TR.Status",
        "TR.Status stands without quotation marks (write 'TR.Status': names of fields stand between single quotation marks)",
    ),
    ("NOT", "", "there is nothing on the right of NOT (write a condition there, or leave the word out)"),
    (
        "'A' =",
        "",
        r#"there is nothing on the right of = (write a value there: "New", 7, 'Status' or $NULL$)"#,
    ),
    ("'A' IN", "", r#"the list of IN stands in brackets (write IN ("New", "Assigned"))"#),
    (
        "'A' IN (SELECT 1)",
        "SELECT",
        r#"there is no SELECT in a condition (a condition asks about one entry, by its fields: 'Status' = "New")"#,
    ),
    (
        "CHANGED(",
        "CHANGED(",
        "CHANGED is followed by one field in brackets (write CHANGED('Status'); for several fields, CHANGED('Status') OR CHANGED('Priority'))",
    ),
    ("EXTERNAL(1)", "1", "EXTERNAL is followed by one field in brackets (write EXTERNAL('Field'))"),
    (
        "('A' = 1 , 'B' = 2)",
        ",",
        "a comma stands only in the list of IN (…) (write AND or OR between conditions)",
    ),
    ("'A' FROM 1", "FROM", "FROM belongs behind CHANGED (write 'A' CHANGED FROM …)"),
    (
        "{'A'} = 1",
        "{",
        r#"there is no { in a condition (texts stand between quotation marks: "New"; names of fields between single ones: 'Status')"#,
    ),
    (
        "`A` = 1",
        "`",
        "there is no ` in a condition (names of fields stand between straight quotation marks: 'Status')",
    ),
    ("'A' =! 1", "=!", "there is no =! in a condition (write !=)"),
    ("'A' => 1", "=>", "there is no => in a condition (write >=)"),
    ("'A' = 1 AND --", "--", "a condition has no comments (leave it out)"),
];

fn refused(text: &str) -> Fault {
    match Qualification::parse(text) {
        Ok(read) => panic!("{text} was read as {read}"),
        Err(fault) => fault,
    }
}

#[test]
fn each_habit_of_other_languages_is_told_what_to_write_instead() {
    for (text, marked, said) in REFUSED {
        let fault = refused(text);
        assert_eq!((&text[fault.place.clone()], fault.to_string().as_str()), (marked, said), "{text}");
        assert_eq!(fault.phase, Phase::Parse);
        assert!(fault.draw(text).contains(&fault.message));
    }
}

#[test]
fn limits_say_what_they_are() {
    let refusals = [
        ("(".repeat(65), 64..65, "brackets, NOT and minus signs lie more than 64 deep in each other"),
        ("1+".repeat(513), 1_024..1_025, "the condition has more than 1024 names, values and operators"),
        (" ".repeat(8_193), 8_192..8_193, "the condition has more than 8192 characters"),
    ];
    for (text, place, message) in refusals {
        let fault = refused(&text);
        assert_eq!((fault.place, fault.message.as_str()), (place, message));
        assert!(fault.remedy.is_some());
    }
}

#[test]
fn a_fault_is_drawn_below_its_line() {
    let drawn = |text: &str| refused(text).draw(text);
    assert_eq!(
        drawn("'Status' == 1"),
        "error: line 1, column 10: there is no == in a condition
  |
1 | 'Status' == 1
  |          ^^
  |
  = help: write ="
    );
    // several lines, a tab, wide characters
    assert_eq!(
        drawn("'Zeile' = 1 AND\r\n\t'数値' == 2\nAND 1 = 1"),
        "error: line 2, column 7: there is no == in a condition
  |
2 |     '数値' == 2
  |            ^^
  |
  = help: write ="
    );
    // what is missing is missing behind the text
    assert_eq!(
        drawn("'A' = 1\n  AND"),
        "error: line 2, column 6: there is nothing on the right of AND
  |
2 |   AND
  |      ^
  |
  = help: write a condition there, or leave the word out"
    );
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let text = format!("'{}' = 1 AND 'B' == 2 AND '{}' = 1", "a".repeat(4_000), "c".repeat(4_000));
    let drawn = refused(&text).draw(&text);
    assert!(drawn.lines().all(|line| line.chars().count() < 160), "{drawn}");
    let lines: Vec<&str> = drawn.lines().collect();
    let caret = lines[3].find('^').map(|at| &lines[2][at..at + 2]);
    assert_eq!(caret, Some("=="), "{drawn}");
}

#[test]
fn a_text_of_any_length_is_refused_in_a_few_lines() {
    let text = "é(".repeat(4 << 20);
    let drawn = refused(&text).draw(&text);
    assert!(drawn.len() < 1_000, "{}", drawn.len());
    assert!(drawn.contains("more than 8192 characters"));
}

#[test]
fn pasted_characters_that_nobody_sees_are_named() {
    let fault = refused("'A' = 1\u{feff}");
    assert_eq!(
        fault.to_string(),
        "here is a character that cannot be seen, U+FEFF (delete it, or type this place anew)"
    );
}

/// Places of one text are drawn into another: the drawing is wrong then, and nothing worse.
#[test]
fn a_fault_is_drawn_into_any_text() {
    for (text, _, _) in REFUSED {
        let fault = refused(text);
        for other in ["", "é", "\n\n", "日本\r\n語\t", "\u{202e}x"] {
            assert!(!fault.draw(other).is_empty());
        }
    }
}
