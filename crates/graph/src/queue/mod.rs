//! Queues: bounded hand-over of tensors between threads, as those of `tf.queue`.
//!
//! An element of a [`Queue`] is one or more tensors, its *components*. Enqueuing waits while the queue is full, dequeuing
//! while it is empty, both at most as long as [`Queue::with_timeout`] allows. Closing a queue ends it in good order: what
//! is inside can still be dequeued. Values are computed when they are enqueued, so that a consumer never waits for a
//! producer's graph; nothing can be enqueued while a function is traced.
//!
//! ```
//! use kiln_graph::{Component, DType, Queue, QueueError, Tensor};
//! let queue = Queue::fifo(8, &[Component::new(DType::F32, &[2])])?;
//! let producer = queue.clone();
//! let thread = std::thread::spawn(move || {
//!     (0..3).try_for_each(|i| producer.enqueue(&[Tensor::full(&[2], i as f64, DType::F32)]))?;
//!     Ok::<_, QueueError>(producer.close(false))
//! });
//! let batch = queue.dequeue_many(3)?.remove(0);
//! assert_eq!(batch.shape(), [3, 2]);
//! thread.join().expect("the producer")?;
//! assert!(matches!(queue.dequeue(), Err(QueueError::Closed { .. })));
//! # Ok::<(), QueueError>(())
//! ```

mod component;
mod error;
mod store;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::shape::strides;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::values::Values;
pub use component::Component;
pub use error::QueueError;
use store::Store;

/// The components of one element, and its priority.
pub(crate) struct Entry<V> {
    priority: i64,
    components: Vec<V>,
}

struct State<V> {
    store: Store<V>,
    closed: bool,
    /// Those who wait to put elements in are to give up.
    cancelled: bool,
    /// How many wait to put elements in.
    waiting: usize,
}

struct Shared<V> {
    components: Vec<Component>,
    capacity: usize,
    /// So many elements stay inside of a queue that is not closed.
    reserve: usize,
    padding: bool,
    state: Mutex<State<V>>,
    changed: Condvar,
}

/// A queue of tensors (or of [`StringTensor`](crate::StringTensor)s), bounded and shared: clones are handles to the same
/// queue.
#[doc(alias("FIFOQueue", "PriorityQueue", "RandomShuffleQueue", "PaddingFIFOQueue"))]
pub struct Queue<V = Tensor> {
    shared: Arc<Shared<V>>,
    timeout: Option<Duration>,
}

impl<V> Clone for Queue<V> {
    fn clone(&self) -> Queue<V> {
        Queue { shared: self.shared.clone(), timeout: self.timeout }
    }
}

type Outcome<T> = std::result::Result<T, QueueError>;

impl<V: Values> Queue<V> {
    fn made(
        site: Site,
        capacity: usize,
        components: &[Component],
        store: Store<V>,
        reserve: usize,
        padding: bool,
    ) -> Result<Queue<V>> {
        site.expect(capacity > 0 && !components.is_empty(), || {
            format!("expected a capacity and components, received {capacity} and {}", components.len())
        })?;
        site.expect(reserve < capacity, || {
            format!("expected min_after_dequeue below the capacity {capacity}, received {reserve}")
        })?;
        for component in components {
            let open = component.shape().map(|shape| shape.contains(&None));
            site.expect(padding || open != Some(true), || {
                format!(
                    "expected shapes without None, received {component:?}; use padding_fifo or Component::any"
                )
            })?;
            site.expect(!padding || open.is_some(), || {
                format!("expected a rank for every component, received {component:?}")
            })?;
        }
        let state = State { store, closed: false, cancelled: false, waiting: 0 };
        let shared = Shared {
            components: components.to_vec(),
            capacity,
            reserve,
            padding,
            state: Mutex::new(state),
            changed: Condvar::new(),
        };
        Ok(Queue { shared: Arc::new(shared), timeout: None })
    }

    /// Elements leave in the order in which they came. (`FIFOQueue`.)
    ///
    /// # Errors
    /// Without capacity or components, or where a shape has `None`.
    #[track_caller]
    pub fn fifo(capacity: usize, components: &[Component]) -> Result<Queue<V>> {
        let site = Site::new("queue.fifo");
        Queue::made(site, capacity, components, Store::fifo(), 0, false)
    }

    /// As [`Queue::fifo`], with components whose extents may differ where they are `None`: in batches they are padded with
    /// zeros (or empty strings) to the largest. (`PaddingFIFOQueue`.)
    ///
    /// # Errors
    /// Without capacity or components, or where a component has no shape.
    #[track_caller]
    pub fn padding_fifo(capacity: usize, components: &[Component]) -> Result<Queue<V>> {
        let site = Site::new("queue.padding_fifo");
        Queue::made(site, capacity, components, Store::fifo(), 0, true)
    }

    /// Elements of the least priority leave first; of those of one, the one that came first. (`PriorityQueue`.)
    ///
    /// # Errors
    /// As [`Queue::fifo`].
    #[track_caller]
    pub fn priority(capacity: usize, components: &[Component]) -> Result<Queue<V>> {
        let site = Site::new("queue.priority");
        Queue::made(site, capacity, components, Store::priority(), 0, false)
    }

    /// Elements leave in random order, and `min_after_dequeue` stay inside until the queue is closed, so that there is
    /// something to choose from. A seed gives the same order wherever elements come in the same order.
    /// (`RandomShuffleQueue`.)
    ///
    /// # Errors
    /// As [`Queue::fifo`], and where `min_after_dequeue` is not below the capacity.
    #[track_caller]
    pub fn random_shuffle(
        capacity: usize,
        min_after_dequeue: usize,
        components: &[Component],
        seed: u64,
    ) -> Result<Queue<V>> {
        let site = Site::new("queue.random_shuffle");
        Queue::made(site, capacity, components, Store::shuffle(seed), min_after_dequeue, false)
    }

    /// A handle to the same queue whose operations wait at most so long.
    pub fn with_timeout(&self, timeout: Duration) -> Queue<V> {
        Queue { shared: self.shared.clone(), timeout: Some(timeout) }
    }

    /// What the components of every element are.
    pub fn components(&self) -> &[Component] {
        &self.shared.components
    }

    /// How many elements the queue holds now.
    pub fn size(&self) -> usize {
        self.state().store.len()
    }

    /// True once the queue has been closed.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// No more elements are taken in; those inside can be dequeued. Whoever waits to put an element in already goes on
    /// waiting, or gives up where `cancel_pending_enqueues` is true. Closing again can only cancel.
    pub fn close(&self, cancel_pending_enqueues: bool) {
        let mut state = self.state();
        state.closed = true;
        state.cancelled |= cancel_pending_enqueues;
        self.shared.changed.notify_all();
    }

    /// A lock that a panic elsewhere does not take away: no operation leaves the state half-changed.
    fn state(&self) -> MutexGuard<'_, State<V>> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `ready`, which may also say that it will never be.
    fn wait<'a>(
        &self,
        site: Site,
        mut state: MutexGuard<'a, State<V>>,
        mut ready: impl FnMut(&State<V>) -> Outcome<bool>,
    ) -> Outcome<MutexGuard<'a, State<V>>> {
        let started = Instant::now();
        while !ready(&state)? {
            state = match self.timeout {
                None => self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(allowed) => {
                    let left = allowed.saturating_sub(started.elapsed());
                    if left.is_zero() {
                        return Err(QueueError::TimedOut { op: site.op, waited: allowed, at: site.at });
                    }
                    let waited = self.shared.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        Ok(state)
    }

    /// Puts one element in: a value for each component.
    ///
    /// # Errors
    /// Where the components do not fit, values cannot be computed, the queue is closed, or the time allowed is over.
    #[track_caller]
    pub fn enqueue(&self, element: &[V]) -> Outcome<()> {
        self.put(Site::new("queue.enqueue"), &[0], vec![element.to_vec()], false)
    }

    /// Puts one element in, which leaves a [`Queue::priority`] before those of larger priority.
    ///
    /// # Errors
    /// As [`Queue::enqueue`].
    #[track_caller]
    pub fn enqueue_prioritized(&self, priority: i64, element: &[V]) -> Outcome<()> {
        self.put(Site::new("queue.enqueue_prioritized"), &[priority], vec![element.to_vec()], true)
    }

    /// Puts an element in for every row of the components' first axis, one after the other as there is room.
    ///
    /// # Errors
    /// As [`Queue::enqueue`]; where waiting ends with an error, the elements before stay inside.
    #[track_caller]
    pub fn enqueue_many(&self, components: &[V]) -> Outcome<()> {
        let site = Site::new("queue.enqueue_many");
        let rows = rows_of(site, components)?;
        self.put(site, &vec![0; rows.len()], rows, false)
    }

    /// As [`Queue::enqueue_many`], with a priority for every row.
    ///
    /// # Errors
    /// As [`Queue::enqueue`].
    #[track_caller]
    pub fn enqueue_many_prioritized(&self, priorities: &[i64], components: &[V]) -> Outcome<()> {
        let site = Site::new("queue.enqueue_many_prioritized");
        let rows = rows_of(site, components)?;
        site.expect(priorities.len() == rows.len(), || {
            format!("expected {} priorities, one for each row, received {}", rows.len(), priorities.len())
        })?;
        self.put(site, priorities, rows, true)
    }

    fn put(&self, site: Site, priorities: &[i64], elements: Vec<Vec<V>>, prioritized: bool) -> Outcome<()> {
        let what = if prioritized {
            "expected a queue with priorities, made by Queue::priority"
        } else {
            "expected a priority for each element of this queue; use enqueue_prioritized"
        };
        site.expect(self.state().store.has_priorities() == prioritized, || what.to_owned())?;
        elements.iter().try_for_each(|element| self.check(site, element))?;
        let mut state = self.state();
        if state.closed {
            return Err(QueueError::Cancelled { op: site.op, at: site.at });
        }
        for (priority, components) in priorities.iter().zip(elements) {
            state.waiting += 1;
            let waited = self.wait(site, state, |state| match state.cancelled {
                true => Err(QueueError::Cancelled { op: site.op, at: site.at }),
                false => Ok(state.store.len() < self.shared.capacity),
            });
            state = match waited {
                Ok(state) => state,
                Err(error) => {
                    self.state().waiting -= 1;
                    self.shared.changed.notify_all();
                    return Err(error);
                }
            };
            state.waiting -= 1;
            state.store.push(Entry { priority: *priority, components });
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    /// Checks an element against the queue's components, and computes it.
    fn check(&self, site: Site, element: &[V]) -> Result<()> {
        if let Some(error) = element.iter().find_map(Values::fault) {
            return Err(error.clone());
        }
        let wanted = &self.shared.components;
        let fits = element.len() == wanted.len()
            && element.iter().zip(wanted).all(|(values, component)| component.fits(values.dims(), values));
        site.expect(fits, || {
            let received: Vec<_> = element.iter().map(|v| (v.number_type(), v.dims())).collect();
            format!("expected components {wanted:?}, received {received:?}")
        })?;
        element.iter().try_for_each(|values| values.settled(site.op, site.at))
    }

    /// Takes one element out: a value for each component.
    ///
    /// # Errors
    /// Where the queue is closed and empty, or the time allowed is over.
    #[track_caller]
    pub fn dequeue(&self) -> Outcome<Vec<V>> {
        let entries = self.take(Site::new("queue.dequeue"), 1, false)?;
        Ok(entries.into_iter().flat_map(|entry| entry.components).collect())
    }

    /// Takes one element out, with its priority.
    ///
    /// # Errors
    /// As [`Queue::dequeue`].
    #[track_caller]
    pub fn dequeue_prioritized(&self) -> Outcome<(i64, Vec<V>)> {
        let site = Site::new("queue.dequeue_prioritized");
        let mut entries = self.take(site, 1, false)?;
        match entries.pop() {
            Some(entry) => Ok((entry.priority, entry.components)),
            None => Err(site.error("an element was not there").into()),
        }
    }

    /// Takes `count` elements out at once, each component stacked along a new first axis.
    ///
    /// # Errors
    /// Where the queue can never hold as many or is closed with fewer, a component has no shape, or the time allowed is
    /// over. Nothing is taken then.
    #[track_caller]
    pub fn dequeue_many(&self, count: usize) -> Outcome<Vec<V>> {
        let site = Site::new("queue.dequeue_many");
        self.expect_batches(site)?;
        let entries = self.take(site, count, false)?;
        Ok(self.stacked(site, entries)?)
    }

    /// As [`Queue::dequeue_many`], but fewer (at least one) where the queue is closed and holds no more.
    ///
    /// # Errors
    /// As [`Queue::dequeue_many`].
    #[track_caller]
    pub fn dequeue_up_to(&self, count: usize) -> Outcome<Vec<V>> {
        let site = Site::new("queue.dequeue_up_to");
        self.expect_batches(site)?;
        let entries = self.take(site, count, true)?;
        Ok(self.stacked(site, entries)?)
    }

    fn expect_batches(&self, site: Site) -> Result<()> {
        site.expect(self.shared.components.iter().all(|component| component.shape().is_some()), || {
            "expected components with shapes, which batches need; give them to the queue, or use dequeue"
                .to_owned()
        })
    }

    fn take(&self, site: Site, count: usize, fewer: bool) -> Outcome<Vec<Entry<V>>> {
        let most = self.shared.capacity - self.shared.reserve;
        site.expect(count >= 1 && count <= most, || {
            format!("expected 1 to {most} elements, what the queue can hand out at once, received {count}")
        })?;
        let state = self.state();
        let mut state = self.wait(site, state, |state| {
            let held = state.store.len();
            if !state.closed {
                return Ok(held >= count + self.shared.reserve);
            }
            // Those who wait to put something in may still do so, unless they are cancelled.
            let ended = state.waiting == 0 || state.cancelled;
            match held >= count || (ended && fewer && held > 0) {
                true => Ok(true),
                false if ended => Err(QueueError::Closed { op: site.op, wanted: count, held, at: site.at }),
                false => Ok(false),
            }
        })?;
        let count = count.min(state.store.len());
        let entries = (0..count).filter_map(|_| state.store.pop()).collect();
        self.shared.changed.notify_all();
        Ok(entries)
    }

    /// Each component of the elements along a new first axis.
    fn stacked(&self, site: Site, entries: Vec<Entry<V>>) -> Result<Vec<V>> {
        let component = |n: usize| -> Result<V> {
            let items: Vec<&V> = entries.iter().filter_map(|entry| entry.components.get(n)).collect();
            let rank = items.first().map_or(0, |item| item.dims().len());
            let largest = |axis: usize| items.iter().map(|item| item.dims()[axis]).max().unwrap_or(0);
            let target: Vec<usize> = (0..rank).map(largest).collect();
            let row = |item: &&V| {
                let padded = match self.shared.padding {
                    true => padded(site, *item, &target)?,
                    false => (*item).clone(),
                };
                Ok(padded.reshaped([&[1], &target[..]].concat(), site.at))
            };
            let rows = items.iter().map(row).collect::<Result<Vec<V>>>()?;
            V::joined(&rows, 0, site.op, site.at)
        };
        (0..self.shared.components.len()).map(component).collect()
    }
}

impl<V> std::fmt::Debug for Queue<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue(capacity {}, {:?})", self.shared.capacity, self.shared.components)
    }
}

/// The elements of components that are stacked along their first axes.
fn rows_of<V: Values>(site: Site, components: &[V]) -> Result<Vec<Vec<V>>> {
    if let Some(error) = components.iter().find_map(Values::fault) {
        return Err(error.clone());
    }
    let counts: Vec<Option<usize>> = components.iter().map(|values| values.dims().first().copied()).collect();
    let Some(Some(count)) = counts.first().filter(|first| counts.iter().all(|count| count == *first)) else {
        return Err(site.error(format!("expected components with equally many rows, received {counts:?}")));
    };
    site.index(*count)?;
    let row = |row: usize| -> Vec<V> {
        let item =
            |values: &V| values.pick(&[row as i32], site.at).reshaped(values.dims()[1..].to_vec(), site.at);
        components.iter().map(item).collect()
    };
    Ok((0..*count).map(row).collect())
}

/// Values with blanks behind them along every axis, up to a larger shape.
fn padded<V: Values>(site: Site, values: &V, target: &[usize]) -> Result<V> {
    let dims = values.dims();
    if dims == target {
        return Ok(values.clone());
    }
    let (from, to) = (strides(dims), strides(target));
    let (count, cells) = (site.count(dims)?, site.count(target)?);
    site.index(cells)?;
    let position = |flat: usize| -> i32 {
        (0..dims.len()).map(|axis| flat / from[axis] % dims[axis] * to[axis]).sum::<usize>() as i32
    };
    let positions: Vec<i32> = (0..count).map(position).collect();
    let flat = values.reshaped(vec![count], site.at);
    let placed = flat.placed(cells, &positions, &values.blank(site.at), site.op, site.at)?;
    Ok(placed.reshaped(target.to_vec(), site.at))
}
