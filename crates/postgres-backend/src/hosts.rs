//! URLs with several hosts, as in libpq. The driver connects to one host at a time.

use sqlx::postgres::PgConnectOptions;

/// Returns the options for every host of a URL; `None` if the URL is not valid.
pub(crate) fn parse(url: &str) -> Option<Vec<PgConnectOptions>> {
    let (scheme, rest) = url.split_once("://")?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // A password may contain any character except `/`, `?` and `#`.
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    let at = if user.is_empty() { "" } else { "@" };
    let (path, sessions) = without_sessions(path);
    if sessions.is_some_and(|sessions| !matches!(sessions, "read-write" | "primary")) {
        return None;
    }
    let is_one = !hosts.contains(',');
    let hosts = hosts.split(',').map(|host| {
        if host.is_empty() && !is_one {
            return None;
        }
        format!("{scheme}://{user}{at}{host}{path}").parse().ok()
    });
    hosts.collect()
}

/// Removes `target_session_attrs`, which the driver does not support.
fn without_sessions(path: &str) -> (String, Option<&str>) {
    let Some((path, query)) = path.split_once('?') else { return (path.to_owned(), None) };
    let mut sessions = None;
    let mut kept = Vec::new();
    for pair in query.split('&') {
        match pair.strip_prefix("target_session_attrs=") {
            Some(value) => sessions = Some(value),
            None => kept.push(pair),
        }
    }
    let separator = if kept.is_empty() { "" } else { "?" };
    (format!("{path}{separator}{}", kept.join("&")), sessions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(url: &str) -> Option<Vec<(String, u16)>> {
        let address = |host: &PgConnectOptions| (host.get_host().to_owned(), host.get_port());
        parse(url).map(|hosts| hosts.iter().map(address).collect())
    }

    #[test]
    fn every_host_of_a_url_is_parsed_with_the_common_options() {
        let url =
            "postgres://app:a,b%40c@one:5433,two,[::1]:7/db?sslmode=disable&target_session_attrs=read-write";
        let expected =
            [("one", 5433), ("two", 5432), ("[::1]", 7)].map(|(host, port)| (host.to_owned(), port));
        assert_eq!(addresses(url).unwrap(), expected);
        for host in parse(url).unwrap() {
            assert_eq!((host.get_username(), host.get_database()), ("app", Some("db")));
            assert_eq!(format!("{:?}", host.get_ssl_mode()), "Disable");
        }
        assert_eq!(addresses("postgres://one/db?target_session_attrs=primary").unwrap().len(), 1);
        assert_eq!(addresses("postgres:///db").unwrap().len(), 1);
        assert_eq!(
            parse("postgres://%2Frun%2Fpg/db").unwrap()[0].get_socket().unwrap().as_os_str(),
            "/run/pg"
        );
    }

    #[test]
    fn urls_of_other_schemes_or_session_attributes_are_refused() {
        for url in [
            "one,two",
            "postgres://one,/db",
            "postgres://one:x,two/db",
            "postgres://one,two/db?target_session_attrs=standby",
            "mysql://one/db",
        ] {
            assert!(parse(url).is_none(), "{url}");
        }
    }
}
