//! Standby servers: base backup, streaming replication and promotion.

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

/// The longest time until a standby streams.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The longest time until a standby streams that has no WAL to catch up with.
const SOON: Duration = Duration::from_secs(3);

impl Cluster {
    /// Creates a standby of this server by a base backup, with `name` as its `application_name`, and starts it. It
    /// listens on this machine.
    ///
    /// # Errors
    /// The errors of [`start`](Self::start).
    pub fn replica(&self, name: &str) -> Result<Self, StartError> {
        in_a_folder(|user, folder| {
            self.back_up_into(folder, name)?;
            Self::run_in(&self.installation, user, folder, self.password.clone(), None)
        })
    }

    /// Makes a stopped server a standby of another one, at the same address, by a new base backup. The former data
    /// is removed.
    ///
    /// # Errors
    /// The errors of [`start`](Self::start).
    pub fn follow(&mut self, primary: &Self, name: &str) -> Result<(), StartError> {
        fs::remove_dir_all(self.data()).map_err(StartError::io("the data of a cluster"))?;
        primary.back_up_into(&self.folder, name)?;
        self.password.clone_from(&primary.password);
        self.start_again()
    }

    /// Returns the connection string for a standby of this name.
    fn conninfo(&self, name: &str) -> String {
        let Self { address, port, password, .. } = self;
        format!("host={address} port={port} user={ROLE} password={password} application_name={name}")
    }

    /// Connects a running standby to another primary, with its present data. Returns whether it streams: it cannot
    /// if it was ahead of that primary.
    pub(crate) fn stream_from(&self, primary: &Self, name: &str) -> Result<bool, StartError> {
        self.set("primary_conninfo", &primary.conninfo(name))?;
        let timeline = primary.run("postgres", "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)")?;
        // The receiver may still stream the former timeline, up to the start of the new one, and the standby may be
        // past that point. So only the new timeline counts.
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

    /// Makes commits wait for these standbys, as `synchronous_standby_names` defines it. An empty string means
    /// none.
    ///
    /// # Errors
    /// Returns [`StartError`] with the output of `psql`.
    pub fn synchronous_standbys(&self, names: &str) -> Result<(), StartError> {
        self.set("synchronous_standby_names", names)?;
        // Commits wait once the checkpointer has read the setting. It reads the settings before it begins a
        // checkpoint.
        self.run("postgres", "CHECKPOINT").map(drop)
    }

    /// Stops the WAL receiver of a standby.
    ///
    /// # Errors
    /// Returns [`StartError`] with the output of `psql`, or if the receiver does not stop.
    pub fn stop_receiving(&self) -> Result<(), StartError> {
        self.set("primary_conninfo", "")?;
        self.wait_until("SELECT count(*) FROM pg_stat_wal_receiver", "0")
    }

    fn set(&self, setting: &str, value: &str) -> Result<(), StartError> {
        // Two calls: `ALTER SYSTEM` cannot run in a transaction block.
        self.run("postgres", &format!("ALTER SYSTEM SET {setting} = '{value}'"))?;
        self.run("postgres", "SELECT pg_reload_conf()")?;
        // The server reads the file after a signal. So this waits until a new connection shows the value.
        self.wait_until(&format!("SHOW {setting}"), value)
    }

    /// Waits until the standby `name` has this `sync_state` in `pg_stat_replication`: `sync`, `async`, `potential`
    /// or `quorum`.
    ///
    /// # Errors
    /// Returns [`StartError`] if the standby does not reach it in time.
    pub fn wait_for_replica(&self, name: &str, state: &str) -> Result<(), StartError> {
        let sql = format!(
            "SELECT sync_state FROM pg_stat_replication WHERE application_name = '{name}' AND state = 'streaming'"
        );
        self.wait_until(&sql, state)
    }

    /// Waits until a statement returns `answer`.
    ///
    /// # Errors
    /// Returns [`StartError`] if it does not in time.
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

    /// Promotes a standby to primary, on the next timeline.
    ///
    /// # Errors
    /// Returns [`StartError`] if the promotion fails.
    pub fn promote(&self) -> Result<(), StartError> {
        match &*self.run("postgres", "SELECT pg_promote(true, 60)")? {
            "t" => Ok(()),
            _ => Err(StartError::new("the standby was not promoted")),
        }
    }
}
