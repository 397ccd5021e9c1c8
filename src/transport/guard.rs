//! The address guard: which addresses a webhook may go to.
//!
//! Whoever may register a webhook could otherwise make us ask the services inside our own network. Names are
//! checked by every address that they resolve to, at the moment of connecting, and literals by themselves,
//! for they never meet a resolver. A literal is refused for good; a name is looked up again at the next attempt, for
//! what it leads to can change without anybody's fault here.

use crate::webhook::{Origin, Webhook};
use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use ipnet::IpNet;
use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;
use tower_service::Service;
use url::{Host, Url};

/// Who stands for a webhook's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The operator, in the configuration file: private and loopback addresses are fine.
    Operator,
    /// Somebody who registered it: private and loopback addresses only where `[dispatch] allow` says so.
    Registered,
}

impl Trust {
    /// Who stands for a webhook: who registered it.
    pub fn of(webhook: &Webhook) -> Self {
        webhook.origin.into()
    }
}

impl From<Origin> for Trust {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::File => Self::Operator,
            Origin::Table => Self::Registered,
        }
    }
}

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// No webhook may go there.
    #[error("address {address}{} is refused always: {reason}", of(host.as_ref()))]
    Always {
        /// The address.
        address: IpAddr,
        /// The name that resolved to it.
        host: Option<String>,
        /// What the address is.
        reason: &'static str,
    },
    /// It would have to be allowed.
    #[error("address {address}{} is not public, and [dispatch] allow does not contain it", of(host.as_ref()))]
    NotAllowed {
        /// The address.
        address: IpAddr,
        /// The name that resolved to it.
        host: Option<String>,
    },
}

fn of(host: Option<&String>) -> String {
    host.map(|host| format!(" of \"{host}\"")).unwrap_or_default()
}

/// Who turns a host's name into addresses.
pub trait Resolver: Send + Sync {
    /// The addresses of a name, in the order in which they are tried.
    fn addresses<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The operating system's resolver.
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn addresses<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
        })
    }
}

/// What an address is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// On the internet.
    Public,
    /// In a network of somebody's own, on this machine, or reserved.
    Inner,
    /// Where no endpoint can rightly be.
    Never(&'static str),
}

const METADATA: &str = "a cloud's metadata service";
const LINK_LOCAL: &str = "a link-local address";
const NO_HOST: &str = "not the address of a host";

/// The guard for one kind of trust.
#[derive(Clone)]
pub(super) struct Guard {
    trust: Trust,
    allow: Arc<[IpNet]>,
    resolver: Arc<dyn Resolver>,
}

impl Guard {
    /// `allow` are the networks of `[dispatch] allow`.
    pub(super) fn new(trust: Trust, allow: Arc<[IpNet]>, resolver: Arc<dyn Resolver>) -> Self {
        Self { trust, allow, resolver }
    }

    /// The same guard for another kind of trust.
    pub(super) fn with(&self, trust: Trust) -> Self {
        Self { trust, ..self.clone() }
    }

    /// Whether a proxy may look for names by itself. It would be asked for any name, and lead where nobody here has
    /// looked: that is for the operator to say.
    pub(super) fn leaves_names_to_proxies(&self) -> bool {
        self.trust == Trust::Operator
    }

    /// Checks an address.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        match class_of(address) {
            Class::Never(reason) => Err(Forbidden::Always { address, host: None, reason }),
            Class::Public => Ok(()),
            Class::Inner if self.trust == Trust::Operator || self.allows(address) => Ok(()),
            Class::Inner => Err(Forbidden::NotAllowed { address, host: None }),
        }
    }

    /// Checks a URL whose host is an address; a name is checked when it is resolved.
    pub(super) fn check_literal(&self, url: &Url) -> Result<(), Forbidden> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.check(address.into()),
            Some(Host::Ipv6(address)) => self.check(address.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    /// The addresses of a host that may be connected to; of a literal, itself.
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Box<dyn Error + Send + Sync>> {
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            self.check(address)?;
            return Ok(vec![address]);
        }
        let mut allowed = Vec::new();
        let mut refusal = None;
        for address in self.resolver.addresses(host).await? {
            match self.check(address) {
                Ok(()) => allowed.push(address),
                Err(forbidden) => refusal = Some(forbidden.named(host)),
            }
        }
        match refusal {
            Some(forbidden) if allowed.is_empty() => Err(forbidden.into()),
            None if allowed.is_empty() => Err(io::Error::other("the name has no address").into()),
            _ => Ok(allowed),
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        let meant = embedded(address).map_or(address, IpAddr::V4);
        self.allow.iter().any(|network| network.contains(&address) || network.contains(&meant))
    }
}

impl Service<Name> for Guard {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guard = self.clone();
        Box::pin(async move {
            let allowed = guard.addresses(name.as_str()).await?.into_iter();
            // the port is the URL's
            Ok(allowed.map(|address| SocketAddr::new(address, 0)).collect::<Vec<_>>().into_iter())
        })
    }
}

impl Forbidden {
    fn named(mut self, name: &str) -> Self {
        match &mut self {
            Self::Always { host, .. } | Self::NotAllowed { host, .. } => *host = Some(name.to_owned()),
        }
        self
    }
}

/// The IPv4 address inside an IPv6 address that routers or kernels unpack: mapped (RFC 4291), compatible,
/// 6to4 (RFC 3056), NAT64 (RFC 6052) and ISATAP (RFC 5214).
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => Some(unpacked(address, 12)),
        [0x2002, ..] => Some(unpacked(address, 2)),
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(unpacked(address, 12)),
        // behind a prefix of somebody's own, which must be judged by itself
        [0x2000..=0x3fff, _, _, _, 0 | 0x200, 0x5efe, _, _] => Some(unpacked(address, 12)),
        _ => None,
    }
}

/// The IPv4 address that begins at this byte; byte 8 is left out, as the shorter prefixes of NAT64 do.
fn unpacked(address: Ipv6Addr, start: usize) -> Ipv4Addr {
    let bytes = address.octets();
    let mut at = (start..16).filter(|at| start > 8 || *at != 8).map(|at| bytes[at]);
    let mut next = || at.next().expect("an IPv4 address ends within the IPv6 address");
    Ipv4Addr::new(next(), next(), next(), next())
}

/// Whether an address may lead to a metadata service or a link by an unpacking that depends on settings which
/// we do not know: NAT64 for local use (RFC 8215), whose prefix can have several lengths, and Teredo (RFC 4380),
/// which writes addresses inverted.
fn may_lead_to(address: Ipv6Addr) -> Option<Class> {
    let candidates: &[Ipv4Addr] = match address.segments() {
        [0x64, 0xff9b, 1, ..] => &[6, 7, 9, 12].map(|start| unpacked(address, start)),
        [0x2001, 0, ..] => &[unpacked(address, 4), Ipv4Addr::from_bits(!unpacked(address, 12).to_bits())],
        _ => return None,
    };
    // other addresses in them mean nothing: all but one unpacking is wrong
    let classes = candidates.iter().map(|candidate| class_of_v4(*candidate));
    classes.into_iter().find(|class| matches!(class, Class::Never(METADATA | LINK_LOCAL)))
}

fn class_of(address: IpAddr) -> Class {
    match (address, embedded(address)) {
        (IpAddr::V4(address), _) => class_of_v4(address),
        (IpAddr::V6(whole), Some(address)) => match class_of_v4(address) {
            // the prefix around a public address can be one that is not public
            Class::Public if is_isatap(whole) => class_of_v6(whole),
            class => class,
        },
        (IpAddr::V6(address), None) => may_lead_to(address).unwrap_or_else(|| class_of_v6(address)),
    }
}

fn is_isatap(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _])
}

/// By the registry of special-purpose addresses (RFC 6890) and the clouds' documentation.
fn class_of_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        [169, 254, 169, 254] | [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => {
            Class::Never(METADATA)
        }
        [169, 254, ..] => Class::Never(LINK_LOCAL),
        [0 | 224..=239, ..] | [255, 255, 255, 255] => Class::Never(NO_HOST),
        [10 | 127 | 240..=255, ..]
        | [100, 64..=127, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Class::Inner,
        _ => Class::Public,
    }
}

/// Only 2000::/3 is handed out to the public (RFC 4291).
fn class_of_v6(address: Ipv6Addr) -> Class {
    match address.segments() {
        // Amazon's has clock and credentials beside the metadata proper; Google's; Scaleway's
        [0xfd00, 0xec2, ..] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] | [0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42] => {
            Class::Never(METADATA)
        }
        [0xfe80..=0xfebf, ..] => Class::Never(LINK_LOCAL),
        [0xff00..=0xffff, ..] | [0, 0, 0, 0, 0, 0, 0, 0] => Class::Never(NO_HOST),
        // Teredo, ORCHID and other protocol assignments; documentation
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Class::Inner,
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Inner,
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
