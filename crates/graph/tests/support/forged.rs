//! Files that say something else than was saved.

/// A safetensors file with another text under one metadata key, and the checksum that belongs to it.
pub(crate) fn with_text(bytes: &[u8], text: &str) -> Vec<u8> {
    let tensors = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let mut all = tensors.tensors();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let mut sum = kiln_graph::files::Checksum::default();
    sum.add(text.as_bytes());
    for (name, view) in &all {
        sum.add(name.as_bytes());
        sum.add(view.data());
    }
    let metadata = [("kiln_function".to_owned(), text.to_owned()), ("kiln_checksum".to_owned(), sum.text())];
    safetensors::serialize(all, Some(metadata.into_iter().collect())).unwrap()
}
