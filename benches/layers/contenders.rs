use std::time::Instant;

use throughline::{NewMessage, Persistence};
use tokio::task::JoinSet;

use crate::{
    Failure,
    figures::{figure, median, ratio},
    text::TEXT,
};

const TASKS: usize = 64;

/// The name of the stack without layers, which is the reference.
pub(crate) const BARE: &str = "bare";

/// A stack without layers, then one stack for each layer.
pub(crate) struct Contenders {
    stacks: Vec<(&'static str, Persistence)>,
    adds: usize,
}

/// Creates stacks over the store `$store`: one without layers, one for each layer, and one with the layers of a
/// production host. None of them refuses a call.
macro_rules! contenders {
    ($store:expr) => {{
        use std::time::Duration;
        use throughline::{
            OpKind, Persistence,
            layers::{
                audit::{AuditKey, AuditLayer},
                bulk_gate::BulkGateLayer,
                chaos::ChaosLayer,
                disk_guard::{Directory, DiskGuardLayer},
                encrypt::{EncryptLayer, Key, KeyRing},
                idempotency::RequireKeyLayer,
                limits::LimitsLayer,
                metrics::MetricsLayer,
                quota::{Quota, QuotaLayer},
                redact::RedactLayer,
                retry::RetryLayer,
                scope::ScopeLayer,
                serialize::SerializeLayer,
                slow_log::SlowLogLayer,
                timeout::TimeoutLayer,
                trace::TraceLayer,
            },
        };
        let plenty = Quota::new().operations(1 << 40, 1 << 40).bytes(1 << 50, 1 << 50);
        let key_ring = || KeyRing::new(Key::new("k".parse().expect("a valid name"), &[7; 32]));
        let mut stacks = contenders!(@each $store;
            "limits" => LimitsLayer::new(),
            "quota" => QuotaLayer::new(plenty),
            "disk-guard" => DiskGuardLayer::new(Directory::new("."), 0, 0),
            "bulk-gate" => BulkGateLayer::new(),
            "require-key" => RequireKeyLayer::of([OpKind::Import]),
            "serialize" => SerializeLayer::new(),
            "audit" => AuditLayer::new(AuditKey::new(&[7; 32])),
            "trace" => TraceLayer::new(),
            "retry" => RetryLayer::new(),
            "timeout" => TimeoutLayer::new(Duration::from_secs(3600)),
            "metrics" => MetricsLayer::new(),
            "slow-log" => SlowLogLayer::new(Duration::from_secs(3600)),
            "redact" => RedactLayer::secrets(),
            "encrypt" => EncryptLayer::new(key_ring()),
            "chaos" => ChaosLayer::seeded(1),
        );
        let scope = ScopeLayer::new();
        let capability = scope.authority().everything();
        let stack = Persistence::builder().layer(scope).backend($store).build()?;
        stacks.push(("scope", stack.with_credential(capability)));
        let scope = ScopeLayer::new();
        let capability = scope.authority().everything();
        let stack = Persistence::builder()
            .layer(LimitsLayer::new())
            .layer(scope)
            .layer(RequireKeyLayer::of([OpKind::Import]))
            .layer(AuditLayer::new(AuditKey::new(&[7; 32])))
            .layer(TraceLayer::new())
            .layer(MetricsLayer::new())
            .layer(RedactLayer::secrets())
            .layer(EncryptLayer::new(key_ring()))
            .backend($store)
            .build()?;
        stacks.push(("production", stack.with_credential(capability)));
        stacks
    }};
    (@each $store:expr; $($name:literal => $layer:expr,)+) => {
        vec![
            ($crate::contenders::BARE, Persistence::builder().backend($store).build()?),
            $(($name, Persistence::builder().layer($layer).backend($store).build()?),)+
        ]
    };
}
pub(crate) use contenders;

impl Contenders {
    /// Keeps all stacks, or the reference and the stack `only`.
    ///
    /// # Errors
    /// Names the stacks that there are, if `only` is another one.
    pub(crate) fn new(
        mut stacks: Vec<(&'static str, Persistence)>,
        adds: usize,
        only: Option<&str>,
    ) -> Result<Self, Failure> {
        if let Some(only) = only
            && !stacks.iter().any(|(name, _)| *name == only)
        {
            let names: Vec<_> = stacks.iter().map(|(name, _)| *name).collect();
            return Err(
                format!("unknown value `{only}` of --only; the values are {}", names.join(", ")).into()
            );
        }
        stacks.retain(|(name, _)| *name == BARE || only.is_none_or(|only| only == *name));
        Ok(Self { stacks, adds })
    }

    /// Measures all stacks in each round, each time in another order: a stack is faster after one that has left memory of the process
    /// free, and no stack may always come after the same other.
    pub(crate) async fn compare(&self, rounds: usize, suffix: &str) -> Result<(), Failure> {
        let mut seconds_of = vec![Vec::with_capacity(rounds); self.stacks.len()];
        let (mut order, mut random): (Vec<usize>, _) =
            ((0..self.stacks.len()).collect(), fastrand::Rng::with_seed(1));
        // The first round only warms up.
        for round in 0..=rounds {
            random.shuffle(&mut order);
            for &at in &order {
                let seconds = self.measure(&self.stacks[at].1, round).await?;
                if round > 0 {
                    seconds_of[at].push(seconds);
                }
            }
        }
        let adds = (TASKS * self.adds) as f64;
        let rates: Vec<f64> = seconds_of[0].iter().map(|seconds| adds / seconds).collect();
        figure(format_args!("layers.bare{suffix}"), median(&rates), "writes/s");
        for ((name, _), times) in self.stacks.iter().zip(&seconds_of) {
            if *name != BARE {
                figure(format_args!("layers.cost.{name}{suffix}"), ratio(times, &seconds_of[0]), "ratio");
            }
        }
        Ok(())
    }

    /// Returns the seconds that all tasks take together, each with its own thread.
    async fn measure(&self, db: &Persistence, round: usize) -> Result<f64, Failure> {
        let begun = Instant::now();
        let mut writers = JoinSet::new();
        for task in 0..TASKS {
            let (thread, adds) = (db.thread(format!("{round}-{task}")), self.adds);
            writers.spawn(async move {
                for _ in 0..adds {
                    thread.add(NewMessage::user(TEXT)).await?;
                }
                Ok::<_, Failure>(())
            });
        }
        while let Some(writer) = writers.join_next().await {
            writer??;
        }
        Ok(begun.elapsed().as_secs_f64())
    }
}
