//! The user that a server runs as.

use std::{fs, os::unix::fs::MetadataExt as _, process::Command};

use crate::StartError;

/// The users that a server can run as instead of root, the preferred one first.
const USERS: &str = "postgres nobody";

/// A user of the system other than root.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) group: u32,
}

impl User {
    /// Returns `None` for the current user. If that is root, returns the user that the server can run as.
    ///
    /// # Errors
    /// Returns an error if there is no such user.
    pub(crate) fn of_server() -> Result<Option<Self>, StartError> {
        let is_root = fs::metadata("/proc/self").map_err(StartError::io("/proc/self"))?.uid() == 0;
        if !is_root {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").map_err(StartError::io("/etc/passwd"))?;
        USERS
            .split(' ')
            .find_map(|name| find(&users, name))
            .map(Some)
            .ok_or_else(|| StartError::new("there is no user that the server could run as"))
    }
}

fn find(users: &str, name: &str) -> Option<User> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let (id, group) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(User { id, group })
    })
}

/// Returns a command that runs as this user.
pub(crate) fn command(user: Option<&User>, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let Some(user) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={}", user.id)).arg(format!("--regid={}", user.group)).arg("--clear-groups");
    command.arg("--").arg(program);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let users =
            "root:x:0:0::/root:/bin/sh\ndaemon2:x:9:9::/:/bin/sh\ndaemon:x:65534:65533:n:/:/bin/false\n";
        let user = find(users, "daemon").unwrap();
        assert_eq!((user.id, user.group), (65534, 65533));
        assert!(find(users, "postgres").is_none());
    }
}
