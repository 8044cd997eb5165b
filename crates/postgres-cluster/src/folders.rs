//! The temporary folders of clusters: their creation, and the removal of folders whose process has ended.

use std::{
    env,
    ffi::OsString,
    fs::{self, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{self, Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::server::POOLER_PID_FILE;

/// The environment variable with the folder for the clusters of this process. Without it, or if it is empty, that is the temporary folder
/// of the system. A folder in memory is faster, because a sync does nothing there.
///
/// ```
/// assert_eq!(throughline_postgres_cluster::FOLDER_VARIABLE, "THROUGHLINE_POSTGRES_FOLDER");
/// ```
pub const FOLDER_VARIABLE: &str = "THROUGHLINE_POSTGRES_FOLDER";

/// The name in that folder.
const FOLDER: &str = "throughline-postgres";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Creates the folder of a new cluster. Its name holds the id of this process and its start time, since the system
/// uses process ids again.
pub(crate) fn create() -> io::Result<PathBuf> {
    let temporary = env::temp_dir().join(FOLDER);
    let root = root(env::var_os(FOLDER_VARIABLE))?.unwrap_or_else(|| temporary.clone());
    make_root(&root)?;
    remove_abandoned(&root);
    if root != temporary {
        remove_abandoned(&temporary);
    }
    let pid = process::id();
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = root.join(format!("{pid}-{}-{number}", started_at(pid).unwrap_or_default()));
    fs::DirBuilder::new().mode(0o755).create(&folder)?;
    Ok(folder)
}

/// Returns the folder by the value of [`FOLDER_VARIABLE`]. The programs of a cluster run in another folder, so the path is absolute.
fn root(value: Option<OsString>) -> io::Result<Option<PathBuf>> {
    let folder = value.filter(|value| !value.is_empty()).map(path::absolute).transpose()?;
    Ok(folder.map(|folder| folder.join(FOLDER)))
}

/// Makes the folder of all clusters. Every user may have clusters there, as in a temporary folder.
fn make_root(root: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().create(root) {
        Ok(()) => fs::set_permissions(root, Permissions::from_mode(0o1777)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Ends the servers of processes that have ended, and removes their folders. Ignores a folder that it cannot
/// remove: it belongs to another user.
fn remove_abandoned(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let Some((pid, started)) = name.to_str().and_then(owner) else { continue };
        if started_at(pid) == Some(started) {
            continue;
        }
        stop(&entry.path(), &entry.path().join("data"), "data/postmaster.pid", "-QUIT");
        stop(&entry.path(), &entry.path(), POOLER_PID_FILE, "-KILL");
        drop(fs::remove_dir_all(entry.path()));
    }
}

fn owner(name: &str) -> Option<(u32, u64)> {
    let mut parts = name.split('-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Returns when a process started, in ticks since the machine started; `None` if there is no such process.
fn started_at(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program is in parentheses and may contain any character.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// Ends the server of a folder if it runs. Its command line contains `argument`.
fn stop(folder: &Path, argument: &Path, pid_file: &str, signal: &str) {
    let Ok(pid_file) = fs::read_to_string(folder.join(pid_file)) else { return };
    let Some(pid) = pid_file.lines().next().and_then(|line| line.trim().parse::<u32>().ok()) else { return };
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let is_the_server = String::from_utf8_lossy(&command).contains(&*argument.to_string_lossy());
    if is_the_server {
        drop(Command::new("kill").args([signal, &pid.to_string()]).status());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_none_and_a_relative_folder_is_made_absolute() {
        let root = |value: &str| root(Some(value.into())).unwrap();
        assert_eq!(root(""), None);
        assert_eq!(root("/memory"), Some(Path::new("/memory").join(FOLDER)));
        assert_eq!(root("memory"), Some(env::current_dir().unwrap().join("memory").join(FOLDER)));
    }

    /// The value of [`FOLDER_VARIABLE`] cannot be changed in this process, so another one makes the folder.
    #[test]
    #[allow(clippy::print_stdout, reason = "the other process prints the folder")]
    fn a_cluster_has_its_folder_in_that_of_the_variable() {
        if env::var_os("THROUGHLINE_CHILD").is_some() {
            println!("{}", create().unwrap().display());
            return;
        }
        let folder = env::temp_dir().join(format!("{FOLDER}-variable-{}", process::id()));
        fs::create_dir(&folder).unwrap();
        let name = "folders::tests::a_cluster_has_its_folder_in_that_of_the_variable";
        let child = Command::new(env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(FOLDER_VARIABLE, &folder)
            .env("THROUGHLINE_CHILD", "1")
            .output()
            .unwrap();
        let clusters: Vec<_> = fs::read_dir(folder.join(FOLDER)).unwrap().map(Result::unwrap).collect();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(clusters.len(), 1);
        let printed = String::from_utf8_lossy(&child.stdout);
        assert!(printed.contains(&*clusters[0].path().to_string_lossy()), "{printed}");
    }

    #[test]
    fn every_user_may_have_clusters_in_the_folder() {
        let root = env::temp_dir().join(format!("{FOLDER}-root-{}", process::id()));
        make_root(&root).unwrap();
        make_root(&root).unwrap();
        let mode = fs::metadata(&root).unwrap().permissions().mode();
        fs::remove_dir(&root).unwrap();
        assert_eq!(mode & 0o7777, 0o1777);
    }

    #[test]
    fn folders_of_ended_processes_are_removed_and_others_stay() {
        let root = env::temp_dir().join(format!("{FOLDER}-test-{}", process::id()));
        let mine = format!("{}-{}-0", process::id(), started_at(process::id()).unwrap());
        let other_process = format!("{}-1-0", process::id());
        for name in [&*mine, &*other_process, "4000000000-7-0", "unrelated"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        remove_abandoned(&root);
        let mut left: Vec<_> = fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = [mine, "unrelated".to_owned()];
        expected.sort();
        assert_eq!(left, expected);
        fs::remove_dir_all(root).unwrap();
    }
}
