//! What the golden file does not say: shapes, lists, empty tensors, odd orders, and what TensorFlow has no word for.

use kiln_graph::sparse::Csr;
use kiln_graph::text::{Encoding, Unit};
use kiln_graph::{
    DType, NestedList, RaggedOrDense, RaggedTensor, SparseTensor, StringTensor, Tensor, ragged, sparse,
};

fn floats(numbers: &[f32]) -> Tensor {
    Tensor::from_slice(numbers)
}

#[test]
fn shapes_and_ranks() {
    let rows = RaggedTensor::from_row_splits(Tensor::ones(&[5, 2]), &[0, 2, 5]);
    assert_eq!(rows.shape(), [Some(2), None, Some(2)]);
    assert_eq!((rows.rank(), rows.ragged_rank(), rows.nrows()), (3, 1, 2));
    assert_eq!((rows.uniform_row_length(), rows.dtype()), (None, DType::F32));
    let even = RaggedTensor::from_uniform_row_length(&rows, 2, None);
    assert_eq!(even.shape(), [Some(1), Some(2), None, Some(2)]);
    assert_eq!((even.ragged_rank(), even.uniform_row_length()), (2, Some(2)));
    let none = RaggedTensor::from_uniform_row_length(floats(&[]), 0, Some(3));
    assert_eq!((none.nrows(), none.bounding_shape()), (3, vec![3, 0]));
}

#[test]
fn lists() {
    let words = ragged::constant(&[vec![vec![1, 2], vec![]], vec![], vec![vec![3]]]);
    let value = |n: i32| NestedList::Value(n);
    let list = |items: Vec<NestedList<i32>>| NestedList::List(items);
    let expected = list(vec![
        list(vec![list(vec![value(1), value(2)]), list(vec![])]),
        list(vec![]),
        list(vec![list(vec![value(3)])]),
    ]);
    assert_eq!(words.to_list::<i32>().expect("a list"), expected);
    assert_eq!(words.to_string(), "[[[1, 2], []], [], [[3]]]");
    assert_eq!(words.to_rows::<i32>().expect("rows"), [vec![1, 2], vec![], vec![3]]);
    let pairs = RaggedTensor::from_row_splits(Tensor::from_vec([1, 2, 3, 4], &[2, 2]), &[0, 0, 2]);
    assert_eq!(pairs.to_string(), "[[], [[1, 2], [3, 4]]]");
    assert_eq!(pairs.to_rows::<i32>().expect("rows"), [vec![], vec![1, 2, 3, 4]]);
    let names = ragged::constant(&[vec!["a"], vec![]]);
    assert_eq!(names.to_string(), r#"[["a"], []]"#);
}

#[test]
fn computed_values_are_kept() {
    let sparse = SparseTensor::new(&[[1]], floats(&[2.0]).exp(), &[3]);
    assert_eq!(sparse.eval().expect("a value").values().to_vec::<f32>().expect("a value").len(), 1);
    let rows = RaggedTensor::from_row_lengths(floats(&[2.0]).exp(), &[1, 0]);
    assert!(rows.eval().is_ok());
}

#[test]
fn compressed_rows() {
    let sparse = SparseTensor::new(&[[0, 1], [0, 3], [3, 2]], floats(&[1.0, 2.0, 3.0]), &[4, 5]);
    let csr = sparse.to_csr().expect("compressed rows");
    assert_eq!(csr.row_splits, [0, 2, 2, 2, 3]);
    assert_eq!(csr.columns, [1, 3, 2]);
    let back = SparseTensor::from_csr(&csr);
    assert_eq!((back.indices(), back.dense_shape()), (sparse.indices(), sparse.dense_shape()));
    let bad = Csr { row_splits: vec![0, 2], ..csr };
    assert!(SparseTensor::from_csr(&bad).error().is_some());
}

#[test]
fn orders_and_duplicates() {
    let twice = SparseTensor::new(&[[2, 0], [0, 1], [2, 0]], floats(&[1.0, 5.0, 2.0]), &[3, 2]);
    assert!(!twice.is_ordered() && twice.has_duplicates());
    let sum = twice.sum_duplicates();
    assert_eq!((sum.indices(), sum.has_duplicates()), (&[0, 1, 2, 0][..], false));
    assert_eq!(sum.values().to_vec::<f32>().expect("values"), [5.0, 3.0]);
    assert_eq!(twice.reorder().values().to_vec::<f32>().expect("values"), [5.0, 1.0, 2.0]);
    // Entries at one place count as their sum wherever a sum is taken.
    let product = twice.sparse_dense_matmul(&Tensor::eye(2), false, false);
    assert_eq!(product.to_vec::<f32>().expect("values"), [0.0, 5.0, 0.0, 0.0, 3.0, 0.0]);
    assert_eq!(twice.add(&sum).values().to_vec::<f32>().expect("values"), [10.0, 6.0]);
}

#[test]
fn rows_of_sparse_tensors() {
    let sparse = SparseTensor::new(&[[0, 1], [2, 0], [2, 3]], floats(&[1.0, 2.0, 3.0]), &[3, 4]);
    let row = sparse.row(-1);
    assert_eq!((row.dense_shape(), row.indices()), (&[4][..], &[0, 3][..]));
    assert_eq!(sparse.slice_rows(1..3).indices(), [1, 0, 1, 3]);
    let picked = sparse.gather_rows(&[2, 0, 2]);
    assert_eq!(picked.indices(), [0, 0, 0, 3, 1, 1, 2, 0, 2, 3]);
    assert_eq!(picked.values().to_vec::<f32>().expect("values"), [2.0, 3.0, 1.0, 2.0, 3.0]);
    let kept = sparse.map_values(|v| v - 2.0).prune(0.0);
    assert_eq!((kept.indices(), kept.prune(1.5).entries()), (&[0, 1, 2, 3][..], 0));
}

#[test]
fn nothing_at_all() {
    let none = SparseTensor::empty(&[0, 3], DType::F32);
    assert_eq!(none.to_dense(1.0).shape(), [0, 3]);
    assert_eq!(none.reduce_sum(0, false).to_vec::<f32>().expect("values"), [0.0; 3]);
    assert_eq!(none.sparse_dense_matmul(&Tensor::ones(&[3, 2]), false, false).shape(), [0, 2]);
    assert_eq!(none.sparse_dense_matmul(&Tensor::ones(&[0, 2]), true, false).shape(), [3, 2]);
    assert_eq!(none.add(&none).entries() + none.softmax().entries() + none.reorder().entries(), 0);
    assert_eq!(sparse::eye(0, 4, DType::I32).dense_shape(), [0, 4]);

    let empty = RaggedTensor::from_row_splits(floats(&[]), &[0]);
    assert_eq!((empty.nrows(), empty.bounding_shape()), (0, vec![0, 0]));
    assert_eq!(empty.to_tensor(0.0, None).shape(), [0, 0]);
    assert_eq!(empty.reduce_sum(1, false).dense().shape(), [0]);
    assert_eq!(empty.reduce_max(0, false).dense().shape(), [0]);
    let rows = RaggedTensor::from_row_lengths(floats(&[]), &[0, 0]);
    assert_eq!(rows.reduce_sum(1, true).dense().to_vec::<f32>().expect("values"), [0.0, 0.0]);
    assert_eq!(rows.reduce_max(1, false).dense().to_vec::<f32>().expect("values"), [f32::NEG_INFINITY; 2]);
    assert!(rows.reduce_mean(1, false).dense().to_vec::<f32>().expect("values").iter().all(|x| x.is_nan()));
    assert_eq!(rows.reduce_all(1, false).dense().to_vec::<bool>().expect("values"), [true, true]);
    assert_eq!(rows.reduce_any(1, false).dense().to_vec::<bool>().expect("values"), [false, false]);
    assert_eq!(rows.to_sparse().dense_shape(), [2, 0]);

    let strings = StringTensor::from_vec::<&str>([], &[0, 2]);
    assert_eq!(strings.split(None, None).shape(), [Some(0), Some(2), None]);
    assert_eq!(strings.reduce_join(0, false, ",").to_vec().expect("strings"), ["", ""]);
    assert_eq!(strings.length(Unit::Byte).shape(), [0, 2]);
}

#[test]
fn special_numbers() {
    let x = floats(&[f32::NAN, 1.0, f32::INFINITY, -0.0, f32::NEG_INFINITY]);
    let rows = RaggedTensor::from_row_lengths(x, &[2, 1, 2]);
    let most = rows.reduce_max(1, false).dense().to_vec::<f32>().expect("values");
    assert!(most[0].is_nan());
    assert_eq!(most[1..], [f32::INFINITY, 0.0]);
    let sums = rows.reduce_sum(1, false).dense().to_vec::<f32>().expect("values");
    assert!(sums[0].is_nan());
    assert_eq!(sums[1..], [f32::INFINITY, f32::NEG_INFINITY]);
    let sparse = SparseTensor::new(&[[0, 0], [0, 2]], floats(&[f32::NEG_INFINITY, -3.0]), &[2, 3]);
    assert_eq!(sparse.reduce_max(1, false).to_vec::<f32>().expect("values"), [-3.0, 0.0]);
    let wide = SparseTensor::new(&[[0]], Tensor::from_slice(&[i32::MIN]), &[2]);
    assert_eq!(wide.reduce_max((), false).item::<i32>().expect("a value"), i32::MIN);
}

#[test]
fn types_of_values() {
    for dtype in [DType::F16, DType::BF16, DType::I32, DType::U32, DType::U8] {
        let values = Tensor::full(&[3], 2.0, dtype);
        let rows = RaggedTensor::from_row_lengths(values.clone(), &[1, 0, 2]);
        assert_eq!(rows.reduce_sum(1, false).dense().dtype(), dtype);
        assert_eq!(rows.to_tensor(0.0, None).dtype(), dtype);
        let sparse = SparseTensor::new(&[[0, 0], [1, 1], [1, 2]], values, &[2, 3]);
        assert_eq!(sparse.reduce_sum((), false).dtype(), dtype);
        assert_eq!(sparse.add(&sparse).dtype(), dtype);
        assert_eq!(sparse.to_dense(0.0).cast(DType::F32).to_vec::<f32>().expect("values")[4..], [2.0, 2.0]);
        let product = sparse.sparse_dense_matmul(&Tensor::full(&[3, 1], 3.0, dtype), false, false);
        assert_eq!(product.dtype(), dtype);
        assert_eq!(product.cast(DType::F32).to_vec::<f32>().expect("values"), [6.0, 12.0]);
    }
    let flags = RaggedTensor::from_row_lengths(Tensor::from_slice(&[true, false, true]), &[2, 1]);
    assert_eq!(flags.reduce_sum(1, false).dense().to_vec::<i32>().expect("values"), [1, 1]);
    let marks = SparseTensor::new(&[[0], [2]], Tensor::from_slice(&[true, true]), &[3]);
    assert_eq!(marks.reduce_sum((), false).item::<i32>().expect("a value"), 2);
}

#[test]
fn operators() {
    let rows = ragged::constant(&[vec![1.0f32, 2.0], vec![3.0]]);
    assert_eq!((1.0 - &rows).to_rows::<f32>().expect("rows"), [vec![0.0, -1.0], vec![-2.0]]);
    assert_eq!((&rows / &rows).to_rows::<f32>().expect("rows"), [vec![1.0, 1.0], vec![1.0]]);
    assert_eq!((-&rows).to_rows::<f32>().expect("rows"), [vec![-1.0, -2.0], vec![-3.0]]);
    let limits = Tensor::from_vec([10.0f32, 20.0], &[2, 1]);
    assert_eq!((&limits - &rows).to_rows::<f32>().expect("rows"), [vec![9.0, 8.0], vec![17.0]]);
    assert_eq!(rows.zip_with(&limits, |a, b| a.less(b)).dtype(), DType::Bool);
    // An extent of 1 broadcasts, a row that happens to hold one item does not.
    let ones = RaggedTensor::from_uniform_row_length(floats(&[10.0, 20.0]), 1, None);
    assert_eq!((&rows + &ones).to_rows::<f32>().expect("rows"), [vec![11.0, 12.0], vec![23.0]]);
    let chance = ragged::constant(&[vec![10.0f32], vec![20.0]]);
    assert!((&rows + &chance).error().is_some());
    // Of different ranks: rows meet the last axes.
    let deep = ragged::constant(&[vec![vec![1.0f32, 2.0], vec![3.0]], vec![vec![4.0, 5.0], vec![6.0]]]);
    let sum = &deep + &rows;
    assert_eq!(sum.to_string(), "[[[2.0, 4.0], [6.0]], [[5.0, 7.0], [9.0]]]");

    let sparse = SparseTensor::new(&[[1]], floats(&[4.0]), &[2]);
    assert_eq!((&sparse * 2.0).values().to_vec::<f32>().expect("values"), [8.0]);
    assert_eq!((&sparse / 2).values().to_vec::<f32>().expect("values"), [2.0]);
    assert_eq!((&sparse + &sparse).values().to_vec::<f32>().expect("values"), [8.0]);
}

#[test]
fn several_at_once() {
    let a = ragged::constant(&[vec![1, 2], vec![3]]);
    let product = ragged::map_flat_values(&[&a, &a], |flat| &flat[0] * &flat[1]);
    assert_eq!(product.to_rows::<i32>().expect("rows"), [vec![1, 4], vec![9]]);
    let indices = Tensor::from_vec([0, 2, 1, 0], &[2, 2]);
    let sparse = SparseTensor::from_tensors(&indices, floats(&[1.0, 2.0]), &[2, 3]);
    assert_eq!(sparse.to_dense(0.0).to_vec::<f32>().expect("values"), [0.0, 0.0, 1.0, 2.0, 0.0, 0.0]);
    assert_eq!(sparse.indices_tensor().to_vec::<i32>().expect("values"), [0, 2, 1, 0]);
    let data = RaggedOrDense::from(Tensor::from_slice(&[7, 8]));
    assert_eq!(data.dense().to_vec::<i32>().expect("values"), [7, 8]);
}

#[test]
fn parts_of_strings() {
    let strings = StringTensor::from_vec(["abc", "déf"], &[2]);
    let (starts, lengths) = (Tensor::from_slice(&[0, -2]), Tensor::from_slice(&[1, 2]));
    assert_eq!(
        strings.substr_each(&starts, &lengths, Unit::Utf8Char).to_vec().expect("strings"),
        ["a", "éf"]
    );
    assert_eq!(strings.reshape(&[-1, 1]).shape(), [2, 1]);
    assert_eq!(strings.upper(Encoding::Utf8).to_string(), r#"["ABC" "DÉF"]"#);
    assert_eq!(StringTensor::from("x").item().expect("a string"), "x");
    let split = StringTensor::scalar("a b").split(Some(" "), Some(0));
    assert_eq!(split.to_string_rows().expect("rows"), [vec!["a b"]]);
    assert_eq!(StringTensor::scalar("a ").split(None, Some(1)).to_string_rows().expect("rows"), [vec!["a"]]);
}
