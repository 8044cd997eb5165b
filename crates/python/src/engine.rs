//! The calls on a store.

use std::{sync::Arc, time::Duration};

use pyo3::{prelude::*, types::PyBytes};
use serde_json::json;
use throughline::{
    Message, MessageId, NewMessage, NewReservation, OpKind, PersistArgs, PersistError, PersistResponse,
    Persistence, Position, Result, Role, Seq, TenantId,
    changes::ChangeScope,
    ids::AttachmentKey,
    messages::{Coalesce, PageFrom, ReadPage, Visibility},
    threads::Keep,
};

use crate::{
    answer::Answer,
    completion::{OnCancel, block_on, start},
    draft::DraftParts,
    error::{invalid, raise},
    feed::Feed,
    fork::ForkOptions,
    json,
    layers::{Capability, seconds},
    number,
    process::Owned,
    store::{Opened, Shared},
};

/// An open store, for event loops or for blocking callers.
#[pyclass(frozen, module = "throughline._throughline")]
pub(crate) struct Engine {
    inner: Owned<Inner>,
    is_blocking: bool,
}

#[derive(Clone)]
struct Inner {
    opened: Arc<Opened>,
    db: Persistence,
}

impl Engine {
    pub(crate) fn new(opened: Arc<Opened>, tenant: TenantId, is_blocking: bool) -> Self {
        let db = opened.shared().db().for_tenant(tenant);
        Self { inner: Owned::new(Inner { opened, db }), is_blocking }
    }

    fn with(&self, inner: Inner) -> Self {
        Self { inner: Owned::new(inner), is_blocking: self.is_blocking }
    }

    /// Returns the handle for a call.
    fn store(&self, py: Python<'_>) -> PyResult<(&Persistence, &Shared)> {
        let Inner { opened, db } = self.inner.get(py)?;
        let shared = opened.get().map_err(|error| raise(py, &error))?;
        shared.check_plugins(py)?;
        Ok((db, shared))
    }

    /// Runs a call whose polls take little time, unless the layers of the store are heavy.
    fn call<F>(&self, py: Python<'_>, shared: &Shared, work: F) -> PyResult<Py<PyAny>>
    where
        F: Future<Output = Result<Answer>> + Send + Unpin + 'static,
    {
        self.call_with(py, shared, OnCancel::Leaves, work)
    }

    fn call_with<F>(
        &self,
        py: Python<'_>,
        shared: &Shared,
        on_cancel: OnCancel,
        work: F,
    ) -> PyResult<Py<PyAny>>
    where
        F: Future<Output = Result<Answer>> + Send + Unpin + 'static,
    {
        if shared.is_heavy() {
            return self.spawn_with(py, shared, on_cancel, work);
        }
        if self.is_blocking {
            let answer = block_on(py, shared.runtime(), true, work)?.map_err(|error| raise(py, &error))?;
            return answer.into_python(py);
        }
        start(py, on_cancel, work)
    }

    /// Runs a call on a thread of the runtime.
    fn spawn<F>(&self, py: Python<'_>, shared: &Shared, work: F) -> PyResult<Py<PyAny>>
    where
        F: Future<Output = Result<Answer>> + Send + 'static,
    {
        self.spawn_with(py, shared, OnCancel::Leaves, work)
    }

    fn spawn_with<F>(
        &self,
        py: Python<'_>,
        shared: &Shared,
        on_cancel: OnCancel,
        work: F,
    ) -> PyResult<Py<PyAny>>
    where
        F: Future<Output = Result<Answer>> + Send + 'static,
    {
        if self.is_blocking {
            let answer = block_on(py, shared.runtime(), false, Box::pin(work))?;
            return answer.map_err(|error| raise(py, &error))?.into_python(py);
        }
        let task = shared.runtime().spawn(work);
        let answer = async move {
            task.await.unwrap_or_else(|lost| {
                let kind = if lost.is_panic() {
                    throughline::ErrorKind::Panicked
                } else {
                    throughline::ErrorKind::Cancelled
                };
                Err(PersistError::new(kind, "the task of the call ended without an answer"))
            })
        };
        start(py, on_cancel, Box::pin(answer))
    }
}

/// A request whose answer becomes an [`Answer`].
struct Answered<F, T>(F, fn(T) -> Result<Answer>);

impl<F, T> Future for Answered<F, T>
where
    F: Future<Output = Result<T>> + Unpin,
{
    type Output = Result<Answer>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<Answer>> {
        let answer = self.1;
        std::pin::Pin::new(&mut self.0).poll(cx).map(|output| output.and_then(answer))
    }
}

fn id_of<T: std::str::FromStr<Err = throughline::InvalidId>>(text: &str, kind: OpKind) -> Result<T> {
    text.parse().map_err(|error| PersistError::from(error).at_the_edge(kind))
}

fn role_of(name: &str) -> Result<Role> {
    Role::from_name(name)
        .ok_or_else(|| invalid(format!("{name:?} is no role: user, assistant, system or tool")))
}

fn attachment_keys(keys: Option<Vec<String>>, kind: OpKind) -> Result<Vec<AttachmentKey>> {
    keys.unwrap_or_default().iter().map(|key| id_of(key, kind)).collect()
}

#[pymethods]
impl Engine {
    #[getter]
    const fn is_blocking(&self) -> bool {
        self.is_blocking
    }

    #[getter]
    fn tenant(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.inner.get(py)?.db.tenant().as_str().to_owned())
    }

    fn for_tenant(&self, py: Python<'_>, tenant: &str) -> PyResult<Self> {
        let Inner { opened, db } = self.inner.get(py)?;
        let tenant = id_of(tenant, OpKind::Read).map_err(|error| raise(py, &error))?;
        Ok(self.with(Inner { opened: Arc::clone(opened), db: db.for_tenant(tenant) }))
    }

    #[pyo3(signature = (actor=None, call_site=None, deadline=None, capability=None))]
    fn with_facts(
        &self,
        py: Python<'_>,
        actor: Option<&str>,
        call_site: Option<&str>,
        deadline: Option<f64>,
        capability: Option<&Capability>,
    ) -> PyResult<Self> {
        let Inner { opened, db } = self.inner.get(py)?;
        let mut db = db.clone();
        if let Some(actor) = actor {
            db = db.with_actor(actor);
        }
        if let Some(call_site) = call_site {
            db = db.with_call_site(call_site);
        }
        if let Some(deadline) = deadline {
            db = db.with_deadline(seconds(deadline).map_err(|error| raise(py, &error))?);
        }
        if let Some(Capability(capability)) = capability {
            db = db.with_credential((**capability).clone());
        }
        Ok(self.with(Inner { opened: Arc::clone(opened), db }))
    }

    fn with_blocking(&self, py: Python<'_>, is_blocking: bool) -> PyResult<Self> {
        let inner = self.inner.get(py)?;
        Ok(Self { inner: Owned::new(inner.clone()), is_blocking })
    }

    fn everything(&self, py: Python<'_>) -> PyResult<Capability> {
        let (_, shared) = self.store(py)?;
        match &shared.parts().authority {
            Some(authority) => Ok(Capability(Arc::new(authority.everything()))),
            None => Err(raise(py, &PersistError::unsupported("a capability without the layer `Scope`"))),
        }
    }

    fn revoke(&self, py: Python<'_>, capability: &Capability) -> PyResult<()> {
        let (_, shared) = self.store(py)?;
        match &shared.parts().authority {
            Some(authority) => {
                authority.revoke(&capability.0);
                Ok(())
            }
            None => Err(raise(py, &PersistError::unsupported("a capability without the layer `Scope`"))),
        }
    }

    fn describe(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.inner.get(py)?.db.describe().to_string())
    }

    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let (_, shared) = self.store(py)?;
        match &shared.parts().meters {
            Some(meters) => Ok(PyBytes::new(py, meters.read().to_string().as_bytes())),
            None => Err(raise(py, &PersistError::unsupported("a store without the layer `Metrics`"))),
        }
    }

    fn health<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let Inner { opened, .. } = self.inner.get(py)?;
        let is_open = opened.get().is_ok();
        let health = match opened.shared().backend().maintenance() {
            Some(maintenance) => {
                let health = py.detach(|| maintenance.health());
                let alarms: Vec<String> =
                    health.alarms.iter().map(|alarm| snake_case(&format!("{alarm:?}"))).collect();
                let condition = snake_case(&format!("{:?}", health.condition));
                json!({"is_good": health.is_good(), "condition": condition, "alarms": alarms})
            }
            None => {
                let condition = if is_open { "writable" } else { "closed" };
                json!({"is_good": is_open, "condition": condition, "alarms": []})
            }
        };
        Ok(PyBytes::new(py, health.to_string().as_bytes()))
    }

    #[pyo3(signature = (
        thread, role, content, id=None, metadata=None, attachments=None, key=None, after=None, deadline=None
    ))]
    #[allow(clippy::too_many_arguments, reason = "the arguments of a Python method")]
    fn add(
        &self,
        py: Python<'_>,
        thread: &str,
        role: &str,
        content: &Bound<'_, PyAny>,
        id: Option<&str>,
        metadata: Option<&Bound<'_, PyAny>>,
        attachments: Option<Vec<String>>,
        key: Option<&str>,
        after: Option<&Bound<'_, PyAny>>,
        deadline: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let (db, shared) = self.store(py)?;
        let after = number::optional(after, "after")?;
        let (content, metadata) = (json::content(content)?, json::metadata(metadata)?);
        let request = || {
            let mut message = NewMessage::new(role_of(role)?, content).with_metadata(metadata);
            if let Some(id) = id {
                message = message.with_id(id_of(id, OpKind::Add)?);
            }
            if attachments.is_some() {
                message = message.with_attachments(attachment_keys(attachments, OpKind::Add)?);
            }
            if let Some(after) = after {
                message = message.after(Seq::new(after));
            }
            let mut request = db.thread(thread).add(message);
            if let Some(key) = key {
                request = request.key(key);
            }
            if let Some(deadline) = deadline {
                request = request.deadline(seconds(deadline)?);
            }
            Ok(request)
        };
        let request = request().map_err(|error: PersistError| raise(py, &error))?;
        self.call(py, shared, Answered(request.into_future(), |added| Ok(Answer::Added(added))))
    }

    #[pyo3(signature = (thread, id, deadline=None))]
    fn get(&self, py: Python<'_>, thread: &str, id: &str, deadline: Option<f64>) -> PyResult<Py<PyAny>> {
        let (db, shared) = self.store(py)?;
        let id: MessageId = id_of(id, OpKind::Read).map_err(|error| raise(py, &error))?;
        let mut request = db.thread(thread).get(id);
        if let Some(deadline) = deadline {
            request = request.deadline(seconds(deadline).map_err(|error| raise(py, &error))?);
        }
        let found: fn(Option<Message>) -> Result<Answer> = |found| Ok(Answer::Message(found));
        self.call(py, shared, Answered(request.into_future(), found))
    }

    #[pyo3(signature = (thread, limit, after=None, before=None, visibility=None, max_bytes=None, deadline=None))]
    #[allow(clippy::too_many_arguments, reason = "the arguments of a Python method")]
    fn page(
        &self,
        py: Python<'_>,
        thread: &str,
        limit: &Bound<'_, PyAny>,
        after: Option<&Bound<'_, PyAny>>,
        before: Option<&Bound<'_, PyAny>>,
        visibility: Option<&str>,
        max_bytes: Option<&Bound<'_, PyAny>>,
        deadline: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let (db, shared) = self.store(py)?;
        let limit = number::whole(limit, "limit")?;
        let (after, before) = (number::optional(after, "after")?, number::optional(before, "before")?);
        let max_bytes = number::optional(max_bytes, "max_bytes")?;
        let request = || {
            let from = match (after, before) {
                (Some(0), None) => PageFrom::Start,
                (Some(seq), None) => PageFrom::After(Seq::new(seq)),
                (None, Some(seq)) => PageFrom::Before(Seq::new(seq)),
                (None, None) => PageFrom::End,
                (Some(_), Some(_)) => return Err(invalid("a page has `after` or `before`, and not both")),
            };
            let visibility = match visibility {
                None | Some("all") => Visibility::All,
                Some("final") => Visibility::Final,
                Some("settled") => Visibility::Settled,
                Some(other) => {
                    return Err(invalid(format!("{other:?} is no visibility: all, final or settled")));
                }
            };
            let mut read = ReadPage::new(id_of(thread, OpKind::Read)?, from, limit).showing(visibility);
            if let Some(max_bytes) = max_bytes {
                read = read.with_max_bytes(max_bytes);
            }
            let mut request = db.read(read);
            if let Some(deadline) = deadline {
                request = request.deadline(seconds(deadline)?);
            }
            Ok((request, from.is_forward()))
        };
        let (request, is_forward) = request().map_err(|error| raise(py, &error))?;
        let answer: fn(_) -> Result<Answer> = if is_forward {
            |page| Ok(Answer::Page { page, is_forward: true })
        } else {
            |page| Ok(Answer::Page { page, is_forward: false })
        };
        self.call(py, shared, Answered(request.into_future(), answer))
    }

    #[pyo3(signature = (args, key=None, deadline=None))]
    fn run(
        &self,
        py: Python<'_>,
        args: &Bound<'_, PyAny>,
        key: Option<&str>,
        deadline: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let (db, shared) = self.store(py)?;
        let args: PersistArgs = json::wire(py, json::text_of(args)?, "the arguments of the operation")?;
        let kind = args.kind();
        let mut request = db.run_args(args);
        if let Some(key) = key {
            request = request.key(key);
        }
        if let Some(deadline) = deadline {
            request = request.deadline(seconds(deadline).map_err(|error| raise(py, &error))?);
        }
        let work =
            Answered(request.into_future(), |response: PersistResponse| Answer::json(&response.result));
        match kind {
            // The answer may be long to encode.
            OpKind::Read | OpKind::Batch | OpKind::Import | OpKind::Replica => self.spawn(py, shared, work),
            _ => self.call(py, shared, work),
        }
    }

    /// Runs an operation whose task, if it is cancelled, ends with the outcome. The answer is JSON, or nothing.
    fn run_to_end(&self, py: Python<'_>, args: &Bound<'_, PyAny>, answers: bool) -> PyResult<Py<PyAny>> {
        let (db, shared) = self.store(py)?;
        let text = json::text_of(args)?;
        let args: PersistArgs = json::wire(py, text, "the arguments of the operation")?;
        let answer: fn(PersistResponse) -> Result<Answer> =
            if answers { |response| Answer::json(&response.result) } else { |_| Ok(Answer::Nothing) };
        let work = Answered(db.run_args(args).into_future(), answer);
        if json::is_long(text.len()) {
            self.spawn_with(py, shared, OnCancel::Waits, work)
        } else {
            self.call_with(py, shared, OnCancel::Waits, work)
        }
    }

    fn fork(
        &self,
        py: Python<'_>,
        thread: &str,
        message: &str,
        new: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        let (db, shared) = self.store(py)?;
        let new: ForkOptions = json::wire(py, json::text_of(new)?, "the new thread")?;
        let message: MessageId = id_of(message, OpKind::Thread).map_err(|error| raise(py, &error))?;
        let thread = db.thread(thread);
        self.spawn(py, shared, async move {
            let forked = thread.fork(&message, new.thread()).await?;
            Answer::json(&json!({"summary": forked.summary, "messages": forked.messages}))
        })
    }

    fn prune(&self, py: Python<'_>, thread: &str, keep: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let (db, shared) = self.store(py)?;
        let keep: Keep = json::wire(py, json::text_of(keep)?, "the bounds of the prune")?;
        let thread = db.thread(thread);
        self.spawn(py, shared, async move { Answer::json(&thread.prune(keep).await?) })
    }

    #[pyo3(signature = (thread=None))]
    fn purge(&self, py: Python<'_>, thread: Option<&str>) -> PyResult<Py<PyAny>> {
        let (db, shared) = self.store(py)?;
        match thread {
            Some(thread) => {
                let thread = db.thread(thread);
                self.spawn(py, shared, async move { Answer::json(&thread.purge().await?) })
            }
            None => {
                let db = db.clone();
                self.spawn(py, shared, async move { Answer::json(&db.purge().await?) })
            }
        }
    }

    #[pyo3(signature = (
        thread, role, id=None, metadata=None, attachments=None, key=None, after=None, lease=None, interval=None, bytes=None
    ))]
    #[allow(clippy::too_many_arguments, reason = "the arguments of a Python method")]
    fn reserve(
        &self,
        py: Python<'_>,
        thread: &str,
        role: &str,
        id: Option<&str>,
        metadata: Option<&Bound<'_, PyAny>>,
        attachments: Option<Vec<String>>,
        key: Option<&str>,
        after: Option<&Bound<'_, PyAny>>,
        lease: Option<f64>,
        interval: Option<f64>,
        bytes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let (db, shared) = self.store(py)?;
        let metadata = json::metadata(metadata)?;
        let (after, bytes) = (number::optional(after, "after")?, number::optional(bytes, "flush_bytes")?);
        let request = || {
            let mut new = NewReservation::new(role_of(role)?).with_metadata(metadata);
            if let Some(id) = id {
                new = new.with_id(id_of(id, OpKind::Reserve)?);
            }
            if attachments.is_some() {
                new = new.with_attachments(attachment_keys(attachments, OpKind::Reserve)?);
            }
            if let Some(after) = after {
                new = new.after(Seq::new(after));
            }
            if let Some(lease) = lease {
                new = new.with_lease(seconds(lease)?);
            }
            let mut request = db.thread(thread).reserve(new);
            if let Some(key) = key {
                request = request.key(key);
            }
            if interval.is_some() || bytes.is_some() {
                let default = Coalesce::default();
                let interval = interval.map(seconds).transpose()?.unwrap_or(default.interval);
                request = request.coalesce(Coalesce { interval, bytes: bytes.unwrap_or(default.bytes) });
            }
            Ok(request)
        };
        let request = request().map_err(|error: PersistError| raise(py, &error))?;
        let (runtime, is_blocking) = (shared.runtime().clone(), self.is_blocking);
        let opened = Arc::clone(&self.inner.get(py)?.opened);
        let work = Box::pin(async move {
            let draft = request.await?;
            Ok(Answer::Draft(Box::new(DraftParts { draft, opened, runtime, is_blocking })))
        });
        self.call(py, shared, work)
    }

    fn recover_expired_drafts(&self, py: Python<'_>, reason: String) -> PyResult<Py<PyAny>> {
        let (db, shared) = self.store(py)?;
        let db = db.clone();
        self.spawn(py, shared, async move {
            let recovered = db.recover_expired_drafts(&reason).await?;
            let failed: Vec<String> = recovered.failed.iter().map(ToString::to_string).collect();
            Answer::json(&json!({"abandoned": recovered.abandoned, "failed": failed}))
        })
    }

    #[pyo3(signature = (scope, thread, after))]
    fn changes(
        &self,
        py: Python<'_>,
        scope: &str,
        thread: Option<&str>,
        after: &Bound<'_, PyAny>,
    ) -> PyResult<Feed> {
        let (db, shared) = self.store(py)?;
        let after = number::whole(after, "after")?;
        let scope = match (scope, thread) {
            ("thread", Some(thread)) => {
                ChangeScope::Thread(id_of(thread, OpKind::Read).map_err(|error| raise(py, &error))?)
            }
            ("tenant", _) => ChangeScope::Tenant,
            ("store", _) => ChangeScope::Store,
            (other, _) => {
                return Err(raise(py, &invalid(format!("{other:?} is no scope: thread, tenant or store"))));
            }
        };
        let feed = db.changes(scope, Position::new(after));
        let opened = Arc::clone(&self.inner.get(py)?.opened);
        Ok(Feed::new(feed, opened, shared.runtime().clone(), self.is_blocking))
    }

    fn backup(&self, py: Python<'_>, path: String) -> PyResult<Py<PyAny>> {
        let (_, shared) = self.store(py)?;
        let maintenance = maintenance(shared).map_err(|error| raise(py, &error))?;
        self.spawn(py, shared, async move {
            let backup = maintenance.backup(path).await?;
            Answer::json(&json!({"path": backup.path, "bytes": backup.bytes}))
        })
    }

    fn verify(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (_, shared) = self.store(py)?;
        let maintenance = maintenance(shared).map_err(|error| raise(py, &error))?;
        self.spawn(py, shared, async move {
            let found = maintenance.verify().await?;
            let damaged: Vec<String> = found.damaged.iter().map(ToString::to_string).collect();
            Answer::json(&json!({
                "is_sound": found.is_sound(),
                "messages": found.messages,
                "threads": found.threads,
                "damaged": damaged,
            }))
        })
    }

    fn compact(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (_, shared) = self.store(py)?;
        let maintenance = maintenance(shared).map_err(|error| raise(py, &error))?;
        self.spawn(py, shared, async move {
            Ok(Answer::Number(maintenance.compact(|_| ()).await?.returned_bytes))
        })
    }

    #[pyo3(signature = (timeout=None))]
    fn close(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let Inner { opened, .. } = self.inner.get(py)?;
        let limit: Option<Duration> = timeout.map(seconds).transpose().map_err(|error| raise(py, &error))?;
        let shared = Arc::clone(opened.shared());
        self.spawn(py, &shared, Arc::clone(opened).close(limit))
    }

    fn __repr__(&self) -> String {
        let tenant = self.inner.peek().map(|inner| inner.db.tenant().as_str());
        format!("<Engine of tenant {:?}>", tenant.unwrap_or_default())
    }
}

fn maintenance(shared: &Shared) -> Result<throughline::sqlite::Maintenance> {
    let maintenance = shared.backend().maintenance().cloned();
    maintenance.ok_or_else(|| PersistError::unsupported("maintenance of a store that is not a SQLite file"))
}

fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}
