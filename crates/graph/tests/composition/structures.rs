//! What structures are made of.

use std::collections::{BTreeMap, HashMap};

use kiln_graph::tree::{self, Static};
use kiln_graph::{RaggedTensor, SparseTensor, Tensor, TreeFunction, gradients};

use crate::{on_cpu, text, vector};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Sum,
    Mean,
}

#[test]
fn values_that_are_no_tensors_are_parts_of_the_signature() {
    on_cpu(|| {
        type Settings = (bool, i32, f32, String, &'static str, Static<Mode>, Option<usize>);
        let f = TreeFunction::new("f", |(x, settings): (Tensor, Settings)| {
            let (training, power, scale, _, _, mode, _) = &settings;
            let y = if *training { &x * *scale } else { x };
            let y = if mode.0 == Mode::Sum { y.sum(()) } else { y.mean(()) };
            Ok((y * *power as f32, settings))
        });
        let base: Settings = (true, 3, 0.5, "a".into(), "b", Static(Mode::Sum), None);
        let x = vector(&[2.0, 4.0]);
        let (y, back) = f.call(&(x.clone(), base.clone()))?;
        assert_eq!((y.item::<f32>()?, back == base), (9.0, true));
        let mut others = vec![base.clone(); 7];
        (others[0].0, others[1].1, others[2].2) = (false, 4, 1.0);
        (others[3].3, others[4].4, others[5].5, others[6].6) = ("c".into(), "d", Static(Mode::Mean), Some(1));
        let expected = [18.0, 12.0, 18.0, 9.0, 9.0, 4.5, 9.0];
        for (n, (other, expected)) in others.iter().zip(expected).enumerate() {
            assert_eq!(f.call(&(x.clone(), other.clone()))?.0.item::<f32>()?, expected, "{n}");
            assert_eq!(f.trace_count(), n + 2);
        }
        f.call(&(x, base))?;
        assert_eq!(f.trace_count(), 8);
        assert!(f.trace_report()[1].contains("the structure was (*(<bool true>"), "{}", f.trace_report()[1]);
        Ok(())
    });
}

#[test]
fn texts_beside_each_other_are_told_apart() {
    let description = |x: &(String, String)| {
        let mut text = String::new();
        tree::Tree::describe(x, &mut text);
        text
    };
    let [a, b] = [("a\"><String \"b", "c"), ("a", "b\"><String \"c")];
    let owned = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
    assert_ne!(description(&owned(a)), description(&owned(b)));
}

#[test]
fn maps_are_in_the_order_of_their_keys() {
    on_cpu(|| {
        let f = TreeFunction::new("f", |x: HashMap<String, Tensor>| {
            Ok(x.into_iter().map(|(key, x)| (key.len() as i64, x * 2.0)).collect::<BTreeMap<i64, Tensor>>())
        });
        for _ in 0..8 {
            // Every map has a hasher of its own.
            let x: HashMap<String, Tensor> =
                (1..6).map(|n| ("k".repeat(n), Tensor::scalar(n as f32))).collect();
            let y = f.call(&x)?;
            let read: Vec<f32> = y.values().map(Tensor::item).collect::<kiln_graph::Result<_>>()?;
            assert_eq!(read, [2.0, 4.0, 6.0, 8.0, 10.0]);
        }
        assert_eq!(f.trace_count(), 1);
        Ok(())
    });
}

#[test]
fn sparse_and_ragged_tensors_are_arguments_and_results() {
    on_cpu(|| {
        let f = TreeFunction::new("f", |(a, rows): (SparseTensor, RaggedTensor)| {
            let y = a.sparse_dense_matmul(&Tensor::eye(2), false, false).sum(1)
                * rows.reduce_sum(1, false).dense();
            let slope = gradients(&y.sum(()), std::slice::from_ref(a.values()))?.remove(0);
            Ok((a.with_values(slope), rows, y))
        });
        let sparse =
            |scale: f32, at: i32| SparseTensor::new(&[[0, at], [2, 0]], vector(&[1.0, 2.0]) * scale, &[3, 2]);
        let rows = |lengths: &[i32]| RaggedTensor::from_row_lengths(vector(&[1.0, 2.0, 3.0]), lengths);
        for scale in [1.0f32, 2.0] {
            let (slope, back, y) = f.call(&(sparse(scale, 1), rows(&[1, 0, 2])))?;
            assert_eq!(y.to_vec::<f32>()?, [scale, 0.0, 10.0 * scale]);
            assert_eq!(slope.to_dense(0.0).to_vec::<f32>()?, [0.0, 1.0, 0.0, 0.0, 5.0, 0.0]);
            assert_eq!(back.to_rows::<f32>()?, [vec![1.0], vec![], vec![2.0, 3.0]]);
        }
        assert_eq!(f.trace_count(), 1);
        f.call(&(sparse(1.0, 0), rows(&[1, 0, 2])))?;
        let (_, _, y) = f.call(&(sparse(1.0, 0), rows(&[3, 0, 0])))?;
        assert_eq!(y.to_vec::<f32>()?, [6.0, 0.0, 0.0]);
        assert_eq!(f.trace_count(), 3);
        Ok(())
    });
}

#[test]
fn paths_lead_to_the_tensors() {
    on_cpu(|| {
        let x = BTreeMap::from([
            ("b", vec![Tensor::ones(&[1])]),
            ("a", vec![Tensor::ones(&[2]), Tensor::ones(&[3])]),
        ]);
        let both = (Some(x.clone()), [Tensor::ones(&[4])]);
        let found = tree::flatten_with_path(&both);
        let paths: Vec<String> = found.iter().map(|(path, _)| path.join("/")).collect();
        assert_eq!(paths, ["0/a/0", "0/a/1", "0/b/0", "1/0"]);
        assert_eq!(found.iter().map(|(_, t)| t.len()).collect::<Vec<_>>(), [2, 3, 1, 4]);
        tree::assert_same_paths(&both, &(x.clone(), vec![Tensor::ones(&[9])]))?;
        let error = text(tree::assert_same_paths(&both, &(x, ())));
        assert!(error.contains("[0/a/0, 0/a/1, 0/b/0, 1/0] and [0/a/0, 0/a/1, 0/b/0]"), "{error}");
        Ok(())
    });
}

#[test]
fn several_structures_are_mapped_at_once() {
    on_cpu(|| {
        let a = vec![(Tensor::scalar(1.0f32), 7), (Tensor::scalar(2.0f32), 8)];
        let sums = tree::map_structures(&[&a, &a, &a], |t| &t[0] + &t[1] * &t[2])?;
        assert_eq!((sums[1].0.item::<f32>()?, sums[1].1), (6.0, 8));
        let line = line!() + 1;
        let error = text(tree::map_structures(&[&a[..1].to_vec(), &a], |t| t[0].clone()).map(|_| ()));
        assert!(error.contains(" differ ") && error.contains(&format!("structures.rs:{line}")), "{error}");
        Ok(())
    });
}
