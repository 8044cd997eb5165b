//! Serves a SQLite file without authentication: `page_host ADDRESS FILE`. It runs until it is killed.

use std::error::Error;

use throughline::{Persistence, sqlite::SqliteBackend};
use throughline_http::{NoAuth, Options, not_found, router_with, serve};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: page_host ADDRESS FILE".into());
    };
    let db = Persistence::builder().backend(SqliteBackend::open(file).await?).build()?;
    let options = Options::new();
    let app = router_with(db, NoAuth::single_tenant("default".parse()?), options.clone()).fallback(not_found);
    serve(TcpListener::bind(address).await?, app, options).await;
    Ok(())
}
