//! The web page: its files, their headers and entity tags, and its mounting in the server of a host.

use axum::{Router, routing::get};
use throughline_core::Persistence;
use throughline_http::{NoAuth, Options, not_found, router};
use throughline_memory::MemoryBackend;

use crate::support::{Answer, Client, Host};

/// Every name that the web page loads, found from its HTML and its modules as a browser finds them.
async fn names(client: &Client) -> Vec<String> {
    let mut names = vec!["index.html".to_owned()];
    let mut at = 0;
    while at < names.len() {
        let answer = file(client, &names[at]).await;
        for (mark, end) in [(" src=\"", '"'), (" href=\"", '"'), (" from \"./", '"')] {
            for part in answer.text().split(mark).skip(1) {
                let name = part.split(end).next().unwrap().to_owned();
                if !name.starts_with('#') && !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        at += 1;
    }
    names
}

async fn file(client: &Client, name: &str) -> Answer {
    let answer = client.call("GET", &format!("/ui/{name}")).send_unchecked().await;
    assert_eq!(answer.status, 200, "{name}");
    answer
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

#[track_caller]
fn check_headers(answer: &Answer, name: &str) {
    for (header, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(answer.header(header), Some(value), "{name}: {header}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_is_served_without_a_caller_with_its_type_and_the_strict_policy() {
    let host = Host::memory().await;
    let stranger = Client::new(host.address);
    let names = names(&stranger).await;
    assert!(names.len() > 30, "{names:?}");
    for name in &names {
        let answer = file(&stranger, name).await;
        let kind = match name.rsplit('.').next().unwrap() {
            "html" => "text/html; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            other => panic!("{other}"),
        };
        assert_eq!(answer.header("content-type"), Some(kind), "{name}");
        check_headers(&answer, name);
    }
    let index = stranger.call("GET", "/ui/").send_unchecked().await;
    check_headers(&index, "/ui/");
    assert_eq!(index.body, file(&stranger, "index.html").await.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_the_client_has_is_not_sent_again() {
    let host = Host::memory().await;
    let client = Client::new(host.address);
    let (app, dom) = (file(&client, "app.js").await, file(&client, "dom.js").await);
    let tag = app.header("etag").unwrap().to_owned();
    assert_eq!((tag.len(), &tag[..1], &tag[17..]), (18, "\"", "\""));
    assert_ne!(Some(&*tag), dom.header("etag"));
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let call = client.call("GET", "/ui/app.js").header("if-none-match", &known);
        let answer = call.send_unchecked().await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
        assert_eq!(answer.header("etag"), Some(&*tag));
        check_headers(&answer, &known);
    }
    for unknown in ["\"other\"", "app.js", "W/\"\""] {
        let call = client.call("GET", "/ui/app.js").header("if-none-match", unknown);
        let answer = call.send_unchecked().await;
        assert_eq!((answer.status, &answer.body), (200, &app.body), "{unknown}");
    }
    let head = client.call("HEAD", "/ui/app.js").send_unchecked().await;
    assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, Some(&*tag)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_name_or_method_is_refused_with_a_problem() {
    let host = Host::memory().await;
    let client = Client::new(host.address);
    for path in ["/ui/none.js", "/ui/..%2Fapp.js", "/ui/APP.JS"] {
        let answer = client.call("GET", path).send_unchecked().await;
        answer.expect_problem(404, "no_route");
        check_headers(&answer, path);
    }
    for path in ["/ui", "/ui/", "/ui/app.js"] {
        client.call("POST", path).send_unchecked().await.expect_problem(405, "method_not_allowed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_can_nest_the_page_under_a_prefix_and_switch_it_off() {
    let db = || Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let auth = || NoAuth::single_tenant("default".parse().unwrap());
    let nested = db();
    let app = Router::new()
        .route("/", get(async || "the host's own page"))
        .nest("/store", router(nested.clone(), auth()))
        .fallback(not_found);
    let host = Host::serving(nested, app, Options::new()).await;
    let client = Client::new(host.address);
    let redirect = client.call("GET", "/store/ui").send_unchecked().await;
    // The reference is relative to `/store/ui`.
    assert_eq!((redirect.status, redirect.header("location")), (308, Some("ui/")));
    let page = client.call("GET", "/store/ui/").send_unchecked().await;
    assert!(page.status == 200 && page.text().contains("<title>Throughline</title>"));
    assert_eq!(client.call("GET", "/").send_unchecked().await.text(), "the host's own page");
    assert_eq!(client.call("GET", "/store/v1/threads").send_unchecked().await.status, 200);

    let host = Host::of(db(), auth(), Options::new().web_page(false)).await;
    for path in ["/ui", "/ui/", "/ui/app.js"] {
        assert_eq!(Client::new(host.address).call("GET", path).send_unchecked().await.status, 404, "{path}");
    }
}
