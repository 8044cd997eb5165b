//! Temporary PostgreSQL clusters for tests. Each cluster has a folder of its own, in that of [`FOLDER_VARIABLE`], and a free port of
//! this machine, and ends with the process that started it.
//!
//! ```no_run
//! use throughline_postgres_cluster::{Cluster, Installation};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let installation = Installation::find().ok_or("PostgreSQL is not installed")?;
//! let cluster = Cluster::start(&installation)?;
//! println!("{}", cluster.url("postgres"));
//! drop(cluster); // stopped, and its folder removed
//! # Ok(())
//! # }
//! ```
//!
//! The crate never uses a server that runs on the machine already. The server refuses to run as root; then it runs
//! as the user `postgres` of the packages, or as the unprivileged user of the system. It writes to
//! disk as it does in production: `fsync` is on.
//!
//! A shell runs between the test process and the server. It waits for the end of a pipe that the test process
//! holds, so that the cluster ends with that process, even after `kill -9`. If the shell itself was killed, the
//! next start removes its folder.

mod cluster;
mod folders;
mod group;
mod installation;
mod network;
mod pooler;
#[cfg(feature = "proxy")]
pub mod proxy;
mod replica;
mod server;
mod shared;
mod user;

use std::{fmt, io};

pub use self::{
    cluster::Cluster,
    folders::FOLDER_VARIABLE,
    group::Group,
    installation::Installation,
    network::Network,
    pooler::Pooler,
    shared::{POOLER_VARIABLE, URL_VARIABLE, behind_pooler, shared},
};

/// The reason why a cluster could not be started or used.
///
/// ```
/// let error = throughline_postgres_cluster::StartError::missing();
/// assert!(error.to_string().contains("not installed"));
/// ```
#[derive(Debug)]
pub struct StartError {
    reason: String,
    source: Option<io::Error>,
}

impl StartError {
    /// PostgreSQL is not installed.
    #[must_use]
    pub fn missing() -> Self {
        Self { reason: "PostgreSQL 15 or newer is not installed".to_owned(), source: None }
    }

    /// PgBouncer is not installed.
    #[must_use]
    pub fn no_pooler() -> Self {
        Self { reason: "PgBouncer is not installed".to_owned(), source: None }
    }

    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), source: None }
    }

    pub(crate) fn io(reason: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let reason = reason.into();
        |source| Self { reason, source: Some(source) }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StartError {}
