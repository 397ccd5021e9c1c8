//! The table of webhook policies. Capture never sees it: the log brings along with a webhook what it needs of its policy.

use super::door::{Door, Error};
use crate::jws;
use crate::policy::{Algorithm, Policy};
use crate::sealing::Keys;
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use tokio_postgres::types::Json;

const POLICIES: &str = include_str!("../../sql/registry/policies.sql");
const NUMBER: &str = include_str!("../../sql/registry/policy_number.sql");
const MAKE: &str = include_str!("../../sql/registry/make_policy.sql");
const CHANGE: &str = include_str!("../../sql/registry/change_policy.sql");
const DELETE: &str = include_str!("../../sql/registry/delete_policy.sql");
const SEAL: &str = include_str!("../../sql/registry/seal_policy.sql");

/// What its key is sealed for.
fn context(id: u64) -> String {
    format!("policy/{id}/key")
}

/// A row of the table, or what a webhook's row has of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// Its number.
    pub id: u64,
    /// Its name, made with it.
    pub name: String,
    /// Whether no further webhook may have it.
    #[serde(default)]
    pub disabled: bool,
    /// The algorithm, in small letters.
    pub jwt_alg: String,
    /// Whom its tokens are for.
    pub jwt_audience: Option<String>,
    /// How many minutes a token is good; none means for ever.
    pub jwt_claim_expires_in: Option<u32>,
    /// What it signs with, sealed.
    pub key: String,
    /// Who made it.
    #[serde(default)]
    pub created_by: String,
    /// When it was made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_at: String,
    /// When it was written last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub updated_at: String,
}

impl fmt::Debug for PolicyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyRow").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a policy cannot sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Its key.
    #[error("the key of webhook policy {id} cannot be opened: {source}")]
    Sealed {
        /// The policy's number.
        id: u64,
        /// Why.
        source: crate::sealing::SealError,
    },
    /// The row says something that no policy does.
    #[error("webhook policy {0} cannot be read")]
    Unreadable(u64),
    /// What it signs with.
    #[error(transparent)]
    Key(#[from] jws::Error),
}

impl PolicyRow {
    /// A new one with a key of its own, which only `keys` open, and that key.
    pub fn make(id: u64, algorithm: Algorithm, by: &str, keys: &Keys) -> Result<(Self, Secret), PolicyError> {
        let key = jws::generate(algorithm)?;
        let row = Self {
            id,
            name: name()?,
            disabled: false,
            jwt_alg: algorithm.as_str().to_lowercase(),
            jwt_audience: None,
            jwt_claim_expires_in: None,
            key: keys.seal(key.expose(), &context(id)),
            created_by: by.to_owned(),
            created_at: String::new(),
            updated_at: String::new(),
        };
        Ok((row, key))
    }

    /// The key, opened.
    pub fn open(&self, keys: &Keys) -> Result<(Algorithm, Secret), PolicyError> {
        let algorithm = self.jwt_alg.parse().map_err(|()| PolicyError::Unreadable(self.id))?;
        let opened = keys.open(&self.key, &context(self.id));
        let key = opened.map_err(|source| PolicyError::Sealed { id: self.id, source })?;
        Ok((algorithm, key))
    }

    /// The policy, for a webhook. `site` is the URL of this site; with `is_discovered` its key can be found there.
    pub fn policy(&self, site: &str, is_discovered: bool, keys: &Keys) -> Result<Policy, PolicyError> {
        let (algorithm, key) = self.open(keys)?;
        let issuer =
            if is_discovered { format!("{site}/webhook_policies/{}", self.name) } else { site.to_owned() };
        Ok(Policy {
            id: self.id,
            name: self.name.clone(),
            algorithm,
            key,
            audience: self.jwt_audience.clone(),
            expires_in: self.jwt_claim_expires_in.map(|minutes| Duration::from_secs(60 * u64::from(minutes))),
            issuer,
            is_discovered,
        })
    }
}

/// A name that nobody guesses: 56 hexadecimal digits.
fn name() -> Result<String, PolicyError> {
    let mut bytes = [0; 28];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| jws::Error::Failed(Algorithm::Hs256))?;
    Ok(bytes.iter().fold(String::new(), |name, byte| format!("{name}{byte:02x}")))
}

/// The way to the policies.
impl Door {
    /// All policies, or that one, the oldest first.
    pub async fn policies(&self, id: Option<u64>) -> Result<Vec<PolicyRow>, Error> {
        let id = id.map(u64::cast_signed);
        let rows = self.ask("list the webhook policies", POLICIES, &[&id]).await?;
        Ok(rows.iter().filter_map(policy_of).collect())
    }

    /// A number for a new policy.
    pub async fn next_policy_id(&self) -> Result<u64, Error> {
        let rows = self.ask("give a number", NUMBER, &[]).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).cast_unsigned()))
    }

    /// Writes a new policy.
    pub async fn make_policy(&self, policy: &PolicyRow) -> Result<Option<PolicyRow>, Error> {
        let rows = self.ask("take a webhook policy", MAKE, &[&Json(policy)]).await?;
        Ok(rows.first().and_then(policy_of))
    }

    /// Writes what may change of a policy; none where there is none of its number.
    pub async fn change_policy(&self, policy: &PolicyRow) -> Result<Option<PolicyRow>, Error> {
        let rows = self.ask("change a webhook policy", CHANGE, &[&Json(policy)]).await?;
        Ok(rows.first().and_then(policy_of))
    }

    /// Deletes a policy; whether there was one. One that a webhook has is an error.
    pub async fn delete_policy(&self, id: u64) -> Result<bool, Error> {
        let rows = self.ask("delete a webhook policy", DELETE, &[&id.cast_signed()]).await?;
        Ok(!rows.is_empty())
    }

    /// Seals keys that a former sealing key sealed. Those that cannot be opened stay as they are.
    pub async fn reseal_policies(&self, keys: &Keys) -> Result<(), Error> {
        for policy in self.policies(None).await?.iter().filter(|policy| !keys.is_current(&policy.key)) {
            if let Ok((_, key)) = policy.open(keys) {
                let sealed = keys.seal(key.expose(), &context(policy.id));
                self.ask("seal a webhook policy", SEAL, &[&policy.id.cast_signed(), &policy.key, &sealed])
                    .await?;
            }
        }
        Ok(())
    }
}

fn policy_of(row: &tokio_postgres::Row) -> Option<PolicyRow> {
    let Json(value) = row.get::<_, Json<Value>>(0);
    serde_json::from_value(value).ok()
}
