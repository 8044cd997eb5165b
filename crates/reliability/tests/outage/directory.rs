//! The directory of an open store is moved or deleted.

use std::fs;

use throughline_reliability::Report;
use tokio::runtime::Runtime;

use super::{host::Host, test_store::TestStore};

#[test]
fn rel_39_store_recovers_when_a_moved_directory_is_restored() {
    let mut report = Report::new("REL-39");
    let test_store = TestStore::new();
    let (store, directory) = (test_store.store(), test_store.store().parent().unwrap().to_owned());
    let elsewhere = directory.with_file_name("elsewhere");
    Runtime::new().unwrap().block_on(async {
        let host = Host::open(&store, test_store.acks()).await;
        host.add("before").await.unwrap();
        fs::rename(&directory, &elsewhere).unwrap();
        // The open connection may accept writes or refuse them. The moved directory contains every acknowledged write.
        let went_on = host.add("with what is open").await.is_ok();
        host.lose_the_connection().await;
        host.refuses("moved").await;
        fs::rename(&elsewhere, &directory).unwrap();
        host.recovers("back").await;
        host.db.close().await.unwrap();
        report.count("went_on", went_on);
    });
    test_store.check(&mut report);
    report.fired("the directory was moved", 1);
    report.finish();
}

#[test]
fn rel_39_writes_are_refused_after_the_directory_was_deleted() {
    let mut report = Report::new("REL-39");
    let test_store = TestStore::new();
    Runtime::new().unwrap().block_on(async {
        let host = Host::open(&test_store.store(), test_store.acks()).await;
        host.add("before").await.unwrap();
        fs::remove_dir_all(test_store.store().parent().unwrap()).unwrap();
        // No path leads to the open file any more, so no later process can read it.
        host.refuses("into a file without a name").await;
        host.refuses("again").await;
    });
    report.fired("the directory was deleted", 1);
    report.finish();
}
