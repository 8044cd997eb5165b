//! The files of the web page, as the folder `assets` has them. A test compares the two.

use std::sync::LazyLock;

use super::asset::Asset;

/// Includes files of the folder `assets`.
macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_bytes!(concat!("../../assets/", $name)).as_slice())),+]
    };
}

/// The names and the bytes, sorted by name.
const FILES: [(&str, &[u8]); 36] = files![
    "api.js",
    "app.js",
    "audit.js",
    "base.css",
    "blocks.js",
    "details.js",
    "dom.js",
    "events.js",
    "first.js",
    "format.js",
    "health.js",
    "heights.js",
    "history.js",
    "icon.svg",
    "index.html",
    "json.js",
    "keys.js",
    "layout.css",
    "link.js",
    "login.js",
    "message.css",
    "message.js",
    "open.js",
    "operation.css",
    "outcome.js",
    "page.js",
    "prometheus.js",
    "route.js",
    "search.js",
    "speech.js",
    "states.js",
    "text.js",
    "theme.js",
    "thread.js",
    "threads.js",
    "window.js",
];

static ASSETS: LazyLock<Vec<Asset>> =
    LazyLock::new(|| FILES.iter().map(|(name, bytes)| Asset::new(name, bytes)).collect());

/// Returns the file with this name.
pub(super) fn find(name: &str) -> Option<&'static Asset> {
    let at = ASSETS.binary_search_by(|asset| asset.name.cmp(name)).ok()?;
    ASSETS.get(at)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_program_has_every_file_of_the_folder() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let names: BTreeSet<String> = names.map(|name| name.into_string().unwrap()).collect();
        assert_eq!(FILES.map(|(name, _)| name.to_owned()).to_vec(), names.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn no_file_makes_elements_from_text_or_names_another_origin() {
        let forbidden = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "DOMParser",
        ];
        for (name, bytes) in FILES {
            let text = std::str::from_utf8(bytes).unwrap();
            for word in forbidden {
                assert!(!text.contains(word), "{name} has {word}");
            }
            let foreign = text.replace("http://www.w3.org/2000/svg", "").replace("https?:\\/\\/", "");
            assert!(!foreign.contains("://") && !foreign.contains("@import"), "{name} names another origin");
        }
    }

    #[test]
    fn the_page_has_no_inline_code_or_style() {
        let html = std::str::from_utf8(find("index.html").unwrap().bytes()).unwrap();
        assert_eq!(html.matches("<script").count(), html.matches("<script src=").count() + 1);
        assert!(html.contains("<script type=\"module\" src=\"app.js\"></script>"));
        assert!(!html.contains("<style") && !html.contains("style=") && !html.contains(" on"));
    }
}
