//! A server of the HTTP interface over a Postgres store, which the checks kill. Its argument is the URL of the database.
//!
//! It prints its address when it listens, and ends with the process that holds its input.

use std::{error::Error, io, process, thread};

use throughline_core::Persistence;
use throughline_http::{NoAuth, Options, router, serve};
use throughline_postgres::PostgresBackend;
use tokio::net::TcpListener;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    thread::spawn(end_with_the_input);
    let url = std::env::args().nth(1).ok_or("the argument is the URL of the database")?;
    let backend = PostgresBackend::open(&url).await?;
    let db = Persistence::builder().backend(backend).build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let auth = NoAuth::for_listener(&listener, "default".parse()?)?;
    println!("{}", listener.local_addr()?);
    serve(listener, router(db, auth), Options::new()).await;
    Ok(())
}

/// Ends the process with its input, or an error of it.
fn end_with_the_input() {
    drop(io::copy(&mut io::stdin(), &mut io::sink()));
    process::exit(0);
}
