//! Bad calls: each result carries an error that says what was expected and what came, at the user's line.

use kiln_graph::sparse::{self, BincountOptions};
use kiln_graph::text::{self, DecodeErrors, Encoding, NgramOptions, NumberFormat, Unit};
use kiln_graph::{
    Component, DType, Error, Queue, QueueError, RaggedOrDense, RaggedTensor, SparseTensor, StringTensor,
    Tensor, Values, ragged, sets,
};

/// What carries an error.
trait Carrier {
    fn carried(&self) -> Option<Error>;
}

macro_rules! carrier {
    ($([$($v:ident)?] $type:ty,)*) => { $(
        impl$(<$v: Values>)? Carrier for $type {
            fn carried(&self) -> Option<Error> {
                self.error().cloned()
            }
        }
    )* };
}
carrier! {
    [] Tensor,
    [] StringTensor,
    [V] SparseTensor<V>,
    [V] RaggedTensor<V>,
    [V] RaggedOrDense<V>,
}

impl<T> Carrier for kiln_graph::Result<T> {
    fn carried(&self) -> Option<Error> {
        self.as_ref().err().cloned()
    }
}

impl<A: Carrier, B> Carrier for (A, B) {
    fn carried(&self) -> Option<Error> {
        self.0.carried()
    }
}

/// The line of the error of a bad call, which must have some words, the first at its start.
#[track_caller]
fn check(result: &impl Carrier, words: &[&str]) -> u32 {
    let Some(error) = result.carried() else { panic!("no error, expected {words:?}") };
    let text = error.to_string();
    assert!(text.starts_with(words[0]), "{text:?} does not start with {:?}", words[0]);
    assert!(words.iter().all(|word| text.contains(word)), "{text:?} lacks a word of {words:?}");
    let line = text.rsplit_once("errors.rs:").and_then(|(_, rest)| rest.trim_end_matches(')').parse().ok());
    line.unwrap_or_else(|| panic!("{text:?} has no line of this file"))
}

/// Bad calls in the order of their lines, each with an error of its own line: after that of the call before.
macro_rules! bad {
    ($($call:expr => $($word:literal)+;)*) => {
        let mut last = 0;
        $({
            let line = check(&$call, &[$($word),+]);
            assert!(line > last, "line {line} of {:?} is not after {last}", stringify!($call));
            last = line;
        })*
        let _ = last;
    };
}

fn floats(count: usize) -> Tensor {
    Tensor::ones(&[count])
}

#[test]
fn sparse_construction() {
    bad! {
        SparseTensor::new(&[[0, 3]], floats(1), &[2, 3]) => "[sparse.new]" "[2, 3]" "[0, 3]" "entry 0";
        SparseTensor::new(&[[0, 0], [0, -1]], floats(2), &[2, 3]) => "[sparse.new]" "[0, -1]" "entry 1";
        SparseTensor::new(&[[0, 0]], floats(2), &[2, 3]) => "[sparse.new]" "expected values [1]" "[2]";
        SparseTensor::new(&[[0, 0]], Tensor::ones(&[1, 1]), &[2, 3]) => "[sparse.new]" "[1, 1]";
        SparseTensor::new(&[[0, 0]], floats(1), &[2]) => "[sparse.new]" "rank 2" "[2]";
        SparseTensor::new(&[[0]], Tensor::ones(&[2]) + Tensor::ones(&[3]), &[2]) => "[add]";
        SparseTensor::new(&[[]; 0], floats(0), &[]) => "[sparse.new]" "at least one dimension";
        SparseTensor::new(&[[0]], floats(1), &[usize::MAX]) => "[sparse.new]" "2³¹";
        SparseTensor::from_flat_indices(vec![0, 1, 2], floats(1), &[2, 2]) => "[sparse.from_flat_indices]" "2 coordinates" "3";
        SparseTensor::from_tensors(&floats(2), floats(1), &[2, 2]) => "[sparse.from_tensors]" "[entries, 2]" "[2]";
        SparseTensor::from_tensors(&Tensor::ones(&[1, 2]), floats(1), &[2, 2]) => "[sparse.from_tensors]" "integers";
        SparseTensor::from_dense(&Tensor::scalar(1.0f32)) => "[sparse.from_dense]" "scalar";
        sparse::eye(1 << 40, 1 << 40, DType::F32) => "[sparse.eye]" "2³¹";
    }
}

#[test]
fn sparse_operations() {
    let a = SparseTensor::new(&[[0, 1], [2, 0]], floats(2), &[3, 2]);
    let twice = SparseTensor::new(&[[2, 0], [0, 1], [2, 0]], floats(3), &[3, 2]);
    let other = SparseTensor::new(&[[0, 1]], floats(1), &[3, 3]);
    let failed = SparseTensor::new(&[[9, 9]], floats(1), &[2, 2]);
    let data = Tensor::ones(&[4, 2]);
    let options = BincountOptions::default();
    bad! {
        twice.to_dense(0.0) => "[sparse.to_dense]" "[2, 0] stands twice" "sum_duplicates";
        a.to_dense(floats(2)) => "[sparse.to_dense]" "scalar";
        twice.maximum(&a) => "[sparse.maximum]" "stands twice";
        twice.to_csr() => "[sparse.to_csr]" "reorder";
        a.add(&other) => "[sparse.add]" "[3, 2]" "[3, 3]";
        a.minimum(&other) => "[sparse.minimum]" "[3, 3]";
        a.add_dense(&floats(2)) => "[sparse.add_dense]" "[3, 2]" "[2]";
        a.mul_dense(floats(3)) => "[sparse.mul_dense]" "[3, 2]" "[3]";
        a.div_dense(Tensor::ones(&[1, 3, 2])) => "[sparse.div_dense]" "[1, 3, 2]";
        a.map_values(|_| floats(3)) => "[sparse.map_values]" "[2]" "[3]";
        sparse::map_values(&[&a, &twice], |v| v[0].clone()) => "[sparse.map_values]" "same places";
        sparse::map_values(&[], |v| v[0].clone()) => "[sparse.map_values]" "none";
        a.sparse_dense_matmul(&Tensor::ones(&[3, 2]), false, false) => "[sparse.sparse_dense_matmul]" "expected 2 rows" "received 3" "adjoint";
        a.sparse_dense_matmul(&floats(2), false, false) => "[sparse.sparse_dense_matmul]" "two matrices" "[2]";
        sparse::sampled_addmm(&a, &data, &data, 1.0, 1.0) => "[sparse.sampled_addmm]" "[4, 2]";
        a.reduce_sum(2, false) => "[sparse.reduce_sum]" "axis 2";
        a.reduce_max([0, -2], false) => "[sparse.reduce_max]" "twice";
        a.reduce_sum_sparse(5, true) => "[sparse.reduce_sum_sparse]" "axis 5";
        a.row(0).softmax() => "[sparse.softmax]" "rank 2";
        a.reshape(&[4, 2]) => "[sparse.reshape]" "[3, 2] has 6" "[4, 2]";
        a.reshape(&[-1, -1]) => "[sparse.reshape]" "[-1, -1]";
        a.reshape(&[-1, 0]) => "[sparse.reshape]" "[-1, 0]";
        a.transpose(&[0, 0]) => "[sparse.transpose]" "permutation";
        a.expand_dims(4) => "[sparse.expand_dims]" "axis 4";
        a.reset_shape(Some(&[2, 2])) => "[sparse.reset_shape]" "[3, 2]" "[2, 2]";
        a.slice(&[0], &[1, 1]) => "[sparse.slice]" "2 starts";
        a.split(0, 0)[0] => "[sparse.split]" "received 0";
        a.split(4, 0)[0] => "[sparse.split]" "1 to 3";
        a.split(1, 2)[0] => "[sparse.split]" "axis 2";
        sparse::concat(&[a.clone(), other.clone()], 0, false) => "[sparse.concat]" "[3, 3]";
        sparse::concat::<Tensor>(&[], 0, false) => "[sparse.concat]" "none";
        a.row(3) => "[sparse.row]" "row 3";
        a.slice_rows(1..4) => "[sparse.slice_rows]" "0..3" "1..4";
        a.gather_rows(&[0, -1]) => "[sparse.gather_rows]" "0..3" "-1";
        a.retain(&[true]) => "[sparse.retain]" "2 flags" "1";
        a.fill_empty_rows(floats(2)) => "[sparse.fill_empty_rows]" "scalar";
        a.with_values(floats(3)) => "[sparse.with_values]" "[2]" "[3]";
        a.to_indicator(3) => "[sparse.to_indicator]" "integer";
        sparse::segment_sum(&data, &[0, 4], &[0, 0], None) => "[sparse.segment_sum]" "0..4" "4";
        sparse::segment_mean(&data, &[0, 1], &[1, 0], None) => "[sparse.segment_mean]" "ascend";
        sparse::segment_sum(&data, &[0, 1], &[0, 3], Some(2)) => "[sparse.segment_sum]" "below 2" "3";
        sparse::segment_sqrt_n(&data, &[0], &[0, 1], None) => "[sparse.segment_sqrt_n]" "1 indices";
        sparse::bincount(&Tensor::from_slice(&[1, -1]), None, &options) => "[sparse.bincount]" "-1";
        sparse::bincount(&floats(2), None, &options) => "[sparse.bincount]" "integers";
        sparse::bincount(&Tensor::from_slice(&[1, 1]), Some(&floats(3)), &options) => "[sparse.bincount]" "[2]" "[3]";
        sparse::cross(&[], "_") => "[sparse.cross]" "at least one input";
        sparse::cross(&[&data], "_") => "[sparse.cross]" "integers";
        sparse::cross_hashed(&[&Tensor::from_vec([1], &[1, 1])], 0, 1) => "[sparse.cross_hashed]" "received 0";
    }
    // What was wrong before stays the error, at its own line.
    for later in [failed.add(&a), a.add(&failed), failed.transpose(&[]), failed.reduce_max_sparse((), false)]
    {
        assert_eq!(later.error(), failed.error());
    }
    assert_eq!(failed.to_dense(0.0).error(), failed.error());
    assert_eq!(failed.sparse_dense_matmul(&data, false, false).error(), failed.error());
    let outside = SparseTensor::new(&[[0, 0]], Tensor::from_slice(&[7]), &[1, 1]).to_indicator(3);
    assert!(
        outside
            .to_vec::<bool>()
            .expect_err("an error of the run")
            .to_string()
            .contains("sparse.to_indicator")
    );
}

#[test]
fn ragged_construction() {
    bad! {
        RaggedTensor::from_row_splits(floats(3), &[0, 2]) => "[ragged.from_row_splits]" "end at 3" "[0, 2]";
        RaggedTensor::from_row_splits(floats(3), &[0, 2, 1, 3]) => "[ragged.from_row_splits]" "descend";
        RaggedTensor::from_row_splits(floats(3), &[1, 3]) => "[ragged.from_row_splits]" "start at 0";
        RaggedTensor::from_row_splits(floats(0), &[]) => "[ragged.from_row_splits]" "[]";
        RaggedTensor::from_row_splits(Tensor::scalar(1.0f32), &[0, 1]) => "[ragged.from_row_splits]" "scalar";
        RaggedTensor::from_row_lengths(floats(3), &[2, 2]) => "[ragged.from_row_lengths]" "add up to 3" "[2, 2]";
        RaggedTensor::from_row_lengths(floats(3), &[4, -1]) => "[ragged.from_row_lengths]" "[4, -1]";
        RaggedTensor::from_row_starts(floats(3), &[1, 2]) => "[ragged.from_row_starts]" "start at 0";
        RaggedTensor::from_row_limits(floats(3), &[1, 2]) => "[ragged.from_row_limits]" "end at 3";
        RaggedTensor::from_value_rowids(floats(3), &[0, 2, 1], None) => "[ragged.from_value_rowids]" "ascend";
        RaggedTensor::from_value_rowids(floats(2), &[0, 3], Some(3)) => "[ragged.from_value_rowids]" "below 3" "3";
        RaggedTensor::from_value_rowids(floats(2), &[0], None) => "[ragged.from_value_rowids]" "2 values" "1";
        RaggedTensor::from_uniform_row_length(floats(5), 2, None) => "[ragged.from_uniform_row_length]" "rows of 2";
        RaggedTensor::from_uniform_row_length(floats(4), usize::MAX, Some(2)) => "[ragged.from_uniform_row_length]";
        RaggedTensor::from_nested_row_splits(floats(3), &[[0, 3], [0, 3]]) => "[ragged.from_nested_row_splits]" "end at 1";
        RaggedTensor::<Tensor>::from_nested_row_splits::<Vec<i32>>(floats(3), &[]) => "[ragged.from_nested_row_splits]" "received 0";
        RaggedTensor::from_nested_row_lengths(floats(3), &[[1], [2]]) => "[ragged.from_nested_row_lengths]" "add up to 3";
        RaggedTensor::from_nested_value_rowids(floats(1), &[[0]], Some(&[1, 1])) => "[ragged.from_nested_value_rowids]" "1 numbers";
        RaggedTensor::from_tensor(floats(3), 1) => "[ragged.from_tensor]" "received 1 and 1";
        RaggedTensor::from_tensor(floats(3), 0) => "[ragged.from_tensor]" "received 0";
        RaggedTensor::from_tensor_with_lengths(Tensor::ones(&[2, 3]), &[1, 4]) => "[ragged.from_tensor_with_lengths]" "at most 3" "[1, 4]";
        RaggedTensor::from_padded_tensor(Tensor::ones(&[2, 3]), floats(2), 1) => "[ragged.from_padded_tensor]" "[2]";
        RaggedTensor::from_sparse(&SparseTensor::new(&[[0, 1]], floats(1), &[1, 2])) => "[ragged.from_sparse]" "[0, 1]" "column 0";
        RaggedTensor::from_sparse(&SparseTensor::new(&[[0]], floats(1), &[1])) => "[ragged.from_sparse]" "matrix";
        ragged::constant(&[1, 2]) => "[ragged.constant]" "vectors of vectors";
        ragged::row_splits_to_segment_ids(&[0, 2, 1]) => "[ragged.row_splits_to_segment_ids]" "descend";
        ragged::segment_ids_to_row_splits(&[2, 1], None) => "[ragged.segment_ids_to_row_splits]" "ascend";
        ragged::range(&[0], &[3], &[0]) => "[ragged.range]" "delta";
        ragged::range(&[0, 1], &[3, 4, 5], &[1]) => "[ragged.range]" "[2, 3, 1]";
        ragged::range(&[0.0f32], &[f32::INFINITY], &[1.0]) => "[ragged.range]" "finite";
    }
}

#[test]
fn ragged_operations() {
    let rows = RaggedTensor::from_row_lengths(floats(3), &[2, 1]);
    let deep = ragged::constant(&[vec![vec![1.0f32], vec![2.0, 3.0]], vec![]]);
    let failed = RaggedTensor::from_row_lengths(floats(3), &[9]);
    let mask = ragged::constant(&[vec![true], vec![true, false]]);
    bad! {
        rows.to_tensor(floats(3), None) => "[ragged.to_tensor]";
        rows.to_tensor(0.0, Some(&[None])) => "[ragged.to_tensor]" "rank 2";
        RaggedTensor::from_row_lengths(Tensor::ones(&[2, 3]), &[2]).to_tensor(0.0, Some(&[None, None, Some(4)])) => "[ragged.to_tensor]" "inner axes";
        rows.to_tensor(0.0, Some(&[Some(1 << 40), Some(1 << 40)])) => "[ragged.to_tensor]";
        rows.reduce_sum(2, false) => "[ragged.reduce_sum]" "axis 2";
        rows.reduce_mean([0, -2], false) => "[ragged.reduce_mean]" "twice";
        rows.softmax(3) => "[ragged.softmax]" "axis 3";
        rows.row(2) => "[ragged.row]" "0..2" "2";
        rows.slice_rows(1..3) => "[ragged.slice_rows]" "0..2";
        rows.slice_axis(2, None, None) => "[ragged.slice_axis]" "axis 2";
        rows.gather(&[2]) => "[ragged.gather]" "0..2" "2";
        rows.gather_ragged(&ragged::constant(&[vec![-1]])) => "[ragged.gather_ragged]" "-1";
        rows.boolean_mask(&mask) => "[ragged.boolean_mask]" "rows of the data";
        rows.boolean_mask(&rows) => "[ragged.boolean_mask]" "bool";
        rows.boolean_mask(Tensor::from_slice(&[true])) => "[ragged.boolean_mask]" "2 items" "1";
        RaggedTensor::masked_tensor(&floats(2), Tensor::from_slice(&[true, false])) => "[ragged.masked_tensor]" "rank 2";
        &rows + &floats(3) => "[ragged.add]" "axis 1";
        rows.map_flat_values(|_| floats(4)) => "[ragged.map_flat_values]" "3 flat values" "[4]";
        ragged::map_flat_values(&[&rows, &deep], |v| v[0].clone()) => "[ragged.map_flat_values]" "zip_with";
        rows.with_values(floats(4)) => "[ragged.with_values]" "3 values" "4";
        rows.with_flat_values(Tensor::scalar(1.0f32)) => "[ragged.with_flat_values]" "3 flat values";
        rows.row_lengths_at(2) => "[ragged.row_lengths_at]" "axis 2";
        rows.merge_dims(1, 0) => "[ragged.merge_dims]" "outer axis";
        rows.expand_dims(4) => "[ragged.expand_dims]" "axis 4";
        ragged::concat([rows.clone(), deep.clone()], 0) => "[ragged.concat]" "[2, 3]";
        ragged::concat([rows.clone(), ragged::constant(&[vec![1.0f32]])], 1) => "[ragged.concat]" "[2, 1]";
        ragged::concat(Vec::<RaggedTensor>::new(), 0) => "[ragged.concat]" "none";
        ragged::concat([rows.clone()], 2) => "[ragged.concat]" "axis 2";
        ragged::stack([rows.clone(), rows.slice_rows(0..1)], 1) => "[ragged.stack]";
        ragged::stack_dynamic_partitions(floats(2), &[0, 2], 2) => "[ragged.stack_dynamic_partitions]" "0..2" "[0, 2]";
        rows.bincount(None, &BincountOptions::default()) => "[ragged.bincount]" "integers";
        ragged::cross(&[&deep]) => "[ragged.cross]" "rank 2";
        rows.row(0).ragged() => "[ragged.ragged]" "[2]" "from_tensor";
        deep.row(0).dense() => "[ragged.dense]" "to_tensor";
    }
    for later in [failed.expand_dims(0), failed.gather(&[0]), failed.map_flat_values(|v| v.clone())] {
        assert_eq!(later.error(), failed.error());
    }
    assert_eq!((&rows * &failed).error(), failed.error());
    assert_eq!(failed.reduce_sum((), false).error(), failed.error());
    assert!(
        failed.to_list::<f32>().is_err() && failed.to_rows::<f32>().is_err() && failed.shape().is_empty()
    );
    assert!(failed.to_string().starts_with("[ragged.from_row_lengths]"));
}

#[test]
fn strings() {
    let s = StringTensor::from_slice(&["abc", "é"]);
    let points = ragged::constant(&[vec![65, -1]]);
    let mut wide = NgramOptions::new(2);
    wide.padding_width = Some(1);
    bad! {
        StringTensor::from_vec(["a"], &[2]) => "[strings.from_vec]" "expected 2" "received 1";
        s.item() => "[strings.item]" "[2]";
        s.reshape(&[3]) => "[strings.reshape]" "[2] has 2" "[3]";
        s.substr(4, 1, Unit::Byte) => "[strings.substr]" "position 4" "abc";
        s.substr(-3, 1, Unit::Byte) => "[strings.substr]" "position -3" "é";
        s.substr(1, 1, Unit::Byte) => "[strings.substr]" "cut a character" "Utf8Char";
        s.substr_each(&Tensor::from_slice(&[0]), &Tensor::from_slice(&[0]), Unit::Byte) => "[strings.substr]" "[2]" "[1]";
        s.substr_each(&Tensor::from_slice(&[0, 0]), &Tensor::from_slice(&[1, -1]), Unit::Utf8Char) => "[strings.substr]" "-1";
        text::join(&[&s, &StringTensor::from_slice(&["a", "b", "c"])], "") => "[strings.join]" "[2]" "[3]";
        text::join(&[], "") => "[strings.join]" "none";
        s.reduce_join(1, false, "") => "[strings.reduce_join]" "axis 1";
        s.unsorted_segment_join(&[0, 2], 2, "") => "[strings.unsorted_segment_join]" "0..2" "[0, 2]";
        s.regex_replace("(", "", true) => "[strings.regex_replace]" "regular expression" "(";
        s.regex_replace("a", r"\1", true) => "[strings.regex_replace]" "group 1" "has 0";
        s.regex_replace("a", r"\x", true) => "[strings.regex_replace]" "`x`";
        s.regex_full_match("[") => "[strings.regex_full_match]" "[";
        s.to_number(DType::F32) => "[strings.to_number]" "float32" "abc";
        StringTensor::from_slice(&["2147483648"]).to_number(DType::I32) => "[strings.to_number]" "int32";
        s.to_number(DType::Bool) => "[strings.to_number]" "bool";
        text::as_string(&floats(1), &NumberFormat { scientific: true, shortest: true, ..Default::default() }) => "[strings.as_string]" "exclude";
        text::as_string(&floats(1), &NumberFormat { fill: Some('x'), ..Default::default() }) => "[strings.as_string]" "'x'";
        text::format("{} {}", &[&s], "{}", None) => "[strings.format]" "2 tensors" "1";
        text::format("{}", &[&s], "", None) => "[strings.format]" "placeholder";
        s.to_hash_bucket_fast(0) => "[strings.to_hash_bucket_fast]" "received 0";
        s.to_hash_bucket_strong(1 << 40, [1, 2]) => "[strings.to_hash_bucket_strong]" "2³¹";
        s.ngrams(&NgramOptions::new(0)) => "[strings.ngrams]" "[0]";
        s.ngrams(&wide) => "[strings.ngrams]" "pad_values";
        StringTensor::scalar("a").ngrams(&NgramOptions::new(1)) => "[strings.ngrams]" "single string";
        s.unicode_decode("UTF-16-BE", None) => "[strings.unicode_decode]" "UTF-8" "UTF-16-BE";
        s.unicode_split("latin1") => "[strings.unicode_split]" "latin1";
        s.unicode_transcode("UTF-8", "UTF-32-BE", None) => "[strings.unicode_transcode]" "UTF-32-BE";
        text::unicode_encode(&points, "UTF-8", DecodeErrors::Strict) => "[strings.unicode_encode]" "-1";
        text::unicode_encode(&points, "UTF-16-BE", DecodeErrors::Ignore) => "[strings.unicode_encode]" "UTF-16-BE";
    }
    let failed = s.reshape(&[3]);
    assert_eq!(failed.lower(Encoding::Utf8).strip().error(), failed.error());
    assert_eq!(failed.split(None, None).error(), failed.error());
    assert_eq!(failed.length(Unit::Byte).error(), failed.error());
    assert!(failed.to_vec().is_err() && failed.to_string().starts_with("[strings.reshape]"));
}

#[test]
fn set_operations() {
    let a = Tensor::from_vec([1, 2], &[1, 2]);
    bad! {
        sets::union(&a, &Tensor::from_vec([1, 2], &[2, 1])) => "[sets.union]" "[1]" "[2]";
        sets::intersection(&a, &floats(2)) => "[sets.intersection]" "integers";
        sets::difference(&a, &a.cast(DType::U8), true) => "[sets.difference]" "cast";
        sets::size(&Tensor::scalar(1)) => "[sets.size]" "scalar";
    }
}

#[test]
fn queue_arguments() {
    let part = |shape: &[usize]| Component::new(DType::F32, shape);
    let open = Component::padded(DType::F32, &[None]);
    bad! {
        Queue::<Tensor>::fifo(0, &[part(&[])]) => "[queue.fifo]" "received 0";
        Queue::<Tensor>::fifo(1, &[]) => "[queue.fifo]" "and 0";
        Queue::<Tensor>::fifo(1, std::slice::from_ref(&open)) => "[queue.fifo]" "padding_fifo";
        Queue::<Tensor>::padding_fifo(1, &[Component::any(DType::F32)]) => "[queue.padding_fifo]" "rank";
        Queue::<Tensor>::random_shuffle(4, 4, &[part(&[])], 1) => "[queue.random_shuffle]" "capacity 4" "received 4";
    }
    let queue = Queue::fifo(2, &[part(&[2]), Component::any(DType::I32)]).expect("a queue");
    let whole = Tensor::from_slice(&[1]);
    let wrong = |result: Result<(), QueueError>, word: &str| {
        let error = result.expect_err("an error");
        assert!(matches!(error, QueueError::Operation(_)) && error.to_string().contains(word), "{error}");
    };
    wrong(queue.enqueue(&[floats(2)]), "components");
    wrong(queue.enqueue(&[floats(3), whole.clone()]), "[3]");
    wrong(queue.enqueue(&[floats(2), floats(1)]), "components");
    wrong(queue.enqueue(&[floats(2) + floats(3), whole.clone()]), "[add]");
    wrong(queue.enqueue_many(&[Tensor::ones(&[2, 2]), Tensor::scalar(1)]), "rows");
    wrong(queue.enqueue_prioritized(1, &[floats(2), whole.clone()]), "Queue::priority");
    wrong(queue.dequeue_many(1).map(drop), "shapes");
    assert_eq!(queue.size(), 0);
    let sorted = Queue::priority(2, &[part(&[])]).expect("a queue");
    wrong(sorted.enqueue(&[Tensor::scalar(1.0f32)]), "enqueue_prioritized");
    wrong(sorted.dequeue_many(3).map(drop), "1 to 2");
    wrong(sorted.dequeue_many(0).map(drop), "1 to 2");
}
