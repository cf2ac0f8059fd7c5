//! Tables against TensorFlow, and what TensorFlow's cannot do.

use kiln_graph::lookup::{
    KeyValueTensorInitializer, Keys, MutableHashTable, StaticHashTable, StaticVocabularyTable, TextFileIndex,
    TextFileInitializer, TextItems,
};
use kiln_graph::{DType, Function, StringTensor, Tensor, Values, gradients};

use crate::Run;
use crate::value::{Call, Value};

/// The number of keys, as the golden file has it.
fn size(size: usize) -> Value {
    Tensor::scalar(size as i32).into()
}

fn looked<K: Keys, V: Values + Into<Value>>(keys: K, values: V, default: V, queries: &K) -> Vec<Value> {
    let made = StaticHashTable::new(KeyValueTensorInitializer::new(keys, values), default).expect("a table");
    vec![made.lookup(queries).into(), size(made.size())]
}

fn table(c: &Call) -> Vec<Value> {
    let sparse_or_ragged = !matches!(c.inputs[3], Value::Dense(_));
    if sparse_or_ragged {
        let init = KeyValueTensorInitializer::new(c.s(0), c.x(1));
        let made = StaticHashTable::new(init, c.x(2)).expect("a table");
        let found = match c.inputs[3] {
            Value::Sparse { .. } => made.lookup_sparse(&c.sparse_strings(3)).into(),
            _ => made.lookup_ragged(&c.ragged_strings(3)).into(),
        };
        return vec![found, size(made.size())];
    }
    match (c.is_text(0), c.is_text(1)) {
        (true, false) => looked(c.s(0), c.x(1), c.x(2), &c.s(3)),
        (true, true) => looked(c.s(0), c.s(1), c.s(2), &c.s(3)),
        (false, false) => looked(c.x(0), c.x(1), c.x(2), &c.x(3)),
        (false, true) => looked(c.x(0), c.s(1), c.s(2), &c.x(3)),
    }
}

fn vocabulary(c: &Call) -> Vec<Value> {
    fn of<K: Keys>(keys: K, ids: Tensor, buckets: usize) -> StaticVocabularyTable<K> {
        let init = KeyValueTensorInitializer::new(keys, ids);
        StaticVocabularyTable::new(init, buckets).expect("a table")
    }
    let buckets = c.size("buckets").expect("buckets");
    if !c.is_text(0) {
        let made = of(c.x(0), c.x(1), buckets);
        return vec![made.lookup(&c.x(2)).into(), size(made.size())];
    }
    let made = of(c.s(0), c.x(1), buckets);
    let found = match c.inputs[2] {
        Value::Sparse { .. } => made.lookup_sparse(&c.sparse_strings(2)).into(),
        _ => made.lookup(&c.s(2)).into(),
    };
    vec![found, size(made.size())]
}

fn mutable(c: &Call) -> Vec<Value> {
    fn of<K: Keys>(none: K, key: impl Fn(usize) -> K, c: &Call) -> Vec<Value> {
        let made = MutableHashTable::new(none, c.x(2)).expect("a table");
        made.insert(&key(0), &c.x(1)).expect("inserted");
        made.insert(&key(3), &c.x(4)).expect("inserted");
        made.remove(&key(5)).expect("removed");
        vec![made.lookup(&key(6)).into(), size(made.size())]
    }
    match c.is_text(0) {
        true => of(StringTensor::from_slice::<&str>(&[]), |i| c.s(i), c),
        false => of(Tensor::from(Vec::<i32>::new()), |i| c.x(i), c),
    }
}

fn file(c: &Call) -> Vec<Value> {
    fn of<K: Keys + TextItems, V: TextItems + Into<Value>>(c: &Call, queries: K, default: V) -> Vec<Value> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lines.txt");
        std::fs::write(&path, c.text("lines").expect("lines")).expect("written");
        let index = |name: &str| match c.text(name).expect("an index") {
            "line" => TextFileIndex::WholeLine,
            "number" => TextFileIndex::LineNumber,
            column => TextFileIndex::Column(column.parse().expect("a column")),
        };
        let init = TextFileInitializer::<K, V>::new(&path, index("key"), index("value"))
            .delimiter(c.text("delimiter").expect("a delimiter"))
            .value_index_offset(c.int("offset") as i32)
            .value_dtype(default.number_type().unwrap_or(DType::I32));
        let init = match c.size("vocab_size") {
            Some(lines) => init.vocab_size(lines),
            None => init,
        };
        let made = StaticHashTable::new(init, default).expect("a table");
        vec![made.lookup(&queries).into(), size(made.size())]
    }
    match (c.is_text(0), c.is_text(1)) {
        (true, false) => of(c, c.s(0), c.x(1)),
        (true, true) => of(c, c.s(0), c.s(1)),
        (false, false) => of(c, c.x(0), c.x(1)),
        (false, true) => of(c, c.x(0), c.s(1)),
    }
}

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("lookup.StaticHashTable", table),
    ("lookup.KeyValueTensorInitializer", table),
    ("lookup.StaticVocabularyTable", vocabulary),
    ("lookup.MutableHashTable", mutable),
    ("lookup.TextFileInitializer", file),
    ("lookup.TextFileIndex", file),
];

fn words(words: &[&str]) -> StringTensor {
    StringTensor::from_slice(words)
}

fn init<K: Keys, V: Values>(keys: K, values: V) -> KeyValueTensorInitializer<K, V> {
    KeyValueTensorInitializer::new(keys, values)
}

#[test]
fn tables_may_be_empty() {
    let none = Tensor::from(Vec::<i32>::new());
    let texts = StaticHashTable::new(init(words(&[]), none.clone()), Tensor::scalar(7)).expect("a table");
    assert_eq!(texts.lookup(&words(&["a", ""])).to_vec::<i32>(), Ok(vec![7, 7]));
    let numbers = StaticHashTable::new(init(none.clone(), none), Tensor::scalar(7)).expect("a table");
    assert_eq!(
        numbers.lookup(&Tensor::from([[0], [3]])).to_nested::<Vec<Vec<i32>>>(),
        Ok(vec![vec![7], vec![7]])
    );
    assert_eq!(numbers.lookup(&Tensor::zeros(&[0, 2]).cast(DType::I32)).shape(), [0, 2]);
    assert_eq!((numbers.size(), numbers.export().0.shape()), (0, &[0][..]));
}

#[test]
fn values_have_shapes_and_gradients() {
    let values = Tensor::from([[1.0f32, 2.0], [3.0, 4.0]]);
    let table = StaticHashTable::new(init(Tensor::from([5, 3]), values.clone()), Tensor::scalar(0.0f32));
    let table = table.expect("a table");
    let found = table.lookup(&Tensor::from([3, 9, 3]));
    assert_eq!(found.to_nested::<[[f32; 2]; 3]>(), Ok([[3.0, 4.0], [0.0, 0.0], [3.0, 4.0]]));
    let slope = gradients(&found.square().sum(()), &[values]).expect("gradients");
    assert_eq!(slope[0].to_nested::<[[f32; 2]; 2]>(), Ok([[0.0, 0.0], [12.0, 16.0]]));
    let (keys, all) = table.export();
    assert_eq!((keys.to_vec::<i32>(), all.shape()), (Ok(vec![5, 3]), &[2, 2][..]));
}

#[test]
fn functions_look_up_their_arguments() {
    let table = StaticHashTable::new(init(Tensor::from([5, 3]), Tensor::from([50, 30])), Tensor::scalar(-1));
    let table = table.expect("a table");
    let vocabulary = StaticVocabularyTable::new(init(Tensor::from([5, 7]), Tensor::from([0, 1])), 3);
    let vocabulary = vocabulary.expect("a table");
    let names =
        StaticHashTable::new(init(words(&["a"]), Tensor::from([1])), Tensor::scalar(0)).expect("a table");
    let f = Function::new("find", move |x| {
        let constant = names.lookup(&words(&["b", "a"]));
        Ok(vec![table.lookup(&x[0]), vocabulary.lookup(&x[0]), constant])
    });
    for _ in 0..2 {
        let found = f.call(&[Tensor::from([5, 7, 1, -4])]).expect("a call");
        assert_eq!(found[0].to_vec::<i32>(), Ok(vec![50, -1, -1, -1]));
        assert_eq!(found[1].to_vec::<i32>(), Ok(vec![0, 1, 2, 3]));
        assert_eq!(found[2].to_vec::<i32>(), Ok(vec![0, 1]));
    }
    assert_eq!(f.trace_count(), 1);
    let texts = StaticHashTable::new(init(Tensor::from([5]), words(&["five"])), StringTensor::scalar("?"));
    let texts = texts.expect("a table");
    let refused = Function::new("texts", move |x| {
        texts.lookup(&x[0]).check()?;
        Ok(vec![])
    });
    let error = refused.call(&[Tensor::from([5])]).expect_err("strings").to_string();
    assert!(error.contains("known only when the function runs"), "{error}");
}

#[test]
fn tables_change_outside_of_traces_alone() {
    let none = || Tensor::from(Vec::<i32>::new());
    let table = std::sync::Arc::new(MutableHashTable::new(none(), Tensor::scalar(-1)).expect("a table"));
    table.insert(&Tensor::from([[1, 2], [3, 1]]), &Tensor::from([[10, 20], [30, 11]])).expect("inserted");
    assert_eq!(table.export().0.to_vec::<i32>(), Ok(vec![1, 2, 3]));
    assert_eq!(table.export().1.to_vec::<i32>(), Ok(vec![11, 20, 30]));
    let frozen = table.frozen().expect("a copy");
    table.remove(&Tensor::from([2, 2, 9])).expect("removed");
    table.insert(&none(), &none()).expect("nothing");
    let asked = Tensor::from([1, 2, 3]);
    assert_eq!(table.lookup(&asked).to_vec::<i32>(), Ok(vec![11, -1, 30]));
    assert_eq!(frozen.lookup(&asked).to_vec::<i32>(), Ok(vec![11, 20, 30]));
    let inside = table.clone();
    let f = Function::new("changes", move |x| {
        let errors = [
            inside.insert(&Tensor::from([1]), &x[0]).expect_err("insert"),
            inside.remove(&Tensor::from([1])).expect_err("remove"),
            inside.lookup(&x[0]).check().expect_err("lookup"),
            inside.frozen().err().expect("frozen"),
        ];
        assert!(errors.iter().all(|e| e.to_string().contains("take a copy with `frozen()` outside")));
        Ok(vec![frozen.lookup(&x[0])])
    });
    assert_eq!(f.call(&[Tensor::from([2])]).expect("a call")[0].to_vec::<i32>(), Ok(vec![20]));
    assert_eq!(table.size(), 2);
    let error = table.insert(&Tensor::from([1]), &Tensor::from([[1]])).expect_err("a shape").to_string();
    assert!(
        error.starts_with("[lookup] expected values [1] of int32 for keys [1], received [1, 1]"),
        "{error}"
    );
}

#[test]
fn wrong_arguments_are_errors_of_the_callers_line() {
    fn says<T>(result: kiln_graph::Result<T>, words: &[&str]) {
        let Err(error) = result else { panic!("no error: {words:?}") };
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text:?} lacks a word of {words:?}");
        assert!(text.contains("lookup.rs") || text.starts_with("[file]"), "{text}");
    }
    let (a, minus) = (words(&["a", "b"]), Tensor::scalar(-1));
    let table = |values: Tensor, default: &Tensor| {
        StaticHashTable::new(init(words(&["a", "b"]), values), default.clone())
    };
    says(table(Tensor::range(3), &minus), &["[lookup]", "as many values", "[2]", "[3]"]);
    says(table(Tensor::range(2), &Tensor::scalar(0.5f32)), &["values' type int32", "float32"]);
    says(table(Tensor::range(2), &Tensor::range(3)), &["[3]"]);
    let twice = StaticHashTable::new(init(words(&["a", "a"]), Tensor::range(2)), minus.clone());
    says(twice, &["key \"a\" has two different values"]);
    let floats = StaticHashTable::new(init(Tensor::zeros(&[2]), Tensor::range(2)), minus.clone());
    says(floats, &["keys of int32", "float32"]);
    let numbers =
        StaticHashTable::new(init(Tensor::range(2), Tensor::range(2)), minus.clone()).expect("a table");
    says(numbers.lookup(&Tensor::zeros(&[1])).check().cloned(), &["keys of int32", "float32"]);
    let bad = Tensor::zeros(&[2]).matmul(&Tensor::zeros(&[3, 3]));
    assert!(table(bad.clone(), &minus).is_err_and(|e| e.to_string().starts_with("[matmul]")));
    assert!(numbers.lookup(&bad).error().is_some_and(|e| e.to_string().starts_with("[matmul]")));
    says(StaticVocabularyTable::new(init(a.clone(), Tensor::range(2)), 0), &["at least one bucket"]);
    says(
        StaticVocabularyTable::new(init(a.clone(), Tensor::zeros(&[2])), 1),
        &["vector of int32", "float32"],
    );
    says(MutableHashTable::new(a, minus.clone()), &["no keys", "insert them"]);

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lines.txt");
    use TextFileIndex::{Column, LineNumber, WholeLine};
    let of = |bytes: &[u8], key, value| {
        std::fs::write(&path, bytes).expect("written");
        TextFileInitializer::<StringTensor, Tensor>::new(&path, key, value)
    };
    let made = |init: TextFileInitializer| StaticHashTable::new(init, minus.clone());
    says(made(of(b"a\n\nb\n", WholeLine, LineNumber)), &["[file]", "line 2 is empty"]);
    says(made(of(b"a\xff", WholeLine, LineNumber)), &["UTF-8"]);
    says(made(of(b"a\t1\nb", Column(0), Column(1))), &["line 2 has no column 1", "\\t"]);
    says(made(of(b"a\tx", Column(0), Column(1))), &["x"]);
    says(made(of(b"a\t1", Column(0), Column(1)).delimiter("")), &["a delimiter"]);
    says(made(of(b"a\nb", WholeLine, LineNumber).vocab_size(3)), &["at least 3 lines, found 2"]);
    says(made(of(b"a\nb", WholeLine, LineNumber).value_index_offset(i32::MAX)), &["beyond int32"]);
    let missing = folder.path().join("missing");
    says(made(TextFileInitializer::new(missing, WholeLine, LineNumber)), &["no such file"]);
}
