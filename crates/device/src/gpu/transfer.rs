//! Elements between host and device: conversion, staging, copies.

use std::sync::mpsc;

use half::{bf16, f16};

use super::context::Context;
use super::memory::Memory;
use super::reports::{PAGE_BYTES, Pages};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::memory::{Buffer, Storage};

/// Bytes that are staged at a time.
const PIECE: usize = 16 << 20;

/// A read-back under way.
struct Pending {
    staging: wgpu::Buffer,
    bytes: usize,
    index: wgpu::SubmissionIndex,
    mapped: mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>,
}

/// True where host and device hold the same bytes.
fn is_plain(dtype: DType, element: usize) -> bool {
    dtype.host_size() == element
}

/// Host elements as the device stores them, four bytes each.
fn widen(dtype: DType, host: &[u8]) -> Vec<u8> {
    let floats = |value: fn([u8; 2]) -> f32| {
        host.chunks_exact(2).flat_map(|b| value([b[0], b[1]]).to_ne_bytes()).collect()
    };
    match dtype {
        DType::F16 => floats(|b| f16::from_ne_bytes(b).to_f32()),
        DType::BF16 => floats(|b| bf16::from_ne_bytes(b).to_f32()),
        DType::U8 => host.iter().flat_map(|b| u32::from(*b).to_ne_bytes()).collect(),
        DType::Bool => host.iter().flat_map(|b| u32::from(*b != 0).to_ne_bytes()).collect(),
        DType::F32 | DType::I32 | DType::U32 | DType::F64 | DType::I64 => host.to_vec(),
    }
}

/// Device elements of four bytes as the host wants them.
fn narrow(dtype: DType, device: &[u8], host: &mut [u8]) {
    let words = device.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
    let halves = |host: &mut [u8], value: fn(f32) -> [u8; 2]| {
        for (to, from) in host.chunks_exact_mut(2).zip(words.clone()) {
            to.copy_from_slice(&value(f32::from_ne_bytes(from)));
        }
    };
    match dtype {
        DType::F16 => halves(host, |v| f16::from_f32(v).to_ne_bytes()),
        DType::BF16 => halves(host, |v| bf16::from_f32(v).to_ne_bytes()),
        DType::U8 => host.iter_mut().zip(words).for_each(|(to, w)| *to = u32::from_ne_bytes(w) as u8),
        DType::Bool => {
            host.iter_mut().zip(words).for_each(|(to, w)| *to = u8::from(u32::from_ne_bytes(w) != 0))
        }
        DType::F32 | DType::I32 | DType::U32 | DType::F64 | DType::I64 => host.copy_from_slice(device),
    }
}

/// How long a callback may take after its work is done.
const DELIVERY: std::time::Duration = std::time::Duration::from_secs(30);

impl Context {
    /// The memory behind a handle.
    pub(crate) fn memory<'b>(&self, buffer: &'b Buffer) -> Result<&'b Memory> {
        match buffer.storage() {
            Storage::Gpu(memory) if memory.is_of(&self.pool) => Ok(memory),
            _ => Err(Error::Buffer(format!("the buffer is not on `{}`; copy it there first", self.name))),
        }
    }

    /// The wgpu buffer behind a handle, and its number.
    pub(crate) fn slot<'b>(&self, buffer: &'b Buffer) -> Result<(&'b wgpu::Buffer, u64)> {
        self.memory(buffer)?.slot()
    }

    /// Writes host elements.
    pub(crate) fn upload(&self, buffer: &Buffer, dtype: DType, first: usize, host: &[u8]) -> Result<()> {
        self.check()?;
        let (raw, _) = self.slot(buffer)?;
        let element = self.element_size(dtype);
        if is_plain(dtype, element) {
            return self.write(raw, buffer.bytes(), first * element, host);
        }
        let piece = PIECE / 4;
        for (at, part) in host.chunks(piece * dtype.host_size()).enumerate() {
            let wide = widen(dtype, part);
            self.write(raw, buffer.bytes(), (first + at * piece) * element, &wide)?;
        }
        Ok(())
    }

    /// Writes bytes at any even offset; neighbours that share a word are kept.
    fn write(&self, raw: &wgpu::Buffer, used: usize, offset: usize, bytes: &[u8]) -> Result<()> {
        let (from, to) = (offset & !3, (offset + bytes.len()).next_multiple_of(4));
        if from == offset && to == offset + bytes.len() {
            for (at, part) in bytes.chunks(PIECE).enumerate() {
                self.queue.write_buffer(raw, (offset + at * PIECE) as u64, part);
                self.queue.submit([]);
            }
            return self.check();
        }
        let mut whole = vec![0; to - from];
        if from != offset {
            self.read(raw, from, &mut whole[..4])?;
        }
        if to != offset + bytes.len() && offset + bytes.len() < used {
            let last = whole.len() - 4;
            self.read(raw, to - 4, &mut whole[last..])?;
        }
        whole[offset - from..][..bytes.len()].copy_from_slice(bytes);
        self.write(raw, used, from, &whole)
    }

    /// Reads elements, after everything submitted; an error where a check failed that they depend on.
    pub(crate) fn download(
        &self,
        buffer: &Buffer,
        dtype: DType,
        first: usize,
        host: &mut [u8],
    ) -> Result<()> {
        self.synchronize_reports(self.memory(buffer)?.pages())?;
        let (raw, _) = self.slot(buffer)?;
        let element = self.element_size(dtype);
        if is_plain(dtype, element) {
            let (offset, end) = (first * element, first * element + host.len());
            let (from, to) = (offset & !3, end.next_multiple_of(4));
            if from == offset && to == end {
                return self.read(raw, from, host);
            }
            let mut whole = vec![0; to - from];
            self.read(raw, from, &mut whole)?;
            host.copy_from_slice(&whole[offset - from..][..host.len()]);
            return Ok(());
        }
        let piece = PIECE / 4;
        let mut device = vec![];
        for (at, part) in host.chunks_mut(piece * dtype.host_size()).enumerate() {
            device.resize(part.len() / dtype.host_size() * 4, 0);
            self.read(raw, (first + at * piece) * element, &mut device)?;
            narrow(dtype, &device, part);
        }
        Ok(())
    }

    /// Reads aligned bytes; the next piece is copied while one is taken from its staging buffer.
    pub(crate) fn read(&self, raw: &wgpu::Buffer, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let mut ahead: Option<Pending> = None;
        let total = bytes.len();
        let starts = (0..total).step_by(PIECE);
        let mut parts = bytes.chunks_mut(PIECE);
        for start in starts {
            let size = PIECE.min(total - start);
            let next = self.start_read(raw, offset + start, size, None)?;
            if let (Some(done), Some(part)) = (ahead.replace(next), parts_if(&mut parts, start > 0)) {
                self.finish_read(done, part)?;
            }
        }
        match (ahead, parts.next()) {
            (Some(done), Some(part)) => self.finish_read(done, part),
            _ => self.check(),
        }
    }

    /// Copies bytes to where the host reads them, and then clears as many as are given.
    fn start_read(
        &self,
        raw: &wgpu::Buffer,
        offset: usize,
        bytes: usize,
        cleared: Option<u64>,
    ) -> Result<Pending> {
        let staging = self.staging(bytes)?;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(raw, offset as u64, &staging, 0, bytes as u64);
        if cleared.is_some() {
            encoder.clear_buffer(raw, offset as u64, cleared);
        }
        let index = self.queue.submit([encoder.finish()]);
        let (sender, mapped) = mpsc::channel();
        staging.slice(..bytes as u64).map_async(wgpu::MapMode::Read, move |result| {
            let _ = sender.send(result);
        });
        Ok(Pending { staging, bytes, index, mapped })
    }

    fn finish_read(&self, pending: Pending, to: &mut [u8]) -> Result<()> {
        let failed = |what: String| self.check().and(Err(Error::Kernel(format!("read-back: {what}"))));
        let wait = wgpu::PollType::Wait { submission_index: Some(pending.index), timeout: None };
        if let Err(error) = self.device.poll(wait) {
            return failed(error.to_string());
        }
        // The copy is done; another thread's poll may be the one that is about to say so.
        match pending.mapped.recv_timeout(DELIVERY) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return failed(error.to_string()),
            Err(error) => return failed(error.to_string()),
        }
        match pending.staging.slice(..pending.bytes as u64).get_mapped_range() {
            Ok(view) => to.copy_from_slice(&view),
            Err(error) => return failed(error.to_string()),
        }
        pending.staging.unmap();
        self.keep_staging(pending.staging);
        self.check()
    }

    /// Waits for submitted work and returns what checks reported on these pages and this thread's own.
    pub(crate) fn synchronize_reports(&self, pages: Pages) -> Result<()> {
        self.check()?;
        self.reports.examine(pages, |at, bytes| {
            let page = self.start_read(self.reports.buffer(), at, bytes.len(), Some(PAGE_BYTES))?;
            self.finish_read(page, bytes)
        })
    }

    /// Copies bytes that start and end at whole words, between buffers or within one.
    pub(crate) fn copy_words(
        &self,
        from: (&wgpu::Buffer, u64),
        to: (&wgpu::Buffer, u64),
        bytes: u64,
    ) -> Result<()> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        if from.0 == to.0 {
            let between = self.pool.allocate(bytes as usize)?;
            let (middle, _) = self.slot(&between)?;
            encoder.copy_buffer_to_buffer(from.0, from.1, middle, 0, bytes);
            encoder.copy_buffer_to_buffer(middle, 0, to.0, to.1, bytes);
            self.queue.submit([encoder.finish()]);
        } else {
            encoder.copy_buffer_to_buffer(from.0, from.1, to.0, to.1, bytes);
            self.queue.submit([encoder.finish()]);
        }
        self.check()
    }
}

/// The next part, where one is due.
fn parts_if<'p>(parts: &mut std::slice::ChunksMut<'p, u8>, due: bool) -> Option<&'p mut [u8]> {
    if due { parts.next() } else { None }
}
