//! String tensors and sets against TensorFlow.

use kiln_graph::sparse::SparseTensor as Sparse;
use kiln_graph::text::{self, DecodeErrors, Encoding, Formatted, NgramOptions, NumberFormat, Unit};
use kiln_graph::{DType, StringTensor, sets};

use crate::Run;
use crate::value::{Call, Value};

fn unit(c: &Call) -> Unit {
    match c.text("unit") {
        Some("UTF8_CHAR") => Unit::Utf8Char,
        _ => Unit::Byte,
    }
}

fn encoding(c: &Call) -> Encoding {
    match c.text("encoding") {
        Some("utf-8") => Encoding::Utf8,
        _ => Encoding::Ascii,
    }
}

fn separator(c: &Call) -> &str {
    c.text("separator").unwrap_or("")
}

fn replacement(c: &Call) -> Option<char> {
    c.text("control").and_then(|text| text.chars().next())
}

fn join(c: &Call) -> Vec<Value> {
    let all: Vec<StringTensor> = (0..c.inputs.len()).map(|i| c.s(i)).collect();
    vec![text::join(&all.iter().collect::<Vec<_>>(), separator(c)).into()]
}

fn as_string(c: &Call) -> Vec<Value> {
    let format = NumberFormat {
        precision: c.size("precision"),
        scientific: c.flag("scientific"),
        shortest: c.flag("shortest"),
        width: c.size("width"),
        fill: c.text("fill").and_then(|fill| fill.chars().next()),
    };
    vec![text::as_string(&c.x(0), &format).into()]
}

fn format(c: &Call) -> Vec<Value> {
    let input =
        |i: usize| -> Box<dyn Formatted> { if c.is_text(i) { Box::new(c.s(i)) } else { Box::new(c.x(i)) } };
    let inputs: Vec<Box<dyn Formatted>> = (0..c.inputs.len()).map(input).collect();
    let inputs: Vec<&dyn Formatted> = inputs.iter().map(Box::as_ref).collect();
    let summarize = if c.has("summarize") { usize::try_from(c.int("summarize")).ok() } else { Some(3) };
    vec![text::format(c.text("template").expect("template"), &inputs, "{}", summarize).into()]
}

fn buckets(c: &Call) -> usize {
    c.size("num_buckets").expect("num_buckets")
}

fn ngrams(c: &Call) -> Vec<Value> {
    let widths = if c.args["ngram_width"].is_array() {
        c.sizes("ngram_width")
    } else {
        vec![c.size("ngram_width").expect("ngram_width")]
    };
    let pad = |i: usize| c.args["pad_values"][i].as_str().expect("a padding").to_owned();
    let options = NgramOptions {
        widths,
        separator: c.text("separator").unwrap_or(" ").to_owned(),
        pad_values: c.has("pad_values").then(|| (pad(0), pad(1))),
        padding_width: c.size("padding_width"),
        preserve_short_sequences: c.flag("preserve_short_sequences"),
    };
    match &c.inputs[0] {
        Value::Ragged { .. } => vec![c.ragged_strings(0).ngrams(&options).into()],
        _ => vec![c.s(0).ngrams(&options).into()],
    }
}

fn unicode_encode(c: &Call) -> Vec<Value> {
    let errors = match c.text("errors") {
        Some("ignore") => DecodeErrors::Ignore,
        Some("strict") => DecodeErrors::Strict,
        _ => DecodeErrors::default(),
    };
    vec![text::unicode_encode(c.either(0), "UTF-8", errors).into()]
}

fn unsorted_segment_join(c: &Call) -> Vec<Value> {
    let count = c.size("num_segments").expect("num_segments");
    vec![c.s(0).unsorted_segment_join(&c.ints("segment_ids"), count, separator(c)).into()]
}

/// A set operation of operands of any kind.
macro_rules! combined {
    ($c:expr, $run:expr) => {
        vec![match (&$c.inputs[0], &$c.inputs[1], $c.is_text(0)) {
            (Value::Dense(_), Value::Dense(_), true) => $run(&$c.s(0), &$c.s(1)).into(),
            (Value::Dense(_), Value::Dense(_), false) => $run(&$c.x(0), &$c.x(1)).into(),
            (Value::Dense(_), _, _) => $run(&$c.x(0), &$c.sparse(1)).into(),
            (_, Value::Dense(_), _) => $run(&$c.sparse(0), &$c.x(1)).into(),
            _ => $run(&$c.sparse(0), &$c.sparse(1)).into(),
        }]
    };
}

fn difference(c: &Call) -> Vec<Value> {
    let a_minus_b = c.flag("aminusb");
    vec![match (&c.inputs[0], &c.inputs[1], c.is_text(0)) {
        (Value::Dense(_), Value::Dense(_), true) => sets::difference(&c.s(0), &c.s(1), a_minus_b).into(),
        (Value::Dense(_), Value::Dense(_), false) => sets::difference(&c.x(0), &c.x(1), a_minus_b).into(),
        (Value::Dense(_), _, _) => sets::difference(&c.x(0), &c.sparse(1), a_minus_b).into(),
        (_, Value::Dense(_), _) => sets::difference(&c.sparse(0), &c.x(1), a_minus_b).into(),
        _ => sets::difference::<Sparse>(&c.sparse(0), &c.sparse(1), a_minus_b).into(),
    }]
}

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("strings.as_string", as_string),
    ("strings.bytes_split", |c| vec![c.s(0).bytes_split().into()]),
    ("strings.format", format),
    ("strings.join", join),
    ("strings.length", |c| vec![c.s(0).length(unit(c)).into()]),
    ("strings.lower", |c| vec![c.s(0).lower(encoding(c)).into()]),
    ("strings.ngrams", ngrams),
    ("strings.reduce_join", |c| vec![c.s(0).reduce_join(c.axes(), c.flag("keepdims"), separator(c)).into()]),
    ("strings.regex_full_match", |c| {
        vec![c.s(0).regex_full_match(c.text("pattern").expect("pattern")).into()]
    }),
    ("strings.regex_replace", |c| {
        let (pattern, rewrite) = (c.text("pattern").expect("pattern"), c.text("rewrite").expect("rewrite"));
        let global = !c.has("replace_global") || c.flag("replace_global");
        vec![c.s(0).regex_replace(pattern, rewrite, global).into()]
    }),
    ("strings.split", |c| vec![c.s(0).split(c.text("sep"), c.size("maxsplit")).into()]),
    ("strings.strip", |c| vec![c.s(0).strip().into()]),
    ("strings.substr", |c| vec![c.s(0).substr(c.int("pos"), c.size("len").expect("len"), unit(c)).into()]),
    ("strings.to_hash_bucket", |c| vec![c.s(0).to_hash_bucket(buckets(c)).into()]),
    ("strings.to_hash_bucket_fast", |c| vec![c.s(0).to_hash_bucket_fast(buckets(c)).into()]),
    ("strings.to_hash_bucket_strong", |c| {
        let key = c.longs("key");
        vec![c.s(0).to_hash_bucket_strong(buckets(c), [key[0] as u64, key[1] as u64]).into()]
    }),
    ("strings.to_number", |c| {
        let dtype = if c.text("out_type") == Some("int32") { DType::I32 } else { DType::F32 };
        vec![c.s(0).to_number(dtype).into()]
    }),
    ("strings.unicode_decode", |c| vec![c.s(0).unicode_decode("UTF-8", replacement(c)).into()]),
    ("strings.unicode_decode_with_offsets", |c| {
        let (points, offsets) = c.s(0).unicode_decode_with_offsets("UTF-8", replacement(c));
        vec![points.into(), offsets.into()]
    }),
    ("strings.unicode_encode", unicode_encode),
    ("strings.unicode_split", |c| vec![c.s(0).unicode_split("UTF-8").into()]),
    ("strings.unicode_split_with_offsets", |c| {
        let (parts, offsets) = c.s(0).unicode_split_with_offsets("UTF-8");
        vec![parts.into(), offsets.into()]
    }),
    ("strings.unicode_transcode", |c| {
        vec![c.s(0).unicode_transcode("UTF-8", "UTF-8", replacement(c)).into()]
    }),
    ("strings.unsorted_segment_join", unsorted_segment_join),
    ("strings.upper", |c| vec![c.s(0).upper(encoding(c)).into()]),
    ("sets.difference", difference),
    ("sets.intersection", |c| combined!(c, sets::intersection)),
    ("sets.size", |c| vec![sets::size(&c.sparse(0)).into()]),
    ("sets.union", |c| combined!(c, sets::union)),
];
