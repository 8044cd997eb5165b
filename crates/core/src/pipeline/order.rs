//! The check of the order of layers before a stack is built.

use super::SiteSpec;
use crate::{Capabilities, Effect, ErrorKind, PersistError, Result, Site};

/// The most layers of one pipeline. The index of the current site is one byte.
pub(super) const MAX_LAYERS: usize = 250;

pub(crate) fn check(layers: &[SiteSpec], backend: &str) -> Result<()> {
    if layers.len() > MAX_LAYERS {
        return refuse(format!("{} layers are more than the {MAX_LAYERS} of one pipeline", layers.len()));
    }
    if !is_usable(backend) {
        return refuse(format!("the backend has no usable name: {backend:?}; {USABLE}"));
    }
    for (at, later) in layers.iter().enumerate() {
        let name = &later.name;
        if !is_usable(name) {
            return refuse(format!("layer {} has no usable name: {name:?}; {USABLE}", at + 1));
        }
        for (before, earlier) in layers[..at].iter().enumerate() {
            if earlier.name == *name {
                return refuse(format!(
                    "two layers are named `{name}`: number {} and number {}",
                    before + 1,
                    at + 1
                ));
            }
            if let Some(why) = goes_backwards(earlier, later) {
                return refuse(format!("{why}; the right order is {}", right_order(layers)));
            }
        }
        if name == backend {
            return refuse(format!("a layer and the backend are both named `{name}`"));
        }
    }
    Ok(())
}

/// Refuses an audit layer over a backend that does not write audit entries in its transactions.
pub(crate) fn check_audit(layers: &[SiteSpec], backend: &str, claims: &Capabilities) -> Result<()> {
    match layers.iter().find(|layer| layer.sealing.is_some()) {
        Some(layer) if !claims.audit => refuse(format!(
            "the layer `{}` needs a backend that keeps an audit log in its commits, and `{backend}` does not claim to",
            layer.name
        )),
        _ => Ok(()),
    }
}

/// The rule for names: `/` separates the names of nested pipelines, and `edge` is the name of the edge.
const USABLE: &str = "a name must not be empty or `edge`, and has no `/` and no control character";

fn is_usable(name: &str) -> bool {
    !name.is_empty() && name != Site::Edge.name() && !name.chars().any(|c| c.is_control() || c == '/')
}

fn goes_backwards(outer: &SiteSpec, inner: &SiteSpec) -> Option<String> {
    if outer.phase > inner.phase {
        return Some(format!(
            "`{}` ({}) is inside `{}` ({})",
            inner.name, inner.phase, outer.name, outer.phase
        ));
    }
    match (outer.rank, inner.rank) {
        (Some(o), Some(i)) if outer.phase == inner.phase && o > i => {
            Some(format!("`{}` has to stand outside `{}`", inner.name, outer.name))
        }
        _ => None,
    }
}

/// Returns the layers in an accepted order.
fn right_order(layers: &[SiteSpec]) -> String {
    let mut sorted: Vec<&SiteSpec> = layers.iter().collect();
    sort(&mut sorted, |spec| spec);
    sorted.iter().map(|spec| &*spec.name).collect::<Vec<_>>().join(" > ")
}

/// Sorts by phase. Ranked layers of a phase are sorted by rank; unranked layers keep their index.
pub(super) fn sort<T>(items: &mut [T], spec: impl Fn(&T) -> &SiteSpec) {
    items.sort_by_key(|item| spec(item).phase);
    // A selection sort over the ranked layers alone, so that an unranked layer keeps its index.
    for at in 0..items.len() {
        let Some(rank) = spec(&items[at]).rank else { continue };
        let phase = spec(&items[at]).phase;
        let lowest = (at + 1..items.len())
            .filter(|other| spec(&items[*other]).phase == phase)
            .filter_map(|other| spec(&items[other]).rank.map(|rank| (rank, other)))
            .min();
        if let Some((lower, other)) = lowest
            && lower < rank
        {
            items.swap(at, other);
        }
    }
}

fn refuse(detail: String) -> Result<()> {
    Err(PersistError::new(ErrorKind::Invalid, detail).with_effect(Effect::NotApplied))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Phase::*;

    fn detail(layers: &[SiteSpec]) -> String {
        check(layers, "store").unwrap_err().detail().to_owned()
    }

    #[test]
    fn a_phase_that_goes_backwards_names_both_and_the_right_order() {
        let layers =
            [SiteSpec::new("enc", Transform), SiteSpec::new("trace", Observe), SiteSpec::new("x", Route)];
        assert_eq!(
            detail(&layers),
            "`trace` (Observe) is inside `enc` (Transform); the right order is trace > enc > x"
        );
    }

    #[test]
    fn a_rank_orders_inside_a_phase_and_skips_the_unranked() {
        let layers = [
            SiteSpec::new("timeout", Route).with_rank(20),
            SiteSpec::new("own", Route),
            SiteSpec::new("retry", Route).with_rank(10),
        ];
        assert_eq!(
            detail(&layers),
            "`retry` has to stand outside `timeout`; the right order is retry > own > timeout"
        );
    }

    #[test]
    fn names_are_unique_the_backend_included() {
        let twice = [SiteSpec::new("x", Guard), SiteSpec::new("y", Guard), SiteSpec::new("x", Observe)];
        assert_eq!(detail(&twice), "two layers are named `x`: number 1 and number 3");
        assert_eq!(
            detail(&[SiteSpec::new("store", Guard)]),
            "a layer and the backend are both named `store`"
        );
        for name in ["", "a/b", "a\nb", "edge"] {
            assert_eq!(
                detail(&[SiteSpec::new(name, Guard)]),
                format!("layer 1 has no usable name: {name:?}; {USABLE}")
            );
            let refused = check(&[], name).unwrap_err();
            assert_eq!(refused.detail(), format!("the backend has no usable name: {name:?}; {USABLE}"));
        }
    }
}
