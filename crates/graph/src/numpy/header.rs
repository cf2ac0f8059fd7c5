//! The header of a `.npy` file: magic, version, and a Python dictionary of three entries.
//!
//! The format is that of NumPy's `numpy.lib.format`, versions 1.0 to 3.0.

use super::Reason;
use crate::shape::Shape;

const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy's bound on dimensions.
const MOST_DIMENSIONS: usize = 64;
/// Header and elements begin at multiples of this many bytes.
const ALIGNMENT: usize = 64;
/// Digits that NumPy leaves room for, so that an array can grow in place.
const GROWTH_DIGITS: usize = 21;

/// What a `.npy` file says of its elements.
#[derive(Debug)]
pub(super) struct Header {
    /// NumPy's code of the type, `<f4` for instance.
    pub(super) code: String,
    /// Its kind, the letter of the code.
    pub(super) kind: char,
    /// Bytes of an element.
    pub(super) size: usize,
    pub(super) big_endian: bool,
    pub(super) fortran_order: bool,
    pub(super) shape: Shape,
}

impl Header {
    /// The header, and the bytes after it.
    pub(super) fn parse(file: &[u8]) -> Result<(Header, &[u8]), Reason> {
        let rest =
            file.strip_prefix(MAGIC).ok_or("this is no .npy file: it does not begin with \\x93NUMPY")?;
        let short = || "the file ends within its header".to_owned();
        let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
        let (length, rest) = match version {
            [1, _] => {
                let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
                (usize::from(u16::from_le_bytes(*length)), rest)
            }
            [2 | 3, _] => {
                let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
                (u32::from_le_bytes(*length) as usize, rest)
            }
            [major, minor] => {
                return Err(format!("expected version 1, 2 or 3 of the format, found {major}.{minor}"));
            }
        };
        let (text, data) = rest.split_at_checked(length).ok_or_else(short)?;
        let text = std::str::from_utf8(text).map_err(|_| "the header is no text")?;
        Ok((Parser { rest: text }.header()?, data))
    }
}

/// Magic, version and header of a file of row-major elements, as NumPy writes them.
pub(super) fn format(code: &str, shape: &[usize]) -> Vec<u8> {
    let extents = match shape {
        [one] => format!("({one},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let mut text = format!("{{'descr': '{code}', 'fortran_order': False, 'shape': {extents}, }}");
    if let Some(first) = shape.first() {
        text.push_str(&" ".repeat(GROWTH_DIGITS.saturating_sub(first.to_string().len())));
    }
    let padded = |prefix: usize| (prefix + text.len() + 1).next_multiple_of(ALIGNMENT) - prefix;
    let (short, long) = (MAGIC.len() + 4, MAGIC.len() + 6);
    let mut file = MAGIC.to_vec();
    let length = match u16::try_from(padded(short)) {
        Ok(length) => {
            file.extend([1, 0]);
            file.extend(length.to_le_bytes());
            usize::from(length)
        }
        Err(_) => {
            let length = padded(long);
            file.extend([2, 0]);
            file.extend((length as u32).to_le_bytes());
            length
        }
    };
    text.push_str(&" ".repeat(length - text.len() - 1));
    text.push('\n');
    file.extend_from_slice(text.as_bytes());
    file
}

/// Reads the dictionary: strings, `True`, `False` and tuples of whole numbers, nothing nested deeper.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn header(mut self) -> Result<Header, Reason> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect("{")?;
        while !self.take("}") {
            let key = self.string()?;
            self.expect(":")?;
            let twice = match key {
                "descr" => descr.replace(self.descr()?).is_some(),
                "fortran_order" => fortran_order.replace(self.flag()?).is_some(),
                "shape" => shape.replace(self.shape()?).is_some(),
                other => return Err(format!("the header has an unknown entry `{}`", cut(other))),
            };
            if twice {
                return Err(format!("the header has the entry `{key}` twice"));
            }
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        if !self.rest.trim_matches([' ', '\t', '\n', '\r', '\0']).is_empty() {
            return Err(self.unexpected("the end of the header"));
        }
        let missing = |name: &str| format!("the header has no entry `{name}`");
        let code = descr.ok_or_else(|| missing("descr"))?;
        let (kind, size, big_endian) = code_parts(code)?;
        let fortran_order = fortran_order.ok_or_else(|| missing("fortran_order"))?;
        let shape = shape.ok_or_else(|| missing("shape"))?;
        Ok(Header { code: code.to_owned(), kind, size, big_endian, fortran_order, shape })
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip();
        self.rest.strip_prefix(token).map(|rest| self.rest = rest).is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), Reason> {
        if self.take(token) { Ok(()) } else { Err(self.unexpected(&format!("`{token}`"))) }
    }

    fn unexpected(&self, wanted: &str) -> Reason {
        format!("expected {wanted} in the header, found `{}`", cut(self.rest))
    }

    fn string(&mut self) -> Result<&'a str, Reason> {
        self.skip();
        let quote = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let quote = quote.ok_or_else(|| self.unexpected("a string"))?;
        let (text, rest) =
            self.rest[1..].split_once(quote).ok_or_else(|| self.unexpected("the end of a string"))?;
        self.rest = rest;
        Ok(text)
    }

    fn descr(&mut self) -> Result<&'a str, Reason> {
        self.skip();
        match self.rest.starts_with('[') {
            true => Err("the elements are records; save each of their fields as an array of its own".into()),
            false => self.string(),
        }
    }

    fn flag(&mut self) -> Result<bool, Reason> {
        match (self.take("True"), self.take("False")) {
            (true, _) => Ok(true),
            (_, true) => Ok(false),
            _ => Err(self.unexpected("True or False")),
        }
    }

    fn shape(&mut self) -> Result<Shape, Reason> {
        let mut shape = vec![];
        self.expect("(")?;
        while !self.take(")") {
            if shape.len() == MOST_DIMENSIONS {
                return Err(format!("expected at most {MOST_DIMENSIONS} dimensions, found more"));
            }
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            shape.push(digits.parse().map_err(|_| self.unexpected("a dimension"))?);
            // Python 2 wrote long integers as `3L`.
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(shape)
    }
}

/// Kind, bytes and byte order of a type's code.
fn code_parts(code: &str) -> Result<(char, usize, bool), Reason> {
    let unknown = || format!("expected a type such as `<f4`, found `{}`", cut(code));
    let mut letters = code.chars();
    let order = letters.next().ok_or_else(unknown)?;
    let kind = letters.next().ok_or_else(unknown)?;
    let big_endian = match order {
        '<' | '|' => false,
        '>' => true,
        '=' => cfg!(target_endian = "big"),
        _ => return Err(unknown()),
    };
    match kind {
        'O' => {
            Err("the elements are pickled objects, which are programs and are never loaded; save numbers"
                .into())
        }
        'U' | 'S' | 'a' => Err("the elements are strings; save them as text, or as numbers".into()),
        'c' => {
            Err("the elements are complex; save their real and imaginary parts as arrays of floats".into())
        }
        'M' | 'm' => Err("the elements are times; save them as numbers of a unit".into()),
        'V' => Err("the elements are raw bytes; save bfloat16 as float32, records field by field".into()),
        _ => letters.as_str().parse().map(|size| (kind, size, big_endian)).map_err(|_| unknown()),
    }
}

/// The beginning of a text from a file, for a message.
fn cut(text: &str) -> String {
    text.chars().take(20).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
