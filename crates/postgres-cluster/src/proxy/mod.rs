//! A proxy of TCP that does to connections what networks do: it delays, cuts, resets and swallows.
//!
//! ```no_run
//! use throughline_postgres_cluster::{Cluster, Installation, proxy::{Proxy, Way}};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let installation = Installation::find().ok_or("PostgreSQL is not installed")?;
//! let cluster = Cluster::start(&installation)?;
//! let proxy = Proxy::start(&cluster.place()).await?;
//! let url = cluster.url_at(&proxy.place(), "postgres");
//! proxy.cut_after(Way::ToServer, 1_000); // in the middle of a message, perhaps
//! # drop(url);
//! # Ok(())
//! # }
//! ```

mod link;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// From whom to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What is done to what goes through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    /// Before each piece that arrives is passed on.
    delay: Duration,
    /// What is sent this way is read and passed on to nobody.
    swallows_to_server: bool,
    swallows_to_client: bool,
    /// Raised to end all connections that there are.
    cuts: u64,
    /// Whether new connections are ended at once.
    refuses: bool,
}

/// How often what was done has met a connection.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    cut: AtomicU64,
    swallowed: AtomicU64,
}

/// What the connections of a proxy share.
#[derive(Debug)]
struct Shared {
    upstream: Mutex<String>,
    weather: watch::Sender<Weather>,
    /// How many bytes are let through before the connection is cut that the next one is in; for each way. Negative for all.
    budgets: [AtomicI64; 2],
    counts: Counts,
}

impl Shared {
    fn upstream(&self) -> String {
        // Nobody panics who holds it.
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A proxy. Dropped, it ends, and so do its connections.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of this machine, and passes on to `upstream`, such as `127.0.0.1:5432`.
    ///
    /// # Errors
    /// What the system answers.
    pub async fn start(upstream: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream.to_owned()),
            weather: watch::Sender::new(Weather::default()),
            budgets: [AtomicI64::new(-1), AtomicI64::new(-1)],
            counts: Counts::default(),
        });
        let task = tokio::spawn(link::accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, address, task })
    }

    /// Where it listens: address and port.
    #[must_use]
    pub fn place(&self) -> String {
        self.address.to_string()
    }

    /// Passes new connections on to another server.
    pub fn lead_to(&self, upstream: &str) {
        upstream.clone_into(&mut self.shared.upstream.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.shared.weather.send_modify(change);
    }

    /// Holds each piece back for so long before it is passed on.
    pub fn delay(&self, delay: Duration) {
        self.change(|weather| weather.delay = delay);
    }

    /// Resets every connection that there is. New ones are let through.
    pub fn reset(&self) {
        self.change(|weather| weather.cuts += 1);
    }

    /// Resets every connection that there is, and every new one.
    pub fn refuse(&self) {
        self.change(|weather| {
            weather.cuts += 1;
            weather.refuses = true;
        });
    }

    /// Swallows what is sent in either way: connections stay, and nobody hears anything.
    pub fn swallow(&self) {
        self.swallow_one(Way::ToServer);
        self.swallow_one(Way::ToClient);
    }

    /// Swallows what is sent in one way.
    pub fn swallow_one(&self, way: Way) {
        self.change(|weather| match way {
            Way::ToServer => weather.swallows_to_server = true,
            Way::ToClient => weather.swallows_to_client = true,
        });
    }

    /// Lets `bytes` more through in this way, over all connections; then resets the one that the next byte is in, once.
    pub fn cut_after(&self, way: Way, bytes: u32) {
        self.shared.budgets[way as usize].store(i64::from(bytes), Ordering::SeqCst);
    }

    /// Lets everything through again. Connections of which something was swallowed are reset: a network repeats what was lost, and
    /// this does not.
    pub fn heal(&self) {
        for budget in &self.shared.budgets {
            budget.store(-1, Ordering::SeqCst);
        }
        self.change(|weather| {
            let swallows = weather.swallows_to_client || weather.swallows_to_server;
            *weather = Weather { cuts: weather.cuts + u64::from(swallows), ..Weather::default() };
        });
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.counts.connections.load(Ordering::SeqCst)
    }

    /// How many connections were reset.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.shared.counts.cut.load(Ordering::SeqCst)
    }

    /// How many pieces were swallowed.
    #[must_use]
    pub fn swallowed(&self) -> u64 {
        self.shared.counts.swallowed.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
