//! Tables from keys to values: vocabularies, and whatever else is looked up by a string or a whole number.
//!
//! Keys are strings ([`StringTensor`](crate::StringTensor)) or whole numbers (a [`Tensor`](crate::Tensor), `int32`);
//! values are strings, or tensors of any type and shape. A table is a value of the host, and its values are lazy: they have
//! gradients.
//!
//! Whole numbers are looked up by an expression of the graph, so that a [`Function`](crate::Function) may look up its
//! arguments. Strings are looked up at once, by the thread that asks, as everything that strings do: inside of a function
//! being traced what is found is a constant of the trace. A [`MutableHashTable`] may change between calls, so inside of a
//! trace it refuses; [`MutableHashTable::frozen`] is the way in.
//!
//! ```
//! use kiln_graph::StringTensor;
//! use kiln_graph::lookup::{KeyValueTensorInitializer, StaticHashTable};
//! use kiln_graph::Tensor;
//! let animals = StringTensor::from_slice(&["cat", "dog"]);
//! let legs = KeyValueTensorInitializer::new(animals, Tensor::from([4, 4]));
//! let table = StaticHashTable::new(legs, Tensor::scalar(-1))?;
//! let found = table.lookup(&StringTensor::from_slice(&["dog", "fish"]));
//! assert_eq!(found.to_vec::<i32>()?, [4, -1]);
//! # Ok::<(), kiln_graph::Error>(())
//! ```

mod file;
mod fixed;
mod keys;
mod mutable;
mod vocabulary;

pub use file::{TextFileIndex, TextFileInitializer, TextItems};
pub use fixed::{Initializer, KeyValueTensorInitializer, StaticHashTable};
pub use keys::Keys;
pub use mutable::MutableHashTable;
pub use vocabulary::StaticVocabularyTable;
