//! Where the folders of clusters are, and what is done with those that nobody needs any more.

use std::{
    env, fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::server::POOLER_PID_FILE;

/// In the temporary folder.
const FOLDER: &str = "throughline-postgres";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The folder of a new cluster: its name says which process it is of, and when that was started, since numbers of processes are
/// used again.
pub(crate) fn fresh() -> io::Result<PathBuf> {
    let root = root();
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&root)?;
    sweep(&root);
    let pid = process::id();
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = root.join(format!("{pid}-{}-{number}", started_at(pid).unwrap_or_default()));
    fs::DirBuilder::new().mode(0o755).create(&folder)?;
    Ok(folder)
}

fn root() -> PathBuf {
    env::temp_dir().join(FOLDER)
}

/// Ends and removes what processes have left that are gone. Nothing is said of what cannot be removed: it is another user's.
fn sweep(root: &Path) {
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

/// When a process was started, in ticks since the machine was; nothing where there is no such process.
fn started_at(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in brackets, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// Ends the server of a folder, if it runs; its command names `argument`.
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
    fn what_a_process_left_that_is_gone_is_removed_and_what_others_need_is_not() {
        let root = env::temp_dir().join(format!("{FOLDER}-test-{}", process::id()));
        let mine = format!("{}-{}-0", process::id(), started_at(process::id()).unwrap());
        let another_life = format!("{}-1-0", process::id());
        for name in [&*mine, &*another_life, "4000000000-7-0", "notes"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        sweep(&root);
        let mut left: Vec<_> = fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = [mine, "notes".to_owned()];
        expected.sort();
        assert_eq!(left, expected);
        fs::remove_dir_all(root).unwrap();
    }
}
