//! A directory that goes away under an open store.

use std::fs;

use throughline_reliability::Report;
use tokio::runtime::Runtime;

use super::{host::Host, place::Place};

#[test]
fn rel_39_a_directory_that_was_moved() {
    let mut report = Report::new("REL-39");
    let place = Place::anywhere();
    let (store, directory) = (place.store(), place.store().parent().unwrap().to_owned());
    let elsewhere = directory.with_file_name("elsewhere");
    Runtime::new().unwrap().block_on(async {
        let host = Host::open(&store, place.acks()).await;
        host.add("before").await.unwrap();
        fs::rename(&directory, &elsewhere).unwrap();
        // It may go on with what is open, or not: what it acknowledges comes back with the directory.
        let went_on = host.add("with what is open").await.is_ok();
        host.lose_the_connection().await;
        host.refuses("moved").await;
        fs::rename(&elsewhere, &directory).unwrap();
        host.recovers("back").await;
        host.db.close().await.unwrap();
        report.count("went_on", went_on);
    });
    place.check(&mut report);
    report.fired("the directory was moved", 1);
    report.finish();
}

#[test]
fn rel_39_a_directory_that_was_deleted() {
    let mut report = Report::new("REL-39");
    let place = Place::anywhere();
    Runtime::new().unwrap().block_on(async {
        let host = Host::open(&place.store(), place.acks()).await;
        host.add("before").await.unwrap();
        fs::remove_dir_all(place.store().parent().unwrap()).unwrap();
        // Nobody will ever read it.
        host.refuses("into a file without a name").await;
        host.refuses("again").await;
    });
    report.fired("the directory was deleted", 1);
    report.finish();
}
