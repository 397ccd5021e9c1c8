//! What a server is too old for.

use walhook::demo::cluster::Cluster;

/// Whether a server is older than what a test needs; then it is said which version knows that.
pub(crate) fn lacks(cluster: &Cluster, since: u32, what: &str) -> bool {
    let version = cluster.major_version();
    assert!(version >= 14, "the server's version is {version}");
    if version < since {
        eprintln!("skipped on PostgreSQL {version}: {what} (since {since})");
    }
    version < since
}
