//! A cluster is a real one, and leaves nothing behind.

use throughline_postgres_cluster::{Cluster, Installation};

#[test]
#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
fn a_cluster_answers_writes_to_disk_and_leaves_nothing_behind() {
    let Some(installation) = Installation::find() else {
        println!("SKIPPED: clusters (PostgreSQL is not installed)");
        return;
    };
    let cluster = Cluster::start(&installation).unwrap();
    assert_eq!(cluster.run("postgres", "SHOW fsync").unwrap(), "on");
    assert_eq!(cluster.run("postgres", "SHOW listen_addresses").unwrap(), "127.0.0.1");
    assert!(cluster.run("postgres", "SELECT 1/0").unwrap_err().to_string().contains("division by zero"));
    let data = cluster.data();
    assert!(data.is_dir());
    let other = Cluster::start(&installation).unwrap();
    assert_ne!(other.url("a"), cluster.url("a"));
    drop(cluster);
    assert!(!data.parent().unwrap().exists());
    assert_eq!(other.run("postgres", "SELECT 2").unwrap(), "2");
}
