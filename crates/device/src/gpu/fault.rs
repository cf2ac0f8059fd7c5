//! What goes wrong on the device, kept until a call can return it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::memory::Ledger;

/// The first error since the last report. A lost device stays lost.
#[derive(Debug)]
pub(crate) struct Faults {
    name: String,
    ledger: Arc<Ledger>,
    first: Mutex<Option<Error>>,
}

/// How long an error waits for the news that the device is lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// Locks, whatever a panicking thread left behind.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faults {
    /// Installs the handlers on a device.
    pub(crate) fn watch(device: &wgpu::Device, name: &str, ledger: &Arc<Ledger>) -> Arc<Faults> {
        let faults =
            Arc::new(Faults { name: name.to_owned(), ledger: ledger.clone(), first: Mutex::new(None) });
        let uncaptured = faults.clone();
        device.on_uncaptured_error(Arc::new(move |error| uncaptured.store(uncaptured.typed(error))));
        let lost = faults.clone();
        device.set_device_lost_callback(move |reason, message| {
            lost.store(Error::Lost { device: lost.name.clone(), reason: format!("{reason:?}: {message}") });
        });
        faults
    }

    fn store(&self, error: Error) {
        let mut first = lock(&self.first);
        let is_lost = |e: &Option<Error>| matches!(e, Some(Error::Lost { .. }));
        if first.is_none() || (matches!(error, Error::Lost { .. }) && !is_lost(&first)) {
            *first = Some(error);
        }
    }

    /// Returns what went wrong, once; a loss every time.
    pub(crate) fn report(&self, device: &wgpu::Device) -> Result<()> {
        if lock(&self.first).is_none() {
            return Ok(());
        }
        // A loss is announced in a poll when all work has ended, and shows as errors of other kinds before.
        if !self.is_lost() {
            let _ = device.poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(PATIENCE) });
        }
        let mut first = lock(&self.first);
        match &*first {
            Some(error @ Error::Lost { .. }) => Err(error.clone()),
            _ => first.take().map_or(Ok(()), Err),
        }
    }

    /// True once the device is gone.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(*lock(&self.first), Some(Error::Lost { .. }))
    }

    /// The device's error as ours.
    pub(crate) fn typed(&self, error: wgpu::Error) -> Error {
        match error {
            wgpu::Error::OutOfMemory { .. } => self.ledger.refused(0),
            other => Error::Kernel(other.to_string()),
        }
    }

    /// Runs `create` and catches what it reports on this thread.
    pub(crate) fn scoped<T>(&self, device: &wgpu::Device, create: impl FnOnce() -> T) -> Result<T, Error> {
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let value = create();
        let errors = [
            pollster::block_on(validation.pop()),
            pollster::block_on(internal.pop()),
            pollster::block_on(memory.pop()),
        ];
        if let Some(error) = errors.into_iter().flatten().next() {
            self.store(self.typed(error));
        }
        self.report(device).map(|()| value)
    }
}
