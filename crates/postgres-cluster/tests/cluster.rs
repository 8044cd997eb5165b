//! Tests with real clusters: they answer, and leave nothing behind.

use std::fs;

use throughline_postgres_cluster::{Cluster, Group, Installation, Network, Pooler};

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
    // Its shared memory is in its folder, which is removed. Elsewhere it would stay.
    assert!(fs::read_dir(data.join("pg_dynshmem")).unwrap().next().is_some());
    let other = Cluster::start(&installation).unwrap();
    assert_ne!(other.url("a"), cluster.url("a"));
    drop(cluster);
    assert!(!data.parent().unwrap().exists());
    assert_eq!(other.run("postgres", "SELECT 2").unwrap(), "2");
}

#[test]
#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
fn a_group_survives_its_primary_and_takes_it_back() {
    let Some(installation) = Installation::find() else {
        println!("SKIPPED: groups of clusters (PostgreSQL is not installed)");
        return;
    };
    let mut group = Group::start(&installation, true).unwrap();
    let url = group.url("postgres");
    let timeline = |cluster: &Cluster| {
        cluster.run("postgres", "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)").unwrap()
    };
    assert_eq!(timeline(group.primary()), "00000001");
    group.primary().run("postgres", "CREATE TABLE t (n integer); INSERT INTO t VALUES (1)").unwrap();
    // Without the standby, the commit does not return. The test cancels the call, and the row is there
    // nevertheless.
    group.other().stop_receiving().unwrap();
    let waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    std::thread::scope(|scope| {
        let call = scope.spawn(|| group.primary().run("postgres", "INSERT INTO t VALUES (2)"));
        group.primary().wait_until(waiting, "t").unwrap();
        call.join().unwrap().unwrap();
    });
    group.kill().unwrap();
    assert!(group.primary().run("postgres", "SELECT 1").is_err());
    group.promote().unwrap();
    assert_eq!(timeline(group.primary()), "00000002");
    assert_eq!(group.primary().run("postgres", "SELECT n FROM t").unwrap(), "1");
    group.revive().unwrap();
    assert_eq!(timeline(group.other()), "00000001");
    assert_eq!(group.other().run("postgres", "SELECT count(*) FROM t").unwrap(), "2");
    group.rejoin().unwrap();
    assert_eq!(group.url("postgres"), url);
    group.primary().run("postgres", "INSERT INTO t VALUES (3)").unwrap();
    for standby in [group.other(), group.asynchronous()] {
        standby.wait_until("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t", "1 3").unwrap();
    }
    let folders = [group.primary(), group.other(), group.asynchronous()].map(Cluster::data);
    drop(group);
    assert!(folders.iter().all(|folder| !folder.exists()));
}

#[test]
#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
fn a_network_can_be_cut_and_healed() {
    let Some(installation) = Installation::find() else {
        println!("SKIPPED: a network of its own (PostgreSQL is not installed)");
        return;
    };
    let network = match Network::make() {
        Ok(network) => network,
        Err(why) => {
            println!("SKIPPED: a network of its own ({why})");
            return;
        }
    };
    let cluster = Cluster::start_in(&installation, &network).unwrap();
    assert_eq!(cluster.run("postgres", "SELECT 1").unwrap(), "1");
    for cut in [Network::cut, Network::mute] {
        cut(&network).unwrap();
        let address = cluster.address().parse().unwrap();
        let timeout = std::time::Duration::from_millis(300);
        assert!(std::net::TcpStream::connect_timeout(&address, timeout).is_err());
        network.heal().unwrap();
        assert_eq!(cluster.run("postgres", "SELECT 1").unwrap(), "1");
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
fn a_pooler_answers_for_a_server_and_for_another_and_leaves_nothing_behind() {
    let Some(installation) = Installation::find() else {
        println!("SKIPPED: poolers (PostgreSQL is not installed)");
        return;
    };
    if !Pooler::is_installed() {
        println!("SKIPPED: poolers (PgBouncer is not installed)");
        return;
    }
    let mut cluster = Cluster::start(&installation).unwrap();
    cluster.run("postgres", "CREATE DATABASE one").unwrap();
    let mut pooler = Pooler::start(&cluster, &[("default_pool_size", "1")]).unwrap();
    let asked = |pooler: &Pooler, cluster: &Cluster| {
        cluster.run_at(&pooler.address(), "one", "SELECT current_setting('port')")
    };
    let port = |cluster: &Cluster| cluster.address().rsplit_once(':').unwrap().1.to_owned();
    assert_eq!(asked(&pooler, &cluster).unwrap(), port(&cluster));
    pooler.kill().unwrap();
    assert!(asked(&pooler, &cluster).is_err());
    pooler.start_again().unwrap();
    assert_eq!(asked(&pooler, &cluster).unwrap(), port(&cluster));
    // Another port, the same password.
    let standby = cluster.replica("s").unwrap();
    cluster.wait_for_replica("s", "async").unwrap();
    cluster.kill().unwrap();
    pooler.route_to(&standby).unwrap();
    let mut answer = asked(&pooler, &cluster);
    // The pooler reloads its settings after a signal, and must first notice that the server has ended.
    while answer.is_err() {
        answer = asked(&pooler, &cluster);
    }
    assert_eq!(answer.unwrap(), port(&standby));
    let folder = pooler.folder().to_owned();
    assert!(folder.is_dir());
    drop(pooler);
    assert!(!folder.exists());
}
