//! A client over HTTP, which checks what the server stored.

use std::net::SocketAddr;

use serde_json::json;
use throughline::threads::ListThreads;

use crate::{
    Result, client,
    replies::{AGENTS, live_thread},
    stack::Stack,
};

/// Checks the page, the live replies, a repeated write and a stream that is cut.
pub(crate) async fn run(stack: &Stack, server: SocketAddr, added: usize) -> Result<()> {
    let page = client::get(server, "/ui/").await?;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("<title>Throughline</title>"), "{}", page.text);
    for agent in 0..AGENTS {
        let path = format!("/v1/threads/{}", live_thread(agent));
        let summary: serde_json::Value = serde_json::from_str(&client::get(server, &path).await?.text)?;
        assert!(summary["messages"].as_u64() >= Some(2), "{summary}");
    }
    // The position after everything above, from which the stream begins.
    let position = stack.db.threads(ListThreads::new(1)).await?.position.get();
    use_api(server, position).await?;
    println!("the page and {added} messages are served, and the server kept every message once");
    Ok(())
}

async fn use_api(server: SocketAddr, position: u64) -> Result<()> {
    // The answer to the first request is lost: the second one adds nothing.
    let question = json!({"role": "user", "text": "Where to?", "metadata": {"orderId": "A-17"}});
    let first = client::post(server, "/v1/threads/trip/messages", "update-1007", &question).await?;
    let again = client::post(server, "/v1/threads/trip/messages", "update-1007", &question).await?;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.json()?["id"], again.json()?["id"]);

    // The value of a find is JSON: "A-17", with its quotes.
    let found = client::get(server, "/v1/messages?metadata%5BorderId%5D=%22A-17%22").await?.json()?;
    assert_eq!(found["messages"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found["messages"][0]["id"], first.json()?["id"]);

    // A streamed reply: each append has a number, and a repeated one is applied once.
    let draft = client::post(server, "/v1/threads/trip/drafts", "reply-1007", &json!({})).await?.json()?;
    let draft = format!("/v1/threads/trip/drafts/{}", draft["id"].as_str().ok_or("a draft has an id")?);
    for (number, text) in [(1, "To the "), (1, "To the "), (2, "sea"), (2, "sea")] {
        let append = json!({"number": number, "text": text});
        assert_eq!(client::post(server, &format!("{draft}/append"), "", &append).await?.status, 200);
    }
    let finished = client::post(server, &format!("{draft}/finish"), "", &json!({"text": "."})).await?;
    assert_eq!(finished.json()?["state"], "final");

    // A reader whose connection is cut after each change resumes after the last one.
    let (mut after, mut kinds) = (position.to_string(), Vec::new());
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
