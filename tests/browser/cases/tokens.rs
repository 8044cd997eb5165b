//! A server that wants a token.

use serde_json::{Value, json};
use throughline::NewMessage;
use throughline_http::{BearerTokens, Caller, router};

use crate::{
    driver::Browser,
    server::{memory, serving},
};

/// Enters a token into the dialog.
async fn enter(browser: &Browser, token: &str) {
    browser.until("document.querySelector('dialog.login[open] #token') !== null").await;
    let script = format!(
        "const field = document.getElementById('token'); field.value = {}; field.form.requestSubmit()",
        json!(token)
    );
    browser.run(&script).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_asks_for_a_token_and_keeps_it_in_its_tab_only() {
    let db = memory();
    let alice = db.for_tenant("alice".parse().unwrap());
    alice.thread("trip").add(NewMessage::user("Where to?")).await.unwrap();
    let tokens = BearerTokens::new().with_token("alice-token", Caller::new("alice".parse().unwrap()));
    let page = serving(router(db, tokens)).await;
    let browser = Browser::start().await;
    browser.open(&format!("{page}#/threads/trip")).await;

    enter(&browser, "wrong").await;
    browser.until("document.querySelector('dialog.login [role=alert]')?.textContent.includes('does not accept') ?? false").await;
    enter(&browser, "alice-token").await;
    browser
        .until("document.querySelector('[data-seq=\"1\"]')?.textContent.includes('Where to?') ?? false")
        .await;
    // The stream has the token too: a change shows by itself.
    alice.thread("trip").add(NewMessage::user("To the sea")).await.unwrap();
    browser
        .until("document.querySelector('[data-seq=\"2\"]')?.textContent.includes('To the sea') ?? false")
        .await;

    browser.reload().await;
    browser.until("document.querySelector('[data-seq=\"2\"]') !== null").await;
    let elsewhere =
        "JSON.stringify([location.href, document.cookie, { ...localStorage }]).includes('alice-token')";
    assert_eq!(browser.value(elsewhere).await, false);

    // The metrics are for operators, and this token is none.
    browser.run("location.hash = '#/health'").await;
    browser
        .until("document.querySelector('main').textContent.includes('Only an operator can read the metrics')")
        .await;

    browser.run("document.getElementById('leave').click()").await;
    browser.until("document.querySelector('dialog.login[open]') !== null").await;
    assert_eq!(browser.value("sessionStorage.getItem('throughline.token')").await, Value::Null);
    browser.close().await;
}
