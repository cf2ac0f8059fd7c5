//! Tensors from Rust values, and back.

use half::{bf16, f16};
use kiln_graph::{DType, Element, Nested, Tensor, ops};

fn is<T: Element + PartialEq + std::fmt::Debug>(tensor: impl Into<Tensor>, shape: &[usize], elements: &[T]) {
    let tensor = tensor.into();
    assert_eq!((tensor.shape(), tensor.dtype()), (shape, T::DTYPE));
    assert_eq!(tensor.to_vec::<T>().expect("elements"), elements);
}

#[test]
fn scalars_of_every_type() {
    is(1.5f32, &[], &[1.5f32]);
    is(0.1f64, &[], &[0.1f64]);
    is(i64::MAX, &[], &[i64::MAX]);
    is(f16::from_f32(1.5), &[], &[f16::from_f32(1.5)]);
    is(bf16::from_f32(1.5), &[], &[bf16::from_f32(1.5)]);
    is(-3, &[], &[-3i32]);
    is(3_000_000_000u32, &[], &[3_000_000_000u32]);
    is(200u8, &[], &[200u8]);
    is(true, &[], &[true]);
}

#[test]
fn arrays_vectors_and_slices() {
    is([1.0f32, 2.0], &[2], &[1.0f32, 2.0]);
    is([1u8, 2, 3], &[3], &[1u8, 2, 3]);
    is(vec![true, false], &[2], &[true, false]);
    is(vec![7u32], &[1], &[7u32]);
    is(&[1i32, 2, 3][1..], &[2], &[2i32, 3]);
    is([[0.1f64], [0.2]], &[2, 1], &[0.1, 0.2]);
    is(vec![i64::MIN], &[1], &[i64::MIN]);
    is([f16::ONE; 2], &[2], &[f16::ONE; 2]);
    is([bf16::ONE; 2], &[2], &[bf16::ONE; 2]);
    is([[1, 2, 3], [4, 5, 6]], &[2, 3], &[1, 2, 3, 4, 5, 6]);
    is([[[1, 2]], [[3, 4]], [[5, 6]]], &[3, 1, 2], &[1, 2, 3, 4, 5, 6]);
    is([[[[1], [2]]], [[[3], [4]]]], &[2, 1, 2, 1], &[1, 2, 3, 4]);
    is(vec![vec![1.0f32], vec![2.0]], &[2, 1], &[1.0f32, 2.0]);
    is(vec![[1, 2], [3, 4]], &[2, 2], &[1, 2, 3, 4]);
    is(&[[1, 2], [3, 4], [5, 6]][..2], &[2, 2], &[1, 2, 3, 4]);
}

#[test]
fn empty_ones_keep_their_rank() {
    is(Vec::<f32>::new(), &[0], &[] as &[f32]);
    is(Vec::<Vec<i32>>::new(), &[0, 0], &[] as &[i32]);
    is([[0.0f32; 0]; 3], &[3, 0], &[] as &[f32]);
    is([[0u8; 4]; 0], &[0, 4], &[] as &[u8]);
    is(vec![Vec::<bool>::new(); 2], &[2, 0], &[] as &[bool]);
}

#[test]
fn ragged_vectors_are_an_error_of_the_callers_line() {
    let error = Tensor::from(vec![vec![1, 2], vec![3]]).to_vec::<i32>().expect_err("ragged").to_string();
    assert!(error.starts_with("[from] expected items of one length, received 2 and 1; pad them"), "{error}");
    assert!(error.contains("conversions.rs"), "{error}");
}

fn back<R: Nested + PartialEq + std::fmt::Debug>(value: R)
where
    for<'a> Tensor: From<&'a [R]>,
{
    let tensor = Tensor::from(std::slice::from_ref(&value));
    assert_eq!(tensor.to_nested::<Vec<R>>().expect("nested"), [value]);
}

#[test]
fn nested_values_come_back() {
    back(2.5f32);
    back([1u8, 2]);
    back(vec![[true, false], [false, true]]);
    back([[[1, 2, 3]; 2]; 2]);
    back(Vec::<i32>::new());
    let x = Tensor::from([[1, 2], [3, 4]]) * 2;
    assert_eq!(x.to_nested::<[[i32; 2]; 2]>(), Ok([[2, 4], [6, 8]]));
    assert_eq!(Tensor::scalar(5).to_nested::<i32>(), Ok(5));
    let says = |result: Result<String, kiln_graph::Error>, text: &str| {
        let error = result.expect_err(text).to_string();
        assert!(error.contains(text), "{error}");
    };
    says(x.to_nested::<Vec<i32>>().map(|_| String::new()), "more axes than the type has levels: [2, 2]");
    says(x.to_nested::<Vec<Vec<Vec<i32>>>>().map(|_| String::new()), "fewer axes");
    says(x.to_nested::<[[i32; 3]; 2]>().map(|_| String::new()), "expected an axis of 3, received 2");
    says(x.to_nested::<Vec<Vec<f32>>>().map(|_| String::new()), "cast it first");
}

#[test]
fn a_range_equals_the_constant_of_the_same_values() {
    let values = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    let (range, constant) = (Tensor::range(10), Tensor::from(values));
    assert_eq!((range.shape(), range.dtype()), (constant.shape(), constant.dtype()));
    assert_eq!(range.to_vec::<i32>(), constant.to_vec::<i32>());
    assert_eq!(range.equal(&constant).all(()).item::<bool>(), Ok(true));
    let counted = ops::arange(0.0, 10.0, 1.0, DType::I32);
    assert_eq!(counted.equal(&constant).all(()).item::<bool>(), Ok(true));
    assert_eq!(format!("{range}"), format!("{constant}"));
}
