//! Arrays of tensors, outside of loops and as variables of loops.

use kiln_graph::{DType, Tensor, TensorArray, tree};

use crate::cases::{Case, case, with_integers};

pub(crate) fn cases() -> Vec<Case> {
    [plain(), carried(), grown()].into_iter().flatten().collect()
}

fn plain() -> Vec<Case> {
    let row = |x: &Tensor, i: i64| x.slice_axis(0, i, i + 1).squeeze(0);
    let written = |x: &[Tensor]| {
        let array = TensorArray::unstack(&x[0]).write(1, &x[1]);
        let array = array.write(&x[2], &(array.read(0) * array.read(&x[2])));
        let picked = array.gather(&Tensor::from_slice(&[3, 1, 3]));
        let array = array.scatter(&Tensor::from_slice(&[0, 2]), &picked.slice_axis(0, 0, 2)).identity();
        vec![array.stack(), array.concat(), picked]
    };
    let written_unrolled = move |x: &[Tensor]| {
        let mut rows: Vec<Tensor> = (0..4).map(|i| row(&x[0], i)).collect();
        rows[1] = x[1].clone();
        rows[3] = &rows[0] * &rows[3];
        let picked = Tensor::stack(&[rows[3].clone(), rows[1].clone(), rows[3].clone()], 0);
        (rows[0], rows[2]) = (rows[3].clone(), rows[1].clone());
        let all = Tensor::stack(&rows, 0);
        vec![all.clone(), all.reshape(&[-1]), picked]
    };
    let grown = |x: &[Tensor]| {
        let array = TensorArray::new(0, &[2], DType::F32).dynamic().write(2, &x[0]).write(0, &(&x[0] * 2.0));
        let halves = TensorArray::split(&array.concat(), &[3, 3]);
        vec![array.stack(), halves.read(1), Tensor::scalar(halves.size() as i32)]
    };
    let grown_unrolled = |x: &[Tensor]| {
        let all = Tensor::stack(&[&x[0] * 2.0, Tensor::zeros(&[2]), x[0].clone()], 0);
        vec![all.clone(), all.reshape(&[-1]).slice_axis(0, 3, 6), Tensor::scalar(2)]
    };
    let parts = |x: &[Tensor]| {
        let array = TensorArray::split(&x[0], &[2, 0, 3]);
        let array = array.write(1, &(&x[1] * array.read(2)));
        vec![array.concat(), array.read(0).square()]
    };
    let parts_unrolled = |x: &[Tensor]| {
        let (first, last) = (x[0].slice_axis(0, 0, 2), x[0].slice_axis(0, 2, 5));
        vec![Tensor::concat(&[first.clone(), &x[1] * &last, last], 0), first.square()]
    };
    vec![
        with_integers(case("tensor array", &[&[4, 3], &[3]], written, written_unrolled), &[&[]], &[3.0]),
        case("tensor array that grows", &[&[2]], grown, grown_unrolled),
        case("tensor array of unequal parts", &[&[5, 2], &[3, 2]], parts, parts_unrolled).second(),
    ]
}

fn row(x: &Tensor, i: i64) -> Tensor {
    x.slice_axis(0, i, i + 1).squeeze(0)
}

/// Every element from the two before it, in a loop whose length depends on data.
fn carried() -> Vec<Case> {
    let looped = |x: &[Tensor]| {
        let start = TensorArray::new(6, &[2], DType::F32).write(0, &x[0]).write(1, &x[1]);
        let body = |(i, array): (Tensor, TensorArray)| {
            let next = array.read(&i - 1) * array.read(&i - 2) + 0.5;
            (&i + 1, array.write(&i, &next))
        };
        let (_, array) = tree::while_loop(|(i, _)| i.less(&x[2]), body, (Tensor::scalar(2), start), Some(6));
        vec![array.stack(), array.length()]
    };
    let unrolled = |x: &[Tensor]| {
        let mut rows = vec![x[0].clone(), x[1].clone()];
        for i in 2..5 {
            rows.push(&rows[i - 1] * &rows[i - 2] + 0.5);
        }
        rows.push(Tensor::zeros(&[2]));
        vec![Tensor::stack(&rows, 0), Tensor::scalar(6)]
    };
    // Two arrays and a sum, gathered and scattered in every turn.
    let scattered = |x: &[Tensor]| {
        let vars = (TensorArray::unstack(&x[0]), vec![TensorArray::new(4, &[3], DType::F32)], x[1].clone());
        type Vars = (TensorArray, Vec<TensorArray>, Tensor);
        let body = |i: &Tensor, (first, second, sum): Vars| {
            let both = Tensor::stack(&[i.clone(), (i + 1).modulo(4)], 0);
            let rows = first.gather(&both);
            let sum = sum + rows.sum(0).tanh();
            (first.write(i, &sum), vec![second[0].scatter(&both, &(rows * 2.0))], sum)
        };
        let (first, second, sum) = tree::fori_loop(0, 4, body, vars);
        vec![first.stack(), second[0].concat(), sum]
    };
    let scattered_unrolled = |x: &[Tensor]| {
        let mut first: Vec<Tensor> = (0..4).map(|i| row(&x[0], i)).collect();
        let mut second = vec![Tensor::zeros(&[3]); 4];
        let mut sum = x[1].clone();
        for i in 0..4 {
            let (a, b) = (first[i].clone(), first[(i + 1) % 4].clone());
            sum = sum + (&a + &b).tanh();
            first[i] = sum.clone();
            (second[i], second[(i + 1) % 4]) = (a * 2.0, b * 2.0);
        }
        vec![Tensor::stack(&first, 0), Tensor::concat(&second, 0), sum]
    };
    vec![
        with_integers(
            case("tensor array in while_loop", &[&[2], &[2]], looped, unrolled).second(),
            &[&[]],
            &[5.0],
        ),
        case("tensor arrays in fori_loop", &[&[4, 3], &[3]], scattered, scattered_unrolled).second(),
    ]
}

/// Arrays without an element before the loop.
fn grown() -> Vec<Case> {
    let appended = |x: &[Tensor]| {
        let none = TensorArray::new(0, &[2], DType::F32).dynamic();
        let body = |(value, array): (Tensor, TensorArray)| {
            (&value * (&x[1] + 1.0), array.write(array.length(), &value))
        };
        let small = |(value, _): &(Tensor, TensorArray)| value.sum(()).less(3.0);
        let (last, array) = tree::while_loop(small, body, (x[0].clone(), none), Some(7));
        vec![last, array.stack(), array.length()]
    };
    let appended_unrolled = |x: &[Tensor]| {
        let (mut value, mut rows) = (x[0].clone(), vec![]);
        while value.sum(()).item::<f32>().is_ok_and(|sum| sum < 3.0) && rows.len() < 7 {
            rows.push(value.clone());
            value = &value * (&x[1] + 1.0);
        }
        let count = rows.len();
        rows.resize(7, Tensor::zeros(&[2]));
        vec![value, Tensor::stack(&rows, 0), Tensor::scalar(count as i32)]
    };
    // Written from the end, after an element from before the loop.
    let scanned = |x: &[Tensor]| {
        let array = TensorArray::new(1, &[], DType::F32).dynamic().write(0, &x[1]);
        let step = |array: TensorArray, (row, place): (Tensor, Tensor)| {
            let written = array.write(&place, &(row.sum(()) * array.read(0)));
            (written.clone(), (written.length(), written.read(&place).square()))
        };
        let places = Tensor::from([3, 2, 1]);
        let scanned = tree::scan(step, array, &(x[0].clone(), places), None, false);
        scanned.map_or_else(
            |error| panic!("{error}"),
            |(array, (lengths, squares))| vec![array.stack(), lengths, squares],
        )
    };
    let scanned_unrolled = |x: &[Tensor]| {
        let value = |i: i64| row(&x[0], i).sum(()) * &x[1];
        let squares = Tensor::stack(&[value(0), value(1), value(2)], 0).square();
        vec![
            Tensor::stack(&[x[1].clone(), value(2), value(1), value(0)], 0),
            Tensor::from([4, 4, 4]),
            squares,
        ]
    };
    // Two elements a turn need more room than a loop makes by itself.
    let reserved = |x: &[Tensor]| {
        let none = TensorArray::new(0, &[2], DType::F32).dynamic().reserve(3);
        let twice = |i: &Tensor, array: TensorArray| {
            let value = &x[0] * i.cast(DType::F32);
            let array = array.write(array.length(), &value);
            array.write(array.length(), &value.exp())
        };
        vec![tree::fori_loop(0, 3, twice, none).stack()]
    };
    let reserved_unrolled = |x: &[Tensor]| {
        let rows = (0..3).flat_map(|i| [&x[0] * i as f32, (&x[0] * i as f32).exp()]);
        vec![Tensor::stack(&rows.collect::<Vec<_>>(), 0)]
    };
    vec![
        case("tensor array that grows in while_loop", &[&[2], &[2]], appended, appended_unrolled),
        case("tensor array that grows in scan", &[&[3, 2], &[]], scanned, scanned_unrolled).second(),
        case("tensor array with reserved room", &[&[2]], reserved, reserved_unrolled).second(),
    ]
}

#[test]
fn values_and_members() {
    let array = TensorArray::unstack(&Tensor::from([[1, 2], [3, 4], [5, 6]]));
    assert_eq!((array.size(), array.element_shape(), array.dtype()), (3, &[2][..], DType::I32));
    assert_eq!(array.length().item::<i32>(), Ok(3));
    assert!(!array.is_dynamic() && array.clone().dynamic().is_dynamic());
    let ints = |tensor: Tensor| tensor.to_vec::<i32>().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(ints(array.read(1)), [3, 4]);
    assert_eq!(ints(array.read(Tensor::from([2]).sum(()))), [5, 6]);
    assert_eq!(ints(array.gather(&Tensor::from([2, 0]))), [5, 6, 1, 2]);
    assert_eq!(ints(array.concat()), [1, 2, 3, 4, 5, 6]);
    let other = array.write(0, &Tensor::from([7, 8])).scatter(&Tensor::from([1]), &Tensor::from([[9, 9]]));
    assert_eq!(ints(other.identity().stack()), [7, 8, 9, 9, 5, 6]);
    assert_eq!(ints(array.stack()), [1, 2, 3, 4, 5, 6], "an array never changes");
    let parts = TensorArray::split(&Tensor::range(6), &[1, 3, 2]);
    assert_eq!((parts.size(), ints(parts.read(1))), (3, vec![1, 2, 3]));
    // As a structure of tensors.
    assert_eq!(tree::flatten(&(array.clone(), parts.clone())).len(), 4);
    let tripled = tree::map_structure(&parts, |t| t * 3);
    assert_eq!(ints(tripled.concat()), [0, 3, 6, 9, 12, 15]);
}

#[test]
fn an_array_that_grew_is_trimmed_to_its_length() {
    crate::everywhere(|| {
        let none = TensorArray::new(0, &[], DType::I32).dynamic();
        let powers = move |limit: &Tensor| {
            let body =
                |(power, array): (Tensor, TensorArray)| (&power * 2, array.write(array.length(), &power));
            let below = |(power, _): &(Tensor, TensorArray)| power.less(limit);
            tree::while_loop(below, body, (Tensor::scalar(1), none.clone()), Some(20)).1
        };
        let array = powers(&Tensor::from([50]).sum(()));
        assert_eq!((array.size(), array.length().item::<i32>()?), (20, 6));
        let trimmed = array.trimmed();
        assert_eq!((trimmed.size(), trimmed.length().item::<i32>()?), (6, 6));
        assert_eq!(trimmed.stack().to_vec::<i32>()?, [1, 2, 4, 8, 16, 32]);
        // After the loop it goes on growing at plain numbers, and into other loops.
        let longer = trimmed.write(7, &Tensor::scalar(5));
        assert_eq!(longer.stack().to_vec::<i32>()?, [1, 2, 4, 8, 16, 32, 0, 5]);
        let again = tree::fori_loop(0, 2, |i, array: TensorArray| array.write(array.length(), i), longer);
        assert_eq!(again.stack().to_vec::<i32>()?, [1, 2, 4, 8, 16, 32, 0, 5, 0, 1]);
        assert_eq!(powers(&Tensor::scalar(0)).trimmed().stack().shape(), [0]);
        let f = kiln_graph::Function::new("trims", move |x| Ok(vec![powers(&x[0]).trimmed().stack()]));
        let error = f.call(&[Tensor::scalar(9)]).expect_err("tracing").to_string();
        assert!(error.contains("known only when the function runs"), "{error}");
        Ok(())
    });
}

#[test]
fn what_loops_of_arrays_refuse() {
    let fails = |array: TensorArray, parts: &[&str]| {
        let error = array.stack().to_vec::<f32>().expect_err("refused").to_string();
        assert!(error.contains("control_flow/arrays.rs"), "{error}");
        parts.iter().for_each(|part| assert!(error.contains(part), "{part}: {error}"));
    };
    let one = Tensor::scalar(1.0f32);
    let none = TensorArray::new(0, &[], DType::F32).dynamic();
    // Without a bound there is no room to make.
    let grow = |array: TensorArray| array.write(array.length(), &one);
    let never = |_: &TensorArray| Tensor::scalar(0).equal(0);
    fails(tree::while_loop(never, grow, none.clone(), None), &["[while_loop]", "give maximum_iterations"]);
    let unknown = Tensor::from([3]).sum(());
    let append = |i: &Tensor, array: TensorArray| array.write(i, &one);
    fails(tree::fori_loop(0, &unknown, append, none.clone()), &["[fori_loop]", "plain numbers as ends"]);
    let reserved = tree::fori_loop(0, &unknown, append, none.reserve(3)).trimmed().stack();
    assert_eq!(reserved.to_vec::<f32>(), Ok(vec![1.0; 3]));
    // Beyond the room that was made.
    let past = |i: &Tensor, array: TensorArray| array.write(i + 5, &one);
    let error =
        tree::fori_loop(0, 3, past, none.clone()).stack().to_vec::<f32>().expect_err("room").to_string();
    assert!(error.contains("tensor_array") && error.contains('5'), "{error}");
    // Plain numbers past it change the shape of a loop variable.
    let plain = |_: &Tensor, array: TensorArray| array.write(9, &one);
    fails(tree::fori_loop(0, 3, plain, none), &["[fori_loop]", "float32 [3]", "float32 [10]"]);
    let fixed = |i: &Tensor, array: TensorArray| array.write(i, &Tensor::zeros(&[2]));
    fails(tree::fori_loop(0, 3, fixed, TensorArray::new(3, &[], DType::F32)), &["float32 []", "float32 [2]"]);
    let other = |_: &Tensor, x: Vec<Tensor>| [&x[..], &x[..]].concat();
    let error = tree::fori_loop(0, 2, other, vec![one.clone()])[0].error().expect("structure").to_string();
    assert!(
        error.contains("[fori_loop] expected the body to keep the structure") && error.contains("[**]"),
        "{error}"
    );
    let scanned = tree::scan(|x: Tensor, y: Tensor| (x, y), one.clone(), &one, None, false);
    assert!(scanned.expect_err("a scalar").to_string().contains("first axis"));
}
