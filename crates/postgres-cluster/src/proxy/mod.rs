//! A TCP proxy that injects network faults: it delays, cuts, resets and swallows.
//!
//! ```no_run
//! use throughline_postgres_cluster::{Cluster, Installation, proxy::{Proxy, Way}};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let installation = Installation::find().ok_or("PostgreSQL is not installed")?;
//! let cluster = Cluster::start(&installation)?;
//! let proxy = Proxy::start(&cluster.address()).await?;
//! let url = cluster.url_at(&proxy.address(), "postgres");
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

/// The direction of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// The faults that the proxy injects now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// The delay before the proxy forwards the bytes of one read.
    delay: Duration,
    /// Whether the proxy discards bytes in this direction.
    swallows_to_server: bool,
    swallows_to_client: bool,
    /// A counter; each increment resets all current connections.
    cuts: u64,
    /// Whether the proxy resets new connections at once.
    refuses: bool,
}

/// How often each fault met a connection.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    cut: AtomicU64,
    swallowed: AtomicU64,
    round_trips: AtomicU64,
}

/// The state that the connections of a proxy share.
#[derive(Debug)]
struct Shared {
    upstream: Mutex<String>,
    faults: watch::Sender<Faults>,
    /// How many bytes pass in each direction before the proxy resets the connection of the next byte. Negative: no
    /// limit.
    budgets: [AtomicI64; 2],
    counts: Counts,
}

impl Shared {
    fn upstream(&self) -> String {
        // No code panics while it holds the lock.
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A running proxy. Dropping it ends it and its connections.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of this machine and forwards to `upstream`, such as `127.0.0.1:5432`.
    ///
    /// # Errors
    /// Returns the error of the system.
    pub async fn start(upstream: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream.to_owned()),
            faults: watch::Sender::new(Faults::default()),
            budgets: [AtomicI64::new(-1), AtomicI64::new(-1)],
            counts: Counts::default(),
        });
        let task = tokio::spawn(link::accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, address, task })
    }

    /// Returns its address and port.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Forwards new connections to another server.
    pub fn route_to(&self, upstream: &str) {
        upstream.clone_into(&mut self.shared.upstream.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        self.shared.faults.send_modify(change);
    }

    /// Delays the bytes of each read before the proxy forwards them.
    pub fn delay(&self, delay: Duration) {
        self.change(|faults| faults.delay = delay);
    }

    /// Resets every current connection. New connections pass.
    pub fn reset(&self) {
        self.change(|faults| faults.cuts += 1);
    }

    /// Resets every current connection and every new one.
    pub fn refuse(&self) {
        self.change(|faults| {
            faults.cuts += 1;
            faults.refuses = true;
        });
    }

    /// Discards all bytes in both directions: connections stay open, and neither side receives anything.
    pub fn swallow(&self) {
        self.swallow_one(Way::ToServer);
        self.swallow_one(Way::ToClient);
    }

    /// Discards all bytes in one direction.
    pub fn swallow_one(&self, way: Way) {
        self.change(|faults| match way {
            Way::ToServer => faults.swallows_to_server = true,
            Way::ToClient => faults.swallows_to_client = true,
        });
    }

    /// Lets `bytes` more bytes pass in this direction, over all connections. Then resets the connection of the next
    /// byte, once.
    pub fn cut_after(&self, way: Way, bytes: u32) {
        self.shared.budgets[way as usize].store(i64::from(bytes), Ordering::SeqCst);
    }

    /// Stops all faults. Resets the connections of which bytes were discarded: a network repeats lost packets, and
    /// this proxy does not.
    pub fn heal(&self) {
        for budget in &self.shared.budgets {
            budget.store(-1, Ordering::SeqCst);
        }
        self.change(|faults| {
            let swallows = faults.swallows_to_client || faults.swallows_to_server;
            *faults = Faults { cuts: faults.cuts + u64::from(swallows), ..Faults::default() };
        });
    }

    /// Returns how many connections were made.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.counts.connections.load(Ordering::SeqCst)
    }

    /// Returns how many connections were reset.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.shared.counts.cut.load(Ordering::SeqCst)
    }

    /// Returns how many round trips there were: how often a client sent bytes after the last answer of the server. The count is exact
    /// for a client that waits for the whole answer before it sends again.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.shared.counts.round_trips.load(Ordering::SeqCst)
    }

    /// Returns how many reads were discarded.
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
