use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Cluster, StartError,
    cluster::{ROLE, free_port, in_a_folder},
    server::{Kind, Server},
    user,
};

/// The folder in which Debian and its derivatives install PgBouncer. It is not on the path of every user.
const PACKAGED: &str = "/usr/sbin";

/// The folder of a PgBouncer that was compiled because that of the distribution is older.
const COMPILED: &str = "/usr/local/bin";

const PROGRAM: &str = "pgbouncer";

/// The settings of every pooler, unless the caller overrides them: transaction pooling, and another server
/// connection for each transaction as long as there are some. One that can keep prepared statements does.
const SETTINGS: [(&str, &str); 6] = [
    ("pool_mode", "transaction"),
    ("default_pool_size", "20"),
    ("max_client_conn", "2000"),
    ("server_round_robin", "1"),
    ("server_login_retry", "1"),
    ("log_connections", "0"),
];

/// A PgBouncer in front of servers. Dropping it stops it and removes its folder.
///
/// ```no_run
/// use throughline_postgres_cluster::{Cluster, Installation, Pooler};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let installation = Installation::find().ok_or("PostgreSQL is not installed")?;
/// let cluster = Cluster::start(&installation)?;
/// let pooler = Pooler::start(&cluster, &[("default_pool_size", "2")])?;
/// println!("{}", cluster.url_at(&pooler.address(), "postgres"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pooler {
    folder: PathBuf,
    port: u16,
    server: Server,
}

impl Pooler {
    /// Returns whether PgBouncer is installed.
    #[must_use]
    pub fn is_installed() -> bool {
        program().is_some()
    }

    /// Returns whether the installed PgBouncer can keep the prepared statements of its clients, and notices when a client removes
    /// them: version 1.22 or newer.
    #[must_use]
    pub fn can_keep_statements() -> bool {
        let run = program().and_then(|program| Command::new(program).arg("--version").output().ok());
        run.is_some_and(|run| version(&String::from_utf8_lossy(&run.stdout)) >= Some((1, 22)))
    }

    /// Starts a PgBouncer for the role of a cluster, with these settings of `pgbouncer.ini`. Its mode is
    /// `transaction`, unless the settings say otherwise.
    ///
    /// # Errors
    /// Returns [`StartError`] with the end of its log.
    pub fn start(cluster: &Cluster, settings: &[(&str, &str)]) -> Result<Self, StartError> {
        let program = program().ok_or_else(StartError::no_pooler)?;
        in_a_folder(|user, folder| {
            let port = free_port()?;
            let own = |name: &str, text: &str| {
                let path = folder.join(name);
                let written = fs::write(&path, text)
                    .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
                    .and_then(|()| match &user {
                        Some(user) => chown(&path, Some(user.id), Some(user.group)),
                        None => Ok(()),
                    });
                written.map_err(StartError::io(name)).map(|()| path)
            };
            let users = own("users", &format!("\"{ROLE}\" \"{}\"\n", cluster.password))?;
            let ini = own("pgbouncer.ini", &configured(cluster, (folder, &users), port, settings))?;
            let mut command = user::command(user.as_ref(), &program);
            command.arg(ini);
            let mut server = Server::new(folder, Kind::Pooler { port }, &command)?;
            server.start()?;
            Ok(Self { folder: folder.to_owned(), port, server })
        })
    }

    /// Returns its address and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the end of its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Ends it with `kill -9`.
    ///
    /// # Errors
    /// Returns [`StartError`] if it does not run.
    pub fn kill(&mut self) -> Result<(), StartError> {
        let ended = self.server.signal("KILL")?;
        self.server.wait_until_ended(&ended)
    }

    /// Starts a killed pooler again, at the same address.
    ///
    /// # Errors
    /// The errors of [`start`](Self::start).
    pub fn start_again(&mut self) -> Result<(), StartError> {
        self.server.start()
    }

    /// Changes a setting while it runs. It applies the setting soon after that.
    ///
    /// # Errors
    /// Returns [`StartError`] if it does not run, or its settings cannot be written.
    pub fn set(&self, name: &str, value: &str) -> Result<(), StartError> {
        self.reconfigure(|before| format!("{before}\n{name} = {value}"))
    }

    /// Redirects it to another server. It reconnects every server connection that is not in a transaction.
    ///
    /// # Errors
    /// Returns [`StartError`] if it does not run, or its settings cannot be written.
    pub fn route_to(&self, cluster: &Cluster) -> Result<(), StartError> {
        self.reconfigure(|before| {
            let lines = before.lines().map(|line| match line.starts_with("* = ") {
                true => route_line(cluster),
                false => line.to_owned(),
            });
            lines.collect::<Vec<_>>().join("\n")
        })
    }

    fn reconfigure(&self, change: impl FnOnce(&str) -> String) -> Result<(), StartError> {
        let ini = self.folder.join("pgbouncer.ini");
        let before = fs::read_to_string(&ini).map_err(StartError::io("pgbouncer.ini"))?;
        fs::write(&ini, change(&before)).map_err(StartError::io("pgbouncer.ini"))?;
        self.server.signal("HUP").map(drop)
    }
}

fn route_line(cluster: &Cluster) -> String {
    format!("* = host={} port={}", cluster.address, cluster.port)
}

fn configured(
    cluster: &Cluster,
    (folder, users): (&Path, &Path),
    port: u16,
    settings: &[(&str, &str)],
) -> String {
    let mut lines = vec!["[databases]".to_owned(), route_line(cluster), "[pgbouncer]".to_owned()];
    lines.push("listen_addr = 127.0.0.1".to_owned());
    lines.push(format!("listen_port = {port}"));
    lines.push("unix_socket_dir =".to_owned());
    lines.push("auth_type = md5".to_owned());
    lines.push(format!("auth_file = {}", users.display()));
    lines.push(format!("pidfile = {}", folder.join(crate::server::POOLER_PID_FILE).display()));
    // The default is 0 before version 1.24.
    if Pooler::can_keep_statements() {
        lines.push("max_prepared_statements = 200".to_owned());
    }
    // A later line overrides an earlier one.
    for (name, value) in SETTINGS.iter().chain(settings) {
        lines.push(format!("{name} = {value}"));
    }
    lines.join("\n")
}

/// Returns the version in the output of `pgbouncer --version`.
fn version(output: &str) -> Option<(u32, u32)> {
    let number = output.lines().next()?.strip_prefix("PgBouncer ")?;
    let (major, rest) = number.split_once('.')?;
    Some((major.parse().ok()?, rest.split('.').next()?.parse().ok()?))
}

fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders =
        [PathBuf::from(COMPILED)].into_iter().chain(env::split_paths(&path)).chain([PathBuf::from(PACKAGED)]);
    folders.map(|folder| folder.join(PROGRAM)).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn version_is_read_from_the_first_line() {
        assert_eq!(version("PgBouncer 1.24.1\nlibevent 2.1.12-stable\n"), Some((1, 24)));
        assert_eq!(version("PgBouncer 1.18.0"), Some((1, 18)));
        for other in ["", "pgbouncer 1.24.1", "PgBouncer one.two", "PgBouncer 1"] {
            assert_eq!(version(other), None, "{other}");
        }
    }
}
