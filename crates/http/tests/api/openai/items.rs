use serde_json::{Value, json};
use throughline_core::{Content, NewMessage, Role};

use super::{expect_error, host, ids, thread};
use crate::support::Client;

/// Creates a conversation with these items.
async fn conversation(client: &Client, items: Value) -> String {
    let created = client.post("/v1/conversations", json!({ "items": items })).await.expect(200);
    created["id"].as_str().unwrap().to_owned()
}

fn items_of(conversation: &str) -> String {
    format!("/v1/conversations/{conversation}/items")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_of_every_type_come_back_with_every_member() {
    let host = host().await;
    let client = host.client();
    let conversation = conversation(&client, json!([])).await;
    let target = items_of(&conversation);
    let items = [
        r#"{"type":"message","id":"msg_1","status":"completed","role":"developer","content":[{"type":"input_text","text":"Be brief."}],"x_extra":{"n":1.10}}"#,
        r#"{"type":"message","id":"msg_2","role":"user","content":[{"type":"input_text","text":"Look"},{"type":"input_image","detail":"auto","image_url":"https://example.com/a.png"}],"status":"completed"}"#,
        r#"{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"gAAA"}"#,
        r#"{"type":"function_call","id":"fc_1","call_id":"call_1","name":"weather","arguments":"{\"city\": \"Lisbon\"}","status":"completed"}"#,
        r#"{"type":"function_call_output","id":"fco_1","call_id":"call_1","output":"{\"c\":1.50}","status":"completed"}"#,
        r#"{"type":"message","id":"msg_3","role":"assistant","status":"incomplete","phase":"final_answer","content":[{"type":"output_text","text":"Sunny","annotations":[],"logprobs":[{"token":"S","logprob":-0.10}]}]}"#,
        r#"{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"q","sources":[]}}"#,
        r#"{"type":"something_new","id":"new_1","big":18446744073709551616,"lone":"\ud800","twice":1,"twice":2}"#,
    ];
    let body = format!(r#"{{"items":[{}]}}"#, items.join(","));
    let created = client.call("POST", &target).header("content-type", "application/json").body(body);
    let created = created.send_unchecked().await;
    assert_eq!(created.status, 200, "{}", created.text());
    let listed = client.call("GET", &format!("{target}?order=asc")).send_unchecked().await;
    assert_eq!(created.body, listed.body);
    let expected_ids = ["msg_1", "msg_2", "rs_1", "fc_1", "fco_1", "msg_3", "ws_1", "new_1"];
    for (json, id) in items.iter().zip(expected_ids) {
        let answer = client.call("GET", &format!("{target}/{id}")).send_unchecked().await;
        assert_eq!(answer.status, 200);
        let members = |json: &str| -> Vec<String> {
            let mut members: Vec<_> = raw_members(json);
            members.sort();
            members
        };
        assert_eq!(members(answer.text()), members(json), "every member keeps its bytes");
    }
    // The same items are messages of the thread.
    let page =
        thread(&host, &conversation).page(throughline_core::messages::PageFrom::Start, 50).await.unwrap();
    let roles: Vec<_> = page.messages.iter().map(|message| message.role).collect();
    assert_eq!(
        roles,
        [
            Role::System,
            Role::User,
            Role::Assistant,
            Role::Assistant,
            Role::Tool,
            Role::Assistant,
            Role::Assistant,
            Role::Assistant
        ]
    );
    assert_eq!((page.messages[0].text(), page.messages[5].text()), ("Be brief.".into(), "Sunny".into()));
}

/// Returns the members of an object as text, each with the bytes of its value.
fn raw_members(json: &str) -> Vec<String> {
    struct Members(Vec<String>);
    impl<'de> serde::Deserialize<'de> for Members {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct V;
            impl<'de> serde::de::Visitor<'de> for V {
                type Value = Members;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                    let mut members = Vec::new();
                    while let Some((name, value)) =
                        map.next_entry::<String, Box<serde_json::value::RawValue>>()?
                    {
                        members.push(format!("{name}={}", value.get()));
                    }
                    Ok(Members(members))
                }
            }
            deserializer.deserialize_map(V)
        }
    }
    serde_json::from_str::<Members>(json).unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_instead_of_blocks_becomes_a_block_and_ids_have_their_prefix() {
    let host = host().await;
    let client = host.client();
    let conversation = conversation(&client, json!([])).await;
    let items = json!([
        {"role": "user", "content": "Where to?"},
        {"type": "message", "role": "assistant", "content": "To \"the\" sea."},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "ok"},
        {"type": "reasoning", "summary": []},
        {"type": "computer_call_output", "call_id": "c", "output": {}},
    ]);
    let created = client.post(&items_of(&conversation), json!({ "items": items })).await.expect(200);
    assert_eq!(created["data"][0]["content"], json!([{"type": "input_text", "text": "Where to?"}]),);
    assert_eq!(
        created["data"][1]["content"],
        json!([{"type": "output_text", "text": "To \"the\" sea.", "annotations": []}]),
    );
    assert_eq!(created["data"][1]["role"], "assistant");
    let prefixes: Vec<_> = ids(&created).iter().map(|id| id.split_once('_').unwrap().0).collect();
    assert_eq!(prefixes, ["msg", "msg", "fc", "fco", "rs", "item"]);
    let statuses: Vec<_> = created["data"].as_array().unwrap().iter().map(|item| &item["status"]).collect();
    let completed = json!("completed");
    let none = Value::Null;
    assert_eq!(statuses, [&completed, &completed, &completed, &completed, &none, &none]);
    assert_eq!(created["first_id"], created["data"][0]["id"]);
    assert_eq!(created["last_id"], created["data"][5]["id"]);
    assert_eq!((&created["object"], &created["has_more"]), (&"list".into(), &false.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_paged_in_both_orders() {
    let host = host().await;
    let client = host.client();
    let items: Vec<_> =
        (0..20).map(|at| json!({"role": "user", "content": "x", "id": format!("m{at}")})).collect();
    let conversation = conversation(&client, json!(items)).await;
    let target = items_of(&conversation);
    let more: Vec<_> =
        (20..25).map(|at| json!({"role": "user", "content": "x", "id": format!("m{at}")})).collect();
    client.post(&target, json!({ "items": more })).await.expect(200);
    for (order, expected) in [
        ("asc", (0..25).map(|at| format!("m{at}")).collect::<Vec<_>>()),
        ("desc", (0..25).rev().map(|at| format!("m{at}")).collect()),
    ] {
        let mut seen = Vec::new();
        let mut after = String::new();
        let mut sizes = Vec::new();
        loop {
            let page = client.get(&format!("{target}?order={order}&limit=10{after}")).await.expect(200);
            let page_ids: Vec<_> = ids(&page).into_iter().map(str::to_owned).collect();
            assert_eq!((&page["first_id"], &page["last_id"]), (&json!(page_ids[0]), &json!(page_ids.last())));
            sizes.push(page_ids.len());
            seen.extend(page_ids);
            if page["has_more"] == false {
                break;
            }
            after = format!("&after={}", page["last_id"].as_str().unwrap());
        }
        assert_eq!((seen, sizes), (expected, vec![10, 10, 5]), "{order}");
    }
    // The defaults of the API: the latest 20 first.
    let page = client.get(&target).await.expect(200);
    assert_eq!((ids(&page)[0], ids(&page).len(), &page["has_more"]), ("m24", 20, &true.into()));
    let included = client.get(&format!("{target}?include[]=a&include[]=b&limit=1")).await.expect(200);
    assert_eq!(ids(&included), ["m24"]);
    for query in ["limit=0", "limit=101", "order=up", "after=", "before=m1", "x=1"] {
        expect_error(&client.get(&format!("{target}?{query}")).await, 400, "invalid");
    }
    expect_error(&client.get(&format!("{target}?after=absent")).await, 404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_with_a_key_adds_once() {
    let host = host().await;
    let client = host.client();
    let conversation = conversation(&client, json!([])).await;
    let target = items_of(&conversation);
    let body = json!({"items": [{"role": "user", "content": "a"}, {"role": "user", "content": "a"}]});
    let add = || client.call("POST", &target).key("k").json(&body).send();
    let (first, again) = (add().await, add().await);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.expect(200), again.expect(200));
    assert_eq!(ids(&client.get(&target).await.expect(200)).len(), 2);
    // Without a key, the same request adds again.
    client.post(&target, body.clone()).await.expect(200);
    assert_eq!(ids(&client.get(&target).await.expect(200)).len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_item_can_be_added_again_under_a_new_id() {
    let host = host().await;
    let client = host.client();
    let conversation =
        conversation(&client, json!([{"type": "reasoning", "id": "rs_1", "summary": []}])).await;
    let target = items_of(&conversation);
    let deleted = client.call("DELETE", &format!("{target}/rs_1")).send().await.expect(200);
    assert_eq!((&deleted["id"], &deleted["object"]), (&json!(conversation), &json!("conversation")));
    expect_error(&client.get(&format!("{target}/rs_1")).await, 404, "not_found");

    let body = json!({"items": [
        {"role": "user", "content": "a", "id": "msg_a"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
    ]});
    let add = || client.call("POST", &target).key("k").json(&body).send();
    let (first, again) = (add().await.expect(200), add().await.expect(200));
    assert_eq!(first, again);
    let [message, reasoning] = ids(&first)[..] else { panic!("{first}") };
    assert!(message.starts_with("msg_") && message != "msg_a", "{message}");
    assert!(reasoning.starts_with("rs_") && reasoning != "rs_1", "{reasoning}");
    assert_eq!(ids(&client.get(&format!("{target}?order=asc")).await.expect(200)), [message, reasoning]);
    // An id that the conversation has is refused.
    client
        .post(&target, json!({"items": [{"role": "user", "content": "b", "id": "msg_a"}]}))
        .await
        .expect(200);
    let taken =
        client.post(&target, json!({"items": [{"role": "user", "content": "b", "id": "msg_a"}]})).await;
    expect_error(&taken, 409, "already_exists");
    assert_eq!(taken.header("x-should-retry"), Some("false"));
    // Nothing of a refused request is added.
    let half =
        json!({"items": [{"role": "user", "content": "c"}, {"role": "user", "content": "b", "id": "msg_a"}]});
    expect_error(&client.post(&target, half).await, 409, "already_exists");
    assert_eq!(ids(&client.get(&target).await.expect(200)).len(), 3);
    expect_error(&client.call("DELETE", &format!("{target}/absent")).send().await, 404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_messages_of_a_host_are_items() {
    let host = host().await;
    let client = host.client();
    let thread = thread(&host, "t");
    thread.add(NewMessage::user("hello").with_id("u".parse().unwrap())).await.unwrap();
    thread.add(NewMessage::assistant("hi").with_id("a".parse().unwrap())).await.unwrap();
    let blocks = r#"[{"type":"text","text":"see","cache":true}, "plain",{"type":"tool_use","id":"x","input":{"n":1.10}}]"#;
    let message = NewMessage::new(Role::Assistant, Content::from_json(blocks).unwrap());
    thread.add(message.with_id("b".parse().unwrap())).await.unwrap();
    let mut draft = thread.reserve(Role::Assistant).await.unwrap();
    draft.append("Hel").await.unwrap();
    let open = draft.id().to_string();

    let listed = client.get("/v1/conversations/t/items?order=asc").await.expect(200);
    assert_eq!(
        listed["data"],
        json!([
            {"id": "u", "type": "message", "role": "user", "status": "completed",
                "content": [{"type": "input_text", "text": "hello"}]},
            {"id": "a", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "hi", "annotations": []}]},
            {"id": "b", "type": "message", "role": "assistant", "status": "completed", "content": [
                {"type": "output_text", "text": "see", "cache": true, "annotations": []},
                {"type": "output_text", "text": "plain", "annotations": []},
                {"type": "tool_use", "id": "x", "input": {"n": 1.10}},
            ]},
        ])
    );
    // A message that is being written is no history yet, and can be read by its id.
    let state = async || {
        let item = client.get(&format!("/v1/conversations/t/items/{open}")).await.expect(200);
        item["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(state().await, "in_progress");
    draft.abandon("the model failed").await.unwrap();
    assert_eq!(state().await, "incomplete");

    // An edit through the library shows in the item.
    let added = client
        .post(
            "/v1/conversations/t/items",
            json!({"items": [{"role": "user", "content": "x", "id": "e", "k": 1}]}),
        )
        .await;
    added.expect(200);
    thread.edit("e".parse().unwrap(), Content::text("y")).await.unwrap();
    assert_eq!(
        client.get("/v1/conversations/t/items/e").await.expect(200),
        json!({"id": "e", "type": "message", "role": "user", "status": "completed", "k": 1,
            "content": [{"type": "input_text", "text": "y"}]})
    );
}
