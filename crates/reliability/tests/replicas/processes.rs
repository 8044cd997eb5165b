//! Two server processes over one store.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use throughline_reliability::worker::Worker;
use tokio::task::{JoinHandle, spawn_blocking};

/// The number of processes.
pub(crate) const REPLICAS: usize = 2;

/// The addresses of the running processes.
#[derive(Clone, Default)]
pub(crate) struct Addresses(Arc<Mutex<[Option<SocketAddr>; REPLICAS]>>);

impl Addresses {
    /// Returns a running replica and its address: the preferred one, or else the other one.
    pub(crate) fn find(&self, preferred: usize) -> (usize, SocketAddr) {
        let addresses = self.0.lock().unwrap();
        let mut order = (0..REPLICAS).map(|offset| (preferred + offset) % REPLICAS);
        order.find_map(|replica| Some((replica, addresses[replica]?))).expect("one replica runs")
    }

    fn set(&self, replica: usize, address: Option<SocketAddr>) {
        self.0.lock().unwrap()[replica] = address;
    }
}

/// The processes. Dropping them kills them.
pub(crate) struct Replicas {
    store: String,
    addresses: Addresses,
    running: [Option<Worker>; REPLICAS],
    /// The replica that is being started again.
    starting: Option<(usize, JoinHandle<(Worker, SocketAddr)>)>,
}

impl Replicas {
    /// Starts them over the store at this URL, one after the other.
    pub(crate) async fn start(store: String) -> Self {
        let mut replicas =
            Self { store, addresses: Addresses::default(), running: [None, None], starting: None };
        for replica in 0..REPLICAS {
            replicas.begin(replica);
            replicas.wait_until_all_run().await;
        }
        replicas
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    fn begin(&mut self, replica: usize) {
        let store = self.store.clone();
        let started = spawn_blocking(move || {
            let mut server = Worker::start_with(env!("CARGO_BIN_EXE_server"), [store]).unwrap();
            let address: SocketAddr = server.line().expect("the server starts").parse().unwrap();
            (server, address)
        });
        self.starting = Some((replica, started));
    }

    /// Waits until the replica that was killed last runs again.
    pub(crate) async fn wait_until_all_run(&mut self) {
        if let Some((replica, started)) = self.starting.take() {
            let (server, address) = started.await.unwrap();
            self.running[replica] = Some(server);
            self.addresses.set(replica, Some(address));
        }
    }

    /// Kills a replica with `kill -9` while the other one runs, and begins to start it again.
    pub(crate) fn kill(&mut self, replica: usize) {
        assert!(self.starting.is_none(), "the other replica runs");
        self.addresses.set(replica, None);
        let mut server = self.running[replica].take().expect("the replica runs");
        server.kill().unwrap();
        assert!(server.end().unwrap().was_killed());
        self.begin(replica);
    }
}
