//! Axes split, joined and moved by a pattern of names, in the manner of einops.

use super::arrange::permuted;
use crate::tensor::{Tensor, here};

/// The axes of one side of a pattern: every axis is the product of the names in it.
struct Side<'p> {
    axes: Vec<Vec<&'p str>>,
    /// The place of `...` among the axes.
    ellipsis: Option<usize>,
}

/// Axes rearranged by a pattern `input -> output`: names label axes, `(a b)` is one axis that holds two (`a` outermost),
/// `1` or `()` an axis of extent 1, `...` any axes. Extents that the shape does not tell stand in `axes_lengths`.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let images = Tensor::ones(&[2, 4, 6, 3]);
/// let patches = ops::rearrange(&images, "b (h h1) (w w1) c -> b h w (c h1 w1)", &[("h1", 2), ("w1", 2)]);
/// assert_eq!(patches.shape(), [2, 2, 3, 12]);
/// ```
#[track_caller]
pub fn rearrange(x: &Tensor, pattern: &str, axes_lengths: &[(&str, usize)]) -> Tensor {
    let at = here();
    if x.error().is_some() {
        return x.clone();
    }
    match plan(x.shape(), pattern, axes_lengths) {
        Ok(plan) => {
            let split = x.reshape_at(plan.split, at);
            permuted(&split, plan.order, at).reshape_at(plan.joined, at)
        }
        Err(message) => Tensor::failed("rearrange", message, at),
    }
}

/// Three views: axes split, moved, joined.
struct Plan {
    split: Vec<usize>,
    order: Vec<usize>,
    joined: Vec<usize>,
}

fn plan(shape: &[usize], pattern: &str, lengths: &[(&str, usize)]) -> Result<Plan, String> {
    let Some((input, output)) = pattern.split_once("->") else {
        return Err(format!("expected a pattern `input -> output`, received `{pattern}`"));
    };
    let (input, output) = (parse(input, pattern)?, parse(output, pattern)?);
    let named = input.axes.len();
    let hidden = match input.ellipsis {
        Some(_) => shape.len().checked_sub(named),
        None => (shape.len() == named).then_some(0),
    };
    let Some(hidden) = hidden else {
        return Err(format!("the input of `{pattern}` does not fit shape {shape:?}"));
    };
    if output.ellipsis.is_some() != input.ellipsis.is_some() {
        return Err(format!("`...` must be on both sides of `{pattern}` or on none"));
    }
    let first_hidden = input.ellipsis.unwrap_or(named);
    let (mut names, mut split) = (vec![], vec![]);
    for (i, group) in input.axes.iter().enumerate() {
        if i == first_hidden {
            split.extend_from_slice(&shape[i..i + hidden]);
        }
        let extent = shape[if i >= first_hidden { i + hidden } else { i }];
        split.extend(parts(group, extent, lengths, pattern)?);
        names.extend(group.iter().copied());
    }
    if first_hidden == named {
        split.extend_from_slice(&shape[named..named + hidden]);
    }
    // Split axes before the hidden ones.
    let before: usize = input.axes[..first_hidden].iter().map(Vec::len).sum();
    let place =
        |name: &str| names.iter().position(|n| *n == name).map(|i| if i >= before { i + hidden } else { i });
    check_names(&names, &output, lengths, pattern)?;
    let (mut order, mut joined) = (vec![], vec![]);
    let hide = |order: &mut Vec<usize>, joined: &mut Vec<usize>| {
        order.extend(before..before + hidden);
        joined.extend_from_slice(&split[before..before + hidden]);
    };
    for (i, group) in output.axes.iter().enumerate() {
        if output.ellipsis == Some(i) {
            hide(&mut order, &mut joined);
        }
        let places: Vec<usize> = group.iter().filter_map(|n| place(n)).collect();
        // Lengths are the caller's: beside an extent of 0 any number fits.
        joined.push(places.iter().fold(1usize, |n, p| n.saturating_mul(split[*p])));
        order.extend(places);
    }
    if output.ellipsis == Some(output.axes.len()) {
        hide(&mut order, &mut joined);
    }
    Ok(Plan { split, order, joined })
}

/// Every name once on each side, and every length of a name that is there.
fn check_names(
    names: &[&str],
    output: &Side<'_>,
    lengths: &[(&str, usize)],
    pattern: &str,
) -> Result<(), String> {
    let mut left = names.to_vec();
    let mut right: Vec<&str> = output.axes.concat();
    left.sort_unstable();
    right.sort_unstable();
    if left.windows(2).any(|w| w[0] == w[1]) || left != right {
        return Err(format!("both sides of `{pattern}` must hold the same names, each once"));
    }
    match lengths.iter().find(|(name, _)| !names.contains(name)) {
        Some((name, _)) => Err(format!("`{name}` has a length but is not in `{pattern}`")),
        None => Ok(()),
    }
}

/// The extents of the names in one axis; one of them may be unknown.
fn parts(
    group: &[&str],
    extent: usize,
    lengths: &[(&str, usize)],
    pattern: &str,
) -> Result<Vec<usize>, String> {
    let known = |name: &&str| lengths.iter().find(|(n, _)| n == name).map(|(_, length)| *length);
    let unknown: Vec<&&str> = group.iter().filter(|n| known(n).is_none()).collect();
    let product = group.iter().filter_map(known).try_fold(1usize, |n, l| n.checked_mul(l));
    let fits = |product: usize| match unknown.len() {
        0 => product == extent,
        1 => product > 0 && extent.is_multiple_of(product),
        _ => false,
    };
    match product.filter(|p| fits(*p)) {
        Some(product) => Ok(group.iter().map(|n| known(n).unwrap_or(extent / product)).collect()),
        None if unknown.len() > 1 => Err(format!(
            "`{pattern}`: give lengths of all but one of {group:?}, which share an axis of {extent}"
        )),
        None => Err(format!("`{pattern}`: lengths {lengths:?} do not divide {group:?}, an axis of {extent}")),
    }
}

fn parse<'p>(side: &'p str, pattern: &str) -> Result<Side<'p>, String> {
    let mut axes: Vec<Vec<&str>> = vec![];
    let mut ellipsis = None;
    let mut rest = side.trim_start();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("...") {
            if ellipsis.replace(axes.len()).is_some() {
                return Err(format!("`...` is twice on one side of `{pattern}`"));
            }
            rest = after.trim_start();
            continue;
        }
        let (group, after) = match rest.strip_prefix('(') {
            Some(inner) => inner.split_once(')').ok_or_else(|| format!("`(` without `)` in `{pattern}`"))?,
            None => rest.split_at(rest.find([' ', '(', '.']).unwrap_or(rest.len())),
        };
        let names: Vec<&str> = group.split_whitespace().filter(|n| *n != "1").collect();
        let is_name = |n: &&str| {
            n.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if !names.iter().all(is_name) || (names.is_empty() && after.len() == rest.len()) {
            return Err(format!("expected names, `(..)`, `1` and `...`, received `{group}` in `{pattern}`"));
        }
        axes.push(names);
        rest = after.trim_start();
    }
    Ok(Side { axes, ellipsis })
}
