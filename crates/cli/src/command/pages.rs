//! Lists that are read page by page, to their end.

use std::vec;

use throughline::{
    Persistence, TenantId,
    threads::{ListThreads, ThreadSummary},
};

use crate::Failure;

/// The tenants of one read.
const TENANTS: u32 = 200;
/// The threads of one read.
const THREADS: u32 = 200;

/// The tenants of the store. It reads a page of them at a time.
#[derive(Debug)]
pub(crate) struct Tenants {
    db: Persistence,
    page: vec::IntoIter<TenantId>,
    last: Option<TenantId>,
    /// Whether the page is the last one.
    is_over: bool,
}

impl Tenants {
    pub(crate) fn of(db: &Persistence) -> Self {
        Self { db: db.clone(), page: Vec::new().into_iter(), last: None, is_over: false }
    }

    /// The next tenant; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<TenantId>, Failure> {
        if self.page.as_slice().is_empty() && !self.is_over {
            let page = self.db.tenants(self.last.take(), TENANTS).await?.tenants;
            self.is_over = page.len() < TENANTS as usize;
            self.page = page.into_iter();
        }
        self.last = self.page.next();
        Ok(self.last.clone())
    }
}

/// The listed threads of a tenant, a page at a time.
#[derive(Debug)]
pub(crate) struct ThreadPages {
    db: Persistence,
    next: Option<ListThreads>,
}

impl ThreadPages {
    /// All listed threads, archived ones too.
    pub(crate) fn of(db: &Persistence) -> Self {
        Self { db: db.clone(), next: Some(ListThreads::new(THREADS).archived_too()) }
    }

    /// The next page, and the threads of it that are damaged; `None` at the end.
    pub(crate) async fn next(
        &mut self,
    ) -> Result<Option<(Vec<ThreadSummary>, Vec<throughline::ThreadId>)>, Failure> {
        let Some(list) = self.next.take() else { return Ok(None) };
        let page = self.db.threads(list.clone()).await?;
        self.next = page.next.map(|cursor| list.after(cursor));
        Ok(Some((page.threads, page.damaged)))
    }
}
