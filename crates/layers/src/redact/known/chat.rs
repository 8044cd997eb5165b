//! Chat, bots, mail, and webhook addresses that are secrets themselves.

use super::{rules, word};

rules! {
    "slack-token" word!("xox[abeoprs]-[A-Za-z0-9-]{10}"), "A-Za-z0-9-";
    "slack-app-token" word!(r"xapp-\d-[A-Z0-9]{8,14}-\d{8,16}-[a-f0-9]{32}"), "a-f0-9";
    "slack-webhook" r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_+-]{20})", "A-Za-z0-9/_+-";
    "discord-bot-token" word!(r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}"), "A-Za-z0-9_-";
    "discord-webhook" r"discord(?:app)?\.com/api/webhooks/(\d{15,20}/[A-Za-z0-9_-]{20})", "A-Za-z0-9_-";
    // Also after `bot`, as in the addresses of its API.
    "telegram-bot-token" word!(r"\d{8,10}:AA[A-Za-z0-9_-]{33}"), "A-Za-z0-9_-";
    "telegram-bot-token" r"(?i:bot)(\d{8,10}:AA[A-Za-z0-9_-]{33})", "A-Za-z0-9_-";
    "teams-webhook" r"webhook\.office\.com/webhookb2/([A-Za-z0-9@-]{36,80}/IncomingWebhook/[a-f0-9]{32})", "A-Za-z0-9/-";
    "zapier-webhook" r"hooks\.zapier\.com/hooks/catch/(\d{4,12}/[a-z0-9]{5})", "a-z0-9/";
    "twilio-key" word!("SK[0-9a-f]{32}"), "0-9a-f";
    "sendgrid-key" word!(r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"), "A-Za-z0-9_-";
    "mailgun-key" word!("key-[a-f0-9]{32}"), "a-f0-9";
    "mailgun-sending-key" word!("[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8}"), "a-f0-9";
    "mailchimp-key" word!(r"[a-f0-9]{32}-us\d{1,2}"), "0-9";
    "brevo-key" word!("xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}"), "A-Za-z0-9";
    "resend-key" word!("re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}"), "A-Za-z0-9";
}
