//! Arrays of more dimensions, with other bounds, rows within arrays within rows, and ranges, by the thousand.

use super::{Oracle, Table, array_literal, sample};
use proptest::prelude::*;

/// Signs that mean something to one of the text forms, and some that do not.
const TEXT: &str = r#"[a-c"\\{}(),;:=\[\] '\n\té😀NUL0-9]{0,12}"#;

fn cell() -> impl Strategy<Value = Option<String>> {
    prop::option::weighted(0.8, TEXT)
}

/// `[l:u][l:u]={{…},{…}}`, as wide in every row.
fn matrix() -> impl Strategy<Value = String> {
    let rows = (1..4_usize, 1..4_usize)
        .prop_flat_map(|(rows, columns)| prop::collection::vec(prop::collection::vec(cell(), columns), rows));
    (rows, prop::option::of((-3..4_i32, -3..4_i32))).prop_map(|(rows, lower)| {
        let bounds = lower.map_or(String::new(), |(first, second)| {
            let bound = |lower: i32, length: usize| format!("[{lower}:{}]", lower + length as i32 - 1);
            format!("{}{}=", bound(first, rows.len()), bound(second, rows[0].len()))
        });
        let rows: Vec<_> = rows.iter().map(|row| array_literal(row)).collect();
        format!("{bounds}{{{}}}", rows.join(","))
    })
}

fn row_literal(values: &[Option<String>]) -> String {
    let field = |value: &Option<String>| match value {
        None => String::new(),
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\"")),
    };
    format!("({})", values.iter().map(field).collect::<Vec<_>>().join(","))
}

fn pair() -> impl Strategy<Value = String> {
    (any::<Option<i32>>(), cell())
        .prop_map(|(number, text)| row_literal(&[number.map(|number| number.to_string()), text]))
}

fn nested_pair() -> impl Strategy<Value = String> {
    let pairs = prop::collection::vec(prop::option::of(pair()), 0..4);
    let mood = prop::option::of(prop::sample::select(vec!["sad", "very \"happy\"", "", "😀,{}"]));
    (prop::option::of(pair()), prop::option::of(pairs), mood).prop_map(|(pair, pairs, mood)| {
        let pairs = pairs.map(|pairs| array_literal(&pairs));
        row_literal(&[pair, pairs, mood.map(str::to_owned), None])
    })
}

/// One with both ends, with one, with none, or empty.
fn range(ends: impl Strategy<Value = (String, String)>) -> impl Strategy<Value = String> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    (ends, 0..6_u8, any::<(bool, bool)>()).prop_map(move |((lower, upper), shape, (from, to))| {
        let (lower, upper) = match shape {
            0 => return "empty".to_owned(),
            1 => (quoted(&lower), String::new()),
            2 => (String::new(), quoted(&upper)),
            _ => (quoted(&lower), quoted(&upper)),
        };
        format!("{}{lower},{upper}{}", if from { '[' } else { '(' }, if to { ']' } else { ')' })
    })
}

fn numbers() -> impl Strategy<Value = (String, String)> {
    (-10_000..10_000_i64, 0..10_000_i64)
        .prop_map(|(lower, span)| (lower.to_string(), (lower + span).to_string()))
}

fn days() -> impl Strategy<Value = (String, String)> {
    (1..4_000_i32, 1..13_u32, 0..4_000_i32).prop_map(|(year, month, span)| {
        (format!("{year:04}-{month:02}-01"), format!("{:04}-{month:02}-02", year + span))
    })
}

#[tokio::test]
async fn generated_arrays_rows_and_ranges_become_json_as_the_server_has_it() {
    let oracle = Oracle::start().await;
    let lists = prop::collection::vec(prop::option::of(pair()), 0..4);
    let documents = prop::collection::vec(prop::option::of(TEXT), 0..4).prop_map(|texts| {
        let quoted = texts.iter().map(|text| text.as_ref().map(|text| serde_json::to_string(text).unwrap()));
        array_literal(&quoted.collect::<Vec<_>>())
    });
    let multi =
        prop::collection::vec(range(numbers()), 0..4).prop_map(|ranges| format!("{{{}}}", ranges.join(",")));
    let texts = TEXT.prop_map(|text| (text.clone(), text));
    let samples = [
        ("text[]", sample(matrix(), 300)),
        ("pair[]", sample(lists.prop_map(|pairs| array_literal(&pairs)), 300)),
        ("\"Nested Pair\"", sample(nested_pair(), 300)),
        ("jsonb[]", sample(documents, 200)),
        ("int8range", sample(range(numbers()), 150)),
        ("numrange", sample(range(numbers()), 150)),
        ("text_range", sample(range(texts), 200)),
        ("daterange", sample(range(days()), 150)),
        ("tstzrange", sample(range(days()), 150)),
        ("int4multirange", sample(multi, 150)),
    ];
    let tables: Vec<Table> = samples
        .into_iter()
        .enumerate()
        .map(|(number, (type_, values))| Table::of(number, type_, values.into_iter()))
        .collect();
    let compared = oracle.compare(&tables).await;
    assert!(compared > 6_000, "{compared}");
}
