//! Payment.

use super::{rules, word};

rules! {
    "stripe-key" word!("(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16}"), "A-Za-z0-9";
    "webhook-signing-secret" word!("whsec_[A-Za-z0-9+/=]{32}"), "A-Za-z0-9+/=";
    "square-token" word!("(?:EAAA[A-Za-z0-9_-]{60}|sq0(?:atp|csp)-[A-Za-z0-9_-]{22})"), "A-Za-z0-9_-";
    "braintree-token" word!(r"access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32}"), "a-f0-9";
    "shopify-token" word!("shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"), "a-fA-F0-9";
    "plaid-token" word!("access-(?:sandbox|development|production)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "0-9a-f";
    "flutterwave-key" word!("FLWSECK(?:_TEST)?-[a-hA-H0-9]{12}"), "a-hA-HX0-9-";
}
