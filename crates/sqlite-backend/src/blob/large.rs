use throughline_core::{
    Content, PersistArgs,
    messages::{ContentChange, UpdateContent, UpdateMode},
    replication::{ImagePart, ReplicaArgs},
};

/// Returns the contents of a write that are longer than `above` and that its transaction will write to rows as they are. A
/// content that is not among them, such as that of a finished stream, is written to a file by the transaction itself.
pub(crate) fn large_contents(args: &PersistArgs, above: u64) -> Vec<Content> {
    let mut found = Vec::new();
    let mut take = |content: &Content| {
        if content.byte_len() as u64 > above {
            found.push(content.clone());
        }
    };
    for item in args.each() {
        match item {
            PersistArgs::Add(add) => take(&add.content),
            PersistArgs::Import(import) => import.rows.iter().for_each(|row| take(&row.content)),
            PersistArgs::UpdateContent(UpdateContent {
                change: ContentChange::Replace(content),
                mode: UpdateMode::Final | UpdateMode::Edit | UpdateMode::Abandon { .. },
                ..
            }) => take(content),
            PersistArgs::Replica(ReplicaArgs::Apply(apply)) => {
                for image in &apply.images {
                    if let ImagePart::Message(image) = &image.part
                        && !image.message.state.is_open()
                    {
                        take(&image.message.content);
                    }
                }
            }
            _ => {}
        }
    }
    found
}
