//! The text of a condition as a row of tokens.

use super::refusal;
use crate::qualification::fault::Fault;
use crate::qualification::tree::Operator;
use std::ops::Range;

/// A longer text is refused.
pub(crate) const CHARACTERS_MAX: usize = 8_192;

/// More tokens are refused.
pub(crate) const TOKENS_MAX: usize = 1_024;

/// A token and where it stands, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) sign: Sign,
    pub(crate) place: Range<usize>,
}

/// What a token is. What it says stands in the text at its place, unless quotation marks were taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// `'F'`, without quotation marks.
    Field(String),
    /// `"text"`, without quotation marks.
    Text(String),
    Number,
    /// `$…$`
    Dollar,
    /// A word that is none of the language's: never right, but for FROM and TO behind CHANGED.
    Word,
    And,
    Or,
    Not,
    Relation(Operator),
    In,
    External,
    Changed,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Open,
    Close,
    Comma,
    /// What cannot be a token. Nothing follows it: the parser tells the fault when it gets here, for something
    /// may be wrong before it.
    Wrong(Fault),
    End,
}

/// The tokens of a text; the last one is [`Sign::End`] or [`Sign::Wrong`].
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    if let Some((end, _)) = text.char_indices().nth(CHARACTERS_MAX) {
        return Err(refusal::too_long(text, end));
    }
    let mut scanner = Scanner { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        scanner.skip_white_space();
        let start = scanner.at;
        let sign = scanner.sign().unwrap_or_else(Sign::Wrong);
        let last = matches!(sign, Sign::Wrong(_) | Sign::End);
        if tokens.len() == TOKENS_MAX && !last {
            return Err(refusal::too_many_tokens(start..scanner.at));
        }
        tokens.push(Token { sign, place: start..scanner.at });
        if last {
            return Ok(tokens);
        }
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    }

    fn skip_white_space(&mut self) {
        self.skip_while(char::is_whitespace);
    }

    /// Takes one token, whose first character is not white space.
    fn sign(&mut self) -> Result<Sign, Fault> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Sign::End) };
        match first {
            '\'' => self.field(),
            '"' => self.quoted('"').map(Sign::Text),
            '$' => self.dollar(),
            '0'..='9' => Ok(self.number()),
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => Ok(self.number()),
            first if first.is_alphabetic() || first == '_' => Ok(self.word()),
            _ => self.symbol(),
        }
    }

    fn field(&mut self) -> Result<Sign, Fault> {
        let start = self.at;
        let name = self.quoted('\'')?;
        if name.is_empty() { Err(refusal::empty_reference(self.text, start)) } else { Ok(Sign::Field(name)) }
    }

    /// What stands between two `quote`s, doubled ones made single.
    fn quoted(&mut self, quote: char) -> Result<String, Fault> {
        let start = self.at;
        self.at += 1;
        let mut content = String::new();
        loop {
            let rest = self.rest();
            let Some(length) = rest.find(quote) else {
                self.at = self.text.len();
                return Err(refusal::unterminated(self.text, start, quote));
            };
            content.push_str(&rest[..length]);
            self.at += length + 1;
            if !self.rest().starts_with(quote) {
                return Ok(content);
            }
            content.push(quote);
            self.at += 1;
        }
    }

    fn dollar(&mut self) -> Result<Sign, Fault> {
        let start = self.at;
        match self.rest()[1..].find('$') {
            Some(0) => Err(refusal::empty_dollar(start)),
            Some(length) => {
                self.at += length + 2;
                Ok(Sign::Dollar)
            }
            None => Err(refusal::unterminated(self.text, start, '$')),
        }
    }

    fn number(&mut self) -> Sign {
        let digit = |c: char| c.is_ascii_digit();
        self.skip_while(digit);
        if self.rest().starts_with('.') {
            self.at += 1;
            self.skip_while(digit);
        }
        let exponent = self.rest().strip_prefix(['e', 'E']);
        let power = exponent.map(|power| power.strip_prefix(['+', '-']).unwrap_or(power));
        if let Some(power) = power.filter(|power| power.starts_with(digit)) {
            self.at = self.text.len() - power.len();
            self.skip_while(digit);
        }
        Sign::Number
    }

    fn word(&mut self) -> Sign {
        let start = self.at;
        let part = |c: char| c.is_alphanumeric() || c == '_';
        self.skip_while(part);
        // a name with a dot: never right, but to be told as one
        while self.rest().strip_prefix('.').is_some_and(|rest| rest.starts_with(char::is_alphabetic)) {
            self.at += 1;
            self.skip_while(part);
        }
        const WORDS: [(&str, Sign); 7] = [
            ("AND", Sign::And),
            ("OR", Sign::Or),
            ("NOT", Sign::Not),
            ("LIKE", Sign::Relation(Operator::Like)),
            ("IN", Sign::In),
            ("EXTERNAL", Sign::External),
            ("CHANGED", Sign::Changed),
        ];
        let word = &self.text[start..self.at];
        let known = WORDS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        known.map_or(Sign::Word, |(_, sign)| sign)
    }

    fn symbol(&mut self) -> Result<Sign, Fault> {
        if let Some(fault) = refusal::symbol(self.text, self.at) {
            return Err(fault);
        }
        const SYMBOLS: [(&str, Sign); 17] = [
            // the longer ones first
            ("!=", Sign::Relation(Operator::NotEqual)),
            ("<=", Sign::Relation(Operator::LessOrEqual)),
            (">=", Sign::Relation(Operator::GreaterOrEqual)),
            ("&&", Sign::And),
            ("||", Sign::Or),
            ("=", Sign::Relation(Operator::Equal)),
            ("<", Sign::Relation(Operator::Less)),
            (">", Sign::Relation(Operator::Greater)),
            ("!", Sign::Not),
            ("+", Sign::Plus),
            ("-", Sign::Minus),
            ("*", Sign::Star),
            ("/", Sign::Slash),
            ("%", Sign::Percent),
            ("(", Sign::Open),
            (")", Sign::Close),
            (",", Sign::Comma),
        ];
        let rest = self.rest();
        match SYMBOLS.into_iter().find(|(symbol, _)| rest.starts_with(symbol)) {
            Some((symbol, sign)) => {
                self.at += symbol.len();
                Ok(sign)
            }
            None => Err(refusal::character(self.text, self.at)),
        }
    }
}
