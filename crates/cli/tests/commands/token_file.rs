//! The token file: its path, its owner and its lock.

use std::fs;

use crate::kit::{files, run};

#[cfg(unix)]
#[test]
fn a_token_file_behind_a_link_is_changed_and_the_link_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::write(&real, "# tokens\n").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let file = link.to_str().unwrap();
    assert_eq!(run(&["token", "add", "laptop", "--file", file]).code, 0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&real).unwrap().lines().count(), 2);
    assert_eq!(run(&["token", "revoke", "laptop", "--file", file, "--apply"]).code, 0);
    assert_eq!(fs::read_to_string(&real).unwrap(), "# tokens\n");
}

#[cfg(unix)]
#[test]
fn a_token_file_keeps_its_owner_and_its_permissions() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    // Only a privileged user can give a file away; another one keeps its own file.
    if rustix::process::geteuid().is_root() {
        chown(&path, Some(12_345), Some(12_346)).unwrap();
    }
    let state = || {
        let of = fs::metadata(&path).unwrap();
        (of.uid(), of.gid(), of.mode() & 0o777)
    };
    let before = state();
    assert_eq!(run(&["token", "add", "laptop", "--file", path.to_str().unwrap()]).code, 0);
    assert_eq!(state(), before);
}

#[test]
fn a_revocation_without_apply_changes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let file = path.to_str().unwrap();
    assert_eq!(run(&["token", "add", "laptop", "--file", file]).code, 0);
    fs::remove_file(folder.path().join("tokens.lock")).unwrap();
    let before = files(folder.path());
    assert_eq!(run(&["token", "revoke", "laptop", "--file", file]).code, 0);
    assert_eq!(run(&["token", "revoke", "other", "--file", file]).code, 1);
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_token_file_that_another_command_holds_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let held = fs::File::create(folder.path().join("tokens.lock")).unwrap();
    held.lock().unwrap();
    let ran = run(&["token", "add", "laptop", "--file", path.to_str().unwrap()]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("tokens.lock"), "{ran:?}");
    assert!(!path.exists());
}
