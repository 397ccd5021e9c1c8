//! Names that do not resolve, resolve to several addresses, or to others at the next look.

use super::{Case, OK, case, ends_with, run, settings};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

const HERE: &str = "127.0.0.1";
/// Where nobody listens, and where strangers may not go.
const BESIDE: &str = "127.0.0.2";
/// Refused always; whoever breaks the guard connects to this machine by it, and bothers nobody outside.
const NEVER: &str = "0.0.0.0";

fn cases() -> Vec<Case> {
    let busy = "HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    vec![
        ends_with("no name", OK)
            .looks(&[])
            .retried("could not connect: failed to lookup address information: Name or service not known"),
        ends_with("a name without addresses", OK).looks(&[&[]]).retried("could not connect: the name has no address"),
        ends_with("a name that comes later", OK)
            .looks(&[&[], &[HERE]])
            .retried("could not connect: the name has no address")
            .taken("200 OK"),
        ends_with("the first address refuses", OK).looks(&[&[BESIDE, HERE]]).taken("200 OK"),
        ends_with("the first three addresses refuse", OK)
            .looks(&[&[BESIDE, "127.0.0.3", "127.0.0.4", HERE]])
            .taken("200 OK"),
        ends_with("the same address often", OK).looks(&[&[HERE; 100]]).taken("200 OK"),
        case("all addresses refuse", |_| async { Ok(()) })
            .refuses()
            .looks(&[&[BESIDE, HERE]])
            .retried("could not connect: Connection refused (os error 111)"),
        ends_with("an address that strangers may have", OK).stranger().taken("200 OK"),
        ends_with("an address that only operators may have", OK).looks(&[&[HERE, BESIDE]]).taken("200 OK"),
        ends_with("an inner address", OK).stranger().looks(&[&[BESIDE]]).retried(
            "address 127.0.0.2 of \"an-inner-address.walhook.test\" is not public, and [dispatch] allow does not contain it",
        ),
        ends_with("a mapped inner address", OK).stranger().looks(&[&["::ffff:127.0.0.2"]]).retried(
            "address ::ffff:127.0.0.2 of \"a-mapped-inner-address.walhook.test\" is not public, and [dispatch] allow does \
             not contain it",
        ),
        ends_with("an address of no host", OK).looks(&[&[NEVER]]).retried(
            "address 0.0.0.0 of \"an-address-of-no-host.walhook.test\" is refused always: not the address of a host",
        ),
        ends_with("a mapped address of no host", OK).looks(&[&["::ffff:0.0.0.0"]]).retried(
            "address ::ffff:0.0.0.0 of \"a-mapped-address-of-no-host.walhook.test\" is refused always: not the address of a host",
        ),
        ends_with("a forbidden address among others", OK)
            .stranger()
            .looks(&[&[NEVER, BESIDE, HERE]])
            .taken("200 OK"),
        case("the allowed one of several refuses", |_| async { Ok(()) })
            .refuses()
            .stranger()
            .looks(&[&[NEVER, HERE]])
            .retried("could not connect: Connection refused (os error 111)"),
        ends_with("no host at the second look", busy)
            .looks(&[&[HERE], &[NEVER]])
            .retried("503 Service Unavailable")
            .retried("address 0.0.0.0 of \"no-host-at-the-second-look.walhook.test\" is refused always: not the address of a host"),
        ends_with("an inner address at the second look", busy)
            .stranger()
            .looks(&[&[HERE], &[BESIDE]])
            .retried("503 Service Unavailable")
            .retried("address 127.0.0.2 of \"an-inner-address-at-the-second-look.walhook.test\" is not public, and [dispatch] allow does not contain it"),
        ends_with("an inner address for a moment", OK)
            .stranger()
            .looks(&[&[BESIDE], &[HERE]])
            .retried("address 127.0.0.2 of \"an-inner-address-for-a-moment.walhook.test\" is not public, and [dispatch] allow does not contain it")
            .taken("200 OK"),
        ends_with("no host for a moment", OK)
            .looks(&[&[NEVER], &[HERE]])
            .retried("address 0.0.0.0 of \"no-host-for-a-moment.walhook.test\" is refused always: not the address of a host")
            .taken("200 OK"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_looked_up_anew_and_judged_by_every_address() {
    let reports = run(cases(), settings()).await;
    for (report, case) in reports.iter().zip(cases()) {
        let refused = case.expected.iter().filter(|expected| expected.contains("address ")).count();
        let expected =
            if case.listens && refused > 0 { case.expected.len() - refused } else { report.connections };
        assert_eq!(report.connections, expected, "{}: a refused attempt has no connection", case.name);
    }
}

/// What broke: one answer of a name server that led to a forbidden address made a dead letter of a delivery, although
/// the next would have led to the endpoint. What mended it: only an address in the URL itself is refused for good.
/// (The table above has it for names.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_the_url_is_refused_for_good() {
    let mut inner = ends_with("127.0.0.2 itself", OK).stranger();
    inner.literal = Some(BESIDE);
    let mut never = ends_with("0.0.0.0 itself", OK);
    never.literal = Some(NEVER);
    let inner = inner.dead("address 127.0.0.2 is not public, and [dispatch] allow does not contain it");
    let never = never.dead("address 0.0.0.0 is refused always: not the address of a host");
    let reports = run(vec![inner, never], settings()).await;
    assert!(reports.iter().all(|report| report.connections == 0));
}

/// The address that was judged is the one connected to: the name leads to a forbidden listener at every look but
/// the judged one, and nobody ever comes there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_changes_after_the_look_leads_nowhere_else() {
    let beside = TcpListener::bind(SocketAddr::from(([127, 0, 0, 2], 0))).await.unwrap();
    let port = beside.local_addr().unwrap().port();
    let mut rebinding = case("rebinding", |mut peer| async move {
        peer.request().await?;
        // each delivery connects anew
        peer.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await
    });
    rebinding.port = port;
    rebinding.looks = [HERE, BESIDE].iter().cycle().take(7).map(|look| vec![look.parse().unwrap()]).collect();
    let refused = "address 127.0.0.2 of \"rebinding.walhook.test\" is not public, and [dispatch] allow does not contain it";
    let mut rebinding = rebinding.stranger().deliveries(4);
    rebinding = rebinding.taken("200 OK");
    for _ in 0..3 {
        rebinding = rebinding.retried(refused).taken("200 OK");
    }
    let reports = run(vec![rebinding], settings()).await;
    assert_eq!(reports[0].connections, 4);
    let came = tokio::time::timeout(Duration::ZERO, beside.accept()).await;
    assert!(came.is_err(), "somebody came to the forbidden address");
}
