//! The listener's certificate: read again when its files change, and when the configuration was read again. One that
//! cannot be used does not replace one that can.

use super::accounts::Access;
use crate::observe::{Observation, Observers};
use crate::tls;
use crate::tls::server::{Files, Identity};
use rustls::ServerConfig;
use std::error::Error as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// How often it is looked whether the files have changed.
const LOOK: Duration = Duration::from_secs(2);

/// What new connections are served with; none means plain HTTP.
pub(super) type Served = Option<Arc<ServerConfig>>;

/// Follows the files.
pub(super) struct Certificates {
    access: watch::Receiver<Arc<Access>>,
    served: watch::Sender<Served>,
    observers: Observers,
    /// How the files were when they were last read.
    read: Stamps,
}

/// By what one sees that a file is another one: its number, size and time.
type Stamps = Option<[(u64, u64, i64, i64); 2]>;

impl Certificates {
    /// Reads the files for the first time. If they cannot be used, there is nothing to listen with.
    pub(super) fn load(
        mut access: watch::Receiver<Arc<Access>>,
        observers: Observers,
    ) -> Result<(Self, watch::Receiver<Served>), tls::Error> {
        let files = access.borrow_and_update().tls.clone();
        let read = files.as_ref().and_then(stamps);
        let identity = files.as_ref().map(Files::load).transpose()?;
        let (served, reader) = watch::channel(None);
        let this = Self { access, served, observers, read };
        if let Some(identity) = identity {
            this.take(identity);
        }
        Ok((this, reader))
    }

    /// Follows them for ever.
    pub(super) async fn follow(mut self) {
        // what a look found changed and of no use; certificate and key are seldom replaced in one moment, so it is
        // told only if the next look finds the same
        let mut doubtful: Stamps = None;
        loop {
            let asked = tokio::select! {
                Ok(()) = self.access.changed() => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            let Some(files) = self.access.borrow_and_update().tls.clone() else {
                self.served.send_replace(None);
                self.read = None;
                continue;
            };
            let (found, loaded) = tokio::task::spawn_blocking({
                let before = self.read;
                move || {
                    let found = stamps(&files);
                    let is_news = asked || found != before;
                    (found, is_news.then(|| files.load()))
                }
            })
            .await
            .expect("reading a file does not panic");
            match loaded {
                None => {}
                Some(Ok(identity)) => {
                    (self.read, doubtful) = (found, None);
                    self.take(identity);
                }
                Some(Err(_)) if !asked && doubtful != found => doubtful = found,
                Some(Err(error)) => {
                    (self.read, doubtful) = (found, None);
                    let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
                    self.observers
                        .tell(Observation::CertificateRefused { reason: format!("{error}{cause}") });
                }
            }
        }
    }

    fn take(&self, identity: Identity) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        let days_left = identity.validity.map(|validity| (validity.until - now).div_euclid(24 * 3600));
        self.served.send_replace(Some(identity.config));
        self.observers.tell(Observation::CertificateTakenOver { days_left });
    }
}

fn stamps(files: &Files) -> Stamps {
    let stamp = |path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
    };
    Some([stamp(&files.certificate)?, stamp(&files.key)?])
}
