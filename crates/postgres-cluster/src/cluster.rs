use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, TcpListener},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Installation, Network, StartError,
    server::{Kind, Server},
    sweep,
    user::{self, User},
};

/// The role of the clusters. It may do anything in them.
pub(crate) const ROLE: &str = "throughline";

/// The settings of every cluster.
const SETTINGS: [&str; 10] = [
    "max_connections=500",
    "shared_buffers=64MB",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "autovacuum_naptime=10s",
    // What a standby needs that is away for a while.
    "wal_keep_size=256MB",
    "wal_retrieve_retry_interval=100ms",
    // One call, and not one for each file of a base backup, before a standby or a server that was killed begins.
    "recovery_init_sync_method=syncfs",
    "wal_receiver_timeout=5s",
];

/// A cluster that runs. Dropped, it is stopped, and its folder is removed.
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
    /// Makes a cluster and starts it. Takes a second or two.
    ///
    /// # Errors
    /// [`StartError`], with the end of what the server has said.
    pub fn start(installation: &Installation) -> Result<Self, StartError> {
        Self::make(installation, None)
    }

    /// As [`start`](Self::start), in a network of its own, which can be cut.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
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

    /// Starts what stands in a folder.
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

    /// The URL of a database in it, for the role that may do anything.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_at(&self.place(), database)
    }

    /// The same through another place, such as that of a proxy, or several: `127.0.0.1:7001,127.0.0.1:7002`.
    #[must_use]
    pub fn url_at(&self, places: &str, database: &str) -> String {
        format!("postgres://{ROLE}:{}@{places}/{database}", self.password)
    }

    /// Where it listens: address and port.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }

    /// The folder of its data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What the server has said.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Runs a statement with `psql` and answers what it printed, without headings.
    ///
    /// # Errors
    /// [`StartError`], with what `psql` said.
    pub fn run(&self, database: &str, sql: &str) -> Result<String, StartError> {
        self.run_at(&self.place(), database, sql)
    }

    /// The same through another place, such as that of a pooler.
    ///
    /// # Errors
    /// As of [`run`](Self::run).
    pub fn run_at(&self, place: &str, database: &str, sql: &str) -> Result<String, StartError> {
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
            .arg(self.url_at(place, database))
            .output()
            .map_err(StartError::io("psql"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(StartError::new(format!("psql: {}", String::from_utf8_lossy(&output.stderr))))
        }
    }

    /// Ends every process of the server with `kill -9`, at once, as a machine does that loses its power.
    ///
    /// # Errors
    /// [`StartError`] where it does not run.
    pub fn kill(&mut self) -> Result<(), StartError> {
        let ended = self.server.signal("KILL")?;
        self.server.wait_for_the_end(&ended)
    }

    /// Stops the server as `pg_ctl stop --mode=immediate` does: every connection is cut, nothing is tidied up.
    ///
    /// # Errors
    /// As of [`kill`](Self::kill).
    pub fn stop_at_once(&mut self) -> Result<(), StartError> {
        let ended = self.server.signal_first("QUIT")?;
        self.server.wait_for_the_end(&ended)
    }

    /// Ends a server that may have ended already.
    pub(crate) fn end(&mut self) -> Result<(), StartError> {
        if self.server.runs() { self.kill() } else { Ok(()) }
    }

    /// Starts a server anew that was killed or stopped, with what it had and where it was.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub fn start_again(&mut self) -> Result<(), StartError> {
        self.server.start()
    }

    /// Holds every process of the server: it answers nobody and closes nothing.
    ///
    /// # Errors
    /// As of [`kill`](Self::kill).
    pub fn freeze(&self) -> Result<(), StartError> {
        self.server.signal("STOP").map(drop)
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// As of [`kill`](Self::kill).
    pub fn thaw(&self) -> Result<(), StartError> {
        self.server.signal("CONT").map(drop)
    }
}

/// Makes something in a fresh folder of the server's user, which is removed where that fails.
pub(crate) fn in_a_folder<T>(
    make: impl FnOnce(Option<User>, &Path) -> Result<T, StartError>,
) -> Result<T, StartError> {
    let user = User::of_server()?;
    let folder = sweep::fresh().map_err(StartError::io("the folder of a cluster"))?;
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
    // The server's user reads it, once.
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

/// A port that is free now. Somebody else may take it before the server does, who then does not start.
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
