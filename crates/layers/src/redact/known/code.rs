//! Code hosts, package registries, and team tools.

use super::{rules, word};

rules! {
    "github-token" r"(gh[pousr]_[A-Za-z0-9]{36})", "A-Za-z0-9_";
    "github-fine-grained-token" r"(github_pat_[A-Za-z0-9_]{22})", "A-Za-z0-9_";
    "gitlab-token" word!("gl(?:pat|dt|rt|cbt|ptt|ft|oas|soat|agent|imt|ffct)-[A-Za-z0-9_.-]{20}"), "A-Za-z0-9_.-";
    "bitbucket-token" word!("ATBB[A-Za-z0-9]{32}"), "A-Za-z0-9";
    "atlassian-token" word!("ATATT3[A-Za-z0-9_=-]{60}"), "A-Za-z0-9_=-";
    "npm-token" word!("npm_[A-Za-z0-9]{36}"), "A-Za-z0-9";
    "pypi-token" r"(pypi-AgE[A-Za-z0-9_-]{50})", "A-Za-z0-9_-";
    "rubygems-key" word!("rubygems_[a-f0-9]{48}"), "a-f0-9";
    "crates-io-token" word!("cio[A-Za-z0-9]{32}"), "A-Za-z0-9";
    "nuget-key" word!("oy2[a-z0-9]{43}"), "a-z0-9";
    "docker-token" word!("dckr_(?:pat|oat)_[A-Za-z0-9_-]{20}"), "A-Za-z0-9_-";
    "artifactory-key" word!("AKCp[A-Za-z0-9]{69}"), "A-Za-z0-9";
    "sonar-token" word!("sq[pua]_[a-f0-9]{40}"), "a-f0-9";
    "circleci-token" word!("CCI(?:PAT|PRJ)_[A-Za-z0-9_]{20}"), "A-Za-z0-9_";
    "linear-key" word!("lin_(?:api|oauth)_[A-Za-z0-9]{40}"), "A-Za-z0-9";
    "notion-token" word!("(?:ntn_[A-Za-z0-9]{40}|secret_[A-Za-z0-9]{43})"), "A-Za-z0-9";
    "figma-token" word!("fig[dou]_[A-Za-z0-9_-]{36}"), "A-Za-z0-9_-";
    "postman-key" word!("PMAK-[a-f0-9]{24}-[a-f0-9]{34}"), "a-f0-9";
    "airtable-token" word!(r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}"), "a-f0-9";
}
