//! `reliability`: what the stores survive.
//!
//! Under a profile of nextest of their own, because they take minutes and print what they did: the seed, the counts,
//! how often each fault fired.

use std::fs;
use std::path::Path;

use throughline_postgres_cluster::FOLDER_VARIABLE;

use super::{postgres, tools};
use crate::Result;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// Multiplies what each check does.
const SCALE: &str = "THROUGHLINE_SCALE";

/// How much more a long run does than an ordinary one.
const LONG: &str = "10";

/// Runs all of them, and collects what they could not check on this machine.
pub(super) fn run(workspace: &Workspace, skips: &mut Skips) -> Result {
    tools::nextest(workspace)?;
    // Whatever needs it says so itself where it is missing.
    if postgres::installation(workspace).is_ok() {
        postgres::want_pooler(workspace, skips);
    }
    let skipped = workspace.metadata().target.join("reliability-skips.tsv");
    remove(&skipped)?;
    let args = ["nextest", "run", "--workspace", "--all-features", "--no-fail-fast", "--profile"];
    // One that hangs in a long run is ended later too.
    let (profile, scale) =
        if workspace.is_long() { ("reliability-long", Some(LONG)) } else { ("reliability", None) };
    let mut nextest = workspace.cargo(args).args([profile]);
    if let Some(scale) = scale.filter(|_| std::env::var_os(SCALE).is_none()) {
        nextest = nextest.env(SCALE, scale);
    }
    // Servers are killed there, so their clusters stay on the disk.
    nextest = nextest.setting(FOLDER_VARIABLE, "");
    let path = skipped.to_str().ok_or("the target directory is not UTF-8")?;
    let ran = nextest.setting("THROUGHLINE_SKIPS", path).run();
    collect(&skipped, skips)?;
    ran
}

/// Removes a file, if it is there.
pub(super) fn remove(file: &Path) -> Result {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Each line is the name of a skipped check, a tab, and the reason.
pub(super) fn collect(file: &Path, skips: &mut Skips) -> Result {
    if !file.exists() {
        return Ok(());
    }
    for line in fs::read_to_string(file)?.lines() {
        let (check, reason) = line.split_once('\t').unwrap_or((line, "no reason is given"));
        skips.add(check, reason);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_checks_are_collected() {
        let file = std::env::temp_dir().join(format!("xtask-skips-{}.tsv", std::process::id()));
        fs::write(&file, "power loss\tno loop devices\nodd\n").expect("the file is written");
        let mut skips = Skips::default();
        collect(&file, &mut skips).expect("the file is read");
        remove(&file).expect("the file is removed");
        remove(&file).expect("there is no file");
        collect(&file, &mut skips).expect("there is no file");
        let skips: Vec<_> = skips.iter().map(ToString::to_string).collect();
        assert_eq!(skips, ["SKIPPED: power loss (no loop devices)", "SKIPPED: odd (no reason is given)"]);
    }
}
