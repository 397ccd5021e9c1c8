//! Opening a connection: hosts in turn, the ways of each, the time limit, and which host will do.

use super::Error;
use super::address::{Address, Host, SslMode, TargetSession};
use super::wire::{self, Way, Wire};
use rand::seq::SliceRandom;
use std::future::Future;

/// A kind of connection that can be made of a wire.
pub(super) trait Connected: Sized + Send {
    /// Logs in over a wire.
    fn log_in(
        wire: Wire,
        address: &Address,
        host: &Host,
        application_name: &str,
    ) -> impl Future<Output = Result<Self, Error>> + Send;

    /// The one value that a statement gives.
    fn ask(&mut self, statement: &'static str) -> impl Future<Output = Result<String, Error>> + Send;
}

/// Opens a connection to the first host that answers and is of the wanted kind.
pub(super) async fn open<C: Connected>(address: &Address, application_name: &str) -> Result<C, Error> {
    let name = address.application_name.as_deref().unwrap_or(application_name);
    let mut hosts: Vec<&Host> = address.hosts.iter().collect();
    if address.shuffle_hosts {
        hosts.shuffle(&mut rand::rng());
    }
    // prefer-standby: all hosts as standbys, then all as anything
    let rounds: &[TargetSession] = match address.target {
        TargetSession::PreferStandby => &[TargetSession::Standby, TargetSession::Any],
        TargetSession::Any => &[TargetSession::Any],
        TargetSession::ReadWrite => &[TargetSession::ReadWrite],
        TargetSession::ReadOnly => &[TargetSession::ReadOnly],
        TargetSession::Primary => &[TargetSession::Primary],
        TargetSession::Standby => &[TargetSession::Standby],
    };
    let mut trouble = None;
    for wanted in rounds {
        for host in &hosts {
            match within_time(address, host, open_fitting::<C>(address, host, name, *wanted)).await {
                Ok(Some(connection)) => return Ok(connection),
                Ok(None) => {}
                // another host would refuse the same login, and counting failures may lock the role
                Err(error @ (Error::NoPassword { .. } | Error::Address(_))) => return Err(error),
                Err(error @ Error::Refused { .. }) if !says_later(&error) => return Err(error),
                Err(error) => trouble = Some(error),
            }
        }
    }
    Err(trouble.unwrap_or_else(|| Error::NoFittingHost {
        hosts: hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        wanted: address.target.as_str(),
    }))
}

/// A server that starts, stops or is full is no reason to stop looking.
fn says_later(error: &Error) -> bool {
    matches!(error, Error::Refused { error, .. } if error.remedy() == crate::remedy::Remedy::Wait)
}

async fn within_time<T>(
    address: &Address,
    host: &Host,
    opening: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match address.connect_timeout {
        None => opening.await,
        Some(limit) => tokio::time::timeout(limit, opening)
            .await
            .unwrap_or_else(|_| Err(Error::TimedOut { host: host.to_string(), seconds: limit.as_secs() })),
    }
}

/// `None`: the host answered and is of another kind.
async fn open_fitting<C: Connected>(
    address: &Address,
    host: &Host,
    application_name: &str,
    wanted: TargetSession,
) -> Result<Option<C>, Error> {
    let mut connection = open_host::<C>(address, host, application_name).await?;
    let fits = match wanted {
        TargetSession::Any | TargetSession::PreferStandby => true,
        TargetSession::ReadWrite => !is_read_only(&mut connection).await?,
        TargetSession::ReadOnly => is_read_only(&mut connection).await?,
        TargetSession::Primary => !is_in_recovery(&mut connection).await?,
        TargetSession::Standby => is_in_recovery(&mut connection).await?,
    };
    Ok(fits.then_some(connection))
}

async fn is_in_recovery<C: Connected>(connection: &mut C) -> Result<bool, Error> {
    Ok(connection.ask("select pg_catalog.pg_is_in_recovery()::text").await? == "true")
}

async fn is_read_only<C: Connected>(connection: &mut C) -> Result<bool, Error> {
    const STATEMENT: &str = "select (pg_catalog.pg_is_in_recovery() \
         or pg_catalog.current_setting('default_transaction_read_only')::pg_catalog.bool)::text";
    Ok(connection.ask(STATEMENT).await? == "true")
}

async fn open_host<C: Connected>(address: &Address, host: &Host, name: &str) -> Result<C, Error> {
    let ways = wire::ways(host, address.tls.mode);
    let mut first_refusal = None;
    for (index, way) in ways.iter().enumerate() {
        let has_another = index + 1 < ways.len();
        let error = match open_way(address, host, *way, name).await {
            Ok(Some(connection)) => return Ok(connection),
            Ok(None) => continue,
            Err(error) => error,
        };
        let another_may_do = match &error {
            // pg_hba.conf may have a line for the other way only
            Error::Refused { error, .. } => error.code == "28000",
            Error::Tls { .. } | Error::TlsSetup { .. } => address.tls.mode <= SslMode::Prefer,
            _ => false,
        };
        if !has_another || !another_may_do {
            // what the preferred way said tells more than that the fallback failed as well
            return Err(first_refusal.unwrap_or(error));
        }
        first_refusal = Some(error);
    }
    Err(first_refusal.unwrap_or_else(|| Error::NoTls { host: host.to_string() }))
}

async fn open_way<C: Connected>(
    address: &Address,
    host: &Host,
    way: Way,
    name: &str,
) -> Result<Option<C>, Error> {
    match wire::dial(address, host, way).await? {
        Some(wire) => C::log_in(wire, address, host, name).await.map(Some),
        None => Ok(None),
    }
}
