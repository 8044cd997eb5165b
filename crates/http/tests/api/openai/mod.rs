//! The routes of the OpenAI Conversations API.

mod conversations;
mod errors;
mod items;

use serde_json::Value;
use throughline_core::{Persistence, ThreadId};
use throughline_http::Options;
use throughline_memory::MemoryBackend;

use crate::support::{Answer, Host};

/// Returns a server with the routes.
async fn host() -> Host {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    Host::of(db, crate::support::tokens(), Options::new().openai_conversations(true)).await
}

/// Returns a handle of the tenant of the client on a thread.
fn thread(host: &Host, id: &str) -> throughline_core::Thread {
    host.db.for_tenant("alice".parse().unwrap()).thread(id.parse::<ThreadId>().unwrap())
}

/// Checks that the answer is an error of the API, with this status and code.
#[track_caller]
fn expect_error(answer: &Answer, status: u16, code: &str) -> Value {
    let error = answer.expect(status)["error"].clone();
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(error["code"], code, "{error}");
    assert!(error["message"].is_string() && error["param"].is_null(), "{error}");
    error
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}
