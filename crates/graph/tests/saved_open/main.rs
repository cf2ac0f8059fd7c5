//! Functions with open dimensions in files: saved once, called with any sizes, as the function itself.

mod edges;
mod files;
#[path = "../support/forged.rs"]
mod forged;
mod models;
mod sizes;

use kiln_graph::{DType, Function, Result, SavedFunction, Tensor, TensorSpec};

const F: DType = DType::F32;

fn spec<const N: usize>(shape: [i64; N], dtype: DType) -> TensorSpec {
    TensorSpec::new(shape.map(|d| usize::try_from(d).ok()), dtype)
}

/// Numbers that differ.
fn some(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0).collect();
    Tensor::from_vec(values, shape)
}

fn whole(shape: &[usize], below: usize) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<i32> = (0..count).map(|i| ((i * 7 + 3) % below) as i32).collect();
    Tensor::from_vec(values, shape)
}

/// Form and bits of every result.
fn bits(results: &[Tensor]) -> Vec<(Vec<usize>, DType, Vec<u32>)> {
    let one = |t: &Tensor| {
        let bits = match t.dtype() {
            DType::F32 => t.to_vec::<f32>().unwrap().iter().map(|x| x.to_bits()).collect(),
            DType::I32 => t.to_vec::<i32>().unwrap().iter().map(|x| *x as u32).collect(),
            DType::U32 => t.to_vec::<u32>().unwrap(),
            _ => t.cast(DType::I32).to_vec::<i32>().unwrap().iter().map(|x| *x as u32).collect(),
        };
        (t.shape().to_vec(), t.dtype(), bits)
    };
    results.iter().map(one).collect()
}

fn saved(function: &Function) -> Result<SavedFunction> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("function.kiln");
    function.save(&path)?;
    SavedFunction::load(&path)
}

/// Saves it before any call, and calls both with the same arguments.
fn agrees(function: &Function, calls: &[Vec<Tensor>]) {
    agrees_but_for(function, calls, 0);
}

/// The same where both refuse so many of the calls.
fn agrees_but_for(function: &Function, calls: &[Vec<Tensor>], refused: usize) {
    let loaded = saved(function).unwrap_or_else(|e| panic!("{e}"));
    let mut both = 0;
    for arguments in calls {
        let shapes: Vec<_> = arguments.iter().map(|t| t.shape().to_vec()).collect();
        match (function.call(arguments), loaded.call(arguments)) {
            (Ok(live), Ok(ours)) => assert_eq!(bits(&ours), bits(&live), "{shapes:?}"),
            (Err(_), Err(_)) => both += 1,
            (live, ours) => panic!("{shapes:?}: live {live:?}, from the file {ours:?}"),
        }
    }
    assert_eq!(both, refused);
}
