//! Queues: order, waiting, closing, batches.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use kiln_graph::{Component, DType, Function, Queue, QueueError, StringTensor, Tensor};

const SOON: Duration = Duration::from_millis(30);

fn scalars(capacity: usize) -> Queue {
    Queue::fifo(capacity, &[Component::new(DType::I32, &[])]).expect("a queue")
}

fn number(n: i32) -> [Tensor; 1] {
    [Tensor::from_vec([n], &[])]
}

fn taken(queue: &Queue) -> i32 {
    queue.dequeue().expect("an element")[0].item::<i32>().expect("a number")
}

#[test]
fn first_in_first_out() {
    let queue = scalars(4);
    assert_eq!(queue.components()[0].dtype(), Some(DType::I32));
    assert_eq!(queue.components()[0].shape(), Some(&[][..]));
    for n in 0..3 {
        queue.enqueue(&number(n)).expect("room");
    }
    assert_eq!(queue.size(), 3);
    assert_eq!(taken(&queue), 0);
    queue.enqueue_many(&[Tensor::from_slice(&[7, 8])]).expect("room");
    let batch = queue.dequeue_many(3).expect("a batch");
    assert_eq!(batch[0].to_vec::<i32>().expect("numbers"), [1, 2, 7]);
    assert_eq!((taken(&queue), queue.size()), (8, 0));
}

#[test]
fn values_are_computed_when_they_come() {
    let queue = Queue::fifo(1, &[Component::any(DType::F32)]).expect("a queue");
    queue.enqueue(&[Tensor::ones(&[3]) * 2.0]).expect("room");
    assert_eq!(queue.dequeue().expect("an element")[0].to_vec::<f32>().expect("values"), [2.0; 3]);
    let outside = queue.clone();
    let wrong = Function::new("step", move |x: &[Tensor]| {
        let error = outside.enqueue(&[x[0].clone()]).expect_err("an error");
        assert!(matches!(error, QueueError::Operation(kiln_graph::Error::Trace { .. })), "{error}");
        Ok(vec![x[0].clone()])
    });
    wrong.call(&[Tensor::ones(&[1])]).expect("a call");
    assert_eq!(queue.size(), 0);
}

#[test]
fn priorities_leave_least_first() {
    let queue = Queue::priority(8, &[Component::new(DType::I32, &[])]).expect("a queue");
    for (priority, n) in [(5, 50), (-1, 10), (5, 51)] {
        queue.enqueue_prioritized(priority, &number(n)).expect("room");
    }
    queue.enqueue_many_prioritized(&[0, 9], &[Tensor::from_slice(&[20, 90])]).expect("room");
    assert_eq!(queue.dequeue_prioritized().expect("an element").0, -1);
    let rest = queue.dequeue_many(4).expect("a batch");
    assert_eq!(rest[0].to_vec::<i32>().expect("numbers"), [20, 50, 51, 90]);
}

fn shuffled(seed: u64) -> Vec<i32> {
    let queue = Queue::random_shuffle(64, 0, &[Component::new(DType::I32, &[])], seed).expect("a queue");
    let numbers: Vec<i32> = (0..64).collect();
    queue.enqueue_many(&[Tensor::from_slice(&numbers)]).expect("room");
    queue.dequeue_many(64).expect("a batch")[0].to_vec::<i32>().expect("numbers")
}

#[test]
fn a_seed_gives_an_order() {
    let first = shuffled(7);
    assert_eq!(first, shuffled(7));
    assert_ne!(first, shuffled(8));
    let mut sorted = first.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..64).collect::<Vec<i32>>());
    assert_ne!(first, sorted);
    // Every place is reached by every element: over many seeds the mean of what leaves first is that of all.
    let mean = (0..400).map(|seed| f64::from(shuffled(seed)[0])).sum::<f64>() / 400.0;
    assert!((mean - 31.5).abs() < 4.0 * 18.5 / 20.0, "{mean}");
}

#[test]
fn some_stay_to_choose_from() {
    let queue = Queue::random_shuffle(8, 3, &[Component::new(DType::I32, &[])], 1).expect("a queue");
    queue.enqueue_many(&[Tensor::from_slice(&[1, 2, 3, 4])]).expect("room");
    let hasty = queue.with_timeout(SOON);
    hasty.dequeue().expect("one more than must stay");
    assert!(matches!(hasty.dequeue(), Err(QueueError::TimedOut { .. })));
    queue.close(false);
    assert_eq!(hasty.dequeue_many(3).expect("what stayed")[0].shape(), [3]);
    assert!(matches!(hasty.dequeue(), Err(QueueError::Closed { wanted: 1, held: 0, .. })));
}

#[test]
fn batches_are_padded() {
    let parts = [Component::padded(DType::F32, &[None, Some(2)]), Component::new(DType::I32, &[])];
    let queue = Queue::padding_fifo(4, &parts).expect("a queue");
    for rows in [1usize, 3] {
        let n = Tensor::from_vec([rows as i32], &[]);
        queue.enqueue(&[Tensor::full(&[rows, 2], rows as f64, DType::F32), n]).expect("room");
    }
    let batch = queue.dequeue_many(2).expect("a batch");
    assert_eq!(batch[0].shape(), [2, 3, 2]);
    let expected = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0];
    assert_eq!(batch[0].to_vec::<f32>().expect("values"), expected);
    assert_eq!(batch[1].to_vec::<i32>().expect("values"), [1, 3]);
}

#[test]
fn strings_too() {
    let queue = Queue::padding_fifo(4, &[Component::text(Some(&[None]))]).expect("a queue");
    for words in [&["a"][..], &["b", "c"]] {
        queue.enqueue(&[StringTensor::from_slice(words)]).expect("room");
    }
    let batch = queue.dequeue_many(2).expect("a batch");
    assert_eq!(batch[0].shape(), [2, 2]);
    assert_eq!(batch[0].to_vec().expect("strings"), ["a", "", "b", "c"]);
}

#[test]
fn closing_ends_in_good_order() {
    let queue = scalars(4);
    queue.enqueue_many(&[Tensor::from_slice(&[1, 2, 3])]).expect("room");
    assert!(!queue.is_closed());
    queue.close(false);
    assert!(queue.is_closed());
    assert!(matches!(queue.enqueue(&number(4)), Err(QueueError::Cancelled { .. })));
    // More than there is: nothing is lost.
    assert!(matches!(queue.dequeue_many(4), Err(QueueError::Closed { wanted: 4, held: 3, .. })));
    assert_eq!(queue.dequeue_up_to(2).expect("a batch")[0].to_vec::<i32>().expect("numbers"), [1, 2]);
    assert_eq!(queue.dequeue_up_to(2).expect("a batch")[0].to_vec::<i32>().expect("numbers"), [3]);
    let error = queue.dequeue_up_to(2).expect_err("nothing left");
    assert!(
        error.to_string().starts_with("[queue.dequeue_up_to] the queue is closed and holds 0"),
        "{error}"
    );
}

#[test]
fn time_allowed_ends() {
    let queue = scalars(1).with_timeout(SOON);
    let started = Instant::now();
    let error = queue.dequeue().expect_err("nothing comes");
    assert!(matches!(error, QueueError::TimedOut { .. }) && started.elapsed() >= SOON, "{error}");
    queue.enqueue(&number(1)).expect("room");
    assert!(matches!(queue.enqueue(&number(2)), Err(QueueError::TimedOut { .. })));
    // What waited in vain leaves no trace.
    assert_eq!((queue.size(), taken(&queue)), (1, 1));
    queue.close(false);
    assert!(matches!(queue.dequeue(), Err(QueueError::Closed { .. })));
}

/// A thread that does something with a queue, and the channel on which it says what came of it. It waits when this
/// returns, as far as one can tell.
fn waiting<T: Send + 'static>(
    queue: &Queue,
    run: impl FnOnce(&Queue) -> T + Send + 'static,
) -> mpsc::Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    let queue = queue.clone();
    thread::spawn(move || sender.send(run(&queue)));
    thread::sleep(SOON);
    assert!(receiver.try_recv().is_err(), "it did not wait");
    receiver
}

fn outcome<T>(receiver: &mpsc::Receiver<T>) -> T {
    receiver.recv_timeout(Duration::from_secs(20)).expect("an outcome")
}

#[test]
fn those_who_wait_are_woken() {
    let queue = scalars(1);
    let consumer = waiting(&queue, taken);
    queue.enqueue(&number(5)).expect("room");
    assert_eq!(outcome(&consumer), 5);
    queue.enqueue(&number(6)).expect("room");
    let producer = waiting(&queue, |queue| queue.enqueue(&number(7)));
    assert_eq!(taken(&queue), 6);
    assert_eq!(outcome(&producer), Ok(()));
    assert_eq!(taken(&queue), 7);
    let consumer = waiting(&queue, |queue| queue.dequeue().map(drop));
    queue.close(false);
    assert!(matches!(outcome(&consumer), Err(QueueError::Closed { .. })));
}

#[test]
fn pending_enqueues_go_on_or_are_cancelled() {
    let queue = scalars(1);
    queue.enqueue(&number(1)).expect("room");
    let pending = waiting(&queue, |queue| queue.enqueue(&number(2)));
    queue.close(false);
    // The one that waits may still put its element in, and a consumer waits for it.
    assert_eq!((taken(&queue), taken(&queue)), (1, 2));
    assert_eq!(outcome(&pending), Ok(()));
    assert!(matches!(queue.dequeue(), Err(QueueError::Closed { .. })));

    let queue = scalars(1);
    queue.enqueue(&number(1)).expect("room");
    let pending = waiting(&queue, |queue| queue.enqueue(&number(2)));
    queue.close(true);
    assert!(matches!(outcome(&pending), Err(QueueError::Cancelled { .. })));
    assert_eq!(taken(&queue), 1);
    assert!(matches!(queue.dequeue(), Err(QueueError::Closed { .. })));
}

#[test]
fn many_producers_and_consumers() {
    let queue = scalars(3);
    let producers: Vec<_> = (0..4)
        .map(|p| {
            let queue = queue.clone();
            thread::spawn(move || (0..50).for_each(|i| queue.enqueue(&number(p * 50 + i)).expect("room")))
        })
        .collect();
    let consumers: Vec<_> = (0..3)
        .map(|_| {
            let queue = queue.clone();
            thread::spawn(move || {
                let mut found = vec![];
                while let Ok(element) = queue.dequeue() {
                    found.push(element[0].item::<i32>().expect("a number"));
                }
                found
            })
        })
        .collect();
    producers.into_iter().for_each(|p| p.join().expect("a producer"));
    queue.close(false);
    let mut all: Vec<i32> = consumers.into_iter().flat_map(|c| c.join().expect("a consumer")).collect();
    all.sort_unstable();
    assert_eq!(all, (0..200).collect::<Vec<i32>>());
}
