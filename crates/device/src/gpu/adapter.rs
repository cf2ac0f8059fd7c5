//! Which adapter a name means, and the device opened on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::GpuExecutor;
use super::fault::lock;
use crate::device::DeviceKind;
use crate::error::{Error, Result};

/// An adapter and the name it is opened by.
struct Named {
    name: String,
    adapter: wgpu::Adapter,
}

/// Real processors first, discrete before integrated, then software rasterisers.
fn rank(adapter: &wgpu::Adapter) -> usize {
    match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    descriptor.flags =
        if cfg!(debug_assertions) { wgpu::InstanceFlags::DEBUG } else { wgpu::InstanceFlags::empty() };
    wgpu::Instance::new(descriptor)
}

/// Every adapter of this machine with its name.
fn adapters() -> Vec<Named> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let mut adapters = pollster::block_on(instance().enumerate_adapters(backends));
    adapters.retain(|a| a.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS));
    adapters.sort_by_key(rank);
    let (mut real, mut software) = (0, 0);
    let numbered = |stem: &str, count: &mut usize| {
        *count += 1;
        match *count {
            1 => stem.to_owned(),
            n => format!("{stem}:{}", n - 1),
        }
    };
    adapters
        .into_iter()
        .map(|adapter| {
            let name = match kind(&adapter.get_info()) {
                DeviceKind::Software => numbered("software", &mut software),
                _ => numbered("gpu", &mut real),
            };
            Named { name, adapter }
        })
        .collect()
}

/// What kind of device an adapter is.
pub(crate) fn kind(info: &wgpu::AdapterInfo) -> DeviceKind {
    if info.device_type == wgpu::DeviceType::Cpu { DeviceKind::Software } else { DeviceKind::Gpu }
}

/// The best adapter there is, software or not.
#[cfg(test)]
pub(crate) fn first() -> Option<wgpu::Adapter> {
    adapters().into_iter().next().map(|named| named.adapter)
}

/// The names that can be opened.
pub(crate) fn available() -> Vec<String> {
    adapters().into_iter().map(|a| a.name).collect()
}

fn unknown(asked: &str, adapters: &[Named]) -> Error {
    let names: Vec<&str> = std::iter::once("cpu").chain(adapters.iter().map(|a| a.name.as_str())).collect();
    let hint = if !asked.starts_with("gpu") && asked != "software" {
        ""
    } else if adapters.is_empty() {
        "; no Vulkan, Metal or DX12 driver was found"
    } else if names.contains(&"gpu") {
        ""
    } else {
        "; no graphics processor was found; `software` runs the WGSL path slowly"
    };
    Error::UnknownDevice { asked: asked.to_owned(), available: names.join(", "), hint: hint.to_owned() }
}

/// Opens the adapter of a name, once per process; a lost device is opened anew.
pub(crate) fn open(name: &str) -> Result<Arc<GpuExecutor>> {
    static OPEN: Mutex<BTreeMap<String, Arc<GpuExecutor>>> = Mutex::new(BTreeMap::new());
    let mut open = lock(&OPEN);
    let asked = if name == "gpu:0" { "gpu" } else { name };
    if let Some(executor) = open.get(asked).filter(|e| !e.is_lost()) {
        return Ok(executor.clone());
    }
    let adapters = adapters();
    let Some(named) = adapters.iter().find(|a| a.name == asked) else {
        return Err(unknown(name, &adapters));
    };
    let executor = Arc::new(GpuExecutor::new(&named.adapter)?);
    open.insert(asked.to_owned(), executor.clone());
    Ok(executor)
}

/// A device with all limits of its adapter and the optional features that Kiln uses.
pub(crate) fn request(adapter: &wgpu::Adapter) -> Result<(wgpu::Device, wgpu::Queue)> {
    let optional = wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP | wgpu::Features::TIMESTAMP_QUERY;
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("kiln"),
        required_features: adapter.features() & optional,
        required_limits: adapter.limits(),
        // Kiln pools buffers itself.
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..Default::default()
    };
    pollster::block_on(adapter.request_device(&descriptor))
        .map_err(|error| Error::Open { device: adapter.get_info().name, reason: error.to_string() })
}
