//! `keras.ops`' branches and loops, with the bodies of [`crate::bodies`].

use kiln_graph::{DType, Tensor, gradients, ops};

use crate::Run;
use crate::bodies::{body, chosen, counted, mapped, repeated, scanned, switched};
use crate::call::Call;

/// What is carried, the rows, and what is captured.
fn parts<'a>(c: &'a Call<'_>) -> [&'a [Tensor]; 3] {
    let (variables, rest) = c.inputs().split_at(c.count("carried"));
    let (rows, captured) = rest.split_at(c.count("arrays"));
    [variables, rows, captured]
}

fn size(c: &Call<'_>, name: &str) -> Option<usize> {
    c.has(name).then(|| c.sizes(name)[0])
}

fn end(c: &Call<'_>, name: &str) -> i32 {
    i32::try_from(c.int(name)).expect("an int32")
}

fn cond(c: &Call<'_>) -> Vec<Tensor> {
    chosen(c.x(0), c.text("then"), c.text("otherwise"), &c.inputs()[1..])
}

fn switch(c: &Call<'_>) -> Vec<Tensor> {
    let names = c.arg("branches").as_array().expect("names");
    let names: Vec<&str> = names.iter().map(|name| name.as_str().expect("a name")).collect();
    switched(c.x(0), &names, &c.inputs()[1..])
}

fn scan(c: &Call<'_>) -> Vec<Tensor> {
    let [variables, rows, captured] = parts(c);
    scanned(c.text("body"), variables, rows, captured, size(c, "length"), c.flag("reverse"))
}

fn while_loop(c: &Call<'_>) -> Vec<Tensor> {
    let [variables, _, captured] = parts(c);
    repeated(c.text("condition"), c.text("body"), variables, captured, size(c, "maximum_iterations"))
}

fn fori_loop(c: &Call<'_>) -> Vec<Tensor> {
    let name = c.text("body");
    if !c.has("lower") {
        // Ends that the graph does not know.
        return counted(c.x(0), c.x(1), name, &c.inputs()[2..], &[]);
    }
    let [variables, _, captured] = parts(c);
    counted(end(c, "lower"), end(c, "upper"), name, variables, captured)
}

fn map(c: &Call<'_>) -> Vec<Tensor> {
    let [_, rows, captured] = parts(c);
    mapped(c.text("body"), rows, captured)
}

fn vectorized_map(c: &Call<'_>) -> Vec<Tensor> {
    let ([_, rows, captured], body) = (parts(c), body(c.text("body")));
    ops::vectorized_map(|row| body(&[row, captured].concat()), rows)
}

fn associative_scan(c: &Call<'_>) -> Vec<Tensor> {
    let body = body(c.text("body"));
    let combine = |a: &[Tensor], b: &[Tensor]| body(&[a, b].concat());
    ops::associative_scan(combine, c.inputs(), c.flag("reverse"), c.int_or("axis", 0))
}

/// Gradients of `Σ cos(0.7 i) · yᵢ` over all float outputs with respect to the float inputs.
fn gradient_of(c: &Call<'_>, outputs: &[Tensor]) -> Vec<Tensor> {
    let floats = |list: &[Tensor]| -> Vec<Tensor> {
        list.iter().filter(|t| matches!(t.dtype(), DType::F32 | DType::F64)).cloned().collect()
    };
    let weighted = |y: &Tensor| {
        let weights = (Tensor::range(y.len()).cast(y.dtype()) * 0.7).cos();
        (y.reshape(&[-1]) * weights).sum(())
    };
    let loss = floats(outputs).iter().map(weighted).reduce(|a, b| a + b).expect("a float output");
    let targets = floats(c.inputs());
    gradients(&loss, &targets).unwrap_or_else(|error| vec![Tensor::invalid("gradient", error.to_string())])
}

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("associative_scan", associative_scan),
    ("cond", cond),
    ("fori_loop", fori_loop),
    ("gradient_associative_scan", |c| gradient_of(c, &associative_scan(c))),
    ("gradient_cond", |c| gradient_of(c, &cond(c))),
    ("gradient_fori_loop", |c| gradient_of(c, &fori_loop(c))),
    ("gradient_map", |c| gradient_of(c, &map(c))),
    ("gradient_scan", |c| gradient_of(c, &scan(c))),
    ("gradient_switch", |c| gradient_of(c, &switch(c))),
    ("gradient_vectorized_map", |c| gradient_of(c, &vectorized_map(c))),
    ("gradient_while_loop", |c| gradient_of(c, &while_loop(c))),
    ("map", map),
    ("scan", scan),
    ("switch", switch),
    ("vectorized_map", vectorized_map),
    ("while_loop", while_loop),
];
