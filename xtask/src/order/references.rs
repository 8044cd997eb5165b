//! The modules that one source file declares, and the paths in it that begin at the root of the crate.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, Item, Meta, Token, UseTree};

/// The contents of one file that matter here. Tests are left out.
#[derive(Debug, Default)]
pub(super) struct References {
    /// The modules that have a file of their own.
    pub(super) modules: Vec<Declared>,
    /// The names in the paths from the root.
    pub(super) targets: Vec<Target>,
    /// Only of the root: the names that it takes from its modules, with the first part of the path that each comes from.
    pub(super) exports: BTreeMap<String, String>,
    /// Only of the root: the names of its own items.
    pub(super) items: BTreeSet<String>,
    /// The macros that are exported, which puts them at the root.
    pub(super) exported_macros: Vec<String>,
    /// How many modules the path of the file has.
    depth: usize,
    /// The modules with braces that surround what is being read.
    inside: Vec<String>,
}

/// A declaration `mod name;`, or at the root also `mod name { … }`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) name: String,
    /// The modules with braces around it.
    pub(super) inside: Vec<String>,
}

/// The first name after the root in one path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) name: String,
    /// Counted from 1.
    pub(super) line: usize,
    /// The outermost module with braces around it.
    pub(super) within: Option<String>,
}

impl References {
    /// Reads a file. `depth` is the number of modules in its path, 0 for the root.
    pub(super) fn read(source: &str, depth: usize) -> syn::Result<Self> {
        let file = syn::parse_file(source)?;
        let mut read = Self { depth, ..Self::default() };
        if depth == 0 {
            read.exports_of(&file.items);
        }
        read.visit_file(&file);
        Ok(read)
    }

    fn exports_of(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Use(item) => {
                    for (mut path, name) in leaves(&item.tree) {
                        path.retain(|part| !["crate", "self"].contains(&part.to_string().as_str()));
                        if let Some(first) = path.first() {
                            self.exports.insert(name.to_string(), first.to_string());
                        }
                    }
                }
                _ => self.items.extend(name_of(item).map(ToString::to_string)),
            }
        }
    }

    fn depth(&self) -> usize {
        self.depth + self.inside.len()
    }

    /// Records a path if it begins at the root: with `crate`, or with as many `super` as there are modules around it.
    fn path<'a>(&mut self, path: impl IntoIterator<Item = &'a Ident>) {
        let mut path = path.into_iter().peekable();
        let is_first = |part: &Ident, word| part == word;
        if path.next_if(|part| is_first(part, "crate")).is_none() {
            path.next_if(|part| is_first(part, "self"));
            let mut up = 0;
            while path.next_if(|part| is_first(part, "super")).is_some() {
                up += 1;
            }
            if up == 0 || up != self.depth() {
                return;
            }
        }
        if let Some(name) = path.next().filter(|name| *name != "self") {
            let line = name.span().start().line;
            self.targets.push(Target { name: name.to_string(), line, within: self.inside.first().cloned() });
        }
    }

    /// The paths in the tokens of a macro, where they have no structure: `crate::name`, and `crate::{name, …}`.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(root) if root == "crate" => match tokens.get(index + 1..index + 4) {
                    Some([TokenTree::Punct(_), TokenTree::Punct(_), TokenTree::Ident(name)]) => {
                        self.path([root, name]);
                    }
                    Some([TokenTree::Punct(_), TokenTree::Punct(_), TokenTree::Group(group)]) => {
                        for name in heads(group.stream()) {
                            self.path([root, &name]);
                        }
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for References {
    fn visit_item(&mut self, item: &'ast Item) {
        if !attributes(item).iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !item.attrs.iter().any(is_for_tests) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = item.ident.to_string();
        if item.content.is_none() || self.depth() == 0 {
            self.modules.push(Declared { name: name.clone(), inside: self.inside.clone() });
        }
        self.inside.push(name);
        visit::visit_item_mod(self, item);
        self.inside.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for (path, _) in leaves(&item.tree) {
            self.path(path);
        }
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        if let Some(name) = item.ident.as_ref().filter(|_| item.attrs.iter().any(is_macro_export)) {
            self.exported_macros.push(name.to_string());
        }
        visit::visit_item_macro(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.path(path.segments.iter().map(|segment| &segment.ident));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    /// Documentation is an attribute: a link in it is not a use.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    /// `pub(in crate::a)` names a module and uses nothing of it.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

/// Every path of a `use` item, with the name that it brings.
fn leaves(tree: &UseTree) -> Vec<(Vec<&Ident>, &Ident)> {
    let below = |ident, tree| {
        let mut leaves = leaves(tree);
        for (path, name) in &mut leaves {
            path.insert(0, ident);
            if *name == "self" {
                *name = ident;
            }
        }
        leaves
    };
    match tree {
        UseTree::Path(path) => below(&path.ident, &path.tree),
        UseTree::Name(name) => vec![(vec![&name.ident], &name.ident)],
        UseTree::Rename(name) => vec![(vec![&name.ident], &name.rename)],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
        UseTree::Glob(_) => Vec::new(),
    }
}

/// The first identifier of each part of a list with commas.
fn heads(tokens: TokenStream) -> Vec<Ident> {
    let mut is_head = true;
    let mut out = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Punct(comma) if comma.as_char() == ',' => is_head = true,
            TokenTree::Ident(name) if is_head => {
                out.push(name);
                is_head = false;
            }
            _ => is_head = false,
        }
    }
    out
}

fn is_macro_export(attribute: &Attribute) -> bool {
    attribute.path().is_ident("macro_export")
}

/// Whether an attribute is a `cfg` that holds in tests alone.
fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<Meta>().is_ok_and(|predicate| needs_test(&predicate))
}

fn needs_test(predicate: &Meta) -> bool {
    let Meta::List(list) = predicate else { return predicate.path().is_ident("test") };
    let parse = Punctuated::<Meta, Token![,]>::parse_terminated;
    let Ok(parts) = list.parse_args_with(parse) else { return false };
    match list.path.get_ident().map(ToString::to_string).as_deref() {
        Some("all") => parts.iter().any(needs_test),
        Some("any") => parts.iter().all(needs_test),
        _ => false,
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name_of(item: &Item) -> Option<&Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Macro(item) => item.ident.as_ref(),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(source: &str, depth: usize) -> Vec<(String, usize)> {
        let read = References::read(source, depth).expect("good source");
        read.targets.into_iter().map(|target| (target.name, target.line)).collect()
    }

    fn expected(targets: &[(&str, usize)]) -> Vec<(String, usize)> {
        targets.iter().map(|(name, line)| ((*name).to_owned(), *line)).collect()
    }

    #[test]
    fn every_leaf_of_a_use_counts_once() {
        let source = "use crate::{a::{B, C},\n D as E};\npub(crate) use crate::f;\nuse std::fmt;\n";
        assert_eq!(targets(source, 1), expected(&[("a", 1), ("a", 1), ("D", 2), ("f", 3)]));
    }

    #[test]
    fn paths_in_types_expressions_and_macros_count() {
        let source = "fn a(b: crate::B) -> u8 {\n crate::c::d::<crate::E>();\n vec![crate::f(), g]\n}\n\
                      macro_rules! h { () => { $crate::I } }\nm! { use crate::{j, k::l}; }\n";
        assert_eq!(
            targets(source, 1),
            expected(&[("B", 1), ("c", 2), ("E", 2), ("f", 3), ("I", 5), ("j", 6), ("k", 6)])
        );
    }

    #[test]
    fn super_reaches_the_root_from_the_depth_of_the_file() {
        let source =
            "use super::a;\nuse super::super::b;\nmod c {\n use super::d;\n use super::super::e;\n}\n";
        assert_eq!(targets(source, 1), expected(&[("a", 1), ("e", 5)]));
        assert_eq!(targets(source, 2), expected(&[("b", 2)]));
    }

    #[test]
    fn documentation_visibility_and_tests_do_not_count() {
        let source = "//! [`crate::A`]\n/// [`crate::B`] // crate::C\n#[doc = \"crate::D\"]\npub(in crate::e) struct F;\n\
                      #[cfg(test)]\nmod tests { use crate::G; }\n#[cfg(all(test, unix))]\nuse crate::H;\n\
                      impl F { #[cfg(test)] fn i() { crate::J; } }\n#[cfg(any(test, unix))]\nuse crate::K;\n\
                      #[cfg(not(test))]\nuse crate::L;\n";
        assert_eq!(targets(source, 1), expected(&[("K", 11), ("L", 13)]));
    }

    #[test]
    fn the_root_exports_names_of_its_modules() {
        let source =
            "mod a;\npub use self::a::{B, c::D as E};\npub use a::f::{self};\nuse crate::a::G;\nfn h() {}\n";
        let read = References::read(source, 0).expect("good source");
        let exports: Vec<_> =
            read.exports.iter().map(|(name, from)| (name.as_str(), from.as_str())).collect();
        assert_eq!(exports, [("B", "a"), ("E", "a"), ("G", "a"), ("f", "a")]);
        assert_eq!(read.items.into_iter().collect::<Vec<_>>(), ["h"]);
        assert_eq!(read.modules, [Declared { name: "a".into(), inside: vec![] }]);
    }
}
