//! Clouds, their databases and monitoring.

use super::{rules, word};

rules! {
    "aws-access-key" r"((?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16})", "A-Z0-9";
    "aws-secret-key" r#"(?i:aws[a-z0-9_.\-]{0,20}secret[a-z0-9_.\-]{0,20})\\?["']?\s{0,3}[:=]\s{0,3}\\?["']?([A-Za-z0-9/+]{40})"#, "A-Za-z0-9/+=";
    "aws-session-token" r#"(?i:aws_?session_?token)\\?["']?\s{0,3}[:=]\s{0,3}\\?["']?([A-Za-z0-9/+=]{40})"#, "A-Za-z0-9/+=";
    "google-api-key" r"(AIza[0-9A-Za-z_-]{35})", "0-9A-Za-z_-";
    "google-oauth-token" r"(ya29\.[0-9A-Za-z_-]{20})", "0-9A-Za-z_.-";
    "google-oauth-secret" r"(GOCSPX-[A-Za-z0-9_-]{28})", "A-Za-z0-9_-";
    "google-refresh-token" word!("1//0[A-Za-z0-9_-]{30}"), "A-Za-z0-9_-";
    "azure-storage-key" r"(?i:accountkey|sharedaccesskey)\s{0,2}=\s{0,2}([A-Za-z0-9+/]{32})", "A-Za-z0-9+/=";
    "azure-sas-signature" r"(?i:[?&;]sig=)([A-Za-z0-9%+/]{30})", "A-Za-z0-9%+/=";
    // It begins with three characters that can end any text.
    "azure-client-secret" r"(\dQ~[A-Za-z0-9_~.-]{31})", "A-Za-z0-9_~.-";
    "alibaba-access-key" word!("LTAI[A-Za-z0-9]{17}"), "A-Za-z0-9";
    "tencent-secret-id" word!("AKID[A-Za-z0-9]{28}"), "A-Za-z0-9";
    "digitalocean-token" word!("do[opr]_v1_[a-f0-9]{64}"), "a-f0-9";
    "heroku-key" r"(HRKU-[A-Za-z0-9_-]{36})", "A-Za-z0-9_-";
    "cloudflare-origin-key" word!(r"v1\.0-[a-f0-9]{24}-[a-f0-9]{32}"), "a-f0-9";
    "fly-token" word!("(?:fm[12][ar]?_[A-Za-z0-9+/]{40}|fo1_[A-Za-z0-9_-]{40})"), "A-Za-z0-9+/=,_-";
    "vault-token" word!(r"hv[sbr]\.[A-Za-z0-9_-]{24}"), "A-Za-z0-9_-";
    "terraform-token" r"(atlasv1\.[A-Za-z0-9_-]{60})", "A-Za-z0-9_-";
    "pulumi-token" word!("pul-[a-f0-9]{40}"), "a-f0-9";
    "doppler-token" word!(r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40}"), "A-Za-z0-9";
    "databricks-token" word!("dapi[a-f0-9]{32}"), "a-f0-9-";
    "planetscale-token" word!("pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32}"), "A-Za-z0-9_.-";
    "supabase-token" word!("sbp_[a-f0-9]{40}"), "a-f0-9";
    "netlify-token" word!("nfp_[A-Za-z0-9]{36}"), "A-Za-z0-9";
    "newrelic-key" word!("NRAK-[A-Z0-9]{27}"), "A-Z0-9";
    "grafana-token" word!("(?:glsa_[A-Za-z0-9]{32}|glc_[A-Za-z0-9+/]{32})"), "A-Za-z0-9+/=_";
    "sentry-token" word!("(?:sntrys_[A-Za-z0-9+/=_-]{40}|sntryu_[a-f0-9]{64})"), "A-Za-z0-9+/=_-";
    "dynatrace-token" word!(r"dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}"), "A-Z0-9";
    "launchdarkly-key" word!("(?:sdk|api|mob)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "0-9a-f";
}
