//! The routes of agent sessions.

use serde_json::{Value, json};

use crate::support::{Answer, Client, Host};

on_each_store!(
    a_run_is_begun_renewed_pinned_and_confirmed,
    a_run_that_fails_or_is_cancelled_releases_its_lease,
    a_repeated_begin_with_a_key_is_one_run,
    garbage_of_sessions_is_refused,
);

async fn call(client: &Client, verb: &str, body: Value) -> Answer {
    client.post(&format!("/v1/threads/t/sessions/coder/{verb}"), body).await
}

fn claimer() -> Value {
    json!({"provider": "claude", "runtime": {"id": "laptop", "root": "root-1"}})
}

async fn a_run_is_begun_renewed_pinned_and_confirmed(host: Host) {
    let client = host.client();
    let resolved = call(&client, "resolve", claimer()).await.expect(200);
    assert_eq!(resolved["resolution"]["session"], Value::Null);
    let begin = json!({"claimer": claimer(), "attempt": "run-1", "lease": 60000, "workDir": "/work"});
    let begun = call(&client, "begin", begin.clone()).await.expect(200);
    assert_eq!((&begun["attempt"], &begun["number"]), (&"run-1".into(), &1.into()));
    assert_eq!(begun["lease"]["duration"], 60000);
    call(&client, "begin", begin).await.expect_problem(409, "already_exists");
    let busy = call(&client, "begin", json!({"claimer": claimer(), "attempt": "run-2"})).await;
    busy.expect_problem(423, "busy");
    let renewed = call(&client, "renew", json!({"attempt": "run-1"})).await.expect(200);
    assert_eq!(renewed["superseded"], false);
    call(&client, "pin", json!({"attempt": "run-1", "session": "s-1"})).await.expect(200);
    let report = json!({"attempt": "run-1", "report": {"session": "s-1"}});
    let confirmed = call(&client, "confirm", report).await.expect(200);
    assert_eq!(confirmed["binding"]["pointer"]["session"], "s-1");
    let resolved = call(&client, "resolve", claimer()).await.expect(200);
    assert_eq!(resolved["resolution"]["session"], "s-1");
    call(&client, "renew", json!({"attempt": "run-1"})).await.expect_problem(409, "stale");
    call(&client, "renew", json!({"attempt": "unknown"})).await.expect_problem(404, "not_found");

    let reset = client.call("POST", "/v1/threads/t/sessions/coder/reset").send().await.expect(200);
    let generation = reset["binding"]["generation"].as_u64().unwrap();
    call(&client, "reset", json!({"expected": generation + 1})).await.expect_problem(409, "stale");
    let resolved = call(&client, "resolve", claimer()).await.expect(200);
    assert_eq!(
        (&resolved["resolution"]["session"], &resolved["resolution"]["withheld"]),
        (&Value::Null, &"generation".into())
    );
    // Another tenant has its own agent of the same name.
    let bob = Client::new(host.address).with_token("bob-token");
    let resolved = call(&bob, "resolve", claimer()).await.expect(200);
    assert_eq!(resolved["resolution"]["binding"], Value::Null);
}

async fn a_run_that_fails_or_is_cancelled_releases_its_lease(host: Host) {
    let client = host.client();
    for (attempt, verb, body) in [
        ("run-1", "fail", json!({"attempt": "run-1", "failure": "contextOverflow", "detail": "too long"})),
        ("run-2", "cancel", json!({"attempt": "run-2"})),
    ] {
        call(&client, "begin", json!({"claimer": claimer(), "attempt": attempt})).await.expect(200);
        let ended = call(&client, verb, body).await.expect(200);
        assert_eq!(ended["binding"]["running"], Value::Null, "{verb}");
    }
    call(&client, "begin", json!({"claimer": claimer(), "attempt": "run-3"})).await.expect(200);
}

async fn a_repeated_begin_with_a_key_is_one_run(host: Host) {
    let client = host.client();
    let begin = |key: &str| {
        let call = client.call("POST", "/v1/threads/t/sessions/coder/begin").key(key);
        call.json(&json!({"claimer": claimer()}))
    };
    let first = begin("k").send().await.expect(200);
    let again = begin("k").send().await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(200)["attempt"], first["attempt"]);
    begin("other").send().await.expect_problem(423, "busy");
}

async fn garbage_of_sessions_is_refused(host: Host) {
    let client = host.client();
    for (verb, body) in [
        ("resolve", json!({})),
        ("resolve", json!({"provider": ""})),
        ("begin", json!({"claimer": {"provider": "p"}, "lease": 0})),
        ("begin", json!({"claimer": {"provider": "p"}, "expected": u64::MAX})),
        ("begin", json!({"claimer": {"provider": "p", "generation": -1}})),
        ("renew", json!({})),
        ("pin", json!({"attempt": "a"})),
        ("confirm", json!({"attempt": "a", "report": {"unknown": 1}})),
        ("fail", json!({"attempt": "a", "failure": "boredom"})),
        ("cancel", json!([])),
        ("reset", json!({"expected": "1"})),
    ] {
        call(&client, verb, body).await.expect_problem(400, "invalid");
    }
    let long = json!({"attempt": "a", "failure": "other", "detail": "x".repeat(4097)});
    let answer = call(&client, "fail", long).await;
    assert!(matches!(answer.status, 400 | 413), "{}", answer.text());
    client.call("POST", "/v1/threads/t/sessions/coder/eat").send().await.expect_problem(404, "no_route");
}
