use crate::{Cluster, Installation, StartError};

/// What the standbys call themselves.
const SYNCHRONOUS: &str = "synchronous";
const ASYNCHRONOUS: &str = "asynchronous";

/// A primary with two standbys, of which commits wait for one, or for none.
///
/// ```no_run
/// use throughline_postgres_cluster::{Group, Installation};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let installation = Installation::find().ok_or("PostgreSQL is not installed")?;
/// let mut group = Group::start(&installation, true)?;
/// println!("{}", group.url("postgres")); // names all three
/// group.kill()?;
/// group.promote()?; // the synchronous standby takes over
/// group.rejoin()?; // and the old primary is its standby
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Group {
    /// Two that take turns, and the standby that nobody waits for.
    servers: [Cluster; 3],
    /// Which of the first two takes writes.
    primary: usize,
    /// Whether the other one was the primary, and is no standby yet.
    is_fallen: bool,
    waits: bool,
}

impl Group {
    /// Starts all three. Where `waits` is set, commits wait until one of the standbys has them on its disk; else for nobody.
    ///
    /// # Errors
    /// As of [`Cluster::start`].
    pub fn start(installation: &Installation, waits: bool) -> Result<Self, StartError> {
        let primary = Cluster::start(installation)?;
        if waits {
            primary.synchronous_standbys(SYNCHRONOUS)?;
        }
        let standbys = [primary.replica(SYNCHRONOUS)?, primary.replica(ASYNCHRONOUS)?];
        let [synchronous, asynchronous] = standbys;
        let servers = [primary, synchronous, asynchronous];
        let group = Self { servers, primary: 0, is_fallen: false, waits };
        group.wait()?;
        Ok(group)
    }

    fn wait(&self) -> Result<(), StartError> {
        let primary = self.primary();
        primary.wait_for_replica(SYNCHRONOUS, if self.waits { "sync" } else { "async" })?;
        primary.wait_for_replica(ASYNCHRONOUS, "async")
    }

    /// The URL of a database, with the places of all three: always the same ones, whoever is the primary.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.primary().url_at(&self.servers.each_ref().map(Cluster::place).join(","), database)
    }

    /// The one that takes writes.
    #[must_use]
    pub const fn primary(&self) -> &Cluster {
        &self.servers[self.primary]
    }

    /// The standby that is promoted, and that commits wait for, where they wait. Once it was promoted: the primary before.
    #[must_use]
    pub const fn other(&self) -> &Cluster {
        &self.servers[1 - self.primary]
    }

    /// The standby that nobody waits for.
    #[must_use]
    pub const fn asynchronous(&self) -> &Cluster {
        &self.servers[2]
    }

    /// Ends every process of the primary with `kill -9`.
    ///
    /// # Errors
    /// As of [`Cluster::kill`].
    pub fn kill(&mut self) -> Result<(), StartError> {
        self.servers[self.primary].kill()
    }

    /// Promotes the standby that is to be. The primary goes on, if it does: that is for its starter to see to.
    ///
    /// # Errors
    /// As of [`Cluster::promote`]; and where the group was promoted before, and [`rejoin`](Self::rejoin) was not called.
    pub fn promote(&mut self) -> Result<(), StartError> {
        if self.is_fallen {
            return Err(StartError::new("there is no standby that could be promoted"));
        }
        self.other().promote()?;
        self.primary = 1 - self.primary;
        self.is_fallen = true;
        Ok(())
    }

    /// Brings the primary before back as it was, beside the new one: what nobody should do.
    ///
    /// # Errors
    /// As of [`Cluster::start_again`].
    pub fn revive(&mut self) -> Result<(), StartError> {
        self.servers[1 - self.primary].start_again()
    }

    /// Makes the primary before a standby, by a new base backup, and has the other one follow the new primary. Waits until both stream.
    ///
    /// # Errors
    /// As of [`Cluster::follow`].
    pub fn rejoin(&mut self) -> Result<(), StartError> {
        let (primary, fallen, asynchronous) = match &mut self.servers {
            [one, two, three] if self.primary == 0 => (one, two, three),
            [one, two, three] => (two, one, three),
        };
        fallen.end()?;
        fallen.follow(primary, SYNCHRONOUS)?;
        // What it has and the new primary never had keeps it from following.
        if !asynchronous.turn_to(primary, ASYNCHRONOUS)? {
            asynchronous.end()?;
            asynchronous.follow(primary, ASYNCHRONOUS)?;
        }
        self.is_fallen = false;
        self.wait()
    }
}
