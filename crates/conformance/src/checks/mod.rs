//! The registry of checks, a file for each topic.

mod audit;
mod changes;
mod claims;
mod concurrent;
mod durable;
mod read;
mod replica;
mod session;
mod stack;
mod store;
mod thread;
mod time;
mod write;

use std::sync::OnceLock;

use crate::Check;

/// Every check, in the order of the report.
#[must_use]
pub fn all() -> &'static [&'static Check] {
    static ALL: OnceLock<Vec<&'static Check>> = OnceLock::new();
    ALL.get_or_init(|| {
        let topics: &[&[Check]] = &[
            claims::CHECKS,
            write::add::CHECKS,
            write::reserve::CHECKS,
            write::transition::CHECKS,
            write::content::CHECKS,
            write::update::CHECKS,
            write::absent::CHECKS,
            write::delete::CHECKS,
            write::batch::CHECKS,
            write::last::CHECKS,
            write::large::CHECKS,
            write::key::CHECKS,
            write::replay::CHECKS,
            read::get::CHECKS,
            read::content::CHECKS,
            read::page::CHECKS,
            read::visibility::CHECKS,
            read::open::CHECKS,
            read::bytes::CHECKS,
            read::search::CHECKS,
            read::find::CHECKS,
            store::key::CHECKS,
            store::scope::CHECKS,
            store::text::CHECKS,
            store::order::CHECKS,
            thread::create::CHECKS,
            thread::catalog::CHECKS,
            thread::rename::CHECKS,
            thread::label::CHECKS,
            thread::list::CHECKS,
            thread::created::CHECKS,
            thread::summary::CHECKS,
            thread::rebuild::CHECKS,
            thread::clear::CHECKS,
            thread::delete::CHECKS,
            thread::prune::CHECKS,
            thread::purge::CHECKS,
            thread::tenants::CHECKS,
            thread::import::CHECKS,
            thread::reuse::CHECKS,
            thread::fork::CHECKS,
            thread::unknown::CHECKS,
            thread::scenario::CHECKS,
            thread::concurrent::CHECKS,
            thread::turn::CHECKS,
            thread::resolve::CHECKS,
            changes::emitted::CHECKS,
            changes::scope::CHECKS,
            changes::read::CHECKS,
            changes::feed::CHECKS,
            changes::consumer::CHECKS,
            audit::entries::CHECKS,
            audit::read::CHECKS,
            session::resolve::CHECKS,
            session::scope::CHECKS,
            session::lease::CHECKS,
            session::turn::CHECKS,
            session::health::CHECKS,
            session::adopt::CHECKS,
            session::history::CHECKS,
            session::whole::CHECKS,
            session::durable::CHECKS,
            session::random::CHECKS,
            replica::CHECKS,
            replica::log::CHECKS,
            replica::finds::CHECKS,
            time::stamps::CHECKS,
            time::lease::CHECKS,
            stack::same::CHECKS,
            stack::redirect::CHECKS,
            stack::order::CHECKS,
            stack::contract::CHECKS,
            stack::failure::CHECKS,
            stack::cancel::CHECKS,
            stack::deadline::CHECKS,
            stack::draft::CHECKS,
            stack::retry::CHECKS,
            stack::observe::CHECKS,
            stack::close::CHECKS,
            durable::reopen::CHECKS,
            durable::kept::CHECKS,
            durable::crash::CHECKS,
            durable::processes::CHECKS,
            concurrent::CHECKS,
            crate::history::CHECKS,
            crate::model::CHECKS,
            crate::model::sessions::CHECKS,
        ];
        topics.iter().copied().flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use throughline_core::{Capabilities, Durability, OpKind};

    use crate::Level;

    #[test]
    fn volatile_store_can_reach_the_core_level() {
        let beyond = [OpKind::Batch, OpKind::Import, OpKind::Thread];
        let single: Vec<_> = OpKind::ALL.into_iter().filter(|kind| !beyond.contains(kind)).collect();
        let least = Capabilities::new(Durability::Volatile).with_operations(&single);
        for check in super::all().iter().filter(|check| check.level == Level::Core) {
            assert_eq!(check.why_not_applicable(&least), None, "{}", check.id);
        }
    }

    #[test]
    fn ids_are_unique_sentences_in_snake_case() {
        let mut seen = HashSet::new();
        let checks = super::all().iter().map(|check| (check.id(), check.about()));
        for (id, rule) in checks.chain(crate::laws::all().map(|law| (law.id(), law.about()))) {
            assert!(seen.insert(id), "{id} is not unique");
            let (area, sentence) = id.split_once('.').expect("an area and a sentence");
            let is_snake_case =
                |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            assert!(is_snake_case(area) && is_snake_case(sentence), "{id}");
            let words = rule.split_whitespace().count();
            assert!((3..=20).contains(&words), "{id}: the rule has {words} words");
        }
    }

    #[test]
    fn the_printed_id_names_the_scenario() {
        let of = |id: &str| super::all().iter().find(|check| check.id() == id).expect("a known check");
        let printed = of("messages.appends_are_concatenated").to_string();
        assert_eq!(printed, "messages.appends_are_concatenated (VL-S12)");
        assert_eq!(of("messages.every_role_is_kept").to_string(), "messages.every_role_is_kept");
    }
}
