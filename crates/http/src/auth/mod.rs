//! Authentication: which caller a request acts for.

mod bearer;
mod open;
mod token_file;

use std::{borrow::Cow, fmt, future::Future, pin::Pin, sync::Arc};

use axum::http::request::Parts;
use throughline_core::{Persistence, TenantId};

pub(crate) use self::open::ServerAddress;
pub use self::{
    bearer::{BearerTokens, InvalidTokenHash},
    open::{NoAuth, NotLoopback},
    token_file::{BadLine, TokenFile, TokenFileError},
};
use crate::problem::{HttpFault, Problem};

/// Maps a request to its [`Caller`], or refuses it. The router asks before it reads a body.
///
/// A closure over the parts of the request is the shortest implementation. The router must trust what the closure reads,
/// such as a header that only the proxy of the host can set:
///
/// ```
/// use axum::http::request::Parts;
/// use throughline_http::{Authenticate, Caller, Refusal};
///
/// fn by_header() -> impl Authenticate {
///     |parts: &Parts| {
///         let user = parts.headers.get("x-user").and_then(|user| user.to_str().ok());
///         let user = user.ok_or_else(|| Refusal::unauthenticated("the proxy names no user"))?;
///         let tenant = user.parse().map_err(|_| Refusal::forbidden("the user is no tenant"))?;
///         Ok(Caller::new(tenant).with_actor(user))
///     }
/// }
/// # let _ = by_header();
/// ```
pub trait Authenticate: Send + Sync + 'static {
    /// Returns the caller of a request with these parts.
    ///
    /// # Errors
    /// A [`Refusal`], which becomes the answer to the request.
    ///
    /// # Cancel safety
    /// The router drops the future when the client disconnects.
    fn authenticate(&self, parts: &Parts) -> impl Future<Output = Result<Caller, Refusal>> + Send;
}

impl<F> Authenticate for F
where
    F: Fn(&Parts) -> Result<Caller, Refusal> + Send + Sync + 'static,
{
    fn authenticate(&self, parts: &Parts) -> impl Future<Output = Result<Caller, Refusal>> + Send {
        std::future::ready(self(parts))
    }
}

/// An [`Authenticate`] whose future is boxed, so that the router has one type for all of them.
pub(crate) trait DynAuthenticate: Send + Sync {
    fn caller<'a>(&'a self, parts: &'a Parts) -> CallerFuture<'a>;
}

type CallerFuture<'a> = Pin<Box<dyn Future<Output = Result<Caller, Refusal>> + Send + 'a>>;

impl<A: Authenticate> DynAuthenticate for A {
    fn caller<'a>(&'a self, parts: &'a Parts) -> CallerFuture<'a> {
        Box::pin(self.authenticate(parts))
    }
}

/// The caller of a request: its tenant, and what the pipeline learns of it.
///
/// ```
/// use throughline_http::Caller;
///
/// let caller = Caller::new("alice".parse()?).with_actor("alice@web");
/// assert_eq!(caller.tenant().as_str(), "alice");
/// # Ok::<(), throughline_core::InvalidId>(())
/// ```
#[derive(Clone)]
pub struct Caller {
    tenant: TenantId,
    actor: Option<Arc<str>>,
    credential: Option<AttachCredential>,
    operator: bool,
}

/// Returns a handle with the credential of a caller. The type of the credential is erased.
type AttachCredential = Arc<dyn Fn(&Persistence) -> Persistence + Send + Sync>;

impl Caller {
    /// Returns a caller of this tenant. It sees and changes only this tenant.
    #[must_use]
    pub const fn new(tenant: TenantId) -> Self {
        Self { tenant, actor: None, credential: None, operator: false }
    }

    /// Sets the actor, which layers and the audit log see: [`Persistence::with_actor`].
    #[must_use]
    pub fn with_actor(mut self, actor: &str) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// Sets the credential that a layer of the pipeline checks, such as a capability of the layer `scope`:
    /// [`Persistence::with_credential`].
    #[must_use]
    pub fn with_credential<T: Clone + Send + Sync + 'static>(mut self, credential: T) -> Self {
        self.credential = Some(Arc::new(move |db| db.with_credential(credential.clone())));
        self
    }

    /// Lets the caller read `/metrics`, whose counters cover all tenants.
    #[must_use]
    pub const fn operator(mut self) -> Self {
        self.operator = true;
        self
    }

    /// The tenant of the caller.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The actor, if there is one.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.actor.as_deref()
    }

    pub(crate) const fn is_operator(&self) -> bool {
        self.operator
    }

    /// Returns the handle of the caller.
    pub(crate) fn handle(&self, db: &Persistence) -> Persistence {
        let mut db = db.for_tenant(self.tenant.clone()).with_call_site("http");
        if let Some(actor) = &self.actor {
            db = db.with_actor(actor);
        }
        match &self.credential {
            Some(attach) => attach(&db),
            None => db,
        }
    }
}

/// Shows no part of the credential, which can be a secret.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("tenant", &self.tenant)
            .field("actor", &self.actor)
            .field("operator", &self.operator)
            .finish_non_exhaustive()
    }
}

/// Why a request has no caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    fault: HttpFault,
    detail: Cow<'static, str>,
}

impl Refusal {
    /// Refuses a request without a valid credential: 401, with the challenge `Bearer`. The detail must not say which part
    /// of a credential is wrong.
    pub fn unauthenticated(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { fault: HttpFault::Unauthenticated, detail: detail.into() }
    }

    /// Refuses a known caller: 403.
    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { fault: HttpFault::Forbidden, detail: detail.into() }
    }

    /// Refuses a request because the callers cannot be looked up now: 503.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { fault: HttpFault::AuthUnavailable, detail: detail.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::http(refusal.fault, refusal.detail)
    }
}
