//! Connections against a real server: passwords, TLS, hosts.

#![allow(clippy::unwrap_used)] // tests, and the helpers that set their stage

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use walhook::demo::cluster::Cluster;
use walhook::postgres::{Address, Environment, Error, connect};
use walhook::remedy::{Remediable, Remedy};
use walhook::source::Control;

/// A server that demands logins, with TLS.
struct Guarded {
    cluster: Cluster,
    authority: PathBuf,
    other_authority: PathBuf,
    client: (PathBuf, PathBuf),
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// Signs by ECDSA with SHA-384, so that the hash of its signatures is not that of a server's P-256 key.
fn authority(name: &str) -> Authority {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let mut parameters = CertificateParams::new(vec![]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, name);
    let pem = parameters.self_signed(&key).unwrap().pem();
    Authority { issuer: Issuer::new(parameters, key), pem }
}

fn certificate(authority: &Authority, common_name: &str, names: &[&str]) -> (String, String) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = CertificateParams::new(names).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    (parameters.signed_by(&key, &authority.issuer).unwrap().pem(), key.serialize_pem())
}

fn write(path: &Path, text: &str, mode: u32) -> PathBuf {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_owned()
}

impl Guarded {
    /// The server's certificate names `names`.
    async fn start(names: &[&str]) -> Self {
        let cluster = Cluster::start(&[]).unwrap();
        let address = Address::parse(&cluster.url("postgres")).unwrap();
        let sql = connect(&address, "test").await.unwrap();
        sql.batch_execute(
            "set password_encryption = 'scram-sha-256';
             create role scram_user login replication password 'sécret';
             create role clear_user login replication password 'secret';
             create role trusted_user login replication;
             create role cert_user login replication;
             create role outsider login;
             create role plain_only login password 'secret';
             create role no_replication login password 'secret';
             set password_encryption = 'md5';
             create role md5_user login replication password 'secret'",
        )
        .await
        .unwrap();
        let folder = cluster.folder().to_owned();
        let ours = authority("ours");
        let (server_certificate, server_key) = certificate(&ours, "server", names);
        let data = folder.join("data");
        let owner = fs::metadata(&data).unwrap();
        for (name, text) in
            [("server.crt", &server_certificate), ("server.key", &server_key), ("ca.crt", &ours.pem)]
        {
            let path = write(&data.join(name), text, 0o600);
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let (client_certificate, client_key) = certificate(&ours, "cert_user", &[]);
        let guarded = Self {
            authority: write(&folder.join("ca.pem"), &ours.pem, 0o644),
            other_authority: write(&folder.join("other.pem"), &authority("theirs").pem, 0o644),
            client: (
                write(&folder.join("client.crt"), &client_certificate, 0o644),
                write(&folder.join("client.key"), &client_key, 0o600),
            ),
            cluster,
        };
        fs::write(
            data.join("pg_hba.conf"),
            "local all all trust\n\
             host all postgres 127.0.0.1/32 trust\n\
             host all scram_user 127.0.0.1/32 scram-sha-256\n\
             host all md5_user 127.0.0.1/32 md5\n\
             host all clear_user 127.0.0.1/32 password\n\
             host all trusted_user 127.0.0.1/32 trust\n\
             host all no_replication 127.0.0.1/32 scram-sha-256\n\
             hostnossl all plain_only 127.0.0.1/32 scram-sha-256\n\
             hostssl all cert_user 127.0.0.1/32 cert\n",
        )
        .unwrap();
        sql.batch_execute("alter system set ssl = on").await.unwrap();
        sql.batch_execute("alter system set ssl_ca_file = 'ca.crt'").await.unwrap();
        drop(sql);
        guarded.cluster.down("fast").unwrap();
        guarded.cluster.up().unwrap();
        guarded
    }

    fn address(&self, user: &str, more: &str) -> Address {
        let text = format!("host=127.0.0.1 port={} dbname=postgres user={user} {more}", self.cluster.port());
        Address::parse_with(&text, &Environment::default()).unwrap()
    }

    /// Connects both ways, for SQL and for replication, and says whether by TLS.
    async fn both(&self, user: &str, more: &str) -> bool {
        let address = self.address(user, more);
        let session =
            connect(&address, "it").await.unwrap_or_else(|error| panic!("{user} {more}: {error:?}"));
        let statement = "select current_user::text, ssl from pg_stat_ssl where pid = pg_backend_pid()";
        let row = session.query_one(statement, &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), user);
        let mut control =
            Control::connect(&address, "it").await.unwrap_or_else(|error| panic!("{user} {more}: {error:?}"));
        control.identify().await.unwrap();
        row.get(1)
    }

    /// Both ways are refused alike.
    async fn refused(&self, user: &str, more: &str) -> Error {
        let address = self.address(user, more);
        let Err(one) = connect(&address, "it").await else { panic!("{user} {more} got in") };
        let other = Control::connect(&address, "it").await.unwrap_err();
        let walhook::source::Error::Connection(other) = other else { panic!("{other:?}") };
        assert_eq!(std::mem::discriminant(&one), std::mem::discriminant(&other), "{one:?}\n{other:?}");
        assert_eq!(one.hint(), other.hint());
        other
    }
}

#[tokio::test]
async fn passwords_are_given_as_the_server_asks_for_them() {
    let server = Guarded::start(&["localhost"]).await;
    for mode in ["disable", "require"] {
        let tls = mode == "require";
        assert_eq!(server.both("scram_user", &format!("password=sécret sslmode={mode}")).await, tls);
        assert_eq!(server.both("md5_user", &format!("password=secret sslmode={mode}")).await, tls);
        // in clear text it does not leave this machine
        assert_eq!(server.both("clear_user", &format!("password=secret sslmode={mode}")).await, tls);
        assert_eq!(server.both("trusted_user", &format!("sslmode={mode}")).await, tls);
    }
    // the channel is bound though the certificate's signature has another hash than its key's
    assert!(server.both("scram_user", "password=sécret sslmode=require channel_binding=require").await);
    let error = server.refused("scram_user", "password=sécret sslmode=disable channel_binding=require").await;
    assert_eq!(error.remedy(), Remedy::CallOperator, "{error:?}");
    let error = server.refused("md5_user", "password=secret sslmode=require channel_binding=require").await;
    assert!(matches!(error, Error::Login { .. }), "{error:?}");

    for user in ["scram_user", "md5_user", "clear_user"] {
        let error = server.refused(user, "password=wrong").await;
        assert!(matches!(&error, Error::Refused { error, .. } if error.code == "28P01"), "{error:?}");
        assert_eq!(error.remedy(), Remedy::CallOperator);
        let error = server.refused(user, "").await;
        assert!(matches!(error, Error::NoPassword { .. }), "{error:?}");
    }
    let error = server.refused("outsider", "").await;
    assert!(error.hint().unwrap().contains("pg_hba.conf"), "{error:?}");
    let error =
        Control::connect(&server.address("no_replication", "password=secret"), "it").await.unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("alter role \"no_replication\" replication;"));

    let passfile = server.cluster.folder().join("pass");
    write(&passfile, &format!("127.0.0.1:{}:*:scram_user:sécret\n", server.cluster.port()), 0o600);
    server.both("scram_user", &format!("passfile={}", passfile.display())).await;
}

#[tokio::test]
async fn tls_has_the_modes_of_libpq() {
    let server = Guarded::start(&["localhost", "127.0.0.1"]).await;
    let ours = format!("sslrootcert={}", server.authority.display());
    let theirs = format!("sslrootcert={}", server.other_authority.display());
    let check = async |mode: &str, more: &str| {
        server.both("scram_user", &format!("password=sécret sslmode={mode} {more}")).await
    };
    assert!(!check("disable", "").await);
    assert!(!check("allow", "").await);
    assert!(check("prefer", "").await);
    assert!(check("require", "").await);
    assert!(check("require", &ours).await);
    assert!(check("verify-ca", &ours).await);
    // an address instead of a name, named by the certificate
    assert!(check("verify-full", &ours).await);
    assert!(check("verify-full", &format!("{ours} channel_binding=require")).await);
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = server.refused("scram_user", &format!("password=sécret sslmode={mode} {theirs}")).await;
        assert!(matches!(error, Error::Tls { .. }), "{error:?}");
        assert_eq!(error.remedy(), Remedy::CallOperator);
    }
    let error = server.refused("scram_user", "password=sécret sslmode=verify-full sslrootcert=/none").await;
    assert!(matches!(error, Error::TlsSetup { .. }), "{error:?}");

    // prefer takes the other way where pg_hba.conf has a line for it only, require does not
    let address = server.address("plain_only", "password=secret sslmode=prefer");
    connect(&address, "it").await.unwrap();
    let error = connect(&server.address("plain_only", "password=secret sslmode=require"), "it").await;
    assert!(matches!(error, Err(Error::Refused { .. })));

    let (certificate, key) = (server.client.0.display(), server.client.1.display());
    assert!(server.both("cert_user", &format!("sslmode=require sslcert={certificate} sslkey={key}")).await);
    // allow: the server refuses the way without
    assert!(server.both("cert_user", &format!("sslmode=allow sslcert={certificate} sslkey={key}")).await);
    fs::set_permissions(&server.client.1, fs::Permissions::from_mode(0o644)).unwrap();
    let error =
        server.refused("cert_user", &format!("sslmode=require sslcert={certificate} sslkey={key}")).await;
    assert!(format!("{error:?}").contains("KeyNotPrivate"), "{error:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_passes_verify_ca_only() {
    let server = Guarded::start(&["elsewhere.example"]).await;
    let ours = format!("password=sécret sslrootcert={}", server.authority.display());
    assert!(server.both("scram_user", &format!("{ours} sslmode=verify-ca")).await);
    let error = server.refused("scram_user", &format!("{ours} sslmode=verify-full")).await;
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("subjectAltName"));
    // hostaddr says where, host says who
    let named = ours.clone() + " sslmode=verify-full host=elsewhere.example hostaddr=127.0.0.1";
    let text = format!("port={} dbname=postgres user=scram_user {named}", server.cluster.port());
    connect(&Address::parse_with(&text, &Environment::default()).unwrap(), "it").await.unwrap();
}

#[tokio::test]
async fn sockets_and_several_hosts_are_tried_in_turn() {
    let cluster = Cluster::start(&[]).unwrap();
    let port = cluster.port();
    let socket = cluster.folder().display().to_string();
    let parse = |text: &str| Address::parse_with(text, &Environment::default()).unwrap();
    let text = format!("host={socket} port={port} dbname=postgres user=postgres");
    let session = connect(&parse(&text), "socket").await.unwrap();
    let row = session
        .query_one("select inet_server_addr() is null, current_setting('application_name')", &[])
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get::<_, String>(1).as_str()), (true, "socket"));

    // nobody listens at the first
    let closed = crate::port::unused();
    let hosts = format!("postgres://postgres@127.0.0.1:{closed},127.0.0.1:{port}/postgres");
    for attributes in ["any", "read-write", "primary", "prefer-standby"] {
        let address = parse(&format!("{hosts}?target_session_attrs={attributes}"));
        connect(&address, "it").await.unwrap();
        Control::connect(&address, "it").await.unwrap();
    }
    let address =
        parse(&format!("postgres://postgres@127.0.0.1:{port}/postgres?target_session_attrs=standby"));
    let Err(error) = connect(&address, "it").await else { panic!("a standby was found") };
    assert_eq!(error.to_string(), format!("no host of 127.0.0.1:{port} is standby"));
    assert_eq!(error.remedy(), Remedy::Wait);
    session.batch_execute("alter system set default_transaction_read_only = on").await.unwrap();
    session.batch_execute("select pg_reload_conf()").await.unwrap();
    let read_only =
        parse(&format!("postgres://postgres@127.0.0.1:{port}/postgres?target_session_attrs=read-only"));
    while connect(&read_only, "it").await.is_err() {}
    let read_write =
        parse(&format!("postgres://postgres@127.0.0.1:{port}/postgres?target_session_attrs=read-write"));
    assert!(connect(&read_write, "it").await.is_err());
    let error =
        Control::connect(&parse(&format!("postgres://postgres@127.0.0.1:{closed}/postgres")), "it").await;
    assert_eq!(error.unwrap_err().remedy(), Remedy::Wait);
}

#[tokio::test]
async fn a_host_that_accepts_and_says_nothing_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for mode in ["disable", "prefer"] {
        let text = format!("host=127.0.0.1 port={port} user=u connect_timeout=1 sslmode={mode}");
        let address = Address::parse_with(&text, &Environment::default()).unwrap();
        let Err(error) = connect(&address, "it").await else { panic!("nobody was there") };
        assert!(matches!(error, Error::TimedOut { seconds: 1, .. }), "{error:?}");
        assert_eq!(error.remedy(), Remedy::Wait);
    }
}
