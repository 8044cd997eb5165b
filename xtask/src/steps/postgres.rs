//! A PostgreSQL for the tests: found or installed, and started for as long as a step lasts.

use std::fs;
use std::path::Path;

use throughline_postgres_cluster::{Cluster, Installation, URL_VARIABLE};

use super::tools;
use crate::Result;
use crate::process::Process;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// The Debian packages with a server.
const PACKAGES: [&str; 1] = ["postgresql"];

/// What Debian's packages look at before they make and start a cluster that stays. Nobody here uses it.
const NO_CLUSTER: (&str, &str) =
    ("/etc/postgresql-common/createcluster.conf", "create_main_cluster = false\n");

/// A cluster for the tests of one step; none, and a skip, where there is no PostgreSQL.
pub(super) fn serve(workspace: &Workspace, skips: &mut Skips) -> Result<Option<Cluster>> {
    match installation(workspace) {
        Ok(installation) => Ok(Some(Cluster::start(&installation)?)),
        Err(why) => {
            skips.add("the Postgres backend", why.to_string());
            Ok(None)
        }
    }
}

/// Tells a program of tests where the cluster is. It is not shown: it holds a password.
pub(super) fn told(process: Process, cluster: Option<&Cluster>) -> Process {
    match cluster {
        Some(cluster) => process.setting(URL_VARIABLE, &cluster.url("postgres")),
        None => process,
    }
}

/// PostgreSQL, installed where it is missing and can be.
pub(crate) fn installation(workspace: &Workspace) -> Result<Installation> {
    if let Some(found) = Installation::find() {
        return Ok(found);
    }
    let (file, without) = NO_CLUSTER;
    if tools::can_install(workspace) && !Path::new(file).exists() {
        fs::create_dir_all("/etc/postgresql-common")?;
        fs::write(file, without)?;
    }
    tools::debian(workspace, "PostgreSQL", &PACKAGES)?;
    Installation::find()
        .ok_or_else(|| "the packages of the distribution hold no PostgreSQL 15 or newer".into())
}
