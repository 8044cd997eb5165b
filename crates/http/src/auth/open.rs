//! No authentication, for local use.

use std::{fmt, future::Future, net::SocketAddr};

use axum::http::{HeaderMap, header, request::Parts, uri::Authority};
use throughline_core::TenantId;
use tokio::net::TcpListener;

use super::{Authenticate, Caller, Refusal};

/// Every request acts for one caller. It is for a server that only listens on the loopback interface.
///
/// [`for_listener`](Self::for_listener) refuses another listener. A [server](crate::serve()) states the address of each
/// connection, and a request to another address than a loopback one is refused as 403.
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

    /// Returns [`single_tenant`](Self::single_tenant) for a server on this listener.
    ///
    /// # Errors
    /// [`NotLoopback`] if the listener is not bound to the loopback interface.
    pub fn for_listener(listener: &TcpListener, tenant: TenantId) -> Result<Self, NotLoopback> {
        match listener.local_addr() {
            Ok(address) if address.ip().is_loopback() => Ok(Self::single_tenant(tenant)),
            address => Err(NotLoopback { address: address.ok() }),
        }
    }

    /// Accepts requests that name any host, on any interface. Each client that reaches the server then reads and writes everything of the tenant.
    #[must_use]
    pub const fn allow_any_host(mut self) -> Self {
        self.any_host = true;
        self
    }

    fn check(&self, parts: &Parts) -> Result<(), Refusal> {
        let address = parts.extensions.get::<ServerAddress>();
        if !self.any_host && address.is_some_and(|ServerAddress(address)| !address.ip().is_loopback()) {
            return Err(Refusal::forbidden("without authentication, only the loopback interface is served"));
        }
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

/// The address of the server of a connection. A [server](crate::serve()) adds it to each request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerAddress(pub(crate) SocketAddr);

/// A listener that is not bound to the loopback interface, for a server without authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotLoopback {
    address: Option<SocketAddr>,
}

impl NotLoopback {
    /// The address of the listener. `None` if the system does not state it.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}

impl fmt::Display for NotLoopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a server without authentication must listen on the loopback interface")?;
        match self.address {
            Some(address) => write!(f, ", and not on {address}: bind it to 127.0.0.1, or use tokens"),
            None => f.write_str(", and the address of the listener is unknown"),
        }
    }
}

impl std::error::Error for NotLoopback {}

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
    fn a_request_to_another_interface_is_refused() {
        let auth = NoAuth::single_tenant("t".parse().unwrap());
        let is_served = |auth: &NoAuth, address: &str| {
            let request = Request::builder().header("host", "localhost").body(()).unwrap();
            let (mut parts, ()) = request.into_parts();
            parts.extensions.insert(ServerAddress(address.parse().unwrap()));
            auth.check(&parts).is_ok()
        };
        for (address, is_expected) in [
            ("127.0.0.1:80", true),
            ("127.8.8.8:80", true),
            ("[::1]:80", true),
            ("192.0.2.1:80", false),
            ("[2001:db8::1]:80", false),
        ] {
            assert_eq!(is_served(&auth, address), is_expected, "{address}");
        }
        assert!(is_served(&auth.allow_any_host(), "192.0.2.1:80"));
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
