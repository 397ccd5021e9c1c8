//! The throwaway server that all other tests stand on.

use walhook::demo::cluster::Cluster;

#[tokio::test]
async fn a_throwaway_server_starts_answers_and_goes() {
    let cluster = Cluster::start(&[]).unwrap();
    let folder = cluster.folder().to_owned();
    let address = walhook::postgres::Address::parse(&cluster.url("postgres")).unwrap();
    let session = walhook::postgres::connect(&address, "test").await.unwrap();
    let row = session.query_one("show wal_level", &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "logical");
    drop(session);
    drop(cluster);
    assert!(!folder.exists());
}
