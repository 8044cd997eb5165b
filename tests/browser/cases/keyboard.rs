//! The page without a mouse, and as a screen reader sees it.

use throughline::NewMessage;

use crate::{
    driver::Browser,
    server::{memory, page_of},
};

const ESCAPE: char = '\u{e00c}';
const ENTER: char = '\u{e007}';
const HOME: char = '\u{e011}';
const TAB: char = '\u{e004}';

/// Whether the focused element matches, and shows that it has the focus.
fn focus_is(selector: &str) -> String {
    format!(
        "document.activeElement.matches('{selector}') && getComputedStyle(document.activeElement).outlineStyle === 'solid'"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_is_reached_with_the_keyboard_and_the_focus_is_visible() {
    let db = memory();
    for thread in ["first", "second", "third"] {
        for number in 1..=40 {
            let text = format!("Message {number} of the {thread} thread");
            db.thread(thread).add(NewMessage::user(&text)).await.unwrap();
        }
    }
    let page = page_of(&db).await;
    let browser = Browser::start().await;
    browser.open(&page).await;
    browser.until("document.querySelectorAll('a.row').length === 3").await;

    // The first tab stop skips the navigation.
    browser.press(&[TAB]).await;
    browser.until(&focus_is("#skip")).await;
    browser.press(&['/']).await;
    browser.until(&focus_is("input[type=search]")).await;
    browser.press(&[ESCAPE]).await;
    browser.press(&['j']).await;
    browser.until(&focus_is("[data-thread=third]")).await;
    browser.press(&['j']).await;
    browser.until(&focus_is("[data-thread=second]")).await;
    browser.press(&['k']).await;
    browser.until(&focus_is("[data-thread=third]")).await;

    // A thread: its messages are read and left with the keys.
    browser.press(&[ENTER]).await;
    browser.until("document.querySelector('[data-seq=\"40\"]') !== null").await;
    browser.until(&focus_is(".scroller")).await;
    browser.press(&[HOME]).await;
    browser.until("document.querySelector('.scroller').scrollTop === 0 && document.querySelector('[data-seq=\"1\"]') !== null").await;
    browser.press(&['j']).await;
    browser.until(&focus_is("[data-seq=\"1\"]")).await;
    browser.press(&['j', 'j']).await;
    browser.until(&focus_is("[data-seq=\"3\"]")).await;
    browser.press(&['d']).await;
    browser.until("document.querySelector('[data-seq=\"3\"] .details .facts') !== null").await;
    browser.press(&['d']).await;
    browser.until("document.querySelector('.details') === null").await;
    browser.press(&[ESCAPE]).await;
    browser.until(&focus_is("[data-thread=third]")).await;

    // The help, and the other views.
    browser.press(&['?']).await;
    browser.until("document.querySelector('dialog.help[open]') !== null").await;
    browser.press(&[ESCAPE]).await;
    browser.until("document.querySelector('dialog') === null").await;
    browser.press(&['g', 'h']).await;
    browser.until("document.querySelector('.hero-title')?.textContent === 'Ready'").await;
    browser.press(&['g', 'a']).await;
    browser.until("document.querySelector('main').textContent.includes('No entries')").await;
    browser.press(&['g', 't']).await;
    browser.until("document.querySelectorAll('a.row').length === 3").await;

    // Every control has a name, and every list and message its role.
    let nameless = "[...document.querySelectorAll('button, a, input')].filter((one) => !one.hidden && \
        !(one.getAttribute('aria-label') ?? one.textContent).trim()).length";
    assert_eq!(browser.value(nameless).await, 0);
    browser.press(&['j', ENTER]).await;
    browser.until("document.querySelector('[role=feed] article[aria-labelledby][aria-posinset=\"40\"][aria-setsize=\"40\"]') !== null").await;

    // The colors: of the system, then light, then dark, and kept over a reload.
    browser.press(&['t', 't']).await;
    browser.until("getComputedStyle(document.documentElement).colorScheme === 'dark'").await;
    browser.reload().await;
    browser.until("document.documentElement.dataset.theme === 'dark'").await;
    browser.close().await;
}
