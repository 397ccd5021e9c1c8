//! A TCP proxy that stands between walhook and PostgreSQL and fails as networks do.
//!
//! ```text
//! walhook ──up──► proxy ──up──► PostgreSQL
//!         ◄─down─       ◄─down─
//! ```
//!
//! The [`Weather`] is for everybody: what becomes of new connections, and how bytes flow. A [`Fate`] befalls a
//! connection, a [`Trap`] the first one that says certain words.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What becomes of those who connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    #[default]
    Open,
    /// Nobody listens: the connection is refused.
    Closed,
    /// The connection is accepted, and nothing is said.
    Mute,
    /// The connection is accepted and ended at once.
    Slammed,
}

/// How bytes flow in one direction.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// How many at most go in one piece.
    pub piece: usize,
    /// How long a piece takes.
    pub pause: Duration,
    /// Nothing gets through for now, the end of a connection neither.
    pub stalled: bool,
}

impl Default for Flow {
    fn default() -> Self {
        Self { piece: PIECE_MAX, pause: Duration::ZERO, stalled: false }
    }
}

const PIECE_MAX: usize = 64 * 1024;
/// How long a test waits for something to happen here.
const WAIT_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default)]
pub struct Weather {
    pub door: Door,
    /// From the server to walhook.
    pub down: Flow,
    /// From walhook to the server.
    pub up: Flow,
    /// Connections break after so many bytes from the server, by turns with a reset and with an end.
    pub cut_after: Option<u64>,
    pub trap: Option<Trap>,
}

/// Waits for words of walhook's, once.
#[derive(Clone, Copy, Debug)]
pub struct Trap {
    pub words: &'static str,
    pub then: Then,
}

/// What becomes of who says the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The server never hears them: the connection is reset.
    CutBefore,
    /// The server hears them, and the connection is reset when its answer comes.
    CutAtAnswer,
    /// The server hears them, and its answer never comes.
    Silence,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Lives,
    /// Reset on both sides; what is under way is lost.
    Cut,
    /// Closed on both sides; what is under way arrives.
    Ends,
    /// The server's side is reset; walhook's stays open and everything vanishes in it.
    LosesServer,
    /// Walhook's side is reset; the server's stays open.
    LosesClient,
    /// Both sides stay open, and nothing gets through any more, not even the end.
    BlackHole,
}

/// A connection through the proxy.
struct Link {
    fate: watch::Sender<Fate>,
    /// What walhook said first.
    opening: Mutex<Vec<u8>>,
    /// The next answer of the server is the end.
    cut_at_answer: AtomicBool,
    cut_after: Option<u64>,
}

struct Shared {
    weather: watch::Sender<Weather>,
    links: Mutex<Vec<Arc<Link>>>,
    accepted: AtomicU64,
    broken: AtomicU64,
    sprung: AtomicU64,
    server: SocketAddr,
}

pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    _listening: JoinSet<()>,
}

impl Proxy {
    /// In front of a server on the loopback.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            weather: watch::Sender::new(Weather::default()),
            links: Mutex::default(),
            accepted: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            sprung: AtomicU64::new(0),
            server: SocketAddr::from(([127, 0, 0, 1], port)),
        });
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, own, Arc::clone(&shared)));
        Self { port: own.port(), shared, _listening: listening }
    }

    /// The address of a database behind it, without TLS.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Changes the weather.
    pub fn weather(&self, change: impl FnOnce(&mut Weather)) {
        self.shared.weather.send_modify(change);
    }

    /// All is well again; what was broken stays so.
    pub fn clear(&self) {
        self.shared.weather.send_replace(Weather::default());
    }

    /// Lays a trap; the one before it is gone.
    pub fn trap(&self, words: &'static str, then: Then) {
        self.weather(|weather| weather.trap = Some(Trap { words, then }));
    }

    /// What becomes of the connections whose opening has these words: `replication`, `walhook catalog`, or
    /// nothing for all.
    pub fn befall(&self, words: &str, fate: Fate) -> usize {
        let links = self.shared.links.lock().unwrap();
        let has_words = |link: &&Arc<Link>| contains(&link.opening.lock().unwrap(), words);
        let alive = links.iter().filter(|link| *link.fate.borrow() == Fate::Lives).filter(has_words);
        let befallen = alive.inspect(|link| {
            link.fate.send_replace(fate);
        });
        befallen.count()
    }

    /// How many connections have been accepted.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// How many connections were broken by `cut_after`.
    pub fn broken(&self) -> u64 {
        self.shared.broken.load(Ordering::Relaxed)
    }

    /// Waits until a trap has sprung so many times in all.
    pub async fn until_sprung(&self, times: u64) {
        self.until("no trap has sprung", || self.shared.sprung.load(Ordering::Relaxed) >= times).await;
    }

    /// Waits until so many connections were broken in all.
    pub async fn until_broken(&self, times: u64) {
        self.until("no connection broke", || self.broken() >= times).await;
    }

    /// Waits until so many connections were accepted in all.
    pub async fn until_accepted(&self, times: u64) {
        self.until("nobody connects", || self.accepted() >= times).await;
    }

    async fn until(&self, complaint: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < WAIT_MAX, "{complaint}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn listen(listener: TcpListener, own: SocketAddr, shared: Arc<Shared>) {
    let mut weather = shared.weather.subscribe();
    let mut links = JoinSet::new();
    let mut listener = Some(listener);
    loop {
        let door = weather.borrow_and_update().door;
        if door == Door::Closed {
            listener = None;
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(own).await.expect("the port is still ours"));
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        let client = tokio::select! {
            _ = weather.changed() => continue,
            accepted = accepted => accepted.unwrap().0,
        };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        let Weather { door, cut_after, .. } = *weather.borrow();
        match door {
            Door::Slammed => drop(client),
            Door::Mute => {
                links.spawn(swallow(client));
            }
            Door::Open | Door::Closed => {
                let link = Arc::new(Link {
                    fate: watch::Sender::new(Fate::Lives),
                    opening: Mutex::default(),
                    cut_at_answer: AtomicBool::new(false),
                    cut_after,
                });
                shared.links.lock().unwrap().push(Arc::clone(&link));
                links.spawn(connect(client, link, Arc::clone(&shared)));
            }
        }
    }
}

/// One connection, until its end.
async fn connect(mut client: TcpStream, link: Arc<Link>, shared: Arc<Shared>) {
    let Ok(mut server) = TcpStream::connect(shared.server).await else {
        let _ = client.set_zero_linger();
        link.fate.send_replace(Fate::Cut);
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut fate = link.fate.subscribe();
    let fate = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = up(from_client, to_server, &link, &shared);
        let down = down(from_server, to_client, &link, &shared);
        tokio::select! {
            _ = async { tokio::try_join!(up, down) } => Fate::Cut,
            fate = fate.wait_for(|fate| *fate != Fate::Lives) => fate.map_or(Fate::Cut, |fate| *fate),
        }
    };
    link.fate.send_replace(fate);
    match fate {
        Fate::Ends => {}
        Fate::Lives | Fate::Cut => {
            let _ = (client.set_zero_linger(), server.set_zero_linger());
        }
        Fate::LosesServer => {
            let _ = server.set_zero_linger();
            drop(server);
            swallow(client).await;
        }
        Fate::LosesClient => {
            let _ = client.set_zero_linger();
            drop(client);
            swallow(server).await;
        }
        Fate::BlackHole => std::future::pending().await,
    }
}

/// Reads and forgets, until the other end has enough.
async fn swallow(mut stream: TcpStream) {
    let mut bytes = vec![0; PIECE_MAX];
    while stream.read(&mut bytes).await.is_ok_and(|length| length > 0) {}
}

async fn up(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    link: &Link,
    shared: &Shared,
) -> io::Result<()> {
    let mut bytes = vec![0; PIECE_MAX];
    let mut weather = shared.weather.subscribe();
    loop {
        let piece = weather.borrow_and_update().up.piece;
        let length = from.read(&mut bytes[..piece]).await?;
        let bytes = &bytes[..length];
        {
            let mut opening = link.opening.lock().unwrap();
            // the startup message names the application and the kind of connection
            if opening.len() < 1024 {
                opening.extend_from_slice(bytes);
            }
        }
        pass(&mut weather, |weather| weather.up).await;
        if length == 0 {
            return to.shutdown().await;
        }
        match sprung(bytes, shared) {
            None => {}
            Some(Then::CutBefore) => return Err(io::ErrorKind::ConnectionReset.into()),
            Some(Then::CutAtAnswer) => link.cut_at_answer.store(true, Ordering::Relaxed),
            Some(Then::Silence) => {
                to.write_all(bytes).await?;
                link.fate.send_replace(Fate::BlackHole);
            }
        }
        to.write_all(bytes).await?;
    }
}

async fn down(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    link: &Link,
    shared: &Shared,
) -> io::Result<()> {
    let mut bytes = vec![0; PIECE_MAX];
    let mut weather = shared.weather.subscribe();
    let mut sent = 0;
    loop {
        let piece = weather.borrow_and_update().down.piece;
        let length = from.read(&mut bytes[..piece]).await?;
        pass(&mut weather, |weather| weather.down).await;
        if length == 0 {
            return to.shutdown().await;
        }
        if link.cut_at_answer.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let left = link.cut_after.map_or(u64::MAX, |bytes| bytes - sent);
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        to.write_all(&bytes[..length]).await?;
        sent += length as u64;
        if length as u64 == left {
            let number = shared.broken.fetch_add(1, Ordering::Relaxed);
            if number % 2 == 1 {
                link.fate.send_replace(Fate::Ends);
                return std::future::pending().await;
            }
            return Err(io::ErrorKind::ConnectionReset.into());
        }
    }
}

/// Takes the time of a piece, and waits until bytes get through.
async fn pass(weather: &mut watch::Receiver<Weather>, flow: fn(&Weather) -> Flow) {
    let pause = flow(&weather.borrow()).pause;
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    let _ = weather.wait_for(|weather| !flow(weather).stalled).await;
}

/// What the trap does, if these bytes have its words.
fn sprung(bytes: &[u8], shared: &Shared) -> Option<Then> {
    let trap = shared.weather.borrow().trap.filter(|trap| contains(bytes, trap.words))?;
    shared.weather.send_modify(|weather| weather.trap = None);
    shared.sprung.fetch_add(1, Ordering::Relaxed);
    Some(trap.then)
}

fn contains(bytes: &[u8], words: &str) -> bool {
    words.is_empty() || bytes.windows(words.len()).any(|window| window == words.as_bytes())
}
