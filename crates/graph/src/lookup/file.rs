//! Tables from text files.

use std::marker::PhantomData;
use std::path::PathBuf;

use kiln_device::DType;

use super::fixed::Initializer;
use super::keys::Keys;
use crate::error::Result;
use crate::files::{ReadBudget, file_error};
use crate::site::Site;
use crate::tensor::Tensor;
use crate::text::StringTensor;
use crate::values::Values;

/// Which part of a line is a key or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFileIndex {
    /// The line without its end.
    WholeLine,
    /// Its number, from 0.
    LineNumber,
    /// The part of this number, from 0, between delimiters.
    Column(usize),
}

/// Keys and values from the lines of a text file in UTF-8.
///
/// ```
/// use kiln_graph::StringTensor;
/// use kiln_graph::lookup::{StaticVocabularyTable, TextFileIndex, TextFileInitializer};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("vocabulary.txt");
/// std::fs::write(&path, "the\nof\nand\n")?;
/// let init = TextFileInitializer::new(&path, TextFileIndex::WholeLine, TextFileIndex::LineNumber);
/// let table = StaticVocabularyTable::new(init, 1)?;
/// let words = StringTensor::from_slice(&["of", "cat", "the"]);
/// assert_eq!(table.lookup(&words).to_vec::<i32>()?, [1, 3, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TextFileInitializer<K = StringTensor, V = Tensor> {
    path: PathBuf,
    key: TextFileIndex,
    value: TextFileIndex,
    value_dtype: DType,
    delimiter: String,
    vocab_size: Option<usize>,
    value_offset: i32,
    budget: ReadBudget,
    items: PhantomData<fn() -> (K, V)>,
}

/// What can be made of parts of lines: strings, or a tensor of numbers.
pub trait TextItems: Values {
    /// From the parts, and the type of numbers.
    #[doc(hidden)]
    fn of_texts(texts: Vec<&str>, dtype: DType) -> Self;
}

impl TextItems for StringTensor {
    fn of_texts(texts: Vec<&str>, _: DType) -> StringTensor {
        StringTensor::from_slice(&texts)
    }
}

impl TextItems for Tensor {
    #[track_caller]
    fn of_texts(texts: Vec<&str>, dtype: DType) -> Tensor {
        StringTensor::from_slice(&texts).to_number(dtype)
    }
}

impl<K: Keys + TextItems, V: TextItems> TextFileInitializer<K, V> {
    /// Of a file whose lines have keys and values in these places. Columns are divided by tabs, and values that are
    /// numbers are `int32`.
    pub fn new(
        path: impl Into<PathBuf>,
        key_index: TextFileIndex,
        value_index: TextFileIndex,
    ) -> TextFileInitializer<K, V> {
        TextFileInitializer {
            path: path.into(),
            key: key_index,
            value: value_index,
            value_dtype: DType::I32,
            delimiter: "\t".into(),
            vocab_size: None,
            value_offset: 0,
            budget: ReadBudget::default(),
            items: PhantomData,
        }
    }

    /// Another type of values that are numbers.
    pub fn value_dtype(mut self, dtype: DType) -> Self {
        self.value_dtype = dtype;
        self
    }

    /// What divides columns.
    pub fn delimiter(mut self, delimiter: impl Into<String>) -> Self {
        self.delimiter = delimiter.into();
        self
    }

    /// Only so many lines from the beginning; fewer are an error.
    pub fn vocab_size(mut self, lines: usize) -> Self {
        self.vocab_size = Some(lines);
        self
    }

    /// What is added to line numbers that are values.
    pub fn value_index_offset(mut self, offset: i32) -> Self {
        self.value_offset = offset;
        self
    }

    /// How much of the file may be read.
    pub fn budget(mut self, budget: ReadBudget) -> Self {
        self.budget = budget;
        self
    }

    fn part<'a>(&self, line: &'a str, number: usize, index: TextFileIndex) -> Result<&'a str> {
        let TextFileIndex::Column(column) = index else { return Ok(line) };
        let delimiter = match self.delimiter.as_str() {
            "" => {
                return Err(file_error(
                    &self.path,
                    "expected a delimiter of columns, received an empty string",
                ));
            }
            delimiter => delimiter,
        };
        line.split(delimiter).nth(column).ok_or_else(|| {
            let message =
                format!("line {} has no column {column} between {delimiter:?}, counted from 0", number + 1);
            file_error(&self.path, message)
        })
    }

    fn items<T: TextItems>(
        &self,
        lines: &[&str],
        index: TextFileIndex,
        dtype: DType,
        offset: i32,
        site: Site,
    ) -> Result<T> {
        let items = match index {
            TextFileIndex::LineNumber => {
                let number = |n: usize| site.index(n)?.checked_add(offset).ok_or_else(|| self.beyond(offset));
                let numbers =
                    (0..lines.len()).map(|n| Ok(number(n)?.to_string())).collect::<Result<Vec<_>>>()?;
                T::of_texts(numbers.iter().map(String::as_str).collect(), dtype)
            }
            _ => {
                let parts = lines.iter().enumerate().map(|(n, line)| self.part(line, n, index));
                T::of_texts(parts.collect::<Result<_>>()?, dtype)
            }
        };
        match items.fault() {
            Some(crate::Error::Operation { message, .. }) => Err(file_error(&self.path, message)),
            Some(other) => Err(other.clone()),
            None => Ok(items),
        }
    }

    fn beyond(&self, offset: i32) -> crate::Error {
        file_error(&self.path, format!("line numbers with an offset of {offset} are beyond int32"))
    }
}

impl<K: Keys + TextItems, V: TextItems> Initializer<K, V> for TextFileInitializer<K, V> {
    #[track_caller]
    fn entries(&self) -> Result<(K, V)> {
        let site = Site::new("lookup");
        let bytes = self.budget.read(&self.path)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|error| file_error(&self.path, format!("expected UTF-8 text: {error}")))?;
        let mut lines: Vec<&str> = text.lines().collect();
        if let Some(empty) = lines.iter().position(|line| line.is_empty()) {
            return Err(file_error(&self.path, format!("line {} is empty; remove it", empty + 1)));
        }
        if let Some(wanted) = self.vocab_size {
            if lines.len() < wanted {
                let message = format!("expected at least {wanted} lines, found {}", lines.len());
                return Err(file_error(&self.path, message));
            }
            lines.truncate(wanted);
        }
        let keys = self.items(&lines, self.key, DType::I32, 0, site)?;
        let values = self.items(&lines, self.value, self.value_dtype, self.value_offset, site)?;
        Ok((keys, values))
    }
}
