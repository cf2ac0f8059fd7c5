//! A callback of closures.

use super::{Callback, Handle};
use crate::error::Result;
use crate::history::Logs;

macro_rules! lambda {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*);)*) => {
        /// A callback of closures, one for each hook that is given.
        ///
        /// ```
        /// use kiln_nn::callbacks::LambdaCallback;
        /// let mut batches = 0;
        /// let count = LambdaCallback::new().on_train_batch_end(|_, _| {
        ///     batches += 1;
        ///     Ok(())
        /// });
        /// # drop(count);
        /// ```
        #[derive(Default)]
        pub struct LambdaCallback<'a> {
            $($name: Option<Box<dyn FnMut($($type,)* &mut Handle<'_>) -> Result<()> + 'a>>,)*
        }

        impl<'a> LambdaCallback<'a> {
            /// Without closures.
            pub fn new() -> LambdaCallback<'a> {
                LambdaCallback::default()
            }

            $(
                $(#[$doc])*
                pub fn $name(mut self, hook: impl FnMut($($type,)* &mut Handle<'_>) -> Result<()> + 'a) -> Self {
                    self.$name = Some(Box::new(hook));
                    self
                }
            )*
        }

        impl Callback for LambdaCallback<'_> {
            $(
                fn $name(&mut self, $($argument: $type,)* model: &mut Handle<'_>) -> Result<()> {
                    match &mut self.$name {
                        Some(hook) => hook($($argument,)* model),
                        None => Ok(()),
                    }
                }
            )*
        }
    };
}

lambda! {
    /// Before the first epoch.
    on_train_begin();
    /// After the last epoch, with its logs.
    on_train_end(logs: &Logs);
    /// Before an epoch.
    on_epoch_begin(epoch: usize);
    /// After an epoch and its validation, with the logs of both.
    on_epoch_end(epoch: usize, logs: &mut Logs);
    /// Before a batch of training.
    on_train_batch_begin(batch: usize);
    /// After a batch of training.
    on_train_batch_end(batch: usize);
}
