//! What sessions say of their changes by messages in the log (`pg_logical_emit_message`).
//!
//! | prefix | content | what it says of the changes behind it, up to the end of the transaction |
//! |---|---|---|
//! | `walhook.merge` | nothing, or `off` | they are merges |
//! | `walhook.actor` | a name, or nothing | who made them |
//! | `walhook.bulk` | nothing, or `off` | they are a bulk import |
//! | `walhook.mark` | a word | what webhooks can leave out by that word |
//!
//! They are transactional: a message that is not says nothing of any change.

use std::sync::Arc;

/// What holds for the changes that follow. Most transactions have no marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) is_merge: bool,
    pub(super) is_bulk: bool,
    pub(super) actor: Option<Arc<str>>,
    pub(super) words: Vec<Arc<str>>,
}

impl Marks {
    /// Takes a message. Returns false where it is none of ours.
    pub(super) fn take(&mut self, prefix: &str, content: &[u8]) -> bool {
        let text = String::from_utf8_lossy(content);
        let text = text.trim();
        match prefix {
            "walhook.merge" => self.is_merge = text != "off",
            "walhook.bulk" => self.is_bulk = text != "off",
            "walhook.actor" => self.actor = (!text.is_empty()).then(|| text.into()),
            "walhook.mark" => {
                if !text.is_empty() && !self.words.iter().any(|word| **word == *text) {
                    self.words.push(text.into());
                }
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_something_of_the_changes_behind_it() {
        let mut marks = Marks::default();
        for (prefix, content) in [
            ("walhook.merge", ""),
            ("walhook.bulk", "on"),
            ("walhook.bulk", "off"),
            ("walhook.actor", " jane "),
            ("walhook.mark", "sync"),
            ("walhook.mark", "sync"),
            ("walhook.mark", ""),
        ] {
            assert!(marks.take(prefix, content.as_bytes()));
        }
        assert!(!marks.take("walhook.emit", b"{}") && !marks.take("other", b"x"));
        let expected =
            Marks { is_merge: true, is_bulk: false, actor: Some("jane".into()), words: vec!["sync".into()] };
        assert_eq!(marks, expected);
        assert!(marks.take("walhook.actor", b"") && marks.take("walhook.merge", b"off"));
        assert_eq!((marks.actor, marks.is_merge), (None, false));
    }
}
