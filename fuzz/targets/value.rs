//! Values in PostgreSQL's text form: arrays, row types, hstore and what is in them.

// in the tests a module, for the fuzzer a file of its own
#![allow(unreachable_pub, dead_code)]

use std::sync::Arc;
use walhook::value::{Attribute, Type, write_json, write_string};

/// What a naive reader goes through, which calls itself.
const DEPTH_MAX: usize = 100;

/// The types, by the first byte of what is fuzzed.
pub fn types() -> Vec<Type> {
    let array = |element: Type, delimiter| Type::Array { element: Arc::new(element), delimiter };
    let row = |attributes: &[(&str, Type)]| {
        let attribute =
            |(name, type_): &(&str, Type)| Attribute { name: (*name).to_owned(), type_: type_.clone() };
        Type::Composite(attributes.iter().map(attribute).collect())
    };
    let pair = row(&[("n", Type::Number), ("a \"t\"", Type::Text)]);
    vec![
        Type::Text,
        array(Type::Text, ','),
        array(Type::Number, ','),
        array(Type::Text, ';'),
        pair.clone(),
        row(&[("pairs", array(pair.clone(), ',')), ("flag", Type::Boolean)]),
        array(pair, ','),
        array(array(Type::Json, ','), ','),
        row(&[]),
        row(&[("only", Type::Timestamp)]),
        Type::Hstore,
        Type::Vector { element: Arc::new(Type::Number) },
        Type::Number,
        Type::TimestampTz,
        Type::Json,
        Type::Bytea,
        Type::Boolean,
        Type::Date,
        array(Type::Bytea, ','),
        array(Type::Hstore, ','),
    ]
}

/// Any text of any type becomes JSON, and the same that a naive reader makes of it; where it is no value of the type,
/// the text itself. The first byte chooses the type, the others are the text.
pub fn value(bytes: &[u8]) {
    let Some((&choice, text)) = bytes.split_first() else { return };
    let types = types();
    let type_ = &types[usize::from(choice) % types.len()];
    let text = String::from_utf8_lossy(text);
    let mut written = b"before ".to_vec();
    write_json(type_, &text, &mut written);
    let written = written.strip_prefix(b"before ").expect("what was there is left alone");
    let written = std::str::from_utf8(written).expect("JSON is text");
    // without numbers of a limited precision, and without a stack
    serde_json::from_str::<serde::de::IgnoredAny>(written)
        .unwrap_or_else(|error| panic!("{error}: {written}"));
    assert!(written.len() <= 1_000 + 8 * text.len() + exponents(&text), "{} bytes of {text}", written.len());
    if matches!(type_, Type::Text | Type::Date) {
        assert_eq!(serde_json::from_str::<String>(written).unwrap(), text);
    }
    if let Some(naive) = naive(type_, &text, 0) {
        assert_eq!(written, naive, "{text:?} as {type_:?}");
    }
}

/// An exponent can add some hundred zeros to a number.
fn exponents(text: &str) -> usize {
    400 * text.matches('e').count()
}

/// The same by a reader that looks at one character after the other. None where it would go too deep.
fn naive(type_: &Type, text: &str, depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return None;
    }
    let chars: Vec<char> = text.chars().collect();
    let mut reader = Reader { chars: &chars, at: 0, too_deep: false };
    let read = match type_ {
        Type::Array { element, delimiter } => reader.array(element, *delimiter, depth),
        Type::Composite(attributes) => reader.row(attributes, depth),
        Type::Hstore => reader.hstore(),
        _ => return Some(with(|out| write_json(type_, text, out))),
    };
    if reader.too_deep {
        return None;
    }
    let complete = read.filter(|_| reader.at == chars.len());
    Some(complete.unwrap_or_else(|| with(|out| write_string(text, out))))
}

fn with(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
    too_deep: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += 1;
        Some(next)
    }

    fn takes(&mut self, wanted: &str) -> bool {
        let wanted: Vec<char> = wanted.chars().collect();
        let is_there = self.chars[self.at..].starts_with(&wanted);
        self.at += if is_there { wanted.len() } else { 0 };
        is_there
    }

    fn value(&mut self, type_: &Type, text: &str, depth: usize) -> String {
        naive(type_, text, depth + 1).unwrap_or_else(|| {
            self.too_deep = true;
            String::new()
        })
    }

    /// `[lower:upper][lower:upper]={…}`
    fn array(&mut self, element: &Type, delimiter: char, depth: usize) -> Option<String> {
        if self.peek() == Some('[') {
            while self.takes("[") {
                self.number()?;
                self.takes(":").then_some(())?;
                self.number()?;
                self.takes("]").then_some(())?;
            }
            self.takes("=").then_some(())?;
        }
        self.braces(element, delimiter, depth)
    }

    fn number(&mut self) -> Option<()> {
        self.takes("-");
        let from = self.at;
        while self.peek().is_some_and(|char| char.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    fn braces(&mut self, element: &Type, delimiter: char, depth: usize) -> Option<String> {
        if depth > DEPTH_MAX {
            self.too_deep = true;
            return None;
        }
        self.takes("{").then_some(())?;
        let mut elements = Vec::new();
        while !self.takes("}") {
            if !elements.is_empty() {
                (self.next()? == delimiter).then_some(())?;
            }
            elements.push(match self.peek()? {
                '{' => self.braces(element, delimiter, depth + 1)?,
                '"' => {
                    let text = self.backslashed()?;
                    self.value(element, &text, depth)
                }
                _ => {
                    let ends = |char| char == delimiter || "{}\"\\".contains(char);
                    match self.until(ends)?.as_str() {
                        "" => return None,
                        text if text.eq_ignore_ascii_case("null") => "null".to_owned(),
                        text => self.value(element, text, depth),
                    }
                }
            });
        }
        Some(format!("[{}]", elements.join(",")))
    }

    /// `(a,"b ""c""",)`
    fn row(&mut self, attributes: &[Attribute], depth: usize) -> Option<String> {
        self.takes("(").then_some(())?;
        let mut members = Vec::new();
        for attribute in attributes {
            if !members.is_empty() {
                self.takes(",").then_some(())?;
            }
            let value = if self.peek()? == '"' {
                let text = self.doubled()?;
                self.value(&attribute.type_, &text, depth)
            } else {
                match self.until(|char| ",()\"\\".contains(char))?.as_str() {
                    "" => "null".to_owned(),
                    text => self.value(&attribute.type_, text, depth),
                }
            };
            members.push(format!("{}:{value}", with(|out| write_string(&attribute.name, out))));
        }
        self.takes(")").then_some(())?;
        Some(format!("{{{}}}", members.join(",")))
    }

    /// `"a"=>"1", "b"=>NULL`
    fn hstore(&mut self) -> Option<String> {
        let mut members = Vec::new();
        while self.peek().is_some() {
            if !members.is_empty() {
                self.takes(", ").then_some(())?;
            }
            let key = self.backslashed()?;
            self.takes("=>").then_some(())?;
            let value = if self.takes("NULL") {
                "null".to_owned()
            } else {
                let value = self.backslashed()?;
                with(|out| write_string(&value, out))
            };
            members.push(format!("{}:{value}", with(|out| write_string(&key, out))));
        }
        Some(format!("{{{}}}", members.join(",")))
    }

    fn until(&mut self, ends: impl Fn(char) -> bool) -> Option<String> {
        let mut text = String::new();
        while !ends(self.peek()?) {
            text.extend(self.next());
        }
        Some(text)
    }

    /// In quotes, with a backslash before what would mean something.
    fn backslashed(&mut self) -> Option<String> {
        self.takes("\"").then_some(())?;
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.next()?),
                char => text.push(char),
            }
        }
    }

    /// In quotes, with quotes and backslashes twice.
    fn doubled(&mut self) -> Option<String> {
        self.takes("\"").then_some(())?;
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' if self.takes("\"") => text.push('"'),
                '"' => return Some(text),
                '\\' => {
                    self.takes("\\").then_some(())?;
                    text.push('\\');
                }
                char => text.push(char),
            }
        }
    }
}
