use super::*;
use proptest::prelude::*;

fn number(text: &str) -> Number {
    Number::read(text).unwrap_or_else(|| panic!("{text} is no number"))
}

fn key(number: &Number) -> Vec<u8> {
    let mut key = Vec::new();
    number.write_key(&mut key);
    key
}

#[test]
fn texts_of_postgresql_and_of_conditions_are_read() {
    for (text, shown) in [
        ("0", "0"),
        ("-0.00", "0"),
        ("+7", "7"),
        (" 2.50 ", "2.5"),
        (".5", "0.5"),
        ("12.", "12"),
        ("1.5e1", "15"),
        ("1e+20", "100000000000000000000"),
        ("-1E-07", "-0.0000001"),
        ("1e-20", "0.00000000000000000001"),
        ("0e16383", "0"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775808", "9223372036854775808"),
        ("0.1000000000000000000000000000000000001", "0.1000000000000000000000000000000000001"),
        ("-$1,234.50", "-1234.5"),
        ("$0.00", "0"),
        ("$12,345,678.90", "12345678.9"),
        ("NaN", "NaN"),
        ("infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
    ] {
        assert_eq!(number(text).to_string(), shown, "{text}");
    }
    let zeros = "0".repeat(DIGITS_MAX);
    assert_eq!(Number::read(&format!("{zeros}1")), None);
    for text in [
        "",
        " ",
        "-",
        "+",
        ".",
        "e5",
        "1e",
        "1e+",
        "1e16384",
        "1e-99999999999999999999",
        "1_000",
        "1,234",
        "$",
        "$,1",
        "$1,23",
        "$1e5",
        "0x10",
        "--1",
        "1.2.3",
        "five",
        "1 2",
        "١",
        "$1,2345",
        "in",
        "nano",
    ] {
        assert_eq!(Number::read(text), None, "{text:?}");
    }
}

#[test]
fn equal_numbers_have_one_form_and_one_key() {
    for (one, two) in [
        ("2.50", "2.5"),
        ("1e3", "1000"),
        ("1e18", "1000000000000000000"),
        ("1000000000000000000000", "1e21"),
        ("0.00000000000000000000100", "1e-21"),
        ("12345678901234567890.0", "12345678901234567890"),
        ("NaN", "nan"),
    ] {
        assert_eq!(number(one), number(two));
        assert_eq!(number(one).cmp(&number(two)), Ordering::Equal);
        assert_eq!(key(&number(one)), key(&number(two)), "{one} {two}");
    }
    assert!(number("1e3").is_whole() && !number("2.5").is_whole() && number("1e40").is_whole());
    assert_eq!(number("5.0").to_i64(), Some(5));
    assert_eq!(number("5.1").to_i64().or(number("1e30").to_i64()), None);
}

#[test]
fn the_order_is_that_of_postgresql() {
    let ordered = [
        "-Infinity",
        "-1e30",
        "-9223372036854775808",
        "-1.5",
        "-1",
        "0",
        "1e-30",
        "0.5",
        "1",
        "1e18",
        "1e30",
        "1.5e30",
        "Infinity",
        "NaN",
    ];
    for (one, first) in ordered.iter().enumerate() {
        for (two, second) in ordered.iter().enumerate() {
            assert_eq!(number(first).cmp(&number(second)), one.cmp(&two), "{first} {second}");
        }
    }
}

#[test]
fn arithmetic_is_exact() {
    type Operation = fn(&Number, &Number) -> Result<Number, ArithmeticError>;
    let check = |one: &str, operation: Operation, two: &str, expected: &str| {
        let result = operation(&number(one), &number(two));
        let shown = result.map_or_else(|error| error.to_string(), |number| number.to_string());
        assert_eq!(shown, expected, "{one} and {two}");
    };
    check("0.1", Number::add, "0.2", "0.3");
    check("9223372036854775807", Number::add, "1", "9223372036854775808");
    check("1e40", Number::subtract, "1", "9999999999999999999999999999999999999999");
    check("1", Number::subtract, "-9223372036854775808", "9223372036854775809");
    check("19.90", Number::multiply, "2", "39.8");
    check("9223372036854775807", Number::multiply, "10", "92233720368547758070");
    check("7", Number::divide, "2", "3.5");
    check("-6", Number::divide, "3", "-2");
    check("1", Number::divide, "1024", "0.0009765625");
    check("0.3", Number::divide, "0.1", "3");
    check("1e30", Number::divide, "1e10", "100000000000000000000");
    check("-9223372036854775808", Number::divide, "-1", "9223372036854775808");
    check("1", Number::divide, "3", &format!("0.{}", "3".repeat(102)));
    check("10", Number::modulo, "3", "1");
    check("-10", Number::modulo, "3", "-1");
    check("10", Number::modulo, "-3", "1");
    check("5.5", Number::modulo, "2", "1.5");
    check("1e30", Number::modulo, "7", "1");
    check("1", Number::divide, "0", "division by zero");
    check("1e40", Number::divide, "0.0", "division by zero");
    check("1", Number::modulo, "0", "division by zero");
    check("1e40", Number::modulo, "0", "division by zero");
    check("NaN", Number::add, "1", "NaN and infinite values cannot be reckoned with");
    check("1", Number::divide, "Infinity", "NaN and infinite values cannot be reckoned with");
}

#[test]
fn fractions_are_cut_off_towards_zero_even_of_long_quotients() {
    for (text, whole) in [("3.9", "3"), ("-3.9", "-3"), ("0.5", "0"), ("-7", "-7"), ("NaN", "NaN")] {
        assert_eq!(number(text).truncated(), number(whole));
    }
    let long = number(&"9".repeat(150));
    for divisor in ["7", "17", "1.7", "0.00000000000000000000017"] {
        let divisor = number(divisor);
        let quotient = long.divide(&divisor).unwrap().truncated();
        let rest = long.subtract(&quotient.multiply(&divisor).unwrap()).unwrap();
        assert!(rest >= number("0") && rest < divisor, "{divisor}: {rest}");
        assert_eq!(rest, long.modulo(&divisor).unwrap());
    }
    assert_eq!(number("-1.2345678901234567890123").scaled(6), Some(-1_234_567));
    assert_eq!(number("1e60").scaled(6), None);
}

#[test]
fn hostile_sizes_end_in_errors_and_soon() {
    let longest = number(&"9".repeat(DIGITS_MAX));
    assert!(longest.multiply(&longest).is_err());
    let tiny = number("1e-16383");
    let mut product = tiny.clone();
    let end = (0..500).find_map(|_| match product.multiply(&tiny) {
        Ok(smaller) => {
            product = smaller;
            None
        }
        Err(error) => Some(error),
    });
    assert_eq!(end, Some(ArithmeticError::OutOfRange));
    assert!(longest.divide(&tiny).is_ok());
    assert!(longest.modulo(&number("7.3")).is_ok());
    assert!(longest > tiny && longest.negate() < tiny);
}

proptest! {
    #[test]
    fn sums_and_quotients_can_be_undone(one in -1_000_000_i64..1_000_000, two in 1_i64..1_000_000, scale in 0_u32..30) {
        let (one, two) = (Number::from_scaled(one.into(), scale), Number::from_scaled(two.into(), scale / 2));
        prop_assert_eq!(one.add(&two).unwrap().subtract(&two).unwrap(), one.clone());
        prop_assert_eq!(one.multiply(&two).unwrap().divide(&two).unwrap(), one.clone());
        let whole = one.divide(&two).unwrap().truncated();
        let rest = one.modulo(&two).unwrap();
        prop_assert_eq!(whole.multiply(&two).unwrap().add(&rest).unwrap(), one.clone());
        prop_assert_eq!(number(&one.to_string()), one);
    }

    #[test]
    fn keys_are_equal_exactly_where_numbers_are(one in "-?[0-9]{1,3}(\\.[0-9]{0,3})?(e-?[0-9]{1,2})?", two in "-?[0-9]{1,3}(\\.[0-9]{0,3})?(e-?[0-9]{1,2})?") {
        let (one, two) = (number(&one), number(&two));
        prop_assert_eq!(key(&one) == key(&two), one.cmp(&two) == Ordering::Equal);
        prop_assert_eq!(one == two, one.cmp(&two) == Ordering::Equal);
    }

    #[test]
    fn no_text_is_too_strange(text in "[-+$0-9.,eE naif]{0,12}|\\PC{0,8}") {
        let _ = Number::read(&text);
    }
}
