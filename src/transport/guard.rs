//! The address guard: which addresses a webhook may go to.
//!
//! Whoever may register a webhook could otherwise make us ask the services inside our own network. Names are
//! checked by every address that they resolve to, at the moment of connecting, and literals by themselves,
//! for they never meet a resolver.

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use url::{Host, Url};

/// Who stands for a webhook's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The operator, in the configuration file: private and loopback addresses are fine.
    Operator,
    /// Somebody who registered it: private and loopback addresses only where `[dispatch] allow` says so.
    Registered,
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
#[derive(Clone, Debug)]
pub(super) struct Guard {
    trust: Trust,
    allow: Arc<[IpNet]>,
}

impl Guard {
    /// `allow` are the networks of `[dispatch] allow`.
    pub(super) fn new(trust: Trust, allow: Arc<[IpNet]>) -> Self {
        Self { trust, allow }
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

    fn allows(&self, address: IpAddr) -> bool {
        let meant = embedded(address).map_or(address, IpAddr::V4);
        self.allow.iter().any(|network| network.contains(&address) || network.contains(&meant))
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let host = name.as_str();
            let mut allowed = Vec::new();
            let mut refusal = None;
            for address in tokio::net::lookup_host((host, 0)).await? {
                match guard.check(address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(forbidden) => refusal = Some(forbidden.named(host)),
                }
            }
            match refusal {
                Some(forbidden) if allowed.is_empty() => Err(forbidden.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
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
/// 6to4 (RFC 3056) and NAT64 (RFC 6052).
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let bytes = address.octets();
    let at = |start: usize| Ipv4Addr::new(bytes[start], bytes[start + 1], bytes[start + 2], bytes[start + 3]);
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => Some(at(12)),
        [0x2002, ..] => Some(at(2)),
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(at(12)),
        _ => None,
    }
}

fn class_of(address: IpAddr) -> Class {
    match (address, embedded(address)) {
        (IpAddr::V4(address), _) | (_, Some(address)) => class_of_v4(address),
        (IpAddr::V6(address), None) => class_of_v6(address),
    }
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
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => {
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
mod tests {
    use super::*;

    /// One URL, as the operator's and as somebody else's.
    #[track_caller]
    fn check(host: &str, operators: bool, registered: bool) {
        let url: Url = format!("http://{host}/hook").parse().unwrap();
        let allow: Arc<[IpNet]> = Arc::new(["10.1.0.0/16".parse().unwrap(), "fd12::/16".parse().unwrap()]);
        for (trust, expected) in [(Trust::Operator, operators), (Trust::Registered, registered)] {
            let found = Guard::new(trust, Arc::clone(&allow)).check_literal(&url);
            assert_eq!(found.is_ok(), expected, "{host} for {trust:?}: {found:?}");
        }
    }

    #[test]
    fn public_addresses_are_open_to_all() {
        for host in ["93.184.216.34", "[2606:2800:220:1::1]", "172.32.0.1", "100.128.0.1", "receiver.example"]
        {
            check(host, true, true);
        }
    }

    #[test]
    fn inner_addresses_are_the_operators() {
        for host in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "[::1]", "[fd00::1]"]
        {
            check(host, true, false);
        }
    }

    #[test]
    fn inner_addresses_can_be_allowed() {
        for host in ["10.1.2.3", "[fd12::1]", "[::ffff:10.1.2.3]", "[2002:a01:203::]", "[64:ff9b::a01:203]"] {
            check(host, true, true);
        }
    }

    #[test]
    fn other_spellings_of_an_address_are_that_address() {
        // the parser of URLs resolves the IPv4 spellings
        for host in ["0x7f.1", "2130706433", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "[::127.0.0.1]"] {
            check(host, true, false);
        }
        for host in ["[2002:7f00:1::]", "[64:ff9b::7f00:1]", "[2002:c0a8:101::1]", "[64:ff9b:1::7f00:1]"] {
            check(host, true, false);
        }
    }

    #[test]
    fn link_local_and_metadata_addresses_are_refused_always() {
        for host in [
            "169.254.169.254",
            "169.254.1.1",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "[fe80::1]",
            "[febf::1]",
            "[fd00:ec2::254]",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[2002:a9fe:a9fe::]",
            "[64:ff9b::a9fe:a9fe]",
            "[::ffff:0:a9fe:a9fe]",
            "0xa9fea9fe",
            "0.0.0.0",
            "[::]",
            "[ff02::1]",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            check(host, false, false);
        }
        let everything: Arc<[IpNet]> = Arc::new(["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
        let guard = Guard::new(Trust::Registered, everything);
        assert!(guard.check("169.254.169.254".parse().unwrap()).is_err());
        assert!(guard.check("127.0.0.1".parse().unwrap()).is_ok());
    }

    #[test]
    fn a_refusal_names_the_address_and_the_key() {
        let guard = Guard::new(Trust::Registered, Arc::new([]));
        let refusal = guard.check("10.0.0.5".parse().unwrap()).unwrap_err();
        assert_eq!(
            refusal.clone().named("intranet.example").to_string(),
            "address 10.0.0.5 of \"intranet.example\" is not public, and [dispatch] allow does not contain it"
        );
        assert_eq!(
            refusal.to_string(),
            "address 10.0.0.5 is not public, and [dispatch] allow does not contain it"
        );
        let refusal = guard.check("169.254.169.254".parse().unwrap()).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "address 169.254.169.254 is refused always: a cloud's metadata service"
        );
    }
}
