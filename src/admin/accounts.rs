//! Who may ask: users with passwords and programs with tokens, each with a role.

use super::hashes::{PasswordHash, TokenHash};
use crate::tls::server::Files;

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at everything.
    Viewer,
    /// Look and change.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Admin, Self::Viewer];

    /// As the configuration has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }
}

/// Who asks. Every request that reaches a route behind the gate carries it in its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name of the user or token; `local` where no account is configured.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name to log in with.
    pub name: String,
    /// The hash of the password.
    pub password: PasswordHash,
    /// What the person may do.
    pub role: Role,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is called in logs; the program does not know it.
    pub name: String,
    /// The hash of the token.
    pub hash: TokenHash,
    /// What the program may do.
    pub role: Role,
}

/// All who may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Those who log in with a password.
    pub users: Vec<User>,
    /// Those who bring a token.
    pub tokens: Vec<Token>,
}

impl Accounts {
    /// Whether there is none: then nobody is asked who he is.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.tokens.is_empty()
    }

    pub(super) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The token that a program brought. All are compared, so that the time does not tell which came close.
    pub(super) fn token(&self, brought: &TokenHash) -> Option<&Token> {
        let mut found = None;
        for token in &self.tokens {
            if token.hash.equals(brought) {
                found = Some(token);
            }
        }
        found
    }
}

/// How the HTTP surface is reached: what can be taken over while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Who may ask.
    pub accounts: Accounts,
    /// The listener's certificate and key; none means plain HTTP.
    pub tls: Option<Files>,
}
