//! `serve`: the HTTP interface over the store.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;
use throughline::layers::scope::{Authority, ScopeLayer};
use throughline_http::{NoAuth, Options, TokenFile, router_with, serve};
use tokio::net::TcpListener;

use super::Indexes;
use crate::{
    Exit, Failure, Outcome, Session,
    output::{CAUTION, GOOD, line},
};

/// Serves the store over HTTP, with a web page, until Ctrl-C
///
/// The store is created if there is none.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The address to listen at; without tokens, a loopback address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The file with the hashes of the tokens, which `token add` writes
    #[arg(long, env = "THROUGHLINE_TOKENS", hide_env_values = true, value_name = "FILE")]
    tokens: Option<PathBuf>,
    #[command(flatten)]
    indexes: Indexes,
    /// Serves the OpenAI Conversations API too
    #[arg(long)]
    openai: bool,
    /// Serves no web page
    #[arg(long)]
    no_web_page: bool,
}

impl Serve {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let listener = TcpListener::bind(self.listen)
            .await
            .map_err(|error| Failure::io(format_args!("cannot listen at {}", self.listen), &error))?;
        let address = listener.local_addr().unwrap_or(self.listen);
        let options = Options::new().openai_conversations(self.openai).web_page(!self.no_web_page);
        let router = match &self.tokens {
            Some(path) => {
                let scope = ScopeLayer::new();
                let tokens = tokens(path, scope.authority())?;
                let db = session.open_or_create(&self.indexes, Some(scope)).await?;
                router_with(db, tokens, options.clone())
            }
            None => {
                let auth = NoAuth::for_listener(&listener, session.tenant().clone())
                    .map_err(|error| Failure::usage(error.to_string()).advise("add --tokens FILE"))?;
                router_with(session.open_or_create(&self.indexes, None).await?, auth, options.clone())
            }
        };
        announce(session, address, self.tokens.is_some(), self.no_web_page)?;
        let stopped = crate::interrupted();
        serve(listener, router, options).with_graceful_shutdown(stopped).await;
        Ok(Exit::Done)
    }
}

fn tokens(path: &Path, authority: Authority) -> Result<TokenFile, Failure> {
    TokenFile::open_scoped(path, authority).map_err(|error| {
        Failure::new(
            Exit::Failed,
            "invalid",
            format!("the token file is refused: {}", line(&error.to_string())),
        )
        .advise("`throughline token add` makes the file")
    })
}

fn announce(
    session: &mut Session,
    address: SocketAddr,
    has_tokens: bool,
    no_web_page: bool,
) -> Result<(), Failure> {
    let name = session.store_name();
    let output = &mut session.output;
    if output.is_json() {
        output.json("serve", &json!({ "address": address, "tokens": has_tokens }))?;
    } else {
        output.line(format_args!("{GOOD}serving{GOOD:#} {name} at http://{address}"))?;
        if !no_web_page {
            output.line(format_args!("web page: http://{address}/ui/"))?;
        }
        if !has_tokens {
            output.sentence(format_args!(
                "{CAUTION}No tokens{CAUTION:#}: every program of this machine can read and write."
            ))?;
        }
    }
    Ok(output.flush()?)
}
