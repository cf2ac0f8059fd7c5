//! Which names of TensorFlow's are here, and why the others are not.

use std::collections::HashSet;

use crate::{golden, list};

/// What stands for a name under another one: a case of the golden file, or a test.
const ELSEWHERE: &[(&str, &str)] = &[
    ("tf.sparse.SparseTensor", "sparse.reorder"),
    ("tf.SparseTensor.members.dense_shape", "sparse.reorder"),
    ("tf.SparseTensor.members.dtype", "sparse.reorder"),
    ("tf.SparseTensor.members.indices", "sparse.reorder"),
    ("tf.SparseTensor.members.shape", "sparse.reorder"),
    ("tf.SparseTensor.members.values", "sparse.reorder"),
    ("tf.SparseTensor.members.with_values", "sparse.with_values"),
    ("tf.SparseTensor.members.eval", "special: computed_values_are_kept"),
    ("tf.RaggedTensor.members.bounding_shape", "ragged.parts"),
    ("tf.RaggedTensor.members.dtype", "ragged.parts"),
    ("tf.RaggedTensor.members.flat_values", "ragged.parts"),
    ("tf.RaggedTensor.members.nested_row_lengths", "ragged.nested_parts"),
    ("tf.RaggedTensor.members.nested_row_splits", "ragged.nested_parts"),
    ("tf.RaggedTensor.members.nested_value_rowids", "ragged.nested_parts"),
    ("tf.RaggedTensor.members.nrows", "ragged.parts"),
    ("tf.RaggedTensor.members.ragged_rank", "special: shapes_and_ranks"),
    ("tf.RaggedTensor.members.row_lengths", "ragged.parts"),
    ("tf.RaggedTensor.members.row_limits", "ragged.parts"),
    ("tf.RaggedTensor.members.row_splits", "ragged.parts"),
    ("tf.RaggedTensor.members.row_starts", "ragged.parts"),
    ("tf.RaggedTensor.members.shape", "special: shapes_and_ranks"),
    ("tf.RaggedTensor.members.to_list", "special: lists"),
    ("tf.RaggedTensor.members.uniform_row_length", "special: shapes_and_ranks"),
    ("tf.RaggedTensor.members.value_rowids", "ragged.parts"),
    ("tf.RaggedTensor.members.values", "ragged.parts"),
    ("tf.queue.FIFOQueue", "queues"),
    ("tf.queue.PaddingFIFOQueue", "queues"),
    ("tf.queue.PriorityQueue", "queues"),
    ("tf.queue.QueueBase", "queues"),
    ("tf.queue.RandomShuffleQueue", "queues"),
    ("tf.queue.QueueBase.members.close", "queues"),
    ("tf.queue.QueueBase.members.dequeue", "queues"),
    ("tf.queue.QueueBase.members.dequeue_many", "queues"),
    ("tf.queue.QueueBase.members.dequeue_up_to", "queues"),
    ("tf.queue.QueueBase.members.dtypes", "queues: components()"),
    ("tf.queue.QueueBase.members.enqueue", "queues"),
    ("tf.queue.QueueBase.members.enqueue_many", "queues"),
    ("tf.queue.QueueBase.members.is_closed", "queues"),
    ("tf.queue.QueueBase.members.shapes", "queues: components()"),
    ("tf.queue.QueueBase.members.size", "queues"),
];

/// Names that are left out, and why.
const EXCLUDED: &[(&str, &str)] = &[
    (
        "tf.SparseTensor.members.consumers",
        "lists nodes of TensorFlow's graph, which users of Kiln do not hold",
    ),
    (
        "tf.SparseTensor.members.graph",
        "names TensorFlow's graph; expressions here have none until they are read",
    ),
    ("tf.SparseTensor.members.op", "names a node of TensorFlow's graph"),
    ("tf.SparseTensor.members.from_value", "converts TensorFlow 1's SparseTensorValue"),
    ("tf.SparseTensor.members.get_shape", "the same as `shape`; one way to do one thing"),
    ("tf.SparseTensor.members.set_shape", "adds to a shape that is not known; shapes here always are"),
    (
        "tf.RaggedTensor.members.consumers",
        "lists nodes of TensorFlow's graph, which users of Kiln do not hold",
    ),
    ("tf.RaggedTensor.members.get_shape", "the same as `shape`; one way to do one thing"),
    ("tf.RaggedTensor.members.numpy", "NumPy arrays of arrays; `to_list` and `to_rows` give Rust's vectors"),
    ("tf.RaggedTensor.members.with_row_splits_dtype", "row splits are `int32` always"),
    (
        "tf.strings.unicode_script",
        "needs ICU's table of scripts and their numbers; nothing in preprocessing asks for it",
    ),
    (
        "tf.queue.QueueBase.members.from_list",
        "chooses among queues by a number in the graph; choose a handle in Rust",
    ),
    ("tf.queue.QueueBase.members.name", "names a resource of TensorFlow's; a queue here is a Rust value"),
    ("tf.queue.QueueBase.members.names", "dictionaries of components; components here have positions"),
    ("tf.queue.QueueBase.members.queue_ref", "a handle of TensorFlow's runtime"),
];

#[test]
fn every_name_has_a_case_or_a_reason() {
    let golden = golden();
    let cases: HashSet<&str> = list(&golden, "cases").iter().filter_map(|case| case["op"].as_str()).collect();
    let names = golden["names"].as_object().expect("names");
    let mut all: Vec<String> = vec![];
    for (module, members) in names {
        all.extend(
            members
                .as_array()
                .expect("names")
                .iter()
                .map(|n| format!("{module}.{}", n.as_str().expect("a name"))),
        );
    }
    let tested = |name: &str| {
        let own = name.trim_start_matches("tf.").replace("RaggedTensor.members.", "ragged.");
        let elsewhere = ELSEWHERE.iter().find(|(tf, _)| *tf == name).map(|(_, case)| *case);
        let named =
            |case: &str| cases.contains(case) || case.starts_with("special") || case.starts_with("queues");
        cases.contains(own.as_str()) || elsewhere.is_some_and(named)
    };
    let excluded: HashSet<&str> = EXCLUDED.iter().map(|(name, _)| *name).collect();
    let missing: Vec<&String> =
        all.iter().filter(|name| !tested(name) && !excluded.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "neither a case nor a reason: {missing:?}");
    let stale: Vec<&&str> =
        excluded.iter().filter(|name| tested(name) || !all.iter().any(|n| n == **name)).collect();
    assert!(stale.is_empty(), "excluded, but here or unknown: {stale:?}");
    assert!(EXCLUDED.iter().all(|(_, reason)| reason.len() > 10));
    assert!(all.len() > 120, "{} names", all.len());
}
