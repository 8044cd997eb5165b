//! Standbys: made of a base backup, streaming, promoted.

use std::{
    fs,
    path::Path,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    Cluster, StartError,
    cluster::{ROLE, in_a_folder},
    user,
};

/// How long a standby may take until it streams.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long one may take that has nothing to make up for.
const SOON: Duration = Duration::from_secs(3);

impl Cluster {
    /// Makes a standby that streams from this one and calls itself `name`, by a base backup, and starts it. It listens on this
    /// machine.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub fn replica(&self, name: &str) -> Result<Self, StartError> {
        in_a_folder(|user, folder| {
            self.back_up_into(folder, name)?;
            Self::run_in(&self.installation, user, folder, self.password.clone(), None)
        })
    }

    /// Makes a server that has ended a standby of another, where it was, by a new base backup: nothing that it had is left.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub fn follow(&mut self, primary: &Self, name: &str) -> Result<(), StartError> {
        fs::remove_dir_all(self.data()).map_err(StartError::io("the data of a cluster"))?;
        primary.back_up_into(&self.folder, name)?;
        self.password.clone_from(&primary.password);
        self.start_again()
    }

    /// How a standby of this name reaches it.
    fn conninfo(&self, name: &str) -> String {
        let Self { address, port, password, .. } = self;
        format!("host={address} port={port} user={ROLE} password={password} application_name={name}")
    }

    /// Has a standby that runs follow another primary, with what it has. Says whether it does: not if it was ahead of that one.
    pub(crate) fn turn_to(&self, primary: &Self, name: &str) -> Result<bool, StartError> {
        self.set("primary_conninfo", &primary.conninfo(name))?;
        let timeline = primary.run("postgres", "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)")?;
        // What it receives of the timeline before is no sign: that goes up to where the new one begins, and it may be past that.
        let receives = "SELECT upper(lpad(to_hex(received_tli), 8, '0')) FROM pg_stat_wal_receiver WHERE status = 'streaming'";
        let begun = Instant::now();
        while begun.elapsed() < SOON {
            if self.run("postgres", receives)? == timeline {
                return Ok(true);
            }
            sleep(Duration::from_millis(20));
        }
        Ok(false)
    }

    fn back_up_into(&self, folder: &Path, name: &str) -> Result<(), StartError> {
        let mut backup: Command =
            user::command(self.user.as_ref(), self.installation.program("pg_basebackup"));
        let output = backup
            .args([
                "--checkpoint=fast",
                "--wal-method=stream",
                "--write-recovery-conf",
                "--no-sync",
                "--dbname",
            ])
            .arg(self.conninfo(name))
            .arg("--pgdata")
            .arg(folder.join("data"))
            .current_dir(folder)
            .output()
            .map_err(StartError::io("pg_basebackup"))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(StartError::new(format!("pg_basebackup: {}", String::from_utf8_lossy(&output.stderr))))
        }
    }

    /// Has commits wait for standbys, as `synchronous_standby_names` says; for none where it is empty.
    ///
    /// # Errors
    /// [`StartError`], with what `psql` said.
    pub fn synchronous_standbys(&self, names: &str) -> Result<(), StartError> {
        self.set("synchronous_standby_names", names)?;
        // Commits wait once the checkpointer has taken the setting up: it does before it begins anything.
        self.run("postgres", "CHECKPOINT").map(drop)
    }

    /// Has a standby receive nothing more.
    ///
    /// # Errors
    /// [`StartError`], with what `psql` said, or where it does not stop.
    pub fn stop_receiving(&self) -> Result<(), StartError> {
        self.set("primary_conninfo", "")?;
        self.wait_until("SELECT count(*) FROM pg_stat_wal_receiver", "0")
    }

    fn set(&self, setting: &str, value: &str) -> Result<(), StartError> {
        // Two calls: neither may stand in a transaction with another.
        self.run("postgres", &format!("ALTER SYSTEM SET {setting} = '{value}'"))?;
        self.run("postgres", "SELECT pg_reload_conf()")?;
        // Told by a signal: until a connection made now says so, the server may not have heard it.
        self.wait_until(&format!("SHOW {setting}"), value)
    }

    /// Waits until the standby `name` is in this state of `pg_stat_replication`: `sync`, `async`, `potential` or `quorum`.
    ///
    /// # Errors
    /// [`StartError`] where it does not come to it.
    pub fn wait_for_replica(&self, name: &str, state: &str) -> Result<(), StartError> {
        let sql = format!(
            "SELECT sync_state FROM pg_stat_replication WHERE application_name = '{name}' AND state = 'streaming'"
        );
        self.wait_until(&sql, state)
    }

    /// Waits until a statement answers this.
    ///
    /// # Errors
    /// [`StartError`] where it never does.
    pub fn wait_until(&self, sql: &str, answer: &str) -> Result<(), StartError> {
        let begun = Instant::now();
        loop {
            let answered = self.run("postgres", sql)?;
            if answered == answer {
                return Ok(());
            }
            if begun.elapsed() > TIMEOUT {
                return Err(StartError::new(format!("`{sql}` answers `{answered}` and not `{answer}`")));
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Makes a standby a primary, on the next timeline.
    ///
    /// # Errors
    /// [`StartError`] where it does not become one.
    pub fn promote(&self) -> Result<(), StartError> {
        match &*self.run("postgres", "SELECT pg_promote(true, 60)")? {
            "t" => Ok(()),
            _ => Err(StartError::new("the standby was not promoted")),
        }
    }
}
