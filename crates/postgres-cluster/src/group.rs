use crate::{Cluster, Installation, StartError};

/// The `application_name` of each standby.
const SYNCHRONOUS: &str = "synchronous";
const ASYNCHRONOUS: &str = "asynchronous";

/// A primary with two standbys. Commits wait for one standby, or for none.
///
/// ```no_run
/// use throughline_postgres_cluster::{Group, Installation};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let installation = Installation::find().ok_or("PostgreSQL is not installed")?;
/// let mut group = Group::start(&installation, true)?;
/// println!("{}", group.url("postgres")); // names all three servers
/// group.kill()?;
/// group.promote()?; // the synchronous standby becomes the primary
/// group.rejoin()?; // the former primary becomes its standby
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Group {
    /// Two servers that alternate as primary, and the asynchronous standby.
    servers: [Cluster; 3],
    /// The index of the current primary, 0 or 1.
    primary: usize,
    /// Whether the other server was the primary and is not a standby yet.
    was_promoted: bool,
    waits: bool,
}

impl Group {
    /// Starts all three servers. If `waits` is set, a commit waits until one standby has flushed it to disk.
    ///
    /// # Errors
    /// The errors of [`Cluster::start`].
    pub fn start(installation: &Installation, waits: bool) -> Result<Self, StartError> {
        let primary = Cluster::start(installation)?;
        if waits {
            primary.synchronous_standbys(SYNCHRONOUS)?;
        }
        let standbys = [primary.replica(SYNCHRONOUS)?, primary.replica(ASYNCHRONOUS)?];
        let [synchronous, asynchronous] = standbys;
        let servers = [primary, synchronous, asynchronous];
        let group = Self { servers, primary: 0, was_promoted: false, waits };
        group.wait()?;
        Ok(group)
    }

    fn wait(&self) -> Result<(), StartError> {
        let primary = self.primary();
        primary.wait_for_replica(SYNCHRONOUS, if self.waits { "sync" } else { "async" })?;
        primary.wait_for_replica(ASYNCHRONOUS, "async")
    }

    /// Returns the URL of a database, with the addresses of all three servers. The URL does not depend on which
    /// server is the primary.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.primary().url_at(&self.servers.each_ref().map(Cluster::address).join(","), database)
    }

    /// Returns the primary.
    #[must_use]
    pub const fn primary(&self) -> &Cluster {
        &self.servers[self.primary]
    }

    /// Returns the server that [`promote`](Self::promote) promotes: the synchronous standby. After a promotion, it
    /// is the former primary.
    #[must_use]
    pub const fn other(&self) -> &Cluster {
        &self.servers[1 - self.primary]
    }

    /// Returns the asynchronous standby.
    #[must_use]
    pub const fn asynchronous(&self) -> &Cluster {
        &self.servers[2]
    }

    /// Ends every process of the primary with `kill -9`.
    ///
    /// # Errors
    /// The errors of [`Cluster::kill`].
    pub fn kill(&mut self) -> Result<(), StartError> {
        self.servers[self.primary].kill()
    }

    /// Promotes the standby. The former primary keeps running, if it runs: the caller decides what happens to it.
    ///
    /// # Errors
    /// The errors of [`Cluster::promote`]. Also an error if the group was promoted before and
    /// [`rejoin`](Self::rejoin) was not called.
    pub fn promote(&mut self) -> Result<(), StartError> {
        if self.was_promoted {
            return Err(StartError::new("there is no standby that could be promoted"));
        }
        self.other().promote()?;
        self.primary = 1 - self.primary;
        self.was_promoted = true;
        Ok(())
    }

    /// Starts the former primary again, unchanged, next to the new primary. This is the mistake that a test of
    /// split brain makes.
    ///
    /// # Errors
    /// The errors of [`Cluster::start_again`].
    pub fn revive(&mut self) -> Result<(), StartError> {
        self.servers[1 - self.primary].start_again()
    }

    /// Makes the former primary a standby by a new base backup, and connects the other standby to the new primary.
    /// Waits until both stream.
    ///
    /// # Errors
    /// The errors of [`Cluster::follow`].
    pub fn rejoin(&mut self) -> Result<(), StartError> {
        let (primary, fallen, asynchronous) = match &mut self.servers {
            [one, two, three] if self.primary == 0 => (one, two, three),
            [one, two, three] => (two, one, three),
        };
        fallen.end()?;
        fallen.follow(primary, SYNCHRONOUS)?;
        // The standby cannot stream if it received WAL that the new primary never had.
        if !asynchronous.stream_from(primary, ASYNCHRONOUS)? {
            asynchronous.end()?;
            asynchronous.follow(primary, ASYNCHRONOUS)?;
        }
        self.was_promoted = false;
        self.wait()
    }
}
