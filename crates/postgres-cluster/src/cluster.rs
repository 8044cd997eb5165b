use std::{
    fs,
    io::Read as _,
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    Installation, StartError, sweep,
    user::{self, User},
};

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// The role of the clusters. It may do anything in them.
const ROLE: &str = "throughline";

/// What stands between: it waits for the end of the pipe, ends the server and removes the folder.
const SHELL: &str = r#"folder=$1; shift
"$@" >"$folder/log" 2>&1 </dev/null &
server=$!
cat >/dev/null
kill -QUIT $server 2>/dev/null
wait $server
rm -rf "$folder""#;

/// A cluster that runs. Dropped, it is stopped, and its folder is removed.
///
/// See the [crate](crate) for an example.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    password: String,
    psql: PathBuf,
    shell: Child,
}

impl Cluster {
    /// Makes a cluster and starts it. Takes a second or two.
    ///
    /// # Errors
    /// [`StartError`], with the end of what the server has said.
    pub fn start(installation: &Installation) -> Result<Self, StartError> {
        let user = User::of_server()?;
        let folder = sweep::fresh().map_err(StartError::io("the folder of a cluster"))?;
        let started = Self::start_in(installation, user.as_ref(), &folder);
        if started.is_err() {
            drop(fs::remove_dir_all(&folder));
        }
        started
    }

    fn start_in(installation: &Installation, user: Option<&User>, folder: &Path) -> Result<Self, StartError> {
        if let Some(user) = user {
            chown(folder, Some(user.id), Some(user.group))
                .map_err(StartError::io("the folder of a cluster"))?;
        }
        let password = random()?;
        let secret = folder.join("password");
        fs::write(&secret, &password).map_err(StartError::io("the password"))?;
        // The server's user reads it, once.
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))
            .map_err(StartError::io("the password"))?;
        if let Some(user) = user {
            chown(&secret, Some(user.id), Some(user.group)).map_err(StartError::io("the password"))?;
        }
        let data = folder.join("data");
        let made = user::command(user, installation.program("initdb"))
            .args(["--username", ROLE, "--auth=md5", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg("--pwfile")
            .arg(&secret)
            .arg("-D")
            .arg(&data)
            .current_dir(folder)
            .output()
            .map_err(StartError::io("initdb"))?;
        if !made.status.success() {
            return Err(StartError::new(format!("initdb: {}", String::from_utf8_lossy(&made.stderr))));
        }
        let port = free_port()?;
        let mut server = user::command(user, installation.program("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(folder).arg("-p").arg(port.to_string());
        for setting in [
            "listen_addresses=127.0.0.1",
            "max_connections=500",
            "shared_buffers=64MB",
            "fsync=on",
            "synchronous_commit=on",
            "full_page_writes=on",
            "autovacuum_naptime=10s",
        ] {
            server.arg("-c").arg(setting);
        }
        let shell = Command::new("/bin/sh")
            .args(["-c", SHELL, "sh"])
            .arg(folder)
            .arg(server.get_program())
            .args(server.get_args())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A runner that ends a test ends its group: this has to outlive it for a moment.
            .process_group(0)
            .spawn()
            .map_err(StartError::io("/bin/sh"))?;
        let psql = installation.program("psql");
        let mut cluster = Self { folder: folder.to_owned(), port, password, psql, shell };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    fn wait_until_ready(&mut self) -> Result<(), StartError> {
        let begun = Instant::now();
        loop {
            let state = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
            if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(StartError::new(format!("the server does not answer: {}", self.log())));
            }
            if state.is_empty() && begun.elapsed() > Duration::from_secs(5) {
                return Err(StartError::new(format!("the server did not start: {}", self.log())));
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// The URL of a database in it, for the role that may do anything.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{ROLE}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The folder of its data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What the server has said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Runs a statement with `psql` and answers what it printed, without headings.
    ///
    /// # Errors
    /// [`StartError`], with what `psql` said.
    pub fn run(&self, database: &str, sql: &str) -> Result<String, StartError> {
        let output = Command::new(&self.psql)
            .args([
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--set=ON_ERROR_STOP=1",
                "--command",
                sql,
            ])
            .arg(self.url(database))
            .output()
            .map_err(StartError::io("psql"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(StartError::new(format!("psql: {}", String::from_utf8_lossy(&output.stderr))))
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}

/// A port that is free now. Somebody else may take it before the server does, who then does not start.
fn free_port() -> Result<u16, StartError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(StartError::io("a free port"))?;
    Ok(listener.local_addr().map_err(StartError::io("a free port"))?.port())
}

fn random() -> Result<String, StartError> {
    let mut bytes = [0; 16];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(StartError::io("/dev/urandom"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
