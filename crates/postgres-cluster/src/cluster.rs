use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, TcpListener},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Installation, Network, StartError, folders,
    server::{Kind, Server},
    user::{self, User},
};

/// The role of the clusters. It may do anything in them.
pub(crate) const ROLE: &str = "throughline";

/// The settings of every cluster.
const SETTINGS: [&str; 11] = [
    "max_connections=500",
    "shared_buffers=64MB",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "autovacuum_naptime=10s",
    // The WAL that a standby needs after it was away for a while.
    "wal_keep_size=256MB",
    "wal_retrieve_retry_interval=100ms",
    // One `syncfs` call, not one `fsync` for each file of a base backup, before a standby or a killed server starts
    // recovery.
    "recovery_init_sync_method=syncfs",
    "wal_receiver_timeout=5s",
    // In the folder of the cluster: a server that is ended at once leaves its segments in `/dev/shm`.
    "dynamic_shared_memory_type=mmap",
];

/// A running cluster. Dropping it stops the server and removes its folder.
///
/// See the [crate](crate) for an example.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) installation: Installation,
    pub(crate) user: Option<User>,
    pub(crate) folder: PathBuf,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) password: String,
    pub(crate) server: Server,
}

impl Cluster {
    /// Creates a cluster and starts it. This takes a second or two.
    ///
    /// # Errors
    /// Returns [`StartError`] with the end of the server's log.
    pub fn start(installation: &Installation) -> Result<Self, StartError> {
        Self::make(installation, None)
    }

    /// Creates and starts a cluster in a network namespace of its own, which a test can cut. Else like
    /// [`start`](Self::start).
    ///
    /// # Errors
    /// The errors of [`start`](Self::start).
    pub fn start_in(installation: &Installation, network: &Network) -> Result<Self, StartError> {
        Self::make(installation, Some(network))
    }

    fn make(installation: &Installation, network: Option<&Network>) -> Result<Self, StartError> {
        in_a_folder(|user, folder| {
            let password = random()?;
            initialize(installation, user.as_ref(), folder, &password)?;
            if network.is_some() {
                let hba = folder.join("data").join("pg_hba.conf");
                let opened = fs::OpenOptions::new().append(true).open(hba);
                opened
                    .and_then(|mut file| file.write_all(b"host all all samenet md5\n"))
                    .map_err(StartError::io("pg_hba.conf"))?;
            }
            Self::run_in(installation, user, folder, password, network)
        })
    }

    /// Starts the server of an initialized data folder.
    pub(crate) fn run_in(
        installation: &Installation,
        user: Option<User>,
        folder: &Path,
        password: String,
        network: Option<&Network>,
    ) -> Result<Self, StartError> {
        let address = network.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), Network::server);
        let port = free_port()?;
        let mut server = user::command(user.as_ref(), installation.program("postgres"));
        server.arg("-D").arg(folder.join("data")).arg("-k").arg(folder).arg("-p").arg(port.to_string());
        server.arg("-c").arg(format!("listen_addresses={address}"));
        for setting in SETTINGS {
            server.arg("-c").arg(setting);
        }
        let server = match network {
            Some(network) => network.inside(&server),
            None => server,
        };
        let mut server = Server::new(folder, Kind::Postgres, &server)?;
        server.start()?;
        Ok(Self {
            installation: installation.clone(),
            user,
            folder: folder.to_owned(),
            address,
            port,
            password,
            server,
        })
    }

    /// Returns the URL of a database in this cluster, for the superuser of the tests.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_at(&self.address(), database)
    }

    /// Returns the URL of a database through another address, such as that of a proxy. `addresses` may list
    /// several: `127.0.0.1:7001,127.0.0.1:7002`.
    #[must_use]
    pub fn url_at(&self, addresses: &str, database: &str) -> String {
        format!("postgres://{ROLE}:{}@{addresses}/{database}", self.password)
    }

    /// Returns the address and the port of the server.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }

    /// Returns the data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Returns the end of the server's log.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Runs a statement with `psql` and returns its output, without headings.
    ///
    /// # Errors
    /// Returns [`StartError`] with the output of `psql`.
    pub fn run(&self, database: &str, sql: &str) -> Result<String, StartError> {
        self.run_at(&self.address(), database, sql)
    }

    /// Runs a statement through another address, such as that of a pooler. Else like [`run`](Self::run).
    ///
    /// # Errors
    /// The errors of [`run`](Self::run).
    pub fn run_at(&self, address: &str, database: &str, sql: &str) -> Result<String, StartError> {
        let output = Command::new(self.installation.program("psql"))
            .args([
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--set=ON_ERROR_STOP=1",
                "--command",
                sql,
            ])
            .arg(self.url_at(address, database))
            .output()
            .map_err(StartError::io("psql"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(StartError::new(format!("psql: {}", String::from_utf8_lossy(&output.stderr))))
        }
    }

    /// Ends every process of the server with `kill -9`, like a loss of power.
    ///
    /// # Errors
    /// Returns [`StartError`] if the server does not run.
    pub fn kill(&mut self) -> Result<(), StartError> {
        let ended = self.server.signal("KILL")?;
        self.server.wait_until_ended(&ended)
    }

    /// Stops the server like `pg_ctl stop --mode=immediate`: it closes every connection and writes no shutdown
    /// checkpoint.
    ///
    /// # Errors
    /// The errors of [`kill`](Self::kill).
    pub fn stop_at_once(&mut self) -> Result<(), StartError> {
        let ended = self.server.signal_first("QUIT")?;
        self.server.wait_until_ended(&ended)
    }

    /// Ends the server, unless it has ended already.
    pub(crate) fn end(&mut self) -> Result<(), StartError> {
        if self.server.runs() { self.kill() } else { Ok(()) }
    }

    /// Starts a killed or stopped server again, with the same data and address.
    ///
    /// # Errors
    /// The errors of [`start`](Self::start).
    pub fn start_again(&mut self) -> Result<(), StartError> {
        self.server.start()
    }

    /// Stops every process of the server with `SIGSTOP`: the server neither answers nor closes a connection.
    ///
    /// # Errors
    /// The errors of [`kill`](Self::kill).
    pub fn freeze(&self) -> Result<(), StartError> {
        self.server.signal("STOP").map(drop)
    }

    /// Continues a frozen server.
    ///
    /// # Errors
    /// The errors of [`kill`](Self::kill).
    pub fn thaw(&self) -> Result<(), StartError> {
        self.server.signal("CONT").map(drop)
    }
}

/// Runs `make` in a new folder of the server's user, and removes the folder if `make` fails.
pub(crate) fn in_a_folder<T>(
    make: impl FnOnce(Option<User>, &Path) -> Result<T, StartError>,
) -> Result<T, StartError> {
    let user = User::of_server()?;
    let folder = folders::create().map_err(StartError::io("the folder of a cluster"))?;
    let owned = match &user {
        Some(user) => chown(&folder, Some(user.id), Some(user.group)),
        None => Ok(()),
    };
    let made = owned.map_err(StartError::io("the folder of a cluster")).and_then(|()| make(user, &folder));
    if made.is_err() {
        drop(fs::remove_dir_all(&folder));
    }
    made
}

fn initialize(
    installation: &Installation,
    user: Option<&User>,
    folder: &Path,
    password: &str,
) -> Result<(), StartError> {
    let secret = folder.join("password");
    fs::write(&secret, password).map_err(StartError::io("the password"))?;
    // Only the server's user may read the password file.
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))
        .map_err(StartError::io("the password"))?;
    if let Some(user) = user {
        chown(&secret, Some(user.id), Some(user.group)).map_err(StartError::io("the password"))?;
    }
    let made = user::command(user, installation.program("initdb"))
        .args(["--username", ROLE, "--auth=md5", "--encoding=UTF8", "--locale=C", "--no-sync"])
        .arg("--pwfile")
        .arg(&secret)
        .arg("-D")
        .arg(folder.join("data"))
        .current_dir(folder)
        .output()
        .map_err(StartError::io("initdb"))?;
    if made.status.success() {
        Ok(())
    } else {
        Err(StartError::new(format!("initdb: {}", String::from_utf8_lossy(&made.stderr))))
    }
}

/// Returns a port that is free now. If another process takes the port first, the server fails to start.
pub(crate) fn free_port() -> Result<u16, StartError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(StartError::io("a free port"))?;
    Ok(listener.local_addr().map_err(StartError::io("a free port"))?.port())
}

pub(crate) fn random() -> Result<String, StartError> {
    let mut bytes = [0; 16];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(StartError::io("/dev/urandom"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
