//! The store that a command works on.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use throughline::{
    Backend, IndexedMetadata, Persistence,
    backend::search::Tokenizer,
    pipeline::LayerList,
    postgres::{OpenError, PostgresBackend, PostgresReader},
    sqlite::{self, Maintenance, SqliteBackend, SqliteOptions, SqliteReader},
};

use crate::{Access, Failure};

/// The store of `--store`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum StoreName {
    /// A SQLite file.
    File(PathBuf),
    /// The URL of a Postgres database.
    Url(String),
}

impl StoreName {
    /// Reads a path, or a URL of Postgres. The errors repeat no more than a scheme, because the text may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Url(text.to_owned()));
        }
        if is_connection_string(text) {
            return Err(Failure::usage("a connection string of Postgres is no name of a store").advise(
                "write it as a URL that begins with postgres://, or begin the path of a file with ./",
            ));
        }
        match text.split_once("://") {
            Some((scheme, _)) if !scheme.chars().all(|char| char.is_ascii_alphanumeric()) => {
                Err(Failure::usage("this is no store: name a file, or a URL that begins with postgres://"))
            }
            Some((scheme, _)) => Err(Failure::usage(format!(
                "`{scheme}://` is no store: name a file, or a URL that begins with postgres://"
            ))),
            None if text.is_empty() => Err(Failure::usage("the name of the store is empty")),
            None => Ok(Self::File(PathBuf::from(text))),
        }
    }

    /// Returns the file.
    ///
    /// # Errors
    /// A usage error for another store, with the alternative for a Postgres store.
    pub(crate) fn file(&self, command: &str, alternative: &str) -> Result<&Path, Failure> {
        match self {
            Self::File(path) => Ok(path),
            Self::Url(_) => Err(Failure::usage(format!("`{command}` works on a SQLite file only"))
                .advise(format!("for a Postgres store, {alternative}"))),
        }
    }
}

/// Without the user and the password of a URL.
impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", crate::output::line(&path.to_string_lossy())),
            Self::Url(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", ""));
                match without_secrets(rest) {
                    Some(shown) => write!(f, "{scheme}://{}", crate::output::line(shown)),
                    None => write!(f, "{scheme}://…"),
                }
            }
        }
    }
}

impl fmt::Debug for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The hosts and the database of a URL without its scheme; `None` if a part of them may be a password.
fn without_secrets(rest: &str) -> Option<&str> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password with a `/`, `?` or `#` that is not encoded ends the authority too early: its `@` comes later.
    if rest[end..].contains('@') {
        return None;
    }
    // The last `@`: a password may contain one.
    let begin = rest[..end].rfind('@').map_or(0, |at| at + 1);
    // `user:password` without an `@` has no port.
    let is_host = |host: &str| {
        let after_address = host.rsplit_once(']').map_or(host, |(_, after)| after);
        after_address.rsplit_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if !rest[begin..end].split(',').all(is_host) {
        return None;
    }
    rest[begin..].split(['?', '#']).next()
}

/// Whether the text is a list of settings as in libpq, such as `host=db password=x`.
fn is_connection_string(text: &str) -> bool {
    const SETTINGS: &[&str] =
        &["host", "hostaddr", "port", "dbname", "user", "password", "passfile", "service", "sslmode"];
    text.split_whitespace()
        .filter_map(|setting| setting.split_once('='))
        .any(|(name, _)| SETTINGS.contains(&name))
}

/// How a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) access: Access,
    /// Whether the store is created if there is none.
    pub(crate) creates: bool,
    /// Whether the store gets a full-text index. One that it has is kept in any case.
    pub(crate) search: bool,
    /// The metadata fields that the store indexes, in addition to those that it has.
    pub(crate) indexed: IndexedMetadata,
}

impl Opening {
    pub(crate) const READ: Self = Self::of(Access::Read, false);
    pub(crate) const WRITE: Self = Self::of(Access::Write, false);
    pub(crate) const CREATE: Self = Self::of(Access::Write, true);

    const fn of(access: Access, creates: bool) -> Self {
        Self { access, creates, search: false, indexed: IndexedMetadata::none() }
    }
}

/// Opens a pipeline over a store.
pub(crate) async fn open(
    name: &StoreName,
    opening: Opening,
    layers: LayerList,
) -> Result<Persistence, Failure> {
    match (name, opening.access) {
        (StoreName::File(path), Access::Read) => build(layers, SqliteReader::open(path).await?),
        (StoreName::File(path), Access::Write) => build(layers, backend(path, opening).await?),
        (StoreName::Url(url), _) => postgres(url, opening, layers).await,
    }
}

/// Opens a pipeline without layers, for maintenance that changes the file.
pub(crate) async fn open_for_maintenance(path: &Path) -> Result<(Persistence, Maintenance), Failure> {
    let backend = backend(path, Opening::WRITE).await?;
    let maintenance = backend.maintenance();
    Ok((build(LayerList::new(), backend)?, maintenance))
}

/// Opens a file once for writing if no reader can open it: one of an earlier version, and one whose WAL has no `-shm`, as in an
/// incomplete copy.
pub(crate) async fn make_readable(path: &Path) -> Result<(), Failure> {
    let opened = SqliteReader::open(path).await.map(drop);
    if matches!(opened, Err(sqlite::OpenError::Older { .. } | sqlite::OpenError::NoWalIndex { .. })) {
        let backend = SqliteOptions::new().open(path).await;
        let backend = backend.map_err(|error| Failure::of_writing(error, path))?;
        build(LayerList::new(), backend)?.close().await?;
    }
    Ok(())
}

async fn backend(path: &Path, opening: Opening) -> Result<SqliteBackend, Failure> {
    make_readable(path).await?;
    let options = SqliteOptions::new().search(opening.search);
    let options = match SqliteReader::open(path).await {
        Ok(reader) => {
            let options = options.index_metadata(indexed(&reader, &opening.indexed)?);
            match kept_index(&reader) {
                Some(tokenizer) => options.search(true).tokenizer(tokenizer),
                None => options,
            }
        }
        // A writer creates the store, or settles the reason. An error that passes with time says nothing about the index.
        Err(error) if opening.creates && !error.kind().passes_with_time() => {
            options.index_metadata(opening.indexed)
        }
        Err(error) => return Err(error.into()),
    };
    options.open(path).await.map_err(|error| Failure::of_writing(error, path))
}

/// The tokenizer of the full-text index that the store has. Without the index a writer would leave its messages out; with another
/// tokenizer it would build the index again.
fn kept_index(reader: &impl Backend) -> Option<Tokenizer> {
    let claims = reader.capabilities();
    claims.search.then_some(if claims.cjk_search { Tokenizer::Cjk } else { Tokenizer::Words })
}

/// The metadata fields that the store indexes already, and these. A find needs a writer that declares its field.
fn indexed(reader: &impl Backend, more: &IndexedMetadata) -> Result<IndexedMetadata, Failure> {
    let kept = reader.capabilities().indexed_metadata;
    let every = IndexedMetadata::new(kept.iter().chain(more.iter()));
    every.map_err(|error| {
        Failure::usage(format!("{error}: the store has {kept}"))
            .advise("a host drops a field with `drop_indexed_metadata` when it opens the store")
    })
}

/// Opens the file of a store for maintenance that changes nothing.
pub(crate) async fn file(path: &Path) -> Result<Maintenance, Failure> {
    Ok(SqliteReader::open(path).await?.maintenance())
}

async fn postgres(url: &str, opening: Opening, layers: LayerList) -> Result<Persistence, Failure> {
    if opening.access == Access::Read {
        return build(layers, PostgresReader::open(url).await?);
    }
    let options = PostgresBackend::builder().search(opening.search);
    // Opening the backend creates the schema, and migrates an older one.
    let options = match PostgresReader::open(url).await {
        Ok(reader) => {
            let options = options.index_metadata(indexed(&reader, &opening.indexed)?);
            match kept_index(&reader) {
                Some(tokenizer) => options.search(true).tokenizer(tokenizer),
                None => options,
            }
        }
        Err(OpenError::Missing) if opening.creates => options.index_metadata(opening.indexed),
        Err(OpenError::Older { .. }) => options.index_metadata(opening.indexed),
        Err(error) => return Err(error.into()),
    };
    build(layers, options.open(url).await?)
}

fn build(layers: LayerList, backend: impl Backend) -> Result<Persistence, Failure> {
    Ok(Persistence::builder().layers(layers).backend(backend).build()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            ("postgres://app:s3cr@t@db.example:5432/app?sslmode=require", "postgres://db.example:5432/app"),
            ("postgresql://db.example", "postgresql://db.example"),
            ("postgres://u:p@one,two/app?password=p", "postgres://one,two/app"),
            ("postgres://u:p@one:5433,[::1]:7/app#p", "postgres://one:5433,[::1]:7/app"),
            ("postgres://[::1]/app", "postgres://[::1]/app"),
            ("postgres:///app?password=p", "postgres:///app"),
            // A `/`, `?` or `#` of the password that is not encoded.
            ("postgres://u:pa/ss@host/db", "postgres://…"),
            ("postgres://u:12/34@host/db", "postgres://…"),
            ("postgres://u:p?x@host", "postgres://…"),
            ("postgres://u:12#x@host", "postgres://…"),
            ("postgres://host/db?password=a@b", "postgres://…"),
            // The host is missing.
            ("postgres://u:secret/db", "postgres://…"),
            ("postgres://one,u:secret", "postgres://…"),
        ] {
            let name = StoreName::parse(url).unwrap();
            assert_eq!(name.to_string(), shown);
            assert_eq!(format!("{name:?}"), shown);
        }
    }

    #[test]
    fn a_writer_keeps_the_tokenizer_of_the_index() {
        let memory = throughline::memory::MemoryBackend::new;
        assert_eq!(kept_index(&memory().with_tokenizer(Tokenizer::Cjk)), Some(Tokenizer::Cjk));
        assert_eq!(kept_index(&memory().with_tokenizer(Tokenizer::Words)), Some(Tokenizer::Words));
        let without = throughline_conformance::FakeBackend::new();
        let without =
            without.backend_with(throughline::Capabilities::full(throughline::Durability::Volatile));
        assert_eq!(kept_index(&without), None);
    }

    #[test]
    fn a_path_is_a_file_and_another_scheme_is_refused() {
        assert_eq!(StoreName::parse("a b.db").unwrap(), StoreName::File("a b.db".into()));
        for bad in ["mysql://x", "sqlite://chat.db", ""] {
            let Err(Failure::Reported(report)) = StoreName::parse(bad) else { panic!("{bad}") };
            assert_eq!(report.exit, Exit::Usage);
        }
    }

    #[test]
    fn a_connection_string_is_refused_and_not_repeated() {
        for bad in
            ["host=db password=s3cret", "password=s3cret", "user=a  password=s3cret://x", "s3cret@db://x"]
        {
            let Err(Failure::Reported(report)) = StoreName::parse(bad) else { panic!("{bad}") };
            assert_eq!(report.exit, Exit::Usage, "{bad}");
            assert!(!report.to_json().contains("s3cret"), "{report:?}");
        }
        assert_eq!(StoreName::parse("a=b.db").unwrap(), StoreName::File("a=b.db".into()));
        assert_eq!(StoreName::parse("./user=a").unwrap(), StoreName::File("./user=a".into()));
    }
}
