//! A PostgreSQL and a PgBouncer for the tests: found or installed, and started for as long as a step lasts.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use throughline_postgres_cluster::{Cluster, Installation, POOLER_VARIABLE, Pooler, URL_VARIABLE};

use super::tools;
use crate::Result;
use crate::process::Process;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// The Debian packages with a server.
const PACKAGES: [&str; 1] = ["postgresql"];

/// The Debian packages with a pooler.
const POOLER_PACKAGES: [&str; 1] = ["pgbouncer"];

/// The Debian packages that compile a pooler.
const POOLER_BUILD_PACKAGES: [&str; 5] = ["gcc", "libc6-dev", "libevent-dev", "make", "pkgconf"];

/// Compiles a pooler that keeps prepared statements, for a distribution whose package is older.
const BUILD_POOLER: &str = include_str!("pgbouncer.sh");

/// The configuration that stops Debian's packages from creating a permanent cluster. The tests do not use one.
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

/// A PgBouncer before it, of few connections; none, and a skip, where there is none.
pub(super) fn pool(workspace: &Workspace, skips: &mut Skips, cluster: &Cluster) -> Result<Option<Pooler>> {
    want_pooler(workspace, skips);
    Pooler::is_installed()
        .then(|| Pooler::start(cluster, &[("default_pool_size", "6")]))
        .transpose()
        .map_err(Into::into)
}

/// Installs PgBouncer where it is missing or older than 1.22; the tests that need it skip themselves where that cannot be done.
pub(super) fn want_pooler(workspace: &Workspace, skips: &mut Skips) {
    if let Err(why) = pooler(workspace) {
        skips.add("the Postgres backend behind PgBouncer", why.to_string());
    } else if let Err(why) = newer_pooler(workspace) {
        skips.add("prepared statements behind PgBouncer", why.to_string());
    }
}

/// Passes the address of the pooler to a test program.
pub(super) fn with_pooler(process: Process, pooler: &Pooler) -> Process {
    process.env(POOLER_VARIABLE, &pooler.address())
}

/// Passes the URL of the cluster to a test program. It is not shown: it holds a password.
pub(super) fn with_cluster(process: Process, cluster: Option<&Cluster>) -> Process {
    match cluster {
        Some(cluster) => process.setting(URL_VARIABLE, &cluster.url("postgres")),
        None => process,
    }
}

/// PostgreSQL, installed where it is missing and can be.
pub(crate) fn installation(workspace: &Workspace) -> Result<Installation> {
    let install = || {
        let (file, without) = NO_CLUSTER;
        if tools::can_install(workspace) && !Path::new(file).exists() {
            fs::create_dir_all("/etc/postgresql-common")?;
            fs::write(file, without)?;
        }
        tools::debian(workspace, "PostgreSQL", &PACKAGES)
    };
    provided("PostgreSQL 15 or newer", Installation::find, install)
}

/// PgBouncer, installed where it is missing and can be.
fn pooler(workspace: &Workspace) -> Result {
    let find = || Pooler::is_installed().then_some(());
    provided("PgBouncer", find, || tools::debian(workspace, "PgBouncer", &POOLER_PACKAGES))
}

/// PgBouncer 1.22 or newer, compiled where it is missing and can be. The steps of a run share the result.
fn newer_pooler(workspace: &Workspace) -> Result {
    static RESULT: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    let result = RESULT.get_or_init(|| compiled_pooler(workspace).map_err(|why| why.to_string()));
    result.clone().map_err(Into::into)
}

fn compiled_pooler(workspace: &Workspace) -> Result {
    let find = || Pooler::can_keep_statements().then_some(());
    provided("PgBouncer 1.22 or newer", find, || {
        if !tools::can_install(workspace) {
            return Err("PgBouncer 1.22 or newer is missing".into());
        }
        tools::debian(workspace, "PgBouncer 1.22 or newer", &POOLER_BUILD_PACKAGES)?;
        let folder = workspace.metadata().target.join("pgbouncer");
        fs::create_dir_all(&folder)?;
        let script = folder.join("build.sh");
        fs::write(&script, BUILD_POOLER)?;
        let [script, folder] = [&script, &folder].map(|path| path.as_os_str());
        workspace.program("sh").args([script, folder]).limit(tools::COMPILATION).run()
    })
}

/// The result of `find`, after an installation if the first search finds nothing.
fn provided<T>(name: &str, find: impl Fn() -> Option<T>, install: impl FnOnce() -> Result) -> Result<T> {
    if let Some(found) = find() {
        return Ok(found);
    }
    install()?;
    find().ok_or_else(|| format!("{name} was not found after its installation").into())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_program_is_installed_only_if_it_is_missing() {
        let installed = Cell::new(0);
        let find = || (installed.get() > 0).then_some("found");
        let install = || {
            installed.set(installed.get() + 1);
            Ok(())
        };
        assert_eq!(provided("it", find, install).expect("it is installed"), "found");
        assert_eq!(provided("it", find, install).expect("it is there"), "found");
        assert_eq!(installed.get(), 1);
    }

    #[test]
    fn a_failed_installation_and_a_missing_package_are_errors() {
        let nothing = || None::<()>;
        let refused = provided("it", nothing, || Err("apt-get is missing".into()));
        assert_eq!(refused.expect_err("no apt-get").to_string(), "apt-get is missing");
        let error = provided("it", nothing, || Ok(())).expect_err("an older one").to_string();
        assert_eq!(error, "it was not found after its installation");
    }
}
