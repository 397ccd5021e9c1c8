//! A small SMTP relay that takes every mail, in the open, by STARTTLS or by TLS from the first byte on.

use crate::running::PATIENCE;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// How it talks.
#[derive(Clone)]
pub(super) enum Manner {
    Open,
    StartTls(TlsAcceptor),
    Tls(TlsAcceptor),
}

/// What it was told.
#[derive(Default)]
pub(super) struct Told {
    mails: Vec<String>,
    /// What came with AUTH, each as it came, and whether it came in private.
    pub(super) logins: Vec<(String, bool)>,
}

pub(super) struct Relay {
    pub(super) address: SocketAddr,
    pub(super) told: Arc<Mutex<Told>>,
    _tasks: JoinSet<()>,
}

impl Relay {
    pub(super) async fn start(address: SocketAddr) -> Self {
        Self::start_like(address, Manner::Open).await
    }

    pub(super) async fn start_like(address: SocketAddr, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::<Mutex<Told>>::default();
        let mut tasks = JoinSet::new();
        let taken = Arc::clone(&told);
        tasks.spawn(async move {
            let mut talks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (taken, manner) = (Arc::clone(&taken), manner.clone());
                talks.spawn(async move { _ = meet(stream, &manner, &taken).await });
            }
        });
        Self { address, told, _tasks: tasks }
    }

    pub(super) fn mails(&self) -> Vec<String> {
        self.told.lock().unwrap().mails.clone()
    }

    pub(super) async fn wait_for(&self, count: usize) -> Vec<String> {
        let begun = Instant::now();
        while self.mails().len() < count {
            assert!(begun.elapsed() < PATIENCE, "{} mails of {count}", self.mails().len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.mails()
    }
}

async fn meet(stream: TcpStream, manner: &Manner, told: &Mutex<Told>) -> io::Result<()> {
    let greeting = b"220 relay\r\n";
    match manner {
        Manner::Tls(acceptor) => {
            let mut stream = BufReader::new(acceptor.accept(stream).await?);
            stream.write_all(greeting).await?;
            talk(stream, true, false, told).await.map(drop)
        }
        Manner::Open => {
            let mut stream = BufReader::new(stream);
            stream.write_all(greeting).await?;
            talk(stream, false, false, told).await.map(drop)
        }
        Manner::StartTls(acceptor) => {
            let mut stream = BufReader::new(stream);
            stream.write_all(greeting).await?;
            let Some(stream) = talk(stream, false, true, told).await? else { return Ok(()) };
            talk(BufReader::new(acceptor.accept(stream).await?), true, false, told).await.map(drop)
        }
    }
}

/// Talks until the end, or until TLS is to begin: then the connection comes back.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    is_private: bool,
    offers_tls: bool,
    told: &Mutex<Told>,
) -> io::Result<Option<S>> {
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let words: Vec<&str> = line.trim_end().splitn(2, ' ').collect();
        let answer: &[u8] = match words[0] {
            "EHLO" if offers_tls => b"250-relay\r\n250 STARTTLS\r\n",
            "EHLO" if is_private => b"250-relay\r\n250 AUTH PLAIN\r\n",
            "STARTTLS" => {
                stream.write_all(b"220 go on\r\n").await?;
                return Ok(Some(stream.into_inner()));
            }
            "AUTH" => {
                told.lock().unwrap().logins.push((words[1].to_owned(), is_private));
                b"235 welcome\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mut mail = String::new();
                while !mail.ends_with("\r\n.\r\n") && stream.read_line(&mut mail).await? > 0 {}
                told.lock().unwrap().mails.push(mail);
                b"250 taken\r\n"
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(None);
            }
            _ => b"250 well\r\n",
        };
        stream.write_all(answer).await?;
        line.clear();
    }
    Ok(None)
}
