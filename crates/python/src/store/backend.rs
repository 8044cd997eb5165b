//! The backend that a URL names.

use std::path::{Path, PathBuf};

#[cfg(feature = "postgres")]
use throughline::postgres::{PostgresBackend, PostgresOptions};
use throughline::{
    Effect, ErrorKind, PersistError, Persistence, Result,
    memory::MemoryBackend,
    pipeline::LayerList,
    sqlite::{Maintenance, SqliteBackend, SqliteOptions},
};

use super::{
    canonical,
    options::{BackendOptions, OpenOptions},
};
use crate::{
    error::invalid,
    layers::{seconds, set},
};

/// The backend, with the file or the server, that a URL names.
pub(crate) enum Url {
    Memory,
    /// The path as it was given, and the path by which the process knows the file.
    Sqlite(PathBuf, PathBuf),
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "the URL that this build refuses"))]
    Postgres(String),
}

/// An open backend, for what a pipeline does not do.
pub(crate) enum Backend {
    Memory,
    Sqlite(Maintenance),
    #[cfg(feature = "postgres")]
    Postgres,
}

impl Backend {
    /// Returns the maintenance of a SQLite file.
    pub(crate) const fn maintenance(&self) -> Option<&Maintenance> {
        if let Self::Sqlite(maintenance) = self { Some(maintenance) } else { None }
    }
}

impl Url {
    pub(super) fn parse(url: &str) -> Result<Self> {
        if url == "memory:" {
            return Ok(Self::Memory);
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        let path = url.strip_prefix("sqlite:").map_or(url, |rest| rest.strip_prefix("//").unwrap_or(rest));
        if path.is_empty() {
            return Err(invalid("the path of the store is empty"));
        }
        if path == ":memory:" {
            return Err(invalid(
                "`:memory:` is no path of a store: `memory:` is the URL of a store in memory",
            ));
        }
        if url.contains("://") && !url.starts_with("sqlite:") {
            let scheme = url.split("://").next().unwrap_or_default();
            let detail =
                format!("there is no store for `{scheme}:`: give a path, `memory:` or a `postgresql://` URL");
            return Err(invalid(detail));
        }
        Ok(Self::Sqlite(path.into(), canonical(Path::new(path))?))
    }

    /// The file that handles of the process share.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(_, canonical) => Some(canonical),
            Self::Memory | Self::Postgres(_) => None,
        }
    }

    pub(super) const fn is_remote(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Opens the backend under a pipeline of these layers.
    pub(super) async fn open(
        self,
        options: &OpenOptions,
        layers: LayerList,
    ) -> Result<(Persistence, Backend)> {
        match self {
            Self::Memory => {
                options.options.refuse_others("memory:", &["indexed_metadata"])?;
                let backend = MemoryBackend::new().with_indexed_metadata(options.options.indexed()?);
                Ok((pipeline(options, layers, backend)?, Backend::Memory))
            }
            Self::Sqlite(path, _) => {
                options.options.refuse_others("SQLite", SQLITE)?;
                if !options.create && !path.exists() {
                    let detail = format!("there is no store `{}`, and `create` is false", path.display());
                    return Err(
                        PersistError::new(ErrorKind::NotFound, detail).with_effect(Effect::NotApplied)
                    );
                }
                let backend = sqlite(options)?.open(&path).await?;
                let maintenance = backend.maintenance();
                Ok((pipeline(options, layers, backend)?, Backend::Sqlite(maintenance)))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                options.options.refuse_others("Postgres", POSTGRES)?;
                let backend = postgres(options)?.open(&url).await?;
                Ok((pipeline(options, layers, backend)?, Backend::Postgres))
            }
            #[cfg(not(feature = "postgres"))]
            Self::Postgres(_) => {
                Err(PersistError::unsupported("a Postgres store, which this build leaves out,"))
            }
        }
    }
}

fn pipeline(
    options: &OpenOptions,
    layers: LayerList,
    backend: impl throughline::Backend,
) -> Result<Persistence> {
    let mut builder = Persistence::builder().layers(layers);
    if let Some(deadline) = options.deadline()? {
        builder = builder.deadline(deadline);
    }
    builder.backend(backend).build()
}

/// The options that the backend takes.
const SQLITE: &[&str] = &[
    "readers",
    "queue_operations",
    "queue_bytes",
    "wait_limit",
    "max_content_bytes",
    "changes_kept",
    "blobs_above",
    "free_space_floor",
    "wal_limit",
    "indexed_metadata",
];
#[cfg(feature = "postgres")]
const POSTGRES: &[&str] = &[
    "readers",
    "writers",
    "queue_operations",
    "queue_bytes",
    "wait_limit",
    "max_content_bytes",
    "changes_kept",
    "indexed_metadata",
    "pgbouncer",
    "prepared_statements",
    "listen_at",
    "row_security",
];

fn sqlite(options: &OpenOptions) -> Result<SqliteOptions> {
    let BackendOptions {
        readers,
        writers: _,
        queue_operations,
        queue_bytes,
        wait_limit,
        max_content_bytes,
        changes_kept,
        blobs_above,
        free_space_floor,
        wal_limit,
        indexed_metadata: _,
        pgbouncer: _,
        prepared_statements: _,
        listen_at: _,
        row_security: _,
    } = options.options;
    let indexed = options.options.indexed()?;
    let mut backend = SqliteBackend::builder().search(options.search).index_metadata(indexed);
    backend = set(backend, readers, SqliteOptions::readers);
    backend = set(backend, queue_operations, SqliteOptions::queue_operations);
    backend = set(backend, queue_bytes, SqliteOptions::queue_bytes);
    backend = set(backend, wait_limit.map(seconds).transpose()?, SqliteOptions::wait_limit);
    backend = set(backend, max_content_bytes, SqliteOptions::max_content_bytes);
    backend = set(backend, changes_kept, SqliteOptions::changes_kept);
    backend = set(backend, blobs_above, SqliteOptions::blobs_above);
    backend = set(backend, free_space_floor, SqliteOptions::free_space_floor);
    Ok(set(backend, wal_limit, SqliteOptions::wal_limit))
}

#[cfg(feature = "postgres")]
fn postgres(options: &OpenOptions) -> Result<PostgresOptions> {
    let BackendOptions {
        readers,
        writers,
        queue_operations,
        queue_bytes,
        wait_limit,
        max_content_bytes,
        changes_kept,
        blobs_above: _,
        free_space_floor: _,
        wal_limit: _,
        indexed_metadata: _,
        pgbouncer,
        prepared_statements,
        ref listen_at,
        row_security,
    } = options.options;
    let indexed = options.options.indexed()?;
    let mut backend = PostgresBackend::builder().search(options.search).index_metadata(indexed);
    backend = set(backend, readers, PostgresOptions::readers);
    backend = set(backend, writers, PostgresOptions::writers);
    backend = set(backend, queue_operations, PostgresOptions::queue_operations);
    backend = set(backend, queue_bytes, PostgresOptions::queue_bytes);
    backend = set(backend, wait_limit.map(seconds).transpose()?, PostgresOptions::wait_limit);
    backend = set(backend, max_content_bytes, PostgresOptions::max_content_bytes);
    backend = set(backend, changes_kept, PostgresOptions::kept_changes);
    backend = set(backend, listen_at.as_deref(), PostgresOptions::listen_at);
    backend = set(backend, pgbouncer.filter(|declared| *declared), |backend, _| backend.pgbouncer());
    backend =
        set(backend, prepared_statements.filter(|kept| *kept), |backend, _| backend.prepared_statements());
    Ok(set(backend, row_security.filter(|enabled| *enabled), |backend, _| backend.row_security()))
}
