//! Wrong logins, by account and by address: who fails again and again waits longer and longer.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// How often a name may be wrong before the first wait.
const FREE_BY_NAME: u32 = 3;

/// The same for an address, behind which there may be many people.
const FREE_BY_PEER: u32 = 10;

/// The first wait; each further failure doubles it.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Failures are forgotten when there was none for so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);

/// How many names, addresses and pairs are remembered; beyond it the oldest is forgotten.
const REMEMBERED_MAX: usize = 4096;

/// Longer names are told apart by their beginning only.
const NAME_CHARS_MAX: usize = 255;

/// The failures of all who tried.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    by_name: Table<String>,
    by_peer: Table<IpAddr>,
    /// From where a user has logged in: there the failures of others do not keep him out.
    known: HashMap<(String, IpAddr), Instant>,
}

impl Attempts {
    /// How long this one has to wait before a password is looked at.
    pub(super) fn wait(&self, name: Option<&str>, peer: IpAddr, now: Instant) -> Option<Duration> {
        let peer = network(peer);
        let by_peer = self.by_peer.wait(&peer, now);
        let by_name = name.map(shortened).and_then(|name| {
            let wait = self.by_name.wait(&name, now)?;
            (!self.known.contains_key(&(name, peer))).then_some(wait)
        });
        by_peer.max(by_name)
    }

    /// Counts a failure. A token has no name.
    pub(super) fn failed(&mut self, name: Option<&str>, peer: IpAddr, now: Instant) {
        self.by_peer.failed(network(peer), FREE_BY_PEER, now);
        if let Some(name) = name {
            self.by_name.failed(shortened(name), FREE_BY_NAME, now);
        }
    }

    /// The name's failures are forgotten. Those of the address are not: one who has an account himself could go on
    /// with the accounts of others.
    pub(super) fn succeeded(&mut self, name: &str, peer: IpAddr, now: Instant) {
        let name = shortened(name);
        self.by_name.0.remove(&name);
        make_room(&mut self.known, |at| *at);
        self.known.insert((name, network(peer)), now);
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// One of IPv6 has a whole network of addresses (/64).
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[derive(Debug)]
struct Table<K>(HashMap<K, Failures>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last_at: Instant,
    open_at: Instant,
}

impl<K: Hash + Eq + Clone> Table<K> {
    fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let wait = self.0.get(key)?.open_at.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    fn failed(&mut self, key: K, free: u32, now: Instant) {
        if !self.0.contains_key(&key) {
            make_room(&mut self.0, |failures| failures.last_at);
        }
        let failures = self.0.entry(key).or_insert(Failures { count: 0, last_at: now, open_at: now });
        if now.saturating_duration_since(failures.last_at) > FORGOTTEN_AFTER {
            failures.count = 0;
        }
        failures.count += 1;
        failures.last_at = now;
        failures.open_at = now + pause(failures.count, free);
    }
}

fn pause(count: u32, free: u32) -> Duration {
    match count.checked_sub(free + 1) {
        None => Duration::ZERO,
        Some(doublings) => WAIT_MIN.saturating_mul(1 << doublings.min(16)).min(WAIT_MAX),
    }
}

/// Forgets the oldest of a table that is full.
fn make_room<K: Hash + Eq + Clone, V>(table: &mut HashMap<K, V>, at: impl Fn(&V) -> Instant) {
    if table.len() < REMEMBERED_MAX {
        return;
    }
    if let Some(oldest) = table.iter().min_by_key(|(_, value)| at(value)).map(|(key, _)| key.clone()) {
        table.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn other(number: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(number))
    }

    #[test]
    fn the_waits_double_up_to_the_longest() {
        let waits: Vec<_> = (1..=11).map(|count| pause(count, 3).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pause(u32::MAX, 3), WAIT_MAX);
    }

    #[test]
    fn a_name_waits_wherever_the_failures_came_from() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..4 {
            assert_eq!(attempts.wait(Some("ann"), PEER, now), None, "after {number}");
            attempts.failed(Some("ann"), other(number), now);
        }
        assert_eq!(attempts.wait(Some("ann"), PEER, now), Some(Duration::from_secs(1)));
        assert_eq!(attempts.wait(Some("bob"), PEER, now), None);
        assert_eq!(attempts.wait(Some("ann"), PEER, now + Duration::from_secs(1)), None);
        // a success makes it fresh
        attempts.succeeded("ann", PEER, now);
        assert_eq!(attempts.wait(Some("ann"), other(9), now), None);
    }

    #[test]
    fn an_address_waits_whatever_names_it_tried_and_its_own_success_does_not_help() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..11 {
            assert_eq!(attempts.wait(None, PEER, now), None, "after {number}");
            attempts.failed(Some(&format!("name {number}")), PEER, now);
        }
        assert_eq!(attempts.wait(None, PEER, now), Some(Duration::from_secs(1)));
        assert_eq!(attempts.wait(None, other(1), now), None);
        attempts.succeeded("mallory", PEER, now);
        assert_eq!(attempts.wait(Some("mallory"), PEER, now), Some(Duration::from_secs(1)));
        // after a quarter of an hour it begins anew
        let later = now + FORGOTTEN_AFTER + Duration::from_secs(1);
        attempts.failed(None, PEER, later);
        assert_eq!(attempts.wait(None, PEER, later), None);
    }

    #[test]
    fn one_who_logged_in_from_there_is_not_kept_out_by_others() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        attempts.succeeded("ann", PEER, now);
        for number in 0..20 {
            attempts.failed(Some("ann"), other(number), now);
        }
        assert_eq!(attempts.wait(Some("ann"), PEER, now), None);
        assert_eq!(attempts.wait(Some("ann"), other(99), now), Some(WAIT_MAX));
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..11 {
            let peer = format!("2001:db8::{number}").parse().unwrap();
            attempts.failed(None, peer, now);
        }
        assert!(attempts.wait(None, "2001:db8::ffff".parse().unwrap(), now).is_some());
        assert_eq!(attempts.wait(None, "2001:db8:0:1::1".parse().unwrap(), now), None);
        assert_eq!(network("::ffff:192.0.2.7".parse().unwrap()), PEER);
    }

    #[test]
    fn it_does_not_grow_without_end_and_forgets_the_oldest_first() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        for number in 0..REMEMBERED_MAX as u32 + 10 {
            let now = start + Duration::from_millis(number.into());
            attempts.failed(Some(&"x".repeat(10_000)), other(number), now);
            attempts.succeeded(&number.to_string(), other(number), now);
        }
        assert_eq!(attempts.by_peer.0.len(), REMEMBERED_MAX);
        assert_eq!(attempts.known.len(), REMEMBERED_MAX);
        assert!(!attempts.by_peer.0.contains_key(&other(9)) && attempts.by_peer.0.contains_key(&other(10)));
        assert!(attempts.by_name.0.keys().all(|name| name.len() <= NAME_CHARS_MAX));
    }
}
