//! The end of the browser. The test reads the list of processes of Linux.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::driver::{Browser, HANG};

/// Returns the number of processes whose command line names this profile.
fn processes(profile: &Path) -> usize {
    let profile = profile.display().to_string();
    let commands = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    commands.filter(|command| String::from_utf8_lossy(command).contains(&profile)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_is_dropped_leaves_no_process() {
    let browser = Browser::start().await;
    let profile = browser.profile().to_owned();
    assert!(processes(&profile) > 0);
    drop(browser);
    let begun = Instant::now();
    while processes(&profile) > 0 {
        assert!(begun.elapsed() < HANG, "the browser still runs");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(!profile.exists(), "the profile is still there");
}
