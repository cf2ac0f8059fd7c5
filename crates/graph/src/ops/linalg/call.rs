//! The host's routines as nodes of the graph, over batches.

use std::any::TypeId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kiln_device::{DType, HostFunction, size};

use super::host::{Matrix, Outcome};
use crate::bundle::{Source, bundle};
use crate::error::At;
use crate::host::text_of;
use crate::op::{Call, Form, Host, Identity, Work};
use crate::tensor::{Element, Tensor};
use crate::trace;

/// One routine over the matrices of a batch: inputs `float32 [lead.., rows, columns]` of one lead, or numbers that all
/// matrices share, outputs `[lead.., shape..]`.
///
/// The routine holds no data, so that two calls of it are the same operation and share their programs.
pub(super) fn per_matrix<const N: usize, F>(
    op: &'static str,
    at: At,
    inputs: &[&Tensor],
    outputs: [(&[usize], DType); N],
    routine: F,
) -> [Tensor; N]
where
    F: Fn(&[Matrix<'_>]) -> Outcome + Send + Sync + 'static,
{
    const { assert!(size_of::<F>() == 0, "a routine holds no data: pass numbers as inputs") }
    if let Some(failed) = inputs.iter().find(|t| t.error().is_some()) {
        return super::all((*failed).clone());
    }
    let forms: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape().to_vec()).collect();
    let lead = forms[0][..forms[0].len() - 2].to_vec();
    let results: Vec<Form> =
        outputs.iter().map(|(shape, dtype)| ([&lead, *shape].concat(), *dtype)).collect();
    if let Some(error) = results.iter().find_map(|(shape, _)| size::element_count(shape).err()) {
        return super::all(Tensor::failed(op, error.to_string(), at));
    }
    let batch = lead.iter().product();
    let numbers = Arc::new(move |values: &[&[f64]]| {
        let run = || over_batch(values, &forms, batch, N, &routine);
        let run = || catch_unwind(AssertUnwindSafe(run));
        trace::host(op, run).unwrap_or_else(|panic| Err(format!("panicked: {}", text_of(&*panic))))
    });
    let (of_bytes, types) = (numbers.clone(), outputs.map(|(_, dtype)| dtype));
    let given: Vec<DType> = inputs.iter().map(|t| t.dtype()).collect();
    let function = HostFunction::new(op, at.to_string(), move |bytes| {
        let values: Vec<Vec<f64>> =
            bytes.iter().zip(&given).map(|(b, dtype)| numbers_of(b, *dtype)).collect();
        let results = of_bytes(&values.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        Ok(results.iter().zip(types).map(|(values, dtype)| bytes_of(values, dtype)).collect())
    });
    let host = Host::new(Identity::Type(TypeId::of::<F>()), function).with_numbers(numbers);
    let call = Call { results: results.clone(), work: Work::Host(host) };
    let inputs = inputs.iter().map(|t| (*t).clone()).collect();
    let values = bundle(Source::Host(Arc::new(call)), inputs, results, at);
    values.try_into().unwrap_or_else(|_| super::all(Tensor::failed(op, "lost a result".into(), at)))
}

/// Results are `float32`, or `int32`.
fn bytes_of(values: &[f64], dtype: DType) -> Vec<u8> {
    match dtype {
        DType::I32 => i32::to_bytes(&values.iter().map(|x| *x as i32).collect::<Vec<_>>()),
        DType::F64 => f64::to_bytes(values),
        _ => f32::to_bytes(&values.iter().map(|x| *x as f32).collect::<Vec<_>>()),
    }
}

fn numbers_of(bytes: &[u8], dtype: DType) -> Vec<f64> {
    match dtype {
        DType::F64 => f64::from_bytes(bytes),
        _ => f32::from_bytes(bytes).into_iter().map(f64::from).collect(),
    }
}

/// Runs the routine on every matrix and puts the results behind one another.
fn over_batch(
    inputs: &[&[f64]],
    forms: &[Vec<usize>],
    batch: usize,
    results: usize,
    routine: &dyn Fn(&[Matrix<'_>]) -> Outcome,
) -> Outcome {
    let mut joined = vec![vec![]; results];
    for i in 0..batch {
        let matrices: Vec<Matrix<'_>> =
            inputs.iter().zip(forms).map(|(values, form)| Matrix::of_batch(values, form, i)).collect();
        let values = routine(&matrices).map_err(|what| match batch {
            1 => format!("the matrix {what}"),
            _ => format!("matrix {i} of the batch {what}"),
        })?;
        for (all, one) in joined.iter_mut().zip(values) {
            all.extend(one);
        }
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::super::host;
    use super::over_batch;

    #[test]
    fn a_batch_is_one_matrix_after_another_and_names_the_bad_one() {
        let run = |values: &[f64], batch: usize| {
            over_batch(&[values], &[vec![batch, 1, 1]], batch, 1, &|x| host::inverse(x[0]))
        };
        assert_eq!(run(&[2.0, 4.0], 2).unwrap(), [[0.5, 0.25]]);
        assert_eq!(
            run(&[2.0, 0.0], 2).unwrap_err(),
            "matrix 1 of the batch is singular; pinv and lstsq have a result for it"
        );
        assert_eq!(
            run(&[0.0], 1).unwrap_err(),
            "the matrix is singular; pinv and lstsq have a result for it"
        );
        assert_eq!(run(&[], 0).unwrap(), [[0.0; 0]]);
    }
}
