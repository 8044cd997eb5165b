//! A thread of 100,000 messages.

use serde_json::Value;
use throughline::{NewMessage, Persistence};

use crate::{
    driver::Browser,
    server::{memory, page_of},
};

const MESSAGES: u64 = 100_000;
const MOST_NODES: u64 = 300;

/// Adds messages of different heights.
async fn fill(db: &Persistence) {
    let thread = db.thread("long");
    for number in 1..=MESSAGES {
        let lines = usize::try_from(number * 7 % 11).unwrap();
        let text = format!("Message {number}.\n{}", "One more line of this message.\n".repeat(lines));
        thread.add(NewMessage::user(&text)).await.unwrap();
    }
}

/// The script scrolls by itself. It records the most message nodes, the first visible message after each step, and by how many
/// pixels a message moved more or less than the step.
const SCROLL: &str = "
    const [step, steps, done] = arguments;
    const feed = document.querySelector('.scroller');
    const seen = [];
    let [most, worst, mark] = [0, 0, null];
    const top = (one) => one.getBoundingClientRect().top;
    const frame = (left) => {
        most = Math.max(most, feed.querySelectorAll('[data-seq]').length);
        if (feed.getAttribute('aria-busy') === 'false') {
            const moved = mark && feed.querySelector(`[data-seq='${mark.seq}']`);
            if (moved) worst = Math.max(worst, Math.abs(top(moved) - mark.top + step));
            const first = [...feed.querySelectorAll('.message')].find((one) => one.getBoundingClientRect().bottom > top(feed) + 1);
            mark = { seq: Number(first.dataset.seq), top: top(first) };
            seen.push(mark.seq);
            feed.scrollTop += step;
            left -= 1;
        }
        if (left > 0) requestAnimationFrame(() => requestAnimationFrame(() => frame(left)));
        else done({ most, worst, seen });
    };
    frame(steps);";

/// Scrolls, and checks that each step moves the messages by exactly its pixels.
async fn scroll(browser: &Browser, step: i64, steps: u32) -> (u64, Vec<u64>) {
    let result = browser.run_async(SCROLL, vec![step.into(), steps.into()]).await;
    let worst = result["worst"].as_f64().unwrap();
    assert!(worst < 3.0, "a step of {step} pixels moved a message by {worst} pixels more or less");
    let seen = result["seen"].as_array().unwrap().iter().map(|seq| seq.as_u64().unwrap());
    (result["most"].as_u64().unwrap(), seen.collect())
}

async fn nodes(browser: &Browser) -> u64 {
    browser.value("document.querySelectorAll('[data-seq]').length").await.as_u64().unwrap()
}

/// Whether this message is visible.
fn is_visible(seq: u64) -> String {
    format!(
        "(() => {{ const one = document.querySelector('[data-seq=\"{seq}\"]'); if (!one) return false;
         const [box, feed] = [one.getBoundingClientRect(), document.querySelector('.scroller').getBoundingClientRect()];
         return box.bottom > feed.top && box.top < feed.bottom; }})()"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_of_100_000_messages_keeps_300_nodes_and_scrolls_to_both_ends() {
    let db = memory();
    fill(&db).await;
    let page = page_of(&db).await;
    let browser = Browser::start().await;
    browser.open(&format!("{page}#/threads/long")).await;

    // It opens at its end.
    browser.until(&is_visible(MESSAGES)).await;
    let mut most = nodes(&browser).await;

    // Upwards, no frame jumps: the first visible message only moves back, by what a step of 300 pixels has.
    let (nodes_up, seen) = scroll(&browser, -300, 120).await;
    assert!(seen.windows(2).all(|pair| pair[0] >= pair[1] && pair[0] - pair[1] <= 8), "{seen:?}");
    assert!(seen[0] - seen[seen.len() - 1] > 100, "{seen:?}");

    // To the start, and downwards from there.
    browser.press(&[HOME]).await;
    browser.until(&is_visible(1)).await;
    assert_eq!(browser.value("document.querySelector('.scroller').scrollTop").await, Value::from(0));
    let (nodes_down, seen) = scroll(&browser, 300, 120).await;
    assert_eq!(seen[0], 1);
    assert!(seen.windows(2).all(|pair| pair[0] <= pair[1] && pair[1] - pair[0] <= 8), "{seen:?}");
    assert!(seen[seen.len() - 1] > 100, "{seen:?}");

    // Anywhere between, as with the scroll bar.
    most = most.max(nodes_up).max(nodes_down);
    for part in [0.5, 0.9, 0.1, 0.77, 0.33] {
        let jump = format!(
            "const feed = document.querySelector('.scroller'); feed.scrollTop = feed.scrollHeight * {part}"
        );
        browser.run(&jump).await;
        let near = part * 100_000.0;
        browser
            .until(&format!(
                "document.querySelector('.scroller').getAttribute('aria-busy') === 'false' &&
                 [...document.querySelectorAll('[data-seq]')].some((one) => Math.abs(one.dataset.seq - {near}) < 8000)"
            ))
            .await;
        most = most.max(nodes(&browser).await);
    }

    // Back to the end. A reload in the middle keeps the view.
    browser.press(&[END]).await;
    browser.until(&is_visible(MESSAGES)).await;
    browser.open("about:blank").await;
    browser.open(&format!("{page}#/threads/long?at=51234")).await;
    browser.until(&is_visible(51_234)).await;
    browser.reload().await;
    browser.until(&is_visible(51_234)).await;
    most = most.max(nodes(&browser).await);
    assert!(most > 0 && most <= MOST_NODES, "{most} message nodes");
    browser.close().await;
}

/// The keys as WebDriver names them.
const HOME: char = '\u{e011}';
const END: char = '\u{e010}';
