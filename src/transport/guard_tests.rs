//! Every spelling of an address that a webhook must not reach, and of those that it may.

use super::*;

fn guard(trust: Trust, allow: &[&str]) -> Guard {
    let allow = allow.iter().map(|network| network.parse().unwrap()).collect::<Vec<_>>();
    Guard::new(trust, allow.into(), Arc::new(SystemResolver))
}

/// What becomes of a URL: as the operator's, as a stranger's, and as a stranger's where everything is allowed.
/// `open`: nobody is refused. `inner`: a stranger needs `allow`. `never`: nobody may. `name`: only a resolver
/// knows. `none`: not a URL.
fn judged(authority: &str) -> &'static str {
    let everything = ["0.0.0.0/0", "::/0"];
    match format!("http://{authority}/hook").parse::<Url>() {
        Err(_) => "none",
        Ok(url) if url.domain().is_some() => "name",
        Ok(url) => {
            let guards = [
                guard(Trust::Operator, &[]),
                guard(Trust::Registered, &[]),
                guard(Trust::Registered, &everything),
            ];
            match guards.map(|guard| guard.check_literal(&url).is_ok()) {
                [true, true, true] => "open",
                [true, false, true] => "inner",
                [false, false, false] => "never",
                other => panic!("{authority}: {other:?}"),
            }
        }
    }
}

/// Each spelling of a row's address is judged alike.
const SPELLINGS: &[(&str, &[&str])] = &[
    (
        // this machine
        "inner",
        &[
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "127.255.255.254",
            "2130706433",
            "017700000001",
            "0x7f000001",
            "0X7F000001",
            "0x7f.0x0.0x0.0x1",
            "0177.0.0.01",
            "0177.1",
            "0x7f.1",
            "127.0x1",
            "127.0.0.0x1",
            "00000177.0.0.1",
            "127.0.0.1.",
            "0x7f.1.",
            "127.0.0.1:80",
            "127%2e0%2e0%2e1",
            "%31%32%37.0.0.1",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[0000::0001]",
            "[::127.0.0.1]",
            "[::7f00:1]",
            "[::ffff:127.0.0.1]",
            "[::FFFF:7F00:1]",
            "[0:0:0:0:0:ffff:7f00:0001]",
            "[::ffff:0:127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::7f00:1]",
            "[64:ff9b:1:7f00:0:100::]",
            "[2002:7f00:1::]",
            "[2002:7f00:0001:1234::1]",
            "[2606:4700::5efe:7f00:1]",
            "[2606:4700::200:5efe:127.0.0.1]",
        ],
    ),
    (
        // digits that IDNA maps to digits, and dots that it maps to dots
        "inner",
        &[
            "１２７．０．０．１",
            "①②⑦.⓪.⓪.①",
            "127。0。0。1",
            "127｡0｡0｡1",
            "𝟏𝟐𝟕.𝟎.𝟎.𝟏",
            "１２７.1",
            "０x７f.1",
            "127.0.0\u{ad}.1",
        ],
    ),
    (
        // who stands before an @ is a user, whatever it looks like
        "inner",
        &[
            "receiver.example@127.0.0.1",
            "93.184.216.34@127.0.0.1",
            "93.184.216.34:80@127.0.0.1:8080",
            "a@b@127.0.0.1",
            "receiver.example%40evil@127.0.0.1",
            "127.0.0.1\\@93.184.216.34",
            "127.0.0.1#@93.184.216.34",
            "127.0.0.1?@93.184.216.34",
            "127.0.0.1/@93.184.216.34",
            "127.0.0.1\t",
            "127.0\n.0.1",
        ],
    ),
    (
        "open",
        &[
            "127.0.0.1@93.184.216.34",
            "127.0.0.1:80@93.184.216.34",
            "93.184.216.34#@127.0.0.1",
            "93.184.216.34\\@127.0.0.1",
        ],
    ),
    (
        // private: RFC 1918, CGNAT, ULA, site-local
        "inner",
        &[
            "10.0.0.0",
            "10.255.255.255",
            "10.1",
            "167772161",
            "012.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "0xc0.0xa8.1",
            "3232235777",
            "100.64.0.1",
            "100.127.255.255",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[fdff::1]",
            "[fec0::1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:0a00:1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:a00:1::]",
            "[2002:c0a8:101::1]",
            "[::ffff:100.64.0.1]",
        ],
    ),
    (
        // benchmarking, documentation, reserved, protocol assignments, discarded
        "inner",
        &[
            "198.18.0.1",
            "198.19.255.255",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "192.0.0.1",
            "192.0.0.170",
            "192.88.99.1",
            "240.0.0.1",
            "255.255.255.254",
            "[2001:db8::1]",
            "[3fff::1]",
            "[3fff:fff::1]",
            "[2001:2::1]",
            "[2001:10::1]",
            "[2001:20::1]",
            "[100::1]",
            "[5f00::1]",
            "[4000::1]",
            "[64:ff9b:1::5db8:d822]",
            "[64:ff9b:2::1]",
            "[2001:db8::5efe:93.184.216.34]",
        ],
    ),
    (
        // Teredo: its server and its client, which is written inverted
        "inner",
        &["[2001::1]", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "[2001:0:7f00:1::]", "[2001::80ff:fffe]"],
    ),
    (
        // metadata services
        "never",
        &[
            "169.254.169.254",
            "169.254.43518",
            "169.16689662",
            "2852039166",
            "0xa9fea9fe",
            "0xa9.0xfe.0xa9.0xfe",
            "0251.0376.0251.0376",
            "025177524776",
            "169.254.0xa9fe",
            "169.254.169.254.",
            "１６９．２５４．１６９．２５４",
            "169。254。169。254",
            "receiver.example@169.254.169.254",
            "169.254.169.254:80",
            "169.254.169.254\\@93.184.216.34",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[::169.254.169.254]",
            "[::a9fe:a9fe]",
            "[::ffff:0:169.254.169.254]",
            "[64:ff9b::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::]",
            "[2002:a9fe:a9fe:1::1]",
            "[2606:4700::5efe:a9fe:a9fe]",
            "[fd00:ec2::254]",
            "[fd00:ec2::23]",
            "[fd00:ec2::123]",
            "[FD00:0EC2:0:0:0:0:0:0254]",
            "[fd20:ce::254]",
            "[fd00:42::42]",
            "100.100.100.200",
            "[::ffff:100.100.100.200]",
            "192.0.0.192",
            "168.63.129.16",
            "[::ffff:168.63.129.16]",
        ],
    ),
    (
        // by NAT64 for local use with a prefix of 96, 48, 56 and 64 bits, and by Teredo
        "never",
        &[
            "[64:ff9b:1::a9fe:a9fe]",
            "[64:ff9b:1::169.254.169.254]",
            "[64:ff9b:1:a9fe:a9:fe00::]",
            "[64:ff9b:1:a9:fe:a9fe::]",
            "[64:ff9b:1:0:a9:fea9:fe00:0]",
            "[2001:0:a9fe:a9fe::]",
            "[2001::5601:5601]",
            "[2001:0:4136:e378:8000:63bf:5601:5601]",
        ],
    ),
    (
        // link-local
        "never",
        &[
            "169.254.0.1",
            "169.254.255.255",
            "169.254.170.2",
            "[fe80::1]",
            "[febf::1]",
            "[fe80::a9fe:a9fe]",
            "[::ffff:169.254.0.1]",
            "[64:ff9b:1::a9fe:1]",
            "[fe80::5efe:127.0.0.1]",
        ],
    ),
    (
        // not of one host: this network, multicast, broadcast
        "never",
        &[
            "0.0.0.0",
            "0",
            "0x0",
            "00",
            "0.1",
            "0.1.2.3",
            "[::]",
            "[0:0:0:0:0:0:0:0]",
            "[::ffff:0.0.0.0]",
            "[64:ff9b::]",
            "[2002::]",
            "[::2]",
            "224.0.0.1",
            "239.255.255.250",
            "255.255.255.255",
            "4294967295",
            "0xffffffff",
            "[::ffff:255.255.255.255]",
            "[::ffff:224.0.0.1]",
            "[ff02::1]",
            "[ff0e::1]",
            "[ffff::1]",
        ],
    ),
    (
        // on the internet, next to what is not
        "open",
        &[
            "93.184.216.34",
            "1572395042",
            "9.255.255.255",
            "11.0.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "172.15.255.255",
            "172.32.0.1",
            "192.167.255.255",
            "192.169.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "169.253.255.255",
            "169.255.0.1",
            "198.17.255.255",
            "198.20.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "[2606:2800:220:1::1]",
            "[2001:200::1]",
            "[2001:db7::1]",
            "[2001:db9::1]",
            "[::ffff:93.184.216.34]",
            "[64:ff9b::93.184.216.34]",
            "[2002:5db8:d822::]",
            "[2606:4700::5efe:93.184.216.34]",
        ],
    ),
    (
        // judged when they are resolved, by every address
        "name",
        &[
            "localhost",
            "LOCALHOST",
            "localhost.",
            "127.0.0.1.nip.io",
            "127.0.0.1..",
            "metadata.google.internal",
            "127.0.0.1@receiver.example",
            "receiver.example\\@127.0.0.1",
            "xn--n3h.example",
            "0x7f.1.example",
            "1.2.3.4.example.",
        ],
    ),
    (
        // no URLs: zones, too many or too large parts, wrong digits, brackets
        "none",
        &[
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "[::1%lo]",
            "127.0.0.0.1",
            "256.0.0.1",
            "127.0.0.256",
            "4294967296",
            "0x100000000",
            "0x7g.1",
            "08.0.0.1",
            "127..1",
            "[::1",
            "[127.0.0.1]",
            "[::ffff:127.1]",
            "[::ffff:0x7f.0.0.1]",
            "[1::2::3]",
            "[::12345]",
            "@",
            "127.0.0.1 ",
            "127.0.0.1%00",
        ],
    ),
];

#[test]
fn every_spelling_of_an_address_is_judged_alike() {
    let wrong: Vec<_> = SPELLINGS
        .iter()
        .flat_map(|(expected, spellings)| spellings.iter().map(move |spelling| (*spelling, *expected)))
        .map(|(spelling, expected)| (spelling, expected, judged(spelling)))
        .filter(|(_, expected, found)| expected != found)
        .collect();
    assert!(wrong.is_empty(), "spelling, expected, found: {wrong:#?}");
}

#[test]
fn what_is_allowed_is_allowed_in_every_spelling_and_nothing_beside_it() {
    let guard = guard(Trust::Registered, &["10.1.0.0/16", "fd12::/16", "64:ff9b:1::/48"]);
    #[track_caller]
    fn check(guard: &Guard, address: &str, expected: bool) {
        assert_eq!(guard.check(address.parse().unwrap()).is_ok(), expected, "{address}");
    }
    let yes = [
        "10.1.2.3",
        "fd12::1",
        "::ffff:10.1.2.3",
        "2002:a01:203::",
        "64:ff9b::a01:203",
        "64:ff9b:1::a00:1",
        "::10.1.2.3",
    ];
    for address in yes {
        check(&guard, address, true);
    }
    for address in
        ["10.2.0.1", "10.0.255.255", "fd13::1", "127.0.0.1", "::1", "::ffff:10.2.0.1", "64:ff9b:1::a9fe:a9fe"]
    {
        check(&guard, address, false);
    }
}

#[test]
fn a_refusal_names_the_address_and_the_key() {
    let guard = guard(Trust::Registered, &[]);
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
    assert_eq!(refusal.to_string(), "address 169.254.169.254 is refused always: a cloud's metadata service");
}
