//! Model providers, and the tools around them.

use super::{rules, word};

rules! {
    "anthropic-key" word!("sk-ant-[A-Za-z0-9_-]{20}"), "A-Za-z0-9_-";
    "openrouter-key" word!("sk-or-v1-[a-f0-9]{32}"), "a-f0-9";
    "openai-key" word!("(?:sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20}|sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})"), "A-Za-z0-9_-";
    "sk-key" word!("sk-[A-Za-z0-9]{32}"), "A-Za-z0-9";
    "elevenlabs-key" word!("sk_[a-f0-9]{48}"), "a-f0-9";
    "huggingface-token" word!("(?:hf|api_org)_[A-Za-z0-9]{34}"), "A-Za-z0-9";
    "groq-key" word!("gsk_[A-Za-z0-9]{40}"), "A-Za-z0-9";
    "replicate-token" word!("r8_[A-Za-z0-9]{37}"), "A-Za-z0-9";
    "perplexity-key" word!("pplx-[A-Za-z0-9]{40}"), "A-Za-z0-9";
    "xai-key" word!("xai-[A-Za-z0-9]{60}"), "A-Za-z0-9";
    "fireworks-key" word!("fw_[A-Za-z0-9]{22}"), "A-Za-z0-9";
    "cerebras-key" word!("csk-[a-z0-9]{48}"), "a-z0-9";
    "nvidia-key" word!("nvapi-[A-Za-z0-9_-]{40}"), "A-Za-z0-9_-";
    "langsmith-key" word!("lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}"), "a-f0-9";
    "tavily-key" word!("tvly-[A-Za-z0-9-]{20}"), "A-Za-z0-9-";
    "pinecone-key" word!("pcsk_[A-Za-z0-9_]{40}"), "A-Za-z0-9_";
}
