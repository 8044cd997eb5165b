//! The laws about repeated reads.

use throughline_core::{NewMessage, PersistArgs, TenantId, messages::Add, operations::Addressed as _};

use crate::laws::{
    answers::answer, bench::Bench, difference::assert_same, every_field, law::laws, probe::Act,
};

laws! {
    Transparent "laws.repeated_read_is_forwarded_again" "a repeated read is forwarded again, in each tenant and after each write, and its answer is complete" => read_again;
}

async fn read_again(bench: Bench) {
    let other: TenantId = every_field::id("other");
    for (case, args) in every_field::reads() {
        let PersistArgs::Read(asked) = &args else { unreachable!("a read") };
        // Of a whole tenant, the answer is that of both sides.
        if bench.profile.redirects && args.thread().is_none() {
            continue;
        }
        for number in 1..=2 {
            for (tenant, bench) in
                [(TenantId::default(), bench.clone()), (other.clone(), bench.for_tenant("other"))]
            {
                let due = answer(asked, &tenant, "a plain text", number);
                let (came, passed) =
                    bench.scripted(args.clone(), None, Act::Answer(Box::new(due.clone()))).await;
                match came {
                    Ok(came) => {
                        assert_eq!(
                            passed.len(),
                            1,
                            "{case}, the answer {number} in `{tenant}`: not passed on"
                        );
                        assert_same(case, &came.result, &due);
                    }
                    Err(error) => assert!(bench.refuses_itself(&args, &error, &passed), "{case}: {error}"),
                }
                let between = Add::new(every_field::far(), NewMessage::user("between"));
                bench.call(between.into(), None).await.unwrap_or_else(|error| panic!("between: {error}"));
            }
        }
    }
}
