//! A server for a router, with the bounds that only a server can enforce.

mod stall;

use std::{
    convert::Infallible,
    fmt,
    future::{Future, IntoFuture},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::ServiceExt;

use self::stall::WriteTimeout;
use crate::{Options, auth::ServerAddress, shutdown::ShutdownSignal};

/// Serves a router on a listener, over HTTP/1.1 without TLS. The future of the answer runs until the server has shut down.
///
/// It bounds what a router cannot: the time to the first byte and the idle time of a connection, the size of the headers, the
/// time that a client accepts no byte, and the number of connections. A host that needs TLS or HTTP/2 puts a proxy in front, or
/// serves the router with a server of its own.
///
/// Each request has the address of its client as [`ConnectInfo<SocketAddr>`](ConnectInfo).
///
/// ```
/// use throughline_core::{Admitted, Backend, Capabilities, Durability, Persistence};
/// use throughline_http::{NoAuth, Options, router, serve};
/// # struct Nowhere;
/// # impl Backend for Nowhere {
/// #     fn name(&self) -> &str { "nowhere" }
/// #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let db = Persistence::builder().backend(Nowhere).build()?;
/// let app = router(db.clone(), NoAuth::single_tenant("default".parse()?));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let stop = async { /* such as `tokio::signal::ctrl_c()` */ };
/// serve(listener, app, Options::new()).with_graceful_shutdown(stop).await;
/// db.close().await?;
/// # Ok(())
/// # }
/// ```
pub fn serve(listener: TcpListener, router: Router, options: Options) -> Server {
    Server { listener, router, options, stop: Box::pin(std::future::pending()) }
}

/// A server, which runs when it is awaited: see [`serve`](serve()).
#[must_use = "nothing is served before it is awaited"]
pub struct Server {
    listener: TcpListener,
    router: Router,
    options: Options,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Server {
    /// Shuts the server down when `stop` completes. It accepts no further connections, ends the streams and long polls so that
    /// their clients resume elsewhere, and waits for open requests at most for [`Options::grace`].
    pub fn with_graceful_shutdown(self, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { stop: Box::pin(stop), ..self }
    }

    async fn run(self) {
        let Self { listener, router, options, mut stop } = self;
        let (shutdown, signal) = watch::channel(false);
        let graceful = GracefulShutdown::new();
        let permits = Arc::new(Semaphore::new(options.max_connections));
        let mut connections = JoinSet::new();
        loop {
            let accepted = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (listener.accept().await, permit)
            };
            let ((stream, address), permit) = tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => continue,
                (accepted, permit) = accepted => match accepted {
                    Ok(accepted) => (accepted, permit),
                    Err(error) => {
                        pause_after(&error).await;
                        continue;
                    }
                },
            };
            // Without an address, the router cannot recognize a loopback connection.
            let Ok(server) = stream.local_addr() else { continue };
            let signal = ShutdownSignal(signal.clone());
            let answers = Answers {
                router: router.clone(),
                signal,
                client: ConnectInfo(address),
                server: ServerAddress(server),
            };
            let connection = graceful.watch(connection(stream, answers, &options));
            connections.spawn(async move {
                // An error of a connection concerns only its client: a reset, a timeout, or bytes that are not HTTP.
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended");
                }
                drop(permit);
            });
        }
        drop(listener);
        // No receiver is left if there is no open connection.
        let _ = shutdown.send(true);
        if timeout(options.grace, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still open at the end of the grace period");
        }
    }
}

impl IntoFuture for Server {
    type Output = ();
    type IntoFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

type AnswerFuture = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

/// The answers of one connection.
struct Answers {
    router: Router,
    signal: ShutdownSignal,
    client: ConnectInfo<SocketAddr>,
    server: ServerAddress,
}

impl Service<Request<Incoming>> for Answers {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = AnswerFuture;

    fn call(&self, request: Request<Incoming>) -> AnswerFuture {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.signal.clone());
        request.extensions_mut().insert(self.client);
        request.extensions_mut().insert(self.server);
        Box::pin(self.router.clone().oneshot(request))
    }
}

type Served = http1::Connection<TokioIo<WriteTimeout<TcpStream>>, Answers>;

fn connection(stream: TcpStream, answers: Answers, options: &Options) -> Served {
    // An answer is small or streamed, so that its bytes should leave at once. A failure costs latency only.
    let _ = stream.set_nodelay(true);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        // The router refuses at the exact bounds, with a problem document. Beyond these, the connection is refused.
        .max_headers(options.max_headers.saturating_mul(2).max(100))
        .max_buf_size(options.max_header_bytes.saturating_mul(2).max(8 << 10))
        .serve_connection(TokioIo::new(WriteTimeout::new(stream, options.write_timeout)), answers)
}

/// The pause after an error that other connections must end to resolve, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Pauses after an error of `accept`, unless it concerns only one client.
async fn pause_after(error: &io::Error) {
    let concerns_one_client = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    );
    if !concerns_one_client {
        tracing::warn!(%error, "the server cannot accept a connection");
        sleep(PAUSE).await;
    }
}
