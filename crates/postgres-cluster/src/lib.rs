//! Throw-away PostgreSQL clusters: started in a folder of their own on a free port of this machine, and gone with whoever started
//! them.
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
//! A server that runs on the machine already is never used. The server refuses to run as root: then it runs as the user `postgres` of
//! the packages, or as `nobody`. It writes to disk as it would for a host: `fsync` is on.
//!
//! A shell stands between: it waits for the end of a pipe that the starter holds, so that the cluster ends with the process that
//! started it, however that ends. What is left by a shell that was killed is swept by the next start.

mod cluster;
mod group;
mod installation;
mod network;
mod pooler;
#[cfg(feature = "proxy")]
pub mod proxy;
mod replica;
mod server;
mod shared;
mod sweep;
mod user;

use std::{fmt, io};

pub use self::{
    cluster::Cluster,
    group::Group,
    installation::Installation,
    network::Network,
    pooler::Pooler,
    shared::{POOLER_VARIABLE, URL_VARIABLE, behind_pooler, shared},
};

/// Why there is no cluster.
///
/// ```
/// let error = throughline_postgres_cluster::StartError::missing();
/// assert!(error.to_string().contains("not installed"));
/// ```
#[derive(Debug)]
pub struct StartError {
    what: String,
    source: Option<io::Error>,
}

impl StartError {
    /// PostgreSQL is not installed.
    #[must_use]
    pub fn missing() -> Self {
        Self { what: "PostgreSQL 15 or newer is not installed".to_owned(), source: None }
    }

    /// PgBouncer is not installed.
    #[must_use]
    pub fn no_pooler() -> Self {
        Self { what: "PgBouncer is not installed".to_owned(), source: None }
    }

    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self { what, source: Some(source) }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StartError {}
