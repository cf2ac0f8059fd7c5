//! The host's routines as nodes of the graph, over batches.

use kiln_device::DType;

use super::host::Outcome;
use crate::error::At;
use crate::tensor::Tensor;

/// One routine over the matrices of a batch: inputs `[lead.., rows, columns]` of one lead, outputs `[lead.., shape..]`.
pub(super) fn per_matrix<const N: usize>(
    op: &'static str,
    at: At,
    inputs: &[&Tensor],
    outputs: [(&[usize], DType); N],
    routine: impl Fn(&[&[f64]]) -> Outcome + Send + Sync + 'static,
) -> [Tensor; N] {
    if let Some(failed) = inputs.iter().find(|t| t.error().is_some()) {
        return super::all((*failed).clone());
    }
    let _ = (op, at, outputs, &routine, over_batch as *const ());
    todo!()
}

/// Runs the routine on every matrix and puts the results behind one another.
fn over_batch(
    inputs: &[Vec<f64>],
    batch: usize,
    results: usize,
    routine: &dyn Fn(&[&[f64]]) -> Outcome,
) -> Outcome {
    let mut joined = vec![vec![]; results];
    for i in 0..batch {
        let own = |values: &Vec<f64>| {
            let size = values.len() / batch;
            i * size..(i + 1) * size
        };
        let matrices: Vec<&[f64]> = inputs.iter().map(|values| &values[own(values)]).collect();
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
        let run = |values: Vec<f64>, batch| over_batch(&[values], batch, 1, &|x| host::inverse(x[0], 1));
        assert_eq!(run(vec![2.0, 4.0], 2).unwrap(), [[0.5, 0.25]]);
        assert_eq!(run(vec![2.0, 0.0], 2).unwrap_err(), "matrix 1 of the batch is singular");
        assert_eq!(run(vec![0.0], 1).unwrap_err(), "the matrix is singular");
        assert_eq!(run(vec![], 0).unwrap(), [[0.0; 0]]);
    }
}
