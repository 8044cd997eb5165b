//! A scroll while the history changes.

use throughline::NewMessage;

use crate::{
    driver::Browser,
    server::{memory, page_of},
};

/// Shows a thread at its end, in a window of its own. The history changes after the scroll and before the event of the scroll.
const SCROLL: &str = "
    const [steps, done] = arguments;
    (async () => {
        const { History } = await import(new URL('history.js', document.baseURI));
        const { MessageWindow } = await import(new URL('window.js', document.baseURI));
        const pins = [];
        const history = new History('t', (what) => view.changed(what));
        const view = new MessageWindow(history, { onMove() {}, onPinned: (is) => pins.push(is) });
        view.element.style.height = '400px';
        document.body.prepend(view.element);
        await history.open();
        view.open(null);
        const frame = () => new Promise((next) => requestAnimationFrame(next));
        while (view.element.getAttribute('aria-busy') !== 'false') await frame();
        await frame();
        const end = view.element.scrollTop;
        const moved = [];
        for (const step of steps) {
            const before = view.element.scrollTop;
            view.element.scrollTop += step;
            view.changed('grown');
            moved.push(view.element.scrollTop - before);
            await frame();
            await frame();
        }
        done({ moved, pins, isAtEnd: Math.abs(view.element.scrollTop - end) < 1 });
    })().catch((error) => done({ error: String(error) }));";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_history_does_not_take_a_scroll_back() {
    let db = memory();
    let thread = db.thread("t");
    for number in 0..100 {
        thread.add(NewMessage::user(&format!("Message {number}."))).await.unwrap();
    }
    let page = page_of(&db).await;
    let browser = Browser::start().await;
    browser.open(&format!("{page}#/threads")).await;
    let steps = serde_json::json!([-300, -20, 320, -10]);
    let result = browser.run_async(SCROLL, vec![steps.clone()]).await;
    assert_eq!(result["moved"], steps, "{result}");
    // It follows the end until the first scroll, and again from the end on.
    assert_eq!(result["pins"], serde_json::json!([false, true, false]), "{result}");
    assert_eq!(result["isAtEnd"], false, "{result}");
    browser.close().await;
}
