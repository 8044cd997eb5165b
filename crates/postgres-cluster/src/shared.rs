use std::{env, sync::OnceLock};

use crate::{Cluster, Installation, StartError};

/// Names the URL of a cluster that was started for many test programs together.
///
/// ```
/// assert_eq!(throughline_postgres_cluster::URL_VARIABLE, "THROUGHLINE_POSTGRES_URL");
/// ```
pub const URL_VARIABLE: &str = "THROUGHLINE_POSTGRES_URL";

/// The URL of a database of the cluster of this process: the one that [`URL_VARIABLE`] names, or one that is started once and ends
/// with the process. It is for tests, which make databases of their own in it.
///
/// ```no_run
/// let url = throughline_postgres_cluster::shared("postgres").unwrap();
/// println!("{url}");
/// ```
///
/// # Errors
/// [`StartError`]; the first one again for whoever asks again.
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

/// Names the place of a PgBouncer before the cluster that [`URL_VARIABLE`] names: `127.0.0.1:6432`.
///
/// ```
/// assert_eq!(throughline_postgres_cluster::POOLER_VARIABLE, "THROUGHLINE_POSTGRES_POOLER");
/// ```
pub const POOLER_VARIABLE: &str = "THROUGHLINE_POSTGRES_POOLER";

/// The URL of the same database through the PgBouncer that [`POOLER_VARIABLE`] names; nothing where it names none.
///
/// ```
/// # // No test sets the variable.
/// assert_eq!(throughline_postgres_cluster::behind_pooler("postgres://a:b@server:5432/db"), None);
/// ```
#[must_use]
pub fn behind_pooler(url: &str) -> Option<String> {
    let place = env::var(POOLER_VARIABLE).ok()?;
    let (before, after) = url.split_once('@')?;
    let (_, database) = after.split_once('/')?;
    Some(format!("{before}@{place}/{database}"))
}
