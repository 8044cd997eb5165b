//! A SQLite store behind the HTTP interface.
//!
//! ```sh
//! cargo run -p http_server                              # serves a new store, checks it over HTTP, and ends
//! cargo run -p http_server -- 127.0.0.1:8080 chat.db    # serves until Ctrl-C; the token is `secret`
//! curl -H 'Authorization: Bearer secret' 127.0.0.1:8080/v1/threads
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod client;

use std::{error::Error, ffi::OsString, net::SocketAddr, path::Path};

use serde_json::json;
use throughline::{
    Persistence,
    layers::{limits::LimitsLayer, trace::TraceLayer},
    sqlite::{Condition, SqliteBackend},
};
use throughline_http::{BearerTokens, Caller, Options, StoreHealth, not_found, router_with, serve};
use tokio::{net::TcpListener, sync::oneshot};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = lexopt::Parser::from_env().raw_args()?.collect::<Vec<OsString>>().into_iter();
    match (arguments.next(), arguments.next()) {
        (Some(address), Some(file)) => {
            let address = address.to_string_lossy().into_owned();
            let stop = async {
                if let Err(error) = tokio::signal::ctrl_c().await {
                    println!("Ctrl-C cannot be awaited: {error}");
                }
            };
            run(TcpListener::bind(address).await?, Path::new(&file), stop).await
        }
        _ => check().await,
    }
}

/// Serves a store until `stop` completes.
async fn run(
    listener: TcpListener,
    file: &Path,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let backend = SqliteBackend::open(file).await?;
    let maintenance = backend.maintenance();
    let db =
        Persistence::builder().layer(LimitsLayer::new()).layer(TraceLayer::new()).backend(backend).build()?;

    // A configuration has the hash of each token, and not the token.
    let caller = Caller::new("default".parse()?).with_actor("example");
    let tokens = BearerTokens::new().with_hash(&BearerTokens::hash("secret"), caller)?;
    let options = Options::new().openai_conversations(true).store_health(move || {
        let health = maintenance.health();
        let state = StoreHealth::new(health.condition == Condition::Writable);
        health.alarms.iter().fold(state, |state, alarm| state.with_condition(format!("{alarm:?}")))
    });
    let app = router_with(db.clone(), tokens, options.clone()).fallback(not_found);
    println!("serving http://{}", listener.local_addr()?);
    serve(listener, app, options).with_graceful_shutdown(stop).await;
    db.close().await?;
    Ok(())
}

/// Serves a new store, and acts as a client whose connections are cut.
async fn check() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("chat.db");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let client = tokio::spawn(async move {
        let checked = use_api(server).await.map_err(|error| error.to_string());
        drop(stop);
        checked
    });
    let stopped = async {
        // The client drops the sender at its end.
        let _ = stopped.await;
    };
    run(listener, &file, stopped).await?;
    client.await??;
    println!("the server kept every message once");
    Ok(())
}

async fn use_api(server: SocketAddr) -> Result<()> {
    // The answer to the first request is lost: the second one adds nothing.
    let question = json!({"role": "user", "text": "Where to?"});
    let first = client::post(server, "/v1/threads/trip/messages", "update-1007", &question).await?;
    let again = client::post(server, "/v1/threads/trip/messages", "update-1007", &question).await?;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.json["id"], again.json["id"]);

    // A streamed reply: each append has a number, and a repeated one is applied once.
    let draft = client::post(server, "/v1/threads/trip/drafts", "reply-1007", &json!({})).await?;
    let draft = format!("/v1/threads/trip/drafts/{}", draft.json["id"].as_str().ok_or("a draft has an id")?);
    for (number, text) in [(1, "To the "), (1, "To the "), (2, "sea"), (2, "sea")] {
        let append = json!({"number": number, "text": text});
        assert_eq!(client::post(server, &format!("{draft}/append"), "", &append).await?.status, 200);
    }
    let finished = client::post(server, &format!("{draft}/finish"), "", &json!({"text": "."})).await?;
    assert_eq!(finished.json["state"], "final");

    // A reader whose connection is cut after each change resumes after the last one.
    let (mut after, mut kinds) = ("0".to_owned(), Vec::new());
    while kinds.last().is_none_or(|kind| kind != "finished") {
        let mut changes = client::changes(server, &after).await?;
        let change = changes.next().await?;
        kinds.extend(change["kind"].as_object().and_then(|kind| kind.keys().next()).cloned());
        after = changes.id;
    }
    assert_eq!(kinds, ["added", "reserved", "written", "written", "finished"]);
    println!("the stream was cut and resumed {} times", kinds.len());
    Ok(())
}
