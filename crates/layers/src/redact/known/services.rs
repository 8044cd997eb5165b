//! Developer services: hosting, databases, analytics, mail, finance and others.

use super::{rules, word};

rules! {
    "vercel-token" word!("vc[aciprk]_[A-Za-z0-9]{24}"), "A-Za-z0-9";
    "render-key" word!("rnd_[A-Za-z0-9]{28}"), "A-Za-z0-9";
    "tailscale-key" word!("tskey-[a-z]{3,12}-[A-Za-z0-9]{8}"), "A-Za-z0-9-";
    "supabase-secret-key" word!("sb_secret_[A-Za-z0-9_-]{22}"), "A-Za-z0-9_-";
    "neon-key" word!("napi_[a-z0-9]{40}"), "a-z0-9";
    "upstash-token" word!("AX[A-Za-z0-9]{2}ASQ[A-Za-z0-9+/_-]{32}"), "A-Za-z0-9+/=_-";
    "scaleway-key" word!("SCW[A-Z0-9]{17}"), "A-Z0-9";
    "yandex-key" word!("(?:AQVN[A-Za-z0-9_-]{35}|YC[A-Z][A-Za-z0-9_-]{36})"), "A-Za-z0-9_-";
    "openshift-token" r"(sha256~[A-Za-z0-9_-]{43})", "A-Za-z0-9_-";
    "harness-token" word!(r"(?:pat|sat)\.[A-Za-z0-9_-]{22}\.[0-9a-f]{24}\.[A-Za-z0-9]{20}"), "A-Za-z0-9";
    "infracost-key" word!("ico-[A-Za-z0-9]{32}"), "A-Za-z0-9";
    "prefect-key" word!("pn[ub]_[A-Za-z0-9]{36}"), "A-Za-z0-9";
    "snyk-token" word!("snyk_(?:uat|sat)\\.[a-z0-9]{8}\\.[A-Za-z0-9_.-]{40}"), "A-Za-z0-9_.-";
    "sourcegraph-token" word!("(?:sgp_(?:[a-fA-F0-9]{16}_|local_)?[a-fA-F0-9]{40}|slk_[a-f0-9]{64})"), "a-fA-F0-9";
    "buildkite-token" word!("bk[ucar]a_[a-f0-9]{40}"), "a-f0-9";
    "clojars-token" word!("CLOJARS_[a-z0-9]{60}"), "a-z0-9";
    "octopus-key" word!("API-[A-Z0-9]{26}"), "A-Z0-9";
    "gitlab-runner-token" word!("GR1348941[A-Za-z0-9_-]{20}"), "A-Za-z0-9_-";
    "jfrog-reference-token" word!("cmVmdGtu[A-Za-z0-9]{50}"), "A-Za-z0-9";
    "azure-devops-token" word!("[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}"), "A-Za-z0-9";
    "amazon-bedrock-key" word!("ABSK[A-Za-z0-9+/]{60}"), "A-Za-z0-9+/=";
    "posthog-key" word!("ph[xs]_[A-Za-z0-9]{40}"), "A-Za-z0-9";
    "langfuse-key" word!("sk-lf-[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}"), "a-f0-9";
    "firecrawl-key" word!("fc-[a-f0-9]{32}"), "a-f0-9";
    "jina-key" word!("jina_[A-Za-z0-9_-]{40}"), "A-Za-z0-9_-";
    "together-key" word!("tgp_v1_[A-Za-z0-9_-]{40}"), "A-Za-z0-9_-";
    "voyage-key" word!("(?:pa|al)-[A-Za-z0-9_-]{42}"), "A-Za-z0-9_-";
    "n8n-key" word!("n8n_api_[A-Za-z0-9]{32}"), "A-Za-z0-9._-";
    "contentful-token" word!("CFPAT-[A-Za-z0-9_-]{43}"), "A-Za-z0-9_-";
    "adobe-secret" word!("p8e-[A-Za-z0-9]{32}"), "A-Za-z0-9";
    "mapbox-token" word!(r"sk\.eyJ[A-Za-z0-9_-]{20,200}\.[A-Za-z0-9_-]{20}"), "A-Za-z0-9_-";
    "maxmind-key" word!("[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk"), "";
    "dropbox-token" word!(r"sl\.(?:u\.)?[A-Za-z0-9_-]{60}"), "A-Za-z0-9_=-";
    "trello-token" word!("ATTA[a-f0-9]{64}"), "a-f0-9";
    "asana-token" word!(r"[12]/\d{12,19}(?:/\d{12,19})?:[a-f0-9]{32}"), "a-f0-9";
    "clickup-token" word!(r"pk_\d{6,9}_[A-Z0-9]{32}"), "A-Z0-9";
    "hubspot-token" word!("pat-(?:na|eu|ap)[0-9]-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "0-9a-f";
    "typeform-token" word!("tfp_[A-Za-z0-9_.=-]{40}"), "A-Za-z0-9_.=-";
    "readme-key" word!("rdme_[a-z0-9]{60}"), "a-z0-9";
    "shippo-token" word!("shippo_(?:live|test)_[a-f0-9]{40}"), "a-f0-9";
    "easypost-key" word!("EZ[AT]K[a-zA-Z0-9]{54}"), "A-Za-z0-9";
    "duffel-token" word!("duffel_(?:test|live)_[A-Za-z0-9_=-]{43}"), "A-Za-z0-9_=-";
    "razorpay-key" word!("rzp_(?:live|test)_[A-Za-z0-9]{14}"), "A-Za-z0-9";
    "facebook-token" word!("EAA[A-Za-z0-9]{60}"), "A-Za-z0-9";
    "onepassword-token" word!("ops_eyJ[A-Za-z0-9+/_-]{100}"), "A-Za-z0-9+/=_-";
    "onepassword-secret-key" word!("A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}"), "A-Z0-9";
    "okta-token" r"\bSSWS (00[A-Za-z0-9_-]{38})", "A-Za-z0-9_-";
    "extended-private-key" word!("[xyz]prv[1-9A-HJ-NP-Za-km-z]{100}"), "1-9A-HJ-NP-Za-km-z";
    "databricks-oauth-secret" word!("dose[a-f0-9]{32}"), "a-f0-9";
}
