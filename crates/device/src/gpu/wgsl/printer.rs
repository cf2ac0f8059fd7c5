//! What every printed kernel shares: nested scopes of lines, parameters, addresses, loads and stores.
//!
//! A scope is a block of the text under construction; while an inner one (a loop) is open, invariant parts of addresses
//! still go to the outer one. Sizes and constants become members of the uniform `params`, so that kernels
//! that differ in sizes alone come out as the same text.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::Target;
use crate::dtype::{DType, Scalar, Value};
use crate::kernel::{Access, Affine, Kernel, Map};

/// A loop variable in the text.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    /// Its name; an `i32`.
    pub(crate) name: String,
    /// The scope it is defined in.
    pub(crate) level: usize,
}

/// The loop variables at one place of the text, in kernel order; `None` where a variable is 0.
pub(crate) type Frame = Vec<Option<Variable>>;

/// A sum of earlier names: what is added to, name and factor of the terms, and a constant.
type SumKey = (Option<String>, Vec<(String, i64)>, i64);

/// A variable with its factor, which stands in the kernel.
type Term<'a> = (&'a Variable, &'a i64);

#[derive(Default)]
struct Scope {
    head: String,
    lines: String,
    sums: HashMap<SumKey, String>,
}

/// What the printer says of 64-bit types, which [`crate::Device::compile`] refuses.
pub(crate) const WIDE: &str = "WGSL has no 64-bit types";

/// The type a register has in WGSL.
pub(crate) const fn wgsl_type(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::F32 => "f32",
        Scalar::I32 => "i32",
        Scalar::U32 => "u32",
        Scalar::Bool => "bool",
        Scalar::F64 | Scalar::I64 => panic!("WGSL has no 64-bit types"),
    }
}

/// Builds the text of one kernel.
pub(crate) struct Printer<'k> {
    pub(crate) kernel: &'k Kernel,
    target: Target,
    scopes: Vec<Scope>,
    params: Vec<u32>,
    members: String,
    shared: HashMap<usize, String>,
    sites: Vec<usize>,
    globals: String,
    names: usize,
}

/// What a printer has gathered when the text is complete.
pub(crate) struct Gathered {
    pub(crate) body: String,
    pub(crate) globals: String,
    pub(crate) members: String,
    pub(crate) params: Vec<u32>,
    pub(crate) sites: Vec<usize>,
}

impl<'k> Printer<'k> {
    pub(crate) fn new(kernel: &'k Kernel, target: Target) -> Printer<'k> {
        Printer {
            kernel,
            target,
            scopes: vec![Scope::default()],
            params: vec![],
            members: String::new(),
            shared: HashMap::new(),
            sites: vec![],
            globals: String::new(),
            names: 0,
        }
    }

    pub(crate) fn finish(mut self) -> Gathered {
        while self.scopes.len() > 1 {
            self.close("}");
        }
        Gathered {
            body: self.scopes.pop().map(|s| s.lines).unwrap_or_default(),
            globals: self.globals,
            members: self.members,
            params: self.params,
            sites: self.sites,
        }
    }

    /// The scope that lines go to now.
    pub(crate) fn level(&self) -> usize {
        self.scopes.len() - 1
    }

    /// Adds a line to the current scope.
    pub(crate) fn line(&mut self, text: &str) {
        let level = self.level();
        self.line_at(level, text);
    }

    fn line_at(&mut self, level: usize, text: &str) {
        let scope = &mut self.scopes[level];
        let _ = writeln!(scope.lines, "{:1$}{text}", "", 4 * (level + 1));
    }

    /// Adds a declaration outside of the entry point, once.
    pub(crate) fn global(&mut self, text: &str) {
        if !self.globals.contains(text) {
            self.globals.push_str(text);
            self.globals.push('\n');
        }
    }

    /// The lines printed so far, for a template to hold.
    pub(crate) fn take_lines(&mut self) -> String {
        let level = self.level();
        std::mem::take(&mut self.scopes[level].lines)
    }

    /// Opens a scope with its first line, which is held back: what is invariant in the scope goes before it.
    pub(crate) fn open(&mut self, head: &str) {
        self.scopes.push(Scope { head: head.to_owned(), ..Scope::default() });
    }

    /// Closes the current scope with its last line.
    pub(crate) fn close(&mut self, tail: &str) {
        if let Some(scope) = self.scopes.pop() {
            self.line(&scope.head);
            let level = self.level();
            self.scopes[level].lines.push_str(&scope.lines);
            self.line(tail);
        }
    }

    /// A name not used before.
    pub(crate) fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn parameter(&mut self, scalar: &str, bits: u32) -> String {
        let name = format!("p{}", self.params.len());
        let _ = writeln!(self.members, "    {name}: {scalar},");
        self.params.push(bits);
        format!("params.{name}")
    }

    /// An `i32` parameter.
    pub(crate) fn size(&mut self, value: i64) -> String {
        self.parameter("i32", value as i32 as u32)
    }

    /// An `i32` parameter for a number of the kernel, the same one wherever that number is used.
    fn shared(&mut self, number: &i64) -> String {
        let place = std::ptr::from_ref(number).addr();
        if let Some(name) = self.shared.get(&place) {
            return name.clone();
        }
        let name = self.size(*number);
        self.shared.insert(place, name.clone());
        name
    }

    /// A `u32` parameter.
    pub(crate) fn count(&mut self, value: usize) -> String {
        self.parameter("u32", value as u32)
    }

    /// The number of a check site; the device adds the program's base.
    pub(crate) fn site(&mut self, site: u32) -> String {
        self.sites.push(self.params.len());
        self.parameter("u32", site)
    }

    /// A constant: a literal where it is trivial, else a parameter.
    pub(crate) fn constant(&mut self, value: Value) -> String {
        match value {
            Value::Bool(b) => b.to_string(),
            Value::I32(v @ (0 | 1)) => format!("{v}i"),
            Value::U32(v @ (0 | 1)) => format!("{v}u"),
            Value::F32(v) if [1.0, -1.0, 0.5, 2.0].contains(&v) || v.to_bits() == 0 => format!("{v:?}f"),
            other => self.parameter(wgsl_type(other.scalar()), other.word()),
        }
    }

    /// The value of an affine function of the kernel in a frame, as an `i32` expression; parts that are invariant in the
    /// current scope are computed in the outer ones.
    pub(crate) fn affine(&mut self, frame: &Frame, affine: &Affine) -> String {
        let mut sum: Option<String> = None;
        for level in 0..=self.level() {
            let terms: Vec<Term> = frame
                .iter()
                .zip(&affine.coefficients)
                .filter_map(|(variable, factor)| variable.as_ref().map(|v| (v, factor)))
                .filter(|(variable, factor)| variable.level == level && **factor != 0)
                .collect();
            let offset = Some(&affine.offset).filter(|offset| level == 0 && **offset != 0);
            sum = self.sum(level, sum, &terms, offset);
        }
        sum.unwrap_or_else(|| "0i".into())
    }

    fn sum(
        &mut self,
        level: usize,
        base: Option<String>,
        terms: &[Term],
        offset: Option<&i64>,
    ) -> Option<String> {
        match (&base, terms, offset) {
            (_, [], None) => return base,
            (None, [(variable, 1)], None) => return Some(variable.name.clone()),
            _ => {}
        }
        let named = terms.iter().map(|(v, factor)| (v.name.clone(), **factor)).collect();
        let key = (base, named, offset.copied().unwrap_or(0));
        if let Some(name) = self.scopes[level].sums.get(&key) {
            return Some(name.clone());
        }
        let mut parts: Vec<String> = key.0.iter().cloned().collect();
        for (variable, factor) in terms {
            parts.push(match factor {
                1 => variable.name.clone(),
                factor => format!("{} * {}", variable.name, self.shared(factor)),
            });
        }
        if let Some(offset) = offset {
            parts.push(self.shared(offset));
        }
        let name = self.fresh("n");
        self.line_at(level, &format!("let {name} = {};", parts.join(" + ")));
        self.scopes[level].sums.insert(key, name.clone());
        Some(name)
    }

    /// Address and, where the map has guards, the condition of being inside (both names or literals).
    pub(crate) fn address(&mut self, frame: &Frame, map: &Map) -> (String, Option<String>) {
        let base = self.affine(frame, &map.base);
        if map.guards.is_empty() {
            return (base, None);
        }
        let mut address = vec![];
        if base != "0i" {
            address.push(base);
        }
        let mut inside = vec![];
        for guard in &map.guards {
            let position = self.affine(frame, &guard.position);
            let mut coordinate = position.clone();
            if guard.divisor != 1 {
                let divisor = self.shared(&guard.divisor);
                coordinate = self.fresh("q");
                self.line(&format!("let {coordinate} = {position} / {divisor};"));
                inside.push(format!("{position} >= 0i && {coordinate} * {divisor} == {position}"));
            }
            let extent = self.shared(&guard.extent);
            inside.push(format!("u32({coordinate}) < u32({extent})"));
            match guard.stride {
                0 => {}
                1 => address.push(coordinate),
                _ => {
                    let stride = self.shared(&guard.stride);
                    address.push(format!("{coordinate} * {stride}"));
                }
            }
        }
        let (name, ok) = (self.fresh("a"), self.fresh("ok"));
        if address.is_empty() {
            address.push("0i".into());
        }
        self.line(&format!("let {name} = {};", address.join(" + ")));
        self.line(&format!("let {ok} = {};", inside.join(" && ")));
        (name, Some(ok))
    }

    fn stored_as_half(&self, dtype: DType) -> bool {
        dtype == DType::F16 && self.target.f16
    }

    /// The type of an element in memory.
    pub(crate) fn stored_type(&self, dtype: DType) -> &'static str {
        match dtype {
            DType::F16 if self.target.f16 => "f16",
            DType::F32 | DType::F16 | DType::BF16 => "f32",
            DType::I32 => "i32",
            DType::U32 | DType::U8 | DType::Bool => "u32",
            DType::F64 | DType::I64 => unreachable!("{WIDE}"),
        }
    }

    /// The register value of an element at an address.
    pub(crate) fn element(&self, buffer: usize, address: &str) -> String {
        let dtype = self.kernel.buffers[buffer].dtype;
        let text = format!("b{buffer}[{address}]");
        match dtype {
            DType::F16 if self.stored_as_half(dtype) => format!("f32({text})"),
            DType::Bool => format!("({text} != 0u)"),
            _ => text,
        }
    }

    /// The statement that stores a register at an address.
    pub(crate) fn assignment(&self, buffer: usize, address: &str, value: &str) -> String {
        let dtype = self.kernel.buffers[buffer].dtype;
        let stored = match dtype {
            DType::F32 | DType::I32 | DType::U32 => value.to_owned(),
            DType::F64 | DType::I64 => unreachable!("{WIDE}"),
            DType::F16 if self.stored_as_half(dtype) => format!("f16(kiln_round_f16({value}))"),
            DType::F16 => format!("kiln_round_f16({value})"),
            DType::BF16 => format!("kiln_round_bf16({value})"),
            DType::U8 => format!("({value} & 255u)"),
            DType::Bool => format!("u32({value})"),
        };
        format!("b{buffer}[{address}] = {stored};")
    }

    /// The declaration of a storage buffer.
    pub(crate) fn declaration(&self, buffer: usize) -> String {
        let binding = &self.kernel.buffers[buffer];
        let access = match binding.access {
            Access::Read => "read",
            Access::Write | Access::ReadWrite => "read_write",
        };
        let element = self.stored_type(binding.dtype);
        format!("@group(0) @binding({buffer}) var<storage, {access}> b{buffer}: array<{element}>;\n")
    }
}
