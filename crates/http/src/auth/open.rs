//! No authentication, for local use.

use std::future::Future;

use axum::http::{HeaderMap, header, request::Parts, uri::Authority};
use throughline_core::TenantId;

use super::{Authenticate, Caller, Refusal};

/// Every request acts for one caller. It is for a server that only listens on the loopback interface.
///
/// A page of a browser can reach such a server. It therefore refuses a request that names another host than the loopback
/// interface (against DNS rebinding), and a request of another origin (against forged requests of a foreign page).
///
/// ```
/// use throughline_http::NoAuth;
///
/// let auth = NoAuth::single_tenant("default".parse()?);
/// # let _ = auth;
/// # Ok::<(), throughline_core::InvalidId>(())
/// ```
#[derive(Debug, Clone)]
pub struct NoAuth {
    caller: Caller,
    any_host: bool,
}

impl NoAuth {
    /// Returns an authentication that maps every local request to this tenant. The caller is an
    /// [operator](Caller::operator).
    #[must_use]
    pub const fn single_tenant(tenant: TenantId) -> Self {
        Self { caller: Caller::new(tenant).operator(), any_host: false }
    }

    /// Accepts requests that name any host. Each client that reaches the server then reads and writes everything of the tenant.
    #[must_use]
    pub const fn allow_any_host(mut self) -> Self {
        self.any_host = true;
        self
    }

    fn check(&self, parts: &Parts) -> Result<(), Refusal> {
        let host = host_of(parts).ok_or_else(|| Refusal::forbidden("the request names no host"))?;
        if !self.any_host && !is_loopback(host.host()) {
            return Err(Refusal::forbidden("without authentication, only a loopback host is served"));
        }
        match origin_of(&parts.headers) {
            Some(origin) if origin != Some(host.as_str()) => {
                Err(Refusal::forbidden("without authentication, no other origin is served"))
            }
            _ => Ok(()),
        }
    }
}

/// Returns the authority that the request names: in its target, or in the header `Host`.
fn host_of(parts: &Parts) -> Option<Authority> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.clone());
    }
    parts.headers.get(header::HOST)?.to_str().ok()?.parse().ok()
}

/// Returns the authority of the header `Origin`, if there is one. `Some(None)` for an origin without an authority.
fn origin_of(headers: &HeaderMap) -> Option<Option<&str>> {
    let origin = headers.get(header::ORIGIN)?;
    Some(origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Authenticate for NoAuth {
    fn authenticate(&self, parts: &Parts) -> impl Future<Output = Result<Caller, Refusal>> + Send {
        std::future::ready(self.check(parts).map(|()| self.caller.clone()))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn is_served(auth: &NoAuth, host: &str, origin: Option<&str>) -> bool {
        let mut request = Request::builder().header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        auth.check(&request.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn only_a_loopback_host_and_its_own_origin_are_served() {
        let auth = NoAuth::single_tenant("t".parse().unwrap());
        for (host, origin, is_expected) in [
            ("localhost:80", None, true),
            ("127.0.0.1:8080", None, true),
            ("[::1]:8080", None, true),
            ("127.0.0.1:8080", Some("http://127.0.0.1:8080"), true),
            ("127.0.0.1:8080", Some("http://127.0.0.1:9090"), false),
            ("127.0.0.1:8080", Some("https://evil.example"), false),
            ("127.0.0.1:8080", Some("null"), false),
            ("evil.example", None, false),
            ("127.0.0.1.evil.example", None, false),
        ] {
            assert_eq!(is_served(&auth, host, origin), is_expected, "{host} {origin:?}");
        }
        let open = auth.allow_any_host();
        assert!(is_served(&open, "chat.example", Some("https://chat.example")));
        assert!(!is_served(&open, "chat.example", Some("https://evil.example")));
    }
}
