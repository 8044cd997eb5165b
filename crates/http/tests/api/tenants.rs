//! A caller learns nothing of another tenant: an existing thread of another tenant answers like an absent one, byte for byte.

use std::collections::BTreeSet;

use axum::http::request::Parts;
use serde_json::{Value, json};
use throughline_core::{IndexedMetadata, Persistence};
use throughline_http::{Authenticate, BearerTokens, Caller, Options, Refusal};
use throughline_memory::MemoryBackend;

use crate::support::{Answer, Client, Host, tokens};

/// A request: its method, its target and its body.
type Sent = (&'static str, &'static str, Value);

/// Requests of the other tenant: at least one for each documented operation. Reads come first, because the writes create things
/// of its own.
fn requests() -> Vec<Sent> {
    let claimer = json!({"provider": "claude", "runtime": {"id": "laptop", "root": "root-1"}});
    let none = || Value::Null;
    let user = |id: &str| json!({"id": id, "role": "user", "text": "x"});
    vec![
        ("GET", "/healthz", none()),
        ("GET", "/readyz", none()),
        ("GET", "/metrics", none()),
        ("GET", "/openapi.json", none()),
        ("GET", "/v1/threads", none()),
        ("GET", "/v1/threads?archived=any&limit=1", none()),
        ("GET", "/v1/threads/t", none()),
        ("GET", "/v1/threads/t/messages", none()),
        ("GET", "/v1/threads/t/messages?after=1&limit=1", none()),
        ("GET", "/v1/threads/t/messages/m", none()),
        ("GET", "/v1/threads/t/messages/draft", none()),
        ("GET", "/v1/threads/t/messages/m/content", none()),
        ("GET", "/v1/threads/t/messages/draft/content?after=0.27.2", none()),
        // With a position that the store has, the stream does not end.
        ("GET", "/v1/threads/t/stream?after=1000000", none()),
        ("GET", "/v1/changes?after=0", none()),
        ("GET", "/v1/changes?after=0&thread=t", none()),
        ("GET", "/v1/search?q=secret", none()),
        ("GET", "/v1/search?q=secret&thread=t", none()),
        ("GET", "/v1/messages?metadata%5Bk%5D=1", none()),
        ("GET", "/v1/messages?metadata%5Bk%5D=1&thread=t", none()),
        ("GET", "/v1/audit", none()),
        ("GET", "/v1/audit?thread=t", none()),
        ("GET", "/v1/conversations/t", none()),
        ("GET", "/v1/conversations/t/items", none()),
        ("GET", "/v1/conversations/t/items?after=m", none()),
        ("GET", "/v1/conversations/t/items/m", none()),
        ("POST", "/v1/tickets", none()),
        ("PATCH", "/v1/threads/t", json!({"title": "x"})),
        ("PATCH", "/v1/threads/t", json!({"metadata": null})),
        ("PATCH", "/v1/threads/t/messages/m", json!({"metadata": {"a": 1}})),
        ("PATCH", "/v1/threads/t/messages/m", json!({"metadata": null})),
        ("DELETE", "/v1/threads/t/messages/m", none()),
        ("PUT", "/v1/threads/t/messages/m/content", json!([])),
        // With the key of each request, an append has no number.
        ("POST", "/v1/threads/t/drafts/draft/append", json!({"text": "x"})),
        ("POST", "/v1/threads/t/drafts/draft/finish", json!({})),
        ("POST", "/v1/threads/t/drafts/draft/abandon", json!({})),
        ("POST", "/v1/threads/t/sessions/coder/resolve", claimer.clone()),
        ("POST", "/v1/threads/t/sessions/coder/renew", json!({"attempt": "run-1"})),
        ("POST", "/v1/threads/t/sessions/coder/pin", json!({"attempt": "run-1", "session": "s"})),
        (
            "POST",
            "/v1/threads/t/sessions/coder/confirm",
            json!({"attempt": "run-1", "report": {"session": "s"}}),
        ),
        ("POST", "/v1/threads/t/sessions/coder/fail", json!({"attempt": "run-1", "failure": "network"})),
        ("POST", "/v1/threads/t/sessions/coder/cancel", json!({"attempt": "run-1"})),
        ("POST", "/v1/threads/t/sessions/coder/reset", json!({"expected": 1})),
        ("POST", "/v1/conversations/t", json!({"metadata": {"a": "b"}})),
        (
            "POST",
            "/v1/conversations/t/items",
            json!({"items": [{"role": "user", "content": "x", "id": "m"}]}),
        ),
        ("DELETE", "/v1/conversations/t/items/m", none()),
        ("DELETE", "/v1/conversations/t", none()),
        // From here on, the thread of the caller itself exists, with the ids of the other tenant.
        ("POST", "/v1/batch", json!({"items": [{"createThread": {"thread": "b", "title": "x"}}]})),
        ("POST", "/v1/threads", json!({"id": "t"})),
        ("POST", "/v1/threads/t/messages", user("m")),
        ("POST", "/v1/threads/t/messages", user("draft2")),
        ("POST", "/v1/threads/t/drafts", json!({"id": "draft"})),
        (
            "POST",
            "/v1/threads/t/sessions/coder/begin",
            json!({"claimer": claimer, "attempt": "run-1", "lease": 60000}),
        ),
        ("POST", "/v1/conversations", json!({"items": [{"role": "user", "content": "x", "id": "m"}]})),
        ("GET", "/v1/threads/t", none()),
        ("GET", "/v1/threads/t/messages", none()),
        ("GET", "/v1/changes?after=0", none()),
        ("DELETE", "/v1/threads/t", none()),
    ]
}

/// The requests whose answers are the same for every tenant: the state of the server, the beginning of a stream (whose isolation
/// `streams.rs` checks), a ticket (`tickets.rs`), and new things without a name of the other tenant.
const UNNOTICED: [&str; 10] = [
    "GET /healthz",
    "GET /metrics",
    "GET /openapi.json",
    "GET /readyz",
    "GET /v1/audit",
    "GET /v1/audit?thread=t",
    "GET /v1/threads/t/stream?after=1000000",
    "POST /v1/batch",
    "POST /v1/conversations",
    "POST /v1/tickets",
];

/// Returns a server on which another tenant has this thread.
async fn host(thread: &str, auth: impl Authenticate) -> Host {
    let indexed = IndexedMetadata::new(["k"]).unwrap();
    let backend = MemoryBackend::new().with_indexed_metadata(indexed);
    let db = Persistence::builder().backend(backend).build().unwrap();
    let host = Host::of(db, auth, Options::new().openai_conversations(true)).await;
    let alice = host.client();
    let at = |path: &str| format!("/v1/threads/{thread}{path}");
    let message = json!({"id": "m", "role": "user", "text": "a secret", "metadata": {"k": 1}});
    alice.call("POST", &at("/messages")).key("k").json(&message).send().await.expect(201);
    alice.post(&at("/drafts"), json!({"id": "draft"})).await.expect(201);
    alice.post(&at("/drafts/draft/append"), json!({"number": 1, "text": "a secret"})).await.expect(200);
    let claimer = json!({"provider": "claude", "runtime": {"id": "laptop", "root": "root-1"}});
    let begin = json!({"claimer": claimer, "attempt": "run-1", "lease": 60000});
    alice.post(&at("/sessions/coder/begin"), begin).await.expect(200);
    alice.call("PATCH", &at("")).json(&json!({"title": "a secret"})).send().await.expect(200);
    host
}

/// Returns the answer as text, without the times and random numbers of the caller's own things.
fn masked(answer: &Answer) -> String {
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    let text = format!("{}\n{}\n\n{}", answer.status, headers.join("\n"), answer.text());
    // A number of at least ten digits is a time; a run of at least sixteen hexadecimal digits is a digest or a ticket.
    let mut masked = String::new();
    let mut run = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_hexdigit() {
            run.push(c);
            continue;
        }
        let is_time = run.len() >= 10 && run.bytes().all(|byte| byte.is_ascii_digit());
        masked.push_str(if is_time || run.len() >= 16 { "#" } else { &run });
        masked.push(c);
        run.clear();
    }
    masked
}

fn bob(host: &Host) -> Client {
    Client::new(host.address).with_token("bob-token")
}

/// Sends a request to the host with the foreign thread and to the one without it. Returns what the answers expose, if anything.
async fn exposed(hosts: &[Host; 2], index: usize, (method, target, body): &Sent) -> Option<String> {
    let send = |host: &Host| {
        let mut call = bob(host).call(method, target).key(&format!("k-of-bob-{index}"));
        if !body.is_null() {
            call = call.json(body);
        }
        call.send_unchecked()
    };
    let (of_foreign, of_absent) = (send(&hosts[0]).await, send(&hosts[1]).await);
    let texts = (masked(&of_foreign), masked(&of_absent));
    if texts.0 != texts.1 {
        return Some(format!("the answers differ: {texts:?}"));
    }
    if of_foreign.text().contains("secret") && *target != "/openapi.json" {
        return Some(format!("the answer has the content of the other tenant: {}", of_foreign.text()));
    }
    let is_failure = of_foreign.status >= 500 && of_foreign.status != 501;
    is_failure.then(|| format!("the request fails: {}", of_foreign.text()))
}

/// Tokens that act for the wrong tenant at one target.
struct Confused {
    tokens: BearerTokens,
    method: &'static str,
    path: &'static str,
}

impl Authenticate for Confused {
    async fn authenticate(&self, parts: &Parts) -> Result<Caller, Refusal> {
        let caller = self.tokens.authenticate(parts).await?;
        let is_confused = parts.method.as_str() == self.method && parts.uri.path() == self.path;
        Ok(if is_confused { Caller::new("alice".parse().unwrap()).with_actor("bob@test") } else { caller })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_acts_for_the_wrong_tenant_is_noticed() {
    let mut unnoticed = BTreeSet::new();
    for (index, sent) in requests().iter().enumerate() {
        let (method, path) = (sent.0, sent.1.split('?').next().unwrap());
        let confused = || Confused { tokens: tokens(), method, path };
        let hosts = [host("t", confused()).await, host("elsewhere", confused()).await];
        if exposed(&hosts, index, sent).await.is_none() {
            unnoticed.insert(format!("{method} {}", sent.1));
        }
    }
    assert_eq!(
        unnoticed,
        UNNOTICED.map(str::to_owned).into(),
        "each other route has an answer of its tenant"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_thread_answers_like_an_absent_one_on_every_route() {
    // Both stores have had the same number of writes, because positions count those of all tenants.
    let hosts = [host("t", tokens()).await, host("elsewhere", tokens()).await];
    let document = bob(&hosts[0]).get("/openapi.json").await.expect(200);
    let mut seen = BTreeSet::new();
    for (index, sent) in requests().iter().enumerate() {
        assert_eq!(exposed(&hosts, index, sent).await, None, "{} {}", sent.0, sent.1);
        seen.insert(operation(&document, sent.0, sent.1));
    }
    let documented: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    assert_eq!(seen, documented, "every documented operation has a request");
}

/// Returns the documented operation of a request.
fn operation(document: &Value, method: &str, target: &str) -> String {
    let path: Vec<_> = target.split('?').next().unwrap().split('/').collect();
    let is_match = |template: &str| {
        let template: Vec<_> = template.split('/').collect();
        template.len() == path.len()
            && template.iter().zip(&path).all(|(part, text)| part.starts_with('{') || part == text)
    };
    let mut templates: Vec<_> =
        document["paths"].as_object().unwrap().keys().filter(|template| is_match(template)).collect();
    templates.sort_by_key(|template| template.matches('{').count());
    format!("{} {}", method.to_lowercase(), templates.first().unwrap_or_else(|| panic!("{target}")))
}
