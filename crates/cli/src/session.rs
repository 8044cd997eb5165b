//! The things that a command works with: the store, the tenant and the output.

use std::time::Duration;

use throughline::{
    Persistence, TenantId, layers::scope::ScopeLayer, pipeline::LayerList, sqlite::Maintenance,
};

use crate::{
    Access, Stack,
    command::Indexes,
    failure::{Exit, Failure},
    output::Output,
    store::{self, Opening, StoreName},
};

/// The longest wait for the end of a pipeline.
const CLOSE: Duration = Duration::from_secs(30);

/// One run of the program.
pub(crate) struct Session {
    stack: Stack,
    store: Option<StoreName>,
    tenant: TenantId,
    pub(crate) output: Output,
    /// The exit code of work that is done, also if the reader of the output leaves before its end.
    pub(crate) settled: Option<Exit>,
    /// The open pipelines, which end with the command, however that ends.
    opened: Vec<Persistence>,
}

impl Session {
    pub(crate) const fn new(
        stack: Stack,
        store: Option<StoreName>,
        tenant: TenantId,
        output: Output,
    ) -> Self {
        Self { stack, store, tenant, output, settled: None, opened: Vec::new() }
    }

    pub(crate) const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The store of `--store`.
    pub(crate) fn store(&self) -> Result<&StoreName, Failure> {
        self.store.as_ref().ok_or_else(|| {
            Failure::usage("no store is named").advise("name it with --store, or in THROUGHLINE_STORE")
        })
    }

    /// The name of the store for people.
    pub(crate) fn store_name(&self) -> String {
        self.store.as_ref().map_or_else(|| "the host's own store".to_owned(), ToString::to_string)
    }

    /// Opens the pipeline, which must exist, for the tenant of `--tenant`.
    pub(crate) async fn open(&mut self, access: Access) -> Result<Persistence, Failure> {
        match access {
            Access::Read => self.open_as(Opening::READ, None).await,
            Access::Write => self.open_as(Opening::WRITE, None).await,
        }
    }

    /// Opens the pipeline to write, and creates the store if there is none. With a layer for capabilities, that is its last one.
    ///
    /// # Errors
    /// A usage error if there is such a layer, or a metadata field to index, and the host opens its own pipeline: that one has its
    /// own layers and fields.
    pub(crate) async fn open_or_create(
        &mut self,
        indexes: &Indexes,
        scope: Option<ScopeLayer>,
    ) -> Result<Persistence, Failure> {
        let how = Opening { search: indexes.search, indexed: indexes.fields()?, ..Opening::CREATE };
        self.open_as(how, scope).await
    }

    async fn open_as(&mut self, how: Opening, scope: Option<ScopeLayer>) -> Result<Persistence, Failure> {
        let db = match (self.stack.open(how.access), scope) {
            (Some(_), Some(_)) => {
                return Err(Failure::usage(
                    "tokens need the layer `scope`, and this host opens its own pipeline",
                ));
            }
            (Some(_), None) if !how.indexed.is_empty() => {
                return Err(Failure::usage(
                    "this host opens its own pipeline, and declares the metadata to index",
                )
                .advise("leave out --index-metadata"));
            }
            (Some(opening), None) => opening.await?,
            (None, scope) => {
                let mut layers = self.stack.layers_for(how.access);
                if let Some(scope) = scope {
                    layers = layers.with(scope);
                }
                store::open(self.store()?, how, layers).await?
            }
        };
        Ok(self.keep(&db).for_tenant(self.tenant.clone()).with_actor("throughline-cli"))
    }

    /// Opens another store, without the layers of the host.
    pub(crate) async fn open_other(
        &mut self,
        name: &StoreName,
        how: Opening,
    ) -> Result<Persistence, Failure> {
        let db = store::open(name, how, LayerList::new()).await?;
        Ok(self.keep(&db))
    }

    fn keep(&mut self, db: &Persistence) -> Persistence {
        self.opened.push(db.clone());
        db.clone()
    }

    /// Opens the file of the store for maintenance, which changes nothing.
    ///
    /// # Errors
    /// A usage error with the alternative if the store is no file.
    pub(crate) async fn file(&self, command: &str, alternative: &str) -> Result<Maintenance, Failure> {
        store::file(self.store()?.file(command, alternative)?).await
    }

    /// Whether the store is a SQLite file.
    pub(crate) const fn is_file(&self) -> bool {
        matches!(self.store, Some(StoreName::File(_)))
    }

    /// Opens the file of the store for maintenance that changes it.
    ///
    /// # Errors
    /// A usage error with the alternative if the store is no file.
    pub(crate) async fn file_to_change(
        &mut self,
        command: &str,
        alternative: &str,
    ) -> Result<Maintenance, Failure> {
        let path = self.store()?.file(command, alternative)?;
        let (db, maintenance) = store::open_for_maintenance(path).await?;
        self.keep(&db);
        Ok(maintenance)
    }

    /// Opens the file, if the store is one.
    pub(crate) async fn file_if_any(&self) -> Result<Option<Maintenance>, Failure> {
        match &self.store {
            Some(StoreName::File(path)) => store::file(path).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Closes every pipeline, the last opened first.
    pub(crate) async fn close(&mut self) -> Result<(), Failure> {
        let mut closed = Ok(());
        while let Some(db) = self.opened.pop() {
            closed = closed.and(db.close_within(CLOSE).await);
        }
        closed.map_err(|error| Failure::from(error).about("the store was not closed"))
    }
}
