//! The OpenAPI document lists exactly the routes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Client, Host};

/// Every route, independently of the code of the router.
const ROUTES: &[(&str, &str)] = &[
    ("delete", "/v1/threads/{thread}"),
    ("delete", "/v1/threads/{thread}/messages/{message}"),
    ("get", "/healthz"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
    ("get", "/readyz"),
    ("get", "/v1/audit"),
    ("get", "/v1/changes"),
    ("get", "/v1/messages"),
    ("get", "/v1/search"),
    ("get", "/v1/threads"),
    ("get", "/v1/threads/{thread}"),
    ("get", "/v1/threads/{thread}/messages"),
    ("get", "/v1/threads/{thread}/messages/{message}"),
    ("get", "/v1/threads/{thread}/messages/{message}/content"),
    ("get", "/v1/threads/{thread}/stream"),
    ("patch", "/v1/threads/{thread}"),
    ("patch", "/v1/threads/{thread}/messages/{message}"),
    ("post", "/v1/batch"),
    ("post", "/v1/threads"),
    ("post", "/v1/threads/{thread}/drafts"),
    ("post", "/v1/threads/{thread}/drafts/{message}/abandon"),
    ("post", "/v1/threads/{thread}/drafts/{message}/append"),
    ("post", "/v1/threads/{thread}/drafts/{message}/finish"),
    ("post", "/v1/threads/{thread}/messages"),
    ("post", "/v1/threads/{thread}/sessions/{agent}/begin"),
    ("post", "/v1/threads/{thread}/sessions/{agent}/cancel"),
    ("post", "/v1/threads/{thread}/sessions/{agent}/confirm"),
    ("post", "/v1/threads/{thread}/sessions/{agent}/fail"),
    ("post", "/v1/threads/{thread}/sessions/{agent}/pin"),
    ("post", "/v1/threads/{thread}/sessions/{agent}/renew"),
    ("post", "/v1/threads/{thread}/sessions/{agent}/reset"),
    ("post", "/v1/threads/{thread}/sessions/{agent}/resolve"),
    ("post", "/v1/tickets"),
    ("put", "/v1/threads/{thread}/messages/{message}/content"),
];

const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_lists_exactly_the_routes() {
    let host = Host::memory().await;
    let client = Client::new(host.address);
    let document = client.get("/openapi.json").await.expect(200);
    let paths = document["paths"].as_object().unwrap();
    let documented: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))
        })
        .collect();
    let expected: BTreeSet<_> =
        ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(documented, expected);

    // The server answers each documented method, and no other one.
    for path in paths.keys() {
        let target = path.replace(['{', '}'], "");
        let mut allowed: Vec<_> = Vec::new();
        for method in METHODS {
            let answer = client.call(&method.to_uppercase(), &target).send().await;
            assert_ne!(answer.status, 404, "{method} {path}");
            if answer.status == 405 {
                assert!(answer.header("allow").is_some(), "{method} {path}");
            } else {
                allowed.push(method);
            }
        }
        let is_documented = |method: &str| {
            documented.contains(&(method.to_owned(), path.clone()))
                || method == "head" && documented.contains(&("get".to_owned(), path.clone()))
        };
        let documented: Vec<_> = METHODS.into_iter().filter(|method| is_documented(method)).collect();
        assert_eq!(allowed, documented, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_is_described() {
    let host = Host::memory().await;
    let document = Client::new(host.address).get("/openapi.json").await.expect(200);
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|summary| summary.ends_with('.')), "{at}");
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{at}: the id is not unique"
            );
            for status in ["400", "401", "404", "500"] {
                assert!(operation["responses"][status].is_object(), "{at}: {status}");
            }
            let parameters = operation["parameters"].as_array();
            let in_path: BTreeSet<_> = (parameters.into_iter().flatten())
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let expected: BTreeSet<_> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(in_path, expected, "{at}");
        }
    }
    references(&document, &document);
}

/// Checks that each reference has a target.
fn references(document: &Value, value: &Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference} has no target");
            }
            members.values().for_each(|value| references(document, value));
        }
        Value::Array(items) => items.iter().for_each(|value| references(document, value)),
        _ => {}
    }
}
