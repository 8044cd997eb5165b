//! Whether packages could be installed. A machine without a network skips a check; a wrong version in the project is a failure.

/// An installation that had no error of the project.
#[derive(Debug)]
pub(super) enum Installation<T> {
    /// It is there.
    Complete(T),
    /// The machine lacks a program or the network. The text says which.
    Impossible(String),
}

/// The codes with which npm states that the registry is out of reach, or refuses this machine. `E5` stands for its server errors.
const NPM_CODES: [&str; 21] = [
    "E401",
    "E403",
    "E407",
    "E429",
    "EAI_AGAIN",
    "ECONNECTIONTIMEOUT",
    "ECONNREFUSED",
    "ECONNRESET",
    "EHOSTUNREACH",
    "EIDLETIMEOUT",
    "ENETUNREACH",
    "ENOTFOUND",
    "EPROXY",
    "ERESPONSETIMEOUT",
    "ERR_SOCKET_TIMEOUT",
    "ETIMEDOUT",
    "ETRANSFERTIMEOUT",
    "CERT_HAS_EXPIRED",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "SELF_SIGNED_CERT_IN_CHAIN",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
];

/// Whether npm failed because it did not reach its registry, by its debug log.
pub(super) fn npm_reached_no_registry(log: &str) -> bool {
    // `92 error code ENOTFOUND`: a number, the level, and the text.
    let mut codes =
        log.lines().filter_map(|line| line.split_once(" error code ")).map(|(_, code)| code.trim());
    codes.any(|code| NPM_CODES.contains(&code) || is_server_error(code))
}

/// Whether a code of npm names a status of the server, such as `E503`.
fn is_server_error(code: &str) -> bool {
    code.len() == 4 && code.starts_with("E5") && code[1..].bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether pip failed because it did not reach its index, by its log.
///
/// `No matching distribution found` alone states nothing: pip ends so after lost connections too. It lists no versions then.
pub(super) fn pip_reached_no_index(log: &str) -> bool {
    let lists_versions =
        |line: &str| line.contains("(from versions: ") && !line.contains("(from versions: none)");
    !log.lines().any(lists_versions) && log.lines().any(is_lost_request)
}

/// Whether a line of pip's log reports a request without an answer, or with one that refuses this machine.
fn is_lost_request(line: &str) -> bool {
    let is_absent = line.contains("404 Client Error");
    let is_page = line.contains("Could not fetch URL ");
    let is_file = line.contains("ERROR: HTTP error ") || line.contains("Max retries exceeded with url");
    let is_cut = line.contains("Read timed out") || line.contains("Connection broken: ");
    (is_page || is_file || is_cut) && !is_absent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npm_without_a_registry_is_no_failure_of_the_project() {
        for code in ["ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "E403", "E503"] {
            let log = format!("91 verbose stack FetchError\n92 error code {code}\n93 error errno {code}\n");
            assert!(npm_reached_no_registry(&log), "{code}");
        }
    }

    #[test]
    fn a_wrong_lock_is_a_failure_of_npm() {
        for code in ["EUSAGE", "EINTEGRITY", "ETARGET", "E404", "ENOENT", "EJSONPARSE", "EACCES"] {
            let log = format!("21 error code {code}\n22 error `npm ci` can only install packages\n");
            assert!(!npm_reached_no_registry(&log), "{code}");
        }
        assert!(!npm_reached_no_registry(""), "a log that is missing");
    }

    /// The end of each log.
    const NONE: &str = "\
12:00 ERROR: Could not find a version that satisfies the requirement tool==4.32.5 (from versions: none)
12:00 ERROR: No matching distribution found for tool==4.32.5
";

    #[test]
    fn pip_without_an_index_is_no_failure_of_the_project() {
        for lost in [
            "connection error: HTTPSConnectionPool(host='index.invalid', port=443): Max retries exceeded with url: /simple/tool/",
            "403 Client Error: Forbidden for url: https://index.invalid/simple/tool/ - skipping",
        ] {
            let log = format!("12:00 Could not fetch URL https://index.invalid/simple/tool/: {lost}\n{NONE}");
            assert!(pip_reached_no_index(&log), "{lost}");
        }
        assert!(pip_reached_no_index(
            "12:00 ERROR: HTTP error 503 while getting https://index.invalid/tool.whl"
        ));
    }

    #[test]
    fn a_wrong_version_or_name_is_a_failure_of_pip() {
        let version = "\
12:00 WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError'
12:00 Could not fetch URL https://other.invalid/simple/tool/: connection error: Max retries exceeded with url: /simple/tool/
12:00 ERROR: Could not find a version that satisfies the requirement tool==999.1 (from versions: 4.32.4, 4.32.5)
12:00 ERROR: No matching distribution found for tool==999.1
";
        assert!(!pip_reached_no_index(version));
        let name = format!(
            "12:00 Could not fetch URL https://index.invalid/simple/tol/: 404 Client Error: Not Found for url - skipping\n{NONE}"
        );
        assert!(!pip_reached_no_index(&name));
        assert!(!pip_reached_no_index("12:00 ERROR: Could not install packages: No space left on device"));
        assert!(!pip_reached_no_index(""), "a log that is missing");
    }
}
