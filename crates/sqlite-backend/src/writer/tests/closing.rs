//! The last connection of a store closes the file.

use std::path::Path;

use super::*;
use crate::{connection::connect_to_read, reader_barrier::ReaderBarrier, writer::Writer};

/// A store that is dropped does not wait for its readers, whose connections would keep the WAL.
#[tokio::test]
async fn the_last_connection_of_a_store_closes_those_of_idle_readers_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = Arc::<Path>::from(directory.path().join("f.db"));
    let reader_barrier = Arc::<ReaderBarrier>::default();
    let options = SqliteOptions::new();
    let writer = Writer::start(&options, Arc::clone(&path), None, Arc::clone(&reader_barrier)).await.unwrap();
    let idle = connect_to_read(&path).unwrap();
    idle.query_row("SELECT count(*) FROM messages", [], |_| Ok(())).unwrap();
    let parked = reader_barrier.park();
    assert!(parked.replace(Some(idle)).is_none());
    writer.close().await.unwrap();
    assert!(parked.replace(None).is_none());
    let names = directory.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["f.db"]);
}
