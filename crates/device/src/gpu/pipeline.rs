//! Compiled kernels, by their text.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use super::context::Context;
use super::fault::lock;
use super::reports::PAGE_BYTES;
use super::wgsl::Printed;
use crate::error::{Error, Result};

/// A compiled kernel and the layout of its bindings.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
}

/// All pipelines of a device.
#[derive(Debug, Default)]
pub(crate) struct Pipelines {
    by_text: Mutex<HashMap<String, Arc<Pipeline>>>,
}

impl Pipelines {
    /// Number of distinct texts compiled.
    pub(crate) fn count(&self) -> usize {
        lock(&self.by_text).len()
    }

    /// The pipelines of these kernels, in their order; what is missing is compiled in parallel.
    pub(crate) fn get(&self, context: &Context, kernels: &[Printed]) -> Result<Vec<Arc<Pipeline>>> {
        let mut missing: Vec<&Printed> = vec![];
        {
            let known = lock(&self.by_text);
            for kernel in kernels {
                let seen = missing.iter().any(|m| m.text == kernel.text);
                if !seen && !known.contains_key(&kernel.text) {
                    missing.push(kernel);
                }
            }
        }
        let compiled: Vec<Pipeline> =
            missing.par_iter().map(|kernel| compile(context, kernel)).collect::<Result<_>>()?;
        let mut known = lock(&self.by_text);
        for (kernel, pipeline) in missing.into_iter().zip(compiled) {
            known.entry(kernel.text.clone()).or_insert_with(|| Arc::new(pipeline));
        }
        kernels
            .iter()
            .map(|kernel| {
                known.get(&kernel.text).cloned().ok_or_else(|| Error::Kernel("a pipeline is missing".into()))
            })
            .collect()
    }
}

fn entry(binding: usize, ty: wgpu::BufferBindingType) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding: binding as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}

/// The page of the thread that runs the kernel.
fn reports_entry(binding: usize) -> wgpu::BindGroupLayoutEntry {
    let ty = wgpu::BindingType::Buffer {
        ty: wgpu::BufferBindingType::Storage { read_only: false },
        has_dynamic_offset: true,
        min_binding_size: wgpu::BufferSize::new(PAGE_BYTES),
    };
    wgpu::BindGroupLayoutEntry { ty, ..entry(binding, wgpu::BufferBindingType::Uniform) }
}

fn compile(context: &Context, kernel: &Printed) -> Result<Pipeline> {
    let device = &context.device;
    let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
    let mut entries: Vec<_> =
        kernel.read_only.iter().enumerate().map(|(at, read_only)| entry(at, storage(*read_only))).collect();
    entries.push(entry(entries.len(), wgpu::BufferBindingType::Uniform));
    if kernel.checks {
        entries.push(reports_entry(entries.len()));
    }
    context
        .faults
        .scoped(device, || {
            let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: None,
                entries: &entries,
            });
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: None,
                source: wgpu::ShaderSource::Wgsl(kernel.text.as_str().into()),
            });
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                // Every kernel writes workgroup memory before it reads it.
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: None,
            });
            Pipeline { pipeline, layout }
        })
        .map_err(|error| match error {
            Error::Kernel(message) => Error::Kernel(format!("{message}\n{}", kernel.text)),
            other => other,
        })
}
