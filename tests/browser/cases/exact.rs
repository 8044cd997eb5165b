//! Text and JSON are on the page as the store has them.

use serde_json::{Value, json};
use throughline::{Content, NewMessage, Role};

use crate::{
    driver::Browser,
    server::{memory, page_of},
};

const MARKDOWN: &str = "# Title\n\nSome **bold** and `code`, https://example.org/?a=1&b=2.\n- one\n  1. two\n> quote\n\
    ```rust\nlet x = \"<b>\";\n\n```\n~~~\nopen\t\u{feff}e\u{301} 𝄞 \u{202e}rtl\r\n\n last line without an end";

/// A block that no view knows, with what a parser of JSON loses.
const ODD: &str = r#"{"type":"odd","a":1.10,"b":18446744073709551615,"c":1,"c":2e0,"d":"\u00e9\ud83d","e":[],"f":[{}, [null]]}"#;

const ODD_PRETTY: &str = r#"{
  "type": "odd",
  "a": 1.10,
  "b": 18446744073709551615,
  "c": 1,
  "c": 2e0,
  "d": "\u00e9\ud83d",
  "e": [],
  "f": [
    {},
    [
      null
    ]
  ]
}"#;

fn content(json: String) -> NewMessage {
    NewMessage::new(Role::Assistant, Content::from_json(json).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_and_json_are_shown_as_the_store_has_them() {
    let long: String = (0..4000).map(|number| format!("{number} 𝄞\n")).collect();
    let db = memory();
    let thread = db.thread("t");
    thread.add(NewMessage::user(MARKDOWN)).await.unwrap();
    thread.add(content(format!("[{ODD}]"))).await.unwrap();
    thread.add(NewMessage::user(&long)).await.unwrap();
    thread
        .add(content(r#"[{"type":"text","text":"a\ud83d"},{"type":"text","text":"b"}]"#.to_owned()))
        .await
        .unwrap();
    let page = page_of(&db).await;
    let browser = Browser::start().await;
    browser.open(&format!("{page}#/threads/t?at=1")).await;
    let part = |seq: u32, part: &str| format!("document.querySelector('[data-seq=\"{seq}\"] {part}')");

    browser.until(&format!("{} !== null", part(4, ".text"))).await;
    assert_eq!(browser.value(&format!("{}.textContent", part(1, ".message-body"))).await, MARKDOWN);
    for (style, count) in
        [("strong", 1), ("code", 1), (".heading", 1), (".item", 2), (".quote", 1), (".code-block", 2)]
    {
        let styled = format!("document.querySelectorAll('[data-seq=\"1\"] {style}').length");
        assert_eq!(browser.value(&styled).await, count, "{style}");
    }
    browser.run(&format!("{}.open = true", part(2, "details"))).await;
    browser.until(&format!("{} !== null", part(2, ".json"))).await;
    assert_eq!(browser.value(&format!("{}.textContent", part(2, ".json"))).await, ODD_PRETTY);

    // A long text begins with a part of it.
    let shown = browser.value(&format!("{}.textContent", part(3, ".text"))).await;
    let shown = shown.as_str().unwrap();
    assert!(long.starts_with(shown) && shown.len() < long.len() && shown.len() > 8000, "{}", shown.len());
    browser.run(&format!("{}.click()", part(3, ".rest"))).await;
    assert_eq!(browser.value(&format!("{}.textContent", part(3, ".text"))).await, Value::from(long));

    // An unpaired surrogate has a code unit of its own, which WebDriver cannot carry.
    let units = "[...document.querySelectorAll('[data-seq=\"4\"] .text')].map((one) => one.textContent.charCodeAt(1) || null)";
    assert_eq!(browser.value(units).await, json!([0xd83d, null]));
    browser.close().await;
}
