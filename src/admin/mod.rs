//! The HTTP surface: health, readiness, metrics and the native API. Further interfaces are a folder and a `merge` each,
//! behind the [`Gate`].

pub mod accounts;
pub mod api;
mod arsys;
mod attachments;
mod attempts;
mod certificates;
mod connections;
mod datagerry;
pub mod gate;
pub mod given;
pub mod hashes;
mod health;
mod itrp;
mod listed;
mod login;
mod nouns;
#[cfg(test)]
mod one_model;
pub mod problem;
mod registering;
pub mod sample;
mod sessions;
pub mod translation;
mod trials;

pub use connections::Peer;
pub use itrp::Settings as ItrpSettings;
pub use trials::Trials;

use crate::catalog::Latest;
use crate::delivery::Outcome;
use crate::observe::Observers;
use crate::queue::{Queue, WebhookState};
use crate::registry::Registrar;
use crate::remedy::{Remediable, Remedy};
use crate::report::health::Health;
use crate::report::metrics::Metrics;
use crate::report::{QueueReading, WebhookReading};
use crate::tls;
use crate::webhook::{Origin, Webhook, WebhookId, Webhooks};
use accounts::Access;
use axum::Router;
use certificates::Certificates;
use futures_util::future::BoxFuture;
use gate::Gate;
use login::Logins;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Where it listens unless told otherwise: the loopback.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:8640";

/// How long requests under way may take to finish when the process ends.
const GRACE: Duration = Duration::from_secs(5);

/// What goes wrong with the HTTP surface.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("the admin interface could not listen on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no certificate to listen with.
    #[error("the admin interface has no certificate that it could use")]
    Certificate(#[source] tls::Error),
    /// The server broke off.
    #[error("the admin interface broke off")]
    Serve(#[source] io::Error),
}

impl Remediable for Error {
    fn remedy(&self) -> Remedy {
        match self {
            // another process may let the port go
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Remedy::Wait,
            Self::Listen { .. } | Self::Certificate(_) => Remedy::CallOperator,
            Self::Serve(_) => Remedy::Wait,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Listen { .. } => Some("set [admin] listen to a free address of this machine".into()),
            Self::Certificate(_) => Some(
                "name in [admin] tls PEM files that walhook may read, and a key that nobody else may".into(),
            ),
            Self::Serve(_) => None,
        }
    }
}

/// Tries a webhook: sends one request and says what became of it.
pub type Tester = Arc<dyn Fn(Arc<Webhook>, Message) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// What a webhook is sent beside its deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// An event that did not happen.
    Sample,
    /// Whether its messages are wanted.
    Verification {
        /// What is to be called if they are.
        callback: String,
    },
}

/// What the HTTP surface shows.
#[derive(Clone)]
pub struct Shown {
    /// Whether walhook does its work.
    pub health: Arc<Health>,
    /// Counts and sizes.
    pub metrics: Arc<Metrics>,
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// The webhooks as they are registered now.
    pub webhooks: watch::Receiver<Arc<Webhooks>>,
    /// What registers webhooks in the source database.
    pub registrar: Registrar,
    /// Tries a webhook.
    pub tester: Tester,
    /// The tests that nobody waits for.
    pub trials: Trials,
    /// The forms as they are bound now.
    pub forms: Latest,
    /// What the operator says of the interfaces.
    pub settings: watch::Receiver<Arc<Settings>>,
}

/// What the operator says of the interfaces, one part for each product.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The URL by which others know this site, without a slash at its end.
    pub site: String,
    /// `[admin] url`: the same, where the operator says it.
    pub url: Option<Url>,
    /// `[admin.itrp]`.
    pub itrp: ItrpSettings,
}

impl Shown {
    /// The observers among it, with further ones.
    pub fn observers(
        &self,
        further: impl IntoIterator<Item = Arc<dyn crate::observe::Observer>>,
    ) -> Observers {
        let own: [Arc<dyn crate::observe::Observer>; 2] =
            [Arc::clone(&self.health) as _, Arc::clone(&self.metrics) as _];
        Observers::new(own.into_iter().chain(further).collect())
    }

    /// The webhooks of the configuration file, by number.
    pub(crate) fn webhooks_of_file(&self) -> Vec<Arc<Webhook>> {
        self.webhooks.borrow().iter().filter(|one| one.origin == Origin::File).cloned().collect()
    }

    /// A webhook of the configuration file.
    pub(crate) fn webhook_of_file(&self, id: WebhookId) -> Option<Arc<Webhook>> {
        self.webhooks.borrow().find(id).filter(|one| one.origin == Origin::File).cloned()
    }

    /// How full the queue is now.
    pub(crate) async fn queue_reading(&self) -> Result<QueueReading, crate::queue::Error> {
        let size = self.queue.size().await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let webhooks = self.queue.webhooks().await?.into_iter().map(|standing| WebhookReading {
            served: standing.state == WebhookState::Enabled,
            pending: standing.pending,
            pending_bytes: standing.pending_bytes,
            oldest_age: standing.oldest_committed_at_us.map(|committed_at_us| {
                now.saturating_sub(Duration::from_micros(u64::try_from(committed_at_us).unwrap_or(0)))
            }),
            dead: standing.dead,
            held: standing.held,
            broken: standing.broken.is_some(),
            name: standing.name,
        });
        Ok(QueueReading { bytes: size.bytes, bytes_max: size.bytes_max, webhooks: webhooks.collect() })
    }
}

/// The HTTP surface, listening but not answering yet.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    local: SocketAddr,
}

impl Admin {
    /// Listens.
    pub async fn bind(listen: SocketAddr) -> Result<Self, Error> {
        let failed = |source| Error::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, local })
    }

    /// The address, with the port that was really taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Answers until `shutdown`, then finishes what is under way. What `access` says holds at once.
    pub async fn serve(
        self,
        shown: Shown,
        access: watch::Receiver<Arc<Access>>,
        observers: Observers,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let (certificates, served) =
            Certificates::load(access.clone(), observers.clone()).map_err(Error::Certificate)?;
        let gate = Gate::new(Logins::new(access, observers), self.local);
        let listener = connections::Limited::new(self.listener, served);
        let service = routes(&shown, &gate).into_make_service_with_connect_info::<Peer>();
        let graceful =
            axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        let overdue = async {
            shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            served = async { graceful.await } => served.map_err(Error::Serve),
            () = certificates.follow() => Ok(()),
            () = overdue => Ok(()),
        }
    }
}

/// Health is open to all, files to those who have a link; everything else stands behind the gate.
fn routes(shown: &Shown, gate: &Gate) -> Router {
    Router::new()
        .merge(health::routes(shown.clone()))
        .merge(attachments::routes(shown))
        .merge(gate.guard_if_accounts(health::metrics_routes(shown.clone())))
        .merge(api::routes(shown, gate))
        .merge(arsys::routes(shown, gate))
        .merge(itrp::routes(shown, gate))
        .merge(datagerry::routes(shown, gate))
}
