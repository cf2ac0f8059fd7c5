//! Bad calls made of good ones: every argument of a golden case is changed in every way that its kind allows, and all
//! tensors at once; each call must end in an error in the operation's name at this folder's line, or in a result. Never in a
//! panic, in an error that names another operation, or in one that calls itself a bug.
//!
//! `KILN_DUMP=FILE` writes each call and its end as a line of JSON, which `tests/golden/ops/review.py` compares with Keras.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Once, OnceLock};

use kiln_graph::{DType, Device, Tensor, with_device};
use serde_json::{Value, json};

use crate::call::{Call, Use};
use crate::golden::{Case, Golden};
use crate::support::{computed, tensor_of};
use crate::{Group, Run, groups};

/// Cases of an operation that are changed, of different forms.
const CASES: usize = 3;
/// Elements that a call may have to be computed.
const SMALL: usize = 1 << 13;
const HUGE: i64 = 1 << 40;

/// Lines of the tables that are no operations but several.
const COMBINED: &[&str] = &[
    "erfc_log",
    "jvp",
    "custom_gradient",
    "result_type",
    "eig_vectors",
    "eigh_vectors",
    "qr_vectors",
    "svd_vectors",
];

/// Operations that compute their inputs at once, for the size of the result: of huge ones that has no end.
const AT_ONCE: &[&str] = &["bincount"];

/// How the bad calls of an operation ended.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ends {
    pub(crate) refused: usize,
    pub(crate) accepted: usize,
}

pub(crate) struct Survey {
    pub(crate) ends: BTreeMap<String, Ends>,
    pub(crate) failures: Vec<String>,
    /// One text of each kind of refusal.
    pub(crate) texts: Vec<String>,
}

/// A call, and in which way it is bad.
struct Bad {
    what: String,
    inputs: Vec<Tensor>,
    args: Value,
}

/// How a call ended.
enum End {
    Refused(String),
    /// Shapes, and values where they were computed.
    Accepted(Vec<Tensor>, bool),
    /// The table itself does not understand the arguments.
    Meaningless,
    Panic(String),
}

fn resized(values: &[f64], shape: &[usize], dtype: DType) -> Tensor {
    let count = shape.iter().product();
    let values = if values.is_empty() { &[0.0] } else { values };
    let numbers: Vec<f64> = values.iter().copied().cycle().take(count).collect();
    tensor_of(&numbers, shape, dtype)
}

/// Other tensors in the place of one.
fn other_tensors(x: &Tensor) -> Vec<(String, Tensor)> {
    let values = computed(x).expect("a leaf");
    let (shape, dtype) = (x.shape(), x.dtype());
    let mut shapes: Vec<(&str, Vec<usize>)> = vec![("one axis more", [&[1], shape].concat())];
    if let [_, rest @ ..] = shape {
        shapes.push(("one axis less", rest.to_vec()));
        let last = shape.len() - 1;
        let with = |axis: usize, extent: usize| {
            let mut shape = shape.to_vec();
            shape[axis] = extent;
            shape
        };
        shapes.push(("longer first axis", with(0, shape[0] + 1)));
        shapes.push(("empty first axis", with(0, 0)));
        if last > 0 {
            shapes.push(("scalar", vec![]));
            shapes.push(("longer last axis", with(last, shape[last] + 1)));
            shapes.push(("empty last axis", with(last, 0)));
        }
        if shape[last] > 2 {
            shapes.push(("shorter last axis", with(last, shape[last] - 1)));
        }
    }
    let mut others: Vec<(String, Tensor)> =
        shapes.into_iter().map(|(what, shape)| (what.into(), resized(&values, &shape, dtype))).collect();
    if let [rest @ .., _] = shape {
        others.push(("huge".into(), Tensor::full(&[rest, &[HUGE as usize]].concat(), 1.0, dtype)));
    }
    for other in [DType::Bool, DType::I32, DType::U8, DType::F16, DType::F32] {
        if other != dtype {
            others.push((other.to_string(), tensor_of(&values, shape, other)));
        }
    }
    if dtype.is_integer() && !values.is_empty() {
        for number in [1e9, -1e9] {
            let mut values = values.clone();
            *values.last_mut().expect("an element") = number;
            others.push((format!("the last element {number}"), tensor_of(&values, shape, dtype)));
        }
    }
    others
}

/// All tensors changed at once: of sizes whose products overflow, without a batch, in the other order.
fn several(inputs: &[Tensor]) -> Vec<(String, Vec<Tensor>)> {
    let of_one = |x: &Tensor, shape: &[usize]| Tensor::full(shape, 1.0, x.dtype());
    let with = |x: &Tensor, axis: usize, extent: usize| {
        let mut shape = x.shape().to_vec();
        shape.get_mut(axis).into_iter().for_each(|n| *n = extent);
        of_one(x, &shape)
    };
    let all = |f: &dyn Fn(&Tensor) -> Tensor| inputs.iter().map(f).collect::<Vec<_>>();
    let last = |x: &Tensor| x.rank().saturating_sub(1);
    let (huge, beyond) = (HUGE as usize, (1 << 31) + 5);
    let vector = |x: &Tensor| of_one(x, &vec![huge; x.rank().min(1)]);
    // As many elements as a tensor of this rank can have.
    let full = |x: &Tensor| of_one(x, &vec![1 << (58 / x.rank().max(1)); x.rank()]);
    // Of the first input all rows, of the next all columns: the result has the product of both.
    let crossed = |(n, x): (usize, &Tensor)| {
        let mut shape = vec![1; x.rank()];
        let axis = if n % 2 == 0 { 0 } else { last(x) };
        shape.get_mut(axis).into_iter().for_each(|n| *n = huge);
        of_one(x, &shape)
    };
    let batch = inputs[0].shape().first();
    let without = |x: &Tensor| match x.shape().first() {
        first if first == batch && first.is_some() => with(x, 0, 0),
        _ => x.clone(),
    };
    vec![
        ("all huge".into(), all(&vector)),
        ("huge first axes".into(), all(&|x| with(x, 0, huge))),
        ("huge last axes".into(), all(&|x| with(x, last(x), huge))),
        ("first axes beyond int32".into(), all(&|x| with(x, 0, beyond))),
        ("last axes beyond int32".into(), all(&|x| with(x, last(x), beyond))),
        ("huge in every axis".into(), all(&full)),
        ("huge when broadcast".into(), inputs.iter().enumerate().map(crossed).collect()),
        ("empty batch".into(), all(&without)),
        ("exchanged".into(), inputs.iter().rev().cloned().collect()),
    ]
}

/// Other values in the place of an argument.
fn other_values(value: &Value, use_: Use) -> Vec<Value> {
    let numbers: Vec<i64> = match use_ {
        Use::Int => vec![100, -100, 0, -1, 1, i64::MAX, i64::MIN],
        Use::Size => vec![0, 1, 100, HUGE, i64::MAX],
        Use::Raw => vec![0, 100, HUGE],
        Use::Float => return [0.0, -1.0, 1e30].map(Value::from).to_vec(),
        Use::DType => {
            return ["float32", "float16", "bfloat16", "int32", "uint32", "uint8", "bool"]
                .map(Value::from)
                .to_vec();
        }
        Use::Text => return vec![],
    };
    match value {
        Value::Array(list) if list.iter().all(Value::is_number) => {
            let mut others = vec![];
            if let [_, rest @ ..] = &list[..] {
                others.extend(numbers.iter().map(|n| [&[json!(n)], rest].concat()));
                others.push(vec![json!(numbers[numbers.len() - 1]); list.len()]);
                others.push([&list[..], &[list[0].clone()]].concat());
                others.push(rest.to_vec());
                others.push(vec![list[0].clone(); list.len().max(2)]);
            }
            others.into_iter().map(Value::Array).collect()
        }
        Value::Array(list) if list.iter().all(|v| v.is_array()) && !list.is_empty() => {
            let of_first = other_values(&list[0], use_).into_iter();
            let changed = of_first.map(|first| Value::Array([&[first], &list[1..]].concat()));
            changed
                .chain([Value::Array(list[1..].to_vec()), Value::Array([&list[..], &list[..1]].concat())])
                .collect()
        }
        Value::Number(_) => numbers.into_iter().map(Value::from).collect(),
        _ => vec![],
    }
}

/// Every bad call of a case.
fn bad_calls(group: &Group, golden: &Golden, case: &Case) -> Vec<Bad> {
    let inputs: Vec<Tensor> = case.inputs.iter().map(|name| golden.tensor(name)).collect();
    let mut bad = vec![];
    for n in 0..inputs.len() {
        for (what, other) in other_tensors(&inputs[n]) {
            let mut inputs = inputs.clone();
            inputs[n] = other;
            bad.push(Bad { what: format!("input {n}: {what}"), inputs, args: case.args.clone() });
        }
    }
    if inputs.len() > 1 {
        bad.extend(several(&inputs).into_iter().map(|(what, inputs)| Bad {
            what,
            inputs,
            args: case.args.clone(),
        }));
    }
    if AT_ONCE.contains(&&case.op[..]) {
        bad.retain(|bad| !["huge", "beyond"].iter().any(|word| bad.what.contains(word)));
    }
    let call = Call::new(&inputs, &case.args);
    let _ = group.run(&case.op)(&call);
    for (name, use_) in call.uses() {
        let mut values = other_values(&case.args[&name], use_);
        match name.as_str() {
            "padding" => values.extend(["valid", "same", "causal"].map(Value::from)),
            "data_format" => values.extend(["channels_first", "channels_last"].map(Value::from)),
            _ => {}
        }
        for value in values.into_iter().filter(|value| *value != case.args[&name]) {
            let mut args = case.args.clone();
            let what = format!("{name}: {value}");
            args[&name] = value;
            bad.push(Bad { what, inputs: inputs.clone(), args });
        }
    }
    bad.retain(|bad| !endless(&case.op, bad));
    bad
}

/// Whether a call would turn for hours, as Keras' would: a loop that nothing bounds, or ends that far apart.
fn endless(op: &str, bad: &Bad) -> bool {
    let unbounded =
        op == "while_loop" && bad.args["maximum_iterations"].as_i64().is_none_or(|most| most > 1000);
    unbounded || ["while_loop", "fori_loop"].contains(&op) && bad.what.contains("the last element")
}

thread_local! {
    /// The line of the last panic, while this thread catches them.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs something and says where it panicked, without a word on the terminal.
fn caught<R>(body: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map_or(String::new(), |l| l.to_string());
            match PANIC.with_borrow(Option::is_some) {
                true => PANIC.set(Some(format!("{place} {info}"))),
                false => before(info),
            }
        }));
    });
    PANIC.set(Some(String::new()));
    let result = catch_unwind(AssertUnwindSafe(body));
    let place = PANIC.take().unwrap_or_default();
    result.map_err(|_| place)
}

fn end_of(run: Run, bad: &Bad) -> End {
    let tried = caught(|| {
        let outputs = run(&Call::new(&bad.inputs, &bad.args));
        if let Some(error) = outputs.iter().find_map(Tensor::error) {
            return End::Refused(error.to_string());
        }
        let small = outputs.iter().chain(&bad.inputs).all(|t| t.len() <= SMALL);
        match small.then(|| Tensor::eval_all(&outputs)) {
            Some(Err(error)) => End::Refused(error.to_string()),
            _ => End::Accepted(outputs, small),
        }
    });
    match tried {
        Ok(end) => end,
        Err(place) if place.contains("tests/conformance") => End::Meaningless,
        Err(place) => End::Panic(place),
    }
}

/// What is wrong with the words of a refusal. Operations with a body may name one of the body's.
fn wrong_with(text: &str, op: &str, has_body: bool) -> Option<&'static str> {
    let public = match op {
        op if op.starts_with("at_") => "at",
        op => op,
    };
    let of_memory = text.starts_with("[memory]");
    if !text.starts_with(&format!("[{public}] ")) && !of_memory && !has_body {
        return Some("the name of another operation");
    }
    if !text.contains("tests/conformance/") && !of_memory {
        return Some("no line");
    }
    text.contains("bug in Kiln").then_some("a bug")
}

/// Cases of different forms, small ones first.
fn chosen(golden: &Golden) -> Vec<&Case> {
    let size = |case: &&Case| -> usize {
        let sizes = case.inputs.iter().map(|name| golden.shape(name).iter().product::<usize>());
        // Those of a single or no element have less to be wrong.
        sizes.map(|n| if n < 2 { 1000 } else { n }).sum()
    };
    let is_one = |case: &&Case| !COMBINED.contains(&&case.op[..]) && !case.op.starts_with("gradient_");
    let mut cases: Vec<&Case> = golden.cases.iter().filter(is_one).collect();
    cases.sort_by_key(size);
    let mut forms = HashSet::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut chosen = vec![];
    for case in cases {
        let of = |name: &String| (golden.shape(name).len(), golden.dtype(name).is_float());
        let inputs: Vec<_> = case.inputs.iter().map(of).collect();
        let keys: Vec<&String> = case.args.as_object().into_iter().flatten().map(|(key, _)| key).collect();
        let count = counts.entry(&case.op).or_default();
        if *count < CASES && forms.insert((&case.op, inputs, keys)) {
            *count += 1;
            chosen.push(case);
        }
    }
    chosen
}

fn dumped(case: &Case, bad: &Bad, end: &End) -> Value {
    let numbers = |t: &Tensor| (t.len() <= SMALL).then(|| computed(t).expect("values"));
    let texts = |t: &Tensor| numbers(t).map(|n| n.iter().map(|x| x.to_string()).collect::<Vec<_>>());
    let form = |t: &Tensor| json!({"shape": t.shape(), "dtype": t.dtype().to_string(), "values": texts(t)});
    let end = match end {
        End::Refused(text) => json!({"refused": text}),
        End::Accepted(outputs, true) => json!({"accepted": outputs.iter().map(form).collect::<Vec<_>>()}),
        End::Accepted(outputs, false) => {
            let form = |t: &Tensor| json!({"shape": t.shape(), "dtype": t.dtype().to_string()});
            json!({"lazy": outputs.iter().map(form).collect::<Vec<_>>()})
        }
        End::Meaningless => json!({"meaningless": true}),
        End::Panic(place) => json!({"panic": place}),
    };
    json!({"op": case.op, "what": bad.what, "args": bad.args, "inputs": bad.inputs.iter().map(form).collect::<Vec<_>>(), "end": end})
}

fn survey_of(group: &Group, survey: &mut Survey, dump: &mut Option<std::fs::File>) {
    if ["double", "dtypes"].contains(&group.name) {
        return;
    }
    let golden = group.golden();
    let mut kinds = HashSet::new();
    for case in chosen(&golden) {
        for bad in bad_calls(group, &golden, case) {
            let end = end_of(group.run(&case.op), &bad);
            if let Some(file) = dump {
                writeln!(file, "{}", dumped(case, &bad, &end)).expect("the dump can be written");
            }
            let ends = survey.ends.entry(case.op.clone()).or_default();
            let mut fail =
                |why: &str| survey.failures.push(format!("{} {} {}: {why}", case.op, case.args, bad.what));
            match end {
                End::Accepted(..) => ends.accepted += 1,
                End::Meaningless => {}
                End::Panic(place) => fail(&format!("panic at {place}")),
                End::Refused(text) => {
                    ends.refused += 1;
                    if let Some(wrong) = wrong_with(&text, &case.op, group.name == "control") {
                        fail(&format!("{wrong}: {text}"));
                    }
                    let kind: String = text.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
                    if kinds.insert(kind) {
                        survey.texts.push(text);
                    }
                }
            }
        }
    }
}

/// All bad calls, once a process.
pub(crate) fn survey() -> &'static Survey {
    static SURVEY: OnceLock<Survey> = OnceLock::new();
    SURVEY.get_or_init(|| {
        let mut survey = Survey { ends: BTreeMap::new(), failures: vec![], texts: vec![] };
        let mut dump = std::env::var_os("KILN_DUMP").map(|path| std::fs::File::create(path).expect("a file"));
        let device = Device::cpu();
        with_device(&device, || groups().iter().for_each(|group| survey_of(group, &mut survey, &mut dump)));
        survey
    })
}

#[test]
fn bad_calls_are_refused_in_the_operations_name_or_have_a_result() {
    let survey = survey();
    if std::env::var_os("KILN_DUMP").is_some() {
        let _ = survey.texts.iter().try_for_each(|text| writeln!(std::io::stdout(), "{text}"));
    }
    crate::none_failed(survey.failures.clone());
}
