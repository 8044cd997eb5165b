use std::{env, sync::OnceLock};

use crate::{Cluster, Installation, StartError};

/// The environment variable with the URL of a cluster that several test programs share.
///
/// ```
/// assert_eq!(throughline_postgres_cluster::URL_VARIABLE, "THROUGHLINE_POSTGRES_URL");
/// ```
pub const URL_VARIABLE: &str = "THROUGHLINE_POSTGRES_URL";

/// Returns the URL of a database in the cluster of this process: the cluster that [`URL_VARIABLE`] names, or one
/// that starts once and ends with the process. Tests create their own databases in it.
///
/// ```no_run
/// let url = throughline_postgres_cluster::shared("postgres").unwrap();
/// println!("{url}");
/// ```
///
/// # Errors
/// Returns [`StartError`]. A later call returns the first error again.
pub fn shared(database: &str) -> Result<String, StartError> {
    if let Ok(url) = env::var(URL_VARIABLE) {
        let server = url.rsplit_once('/').map_or(&*url, |(server, _)| server);
        return Ok(format!("{server}/{database}"));
    }
    static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        let installation = Installation::find().ok_or_else(|| StartError::missing().to_string())?;
        Cluster::start(&installation).map_err(|error| error.to_string())
    });
    match cluster {
        Ok(cluster) => Ok(cluster.url(database)),
        Err(error) => Err(StartError::new(error.clone())),
    }
}

/// The environment variable with the address of a PgBouncer in front of the cluster of [`URL_VARIABLE`]:
/// `127.0.0.1:6432`.
///
/// ```
/// assert_eq!(throughline_postgres_cluster::POOLER_VARIABLE, "THROUGHLINE_POSTGRES_POOLER");
/// ```
pub const POOLER_VARIABLE: &str = "THROUGHLINE_POSTGRES_POOLER";

/// Returns the URL of the same database through the PgBouncer of [`POOLER_VARIABLE`]; `None` if the variable is not
/// set.
///
/// ```
/// # // No test sets the variable.
/// assert_eq!(throughline_postgres_cluster::behind_pooler("postgres://a:b@server:5432/db"), None);
/// ```
#[must_use]
pub fn behind_pooler(url: &str) -> Option<String> {
    let address = env::var(POOLER_VARIABLE).ok()?;
    let (before, after) = url.split_once('@')?;
    let (_, database) = after.split_once('/')?;
    Some(format!("{before}@{address}/{database}"))
}
