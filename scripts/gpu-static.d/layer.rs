//! A Vulkan layer that writes down what the driver's compiler makes of compute pipelines. For each that is made while
//! `$GPU_STATIC_OUT/name` holds a name, that folder gets
//!
//! - `NAME.stats`: lines of statistic, tab, value, as the driver calls them; and `Lanes`, of a subgroup
//! - `NAME.KIND.txt`: each of the driver's representations of it, the last of which is the assembly
//!
//! The driver must have `VK_KHR_pipeline_executable_properties`; the device is made with it, and each pipeline with the
//! flags to keep these. Everything else goes to the driver as it comes.
#![expect(clippy::missing_safety_doc, reason = "Vulkan says what its functions are given")]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_void};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::{env, fs, mem, ptr, slice};

use ash::vk;
use vk::Handle as _;

const EXTENSION: &CStr = c"VK_KHR_pipeline_executable_properties";

// What the loader chains to a layer's VkInstanceCreateInfo and VkDeviceCreateInfo (vulkan/vk_layer.h).
const LOADER_INSTANCE: i32 = 47;
const LOADER_DEVICE: i32 = 48;
const LINK_INFO: i32 = 0;

#[repr(C)]
struct LayerCreateInfo {
    s_type: i32,
    next: *const c_void,
    function: i32,
    link: *mut LayerLink,
}

#[repr(C)]
struct LayerLink {
    next: *mut LayerLink,
    get_instance: vk::PFN_vkGetInstanceProcAddr,
    get_device: vk::PFN_vkGetDeviceProcAddr, // in a device's chain only
}

/// `VkNegotiateLayerInterface`
#[repr(C)]
pub struct Negotiate {
    s_type: i32,
    next: *mut c_void,
    version: u32,
    get_instance: Option<vk::PFN_vkGetInstanceProcAddr>,
    get_device: Option<vk::PFN_vkGetDeviceProcAddr>,
    get_physical: *const c_void,
}

/// The next layer's or the driver's functions, by [`key`].
#[derive(Default)]
struct State {
    instances: HashMap<usize, (vk::PFN_vkGetInstanceProcAddr, vk::Instance)>,
    devices: HashMap<usize, vk::PFN_vkGetDeviceProcAddr>,
}

fn state() -> MutexGuard<'static, State> {
    static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Dispatchable handles of one instance or device share what they point to.
fn key(handle: u64) -> usize {
    unsafe { *(handle as *const usize) }
}

unsafe fn next_instance_function(instance: vk::Instance, name: &CStr) -> vk::PFN_vkVoidFunction {
    let (get, handle) = *state().instances.get(&key(instance.as_raw()))?;
    unsafe { get(handle, name.as_ptr()) }
}

unsafe fn next_device_function(device: vk::Device, name: &CStr) -> vk::PFN_vkVoidFunction {
    let get = *state().devices.get(&key(device.as_raw()))?;
    unsafe { get(device, name.as_ptr()) }
}

/// The next layer's or the driver's function of this name, as what it is; returns from the function around it if there
/// is none.
macro_rules! function {
    ($found:expr, $type:ty) => {
        match $found {
            Some(function) => mem::transmute::<unsafe extern "system" fn(), $type>(function),
            None => return vk::Result::ERROR_INITIALIZATION_FAILED,
        }
    };
}

/// A function of this layer as Vulkan hands functions out.
macro_rules! handed_out {
    ($function:expr, $type:ty) => {
        unsafe { mem::transmute::<$type, vk::PFN_vkVoidFunction>($function) }
    };
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn vkNegotiateLoaderLayerInterfaceVersion(negotiate: *mut Negotiate) -> vk::Result {
    let negotiate = unsafe { &mut *negotiate };
    negotiate.version = negotiate.version.min(2);
    negotiate.get_instance = Some(get_instance_proc_addr);
    negotiate.get_device = Some(get_device_proc_addr);
    negotiate.get_physical = ptr::null();
    vk::Result::SUCCESS
}

unsafe extern "system" fn get_instance_proc_addr(
    instance: vk::Instance,
    name: *const c_char,
) -> vk::PFN_vkVoidFunction {
    let name = unsafe { CStr::from_ptr(name) };
    match name.to_bytes() {
        b"vkGetInstanceProcAddr" => handed_out!(get_instance_proc_addr, vk::PFN_vkGetInstanceProcAddr),
        b"vkGetDeviceProcAddr" => handed_out!(get_device_proc_addr, vk::PFN_vkGetDeviceProcAddr),
        b"vkCreateInstance" => handed_out!(create_instance, vk::PFN_vkCreateInstance),
        b"vkCreateDevice" => handed_out!(create_device, vk::PFN_vkCreateDevice),
        _ if instance.is_null() => None,
        _ => unsafe { next_instance_function(instance, name) },
    }
}

unsafe extern "system" fn get_device_proc_addr(device: vk::Device, name: *const c_char) -> vk::PFN_vkVoidFunction {
    let name = unsafe { CStr::from_ptr(name) };
    match name.to_bytes() {
        b"vkGetDeviceProcAddr" => handed_out!(get_device_proc_addr, vk::PFN_vkGetDeviceProcAddr),
        b"vkCreateComputePipelines" => handed_out!(create_compute_pipelines, vk::PFN_vkCreateComputePipelines),
        _ => unsafe { next_device_function(device, name) },
    }
}

/// The link to what comes after this layer, moved on for the layer after it.
unsafe fn next_link(mut next: *const c_void, s_type: i32) -> Option<&'static LayerLink> {
    while !next.is_null() {
        let info = unsafe { &mut *next.cast_mut().cast::<LayerCreateInfo>() };
        if info.s_type == s_type && info.function == LINK_INFO {
            let link = unsafe { &*info.link };
            info.link = link.next;
            return Some(link);
        }
        next = info.next;
    }
    None
}

unsafe extern "system" fn create_instance(
    info: *const vk::InstanceCreateInfo,
    allocator: *const vk::AllocationCallbacks,
    instance: *mut vk::Instance,
) -> vk::Result {
    unsafe {
        let Some(link) = next_link((*info).p_next, LOADER_INSTANCE) else {
            return vk::Result::ERROR_INITIALIZATION_FAILED;
        };
        let get = link.get_instance;
        let create = function!(get(vk::Instance::null(), c"vkCreateInstance".as_ptr()), vk::PFN_vkCreateInstance);
        let result = create(info, allocator, instance);
        if result == vk::Result::SUCCESS {
            state().instances.insert(key((*instance).as_raw()), (get, *instance));
        }
        result
    }
}

unsafe extern "system" fn create_device(
    physical: vk::PhysicalDevice,
    info: *const vk::DeviceCreateInfo,
    allocator: *const vk::AllocationCallbacks,
    device: *mut vk::Device,
) -> vk::Result {
    unsafe {
        let Some(link) = next_link((*info).p_next, LOADER_DEVICE) else {
            return vk::Result::ERROR_INITIALIZATION_FAILED;
        };
        let (get_instance, get_device) = (link.get_instance, link.get_device);
        // A physical device has the key of its instance.
        let Some(&(_, instance)) = state().instances.get(&key(physical.as_raw())) else {
            return vk::Result::ERROR_INITIALIZATION_FAILED;
        };
        let create = function!(get_instance(instance, c"vkCreateDevice".as_ptr()), vk::PFN_vkCreateDevice);
        let mut names = match (*info).enabled_extension_count {
            0 => Vec::new(),
            count => slice::from_raw_parts((*info).pp_enabled_extension_names, count as usize).to_vec(),
        };
        names.push(EXTENSION.as_ptr());
        let feature = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR {
            p_next: (*info).p_next.cast_mut(),
            pipeline_executable_info: vk::TRUE,
            ..Default::default()
        };
        let changed = vk::DeviceCreateInfo {
            p_next: ptr::from_ref(&feature).cast(),
            enabled_extension_count: names.len() as u32,
            pp_enabled_extension_names: names.as_ptr(),
            ..*info
        };
        let result = create(physical, &changed, allocator, device);
        if result == vk::Result::SUCCESS {
            state().devices.insert(key((*device).as_raw()), get_device);
        } else {
            eprintln!("gpu_static_layer: no device with {EXTENSION:?}: {result:?}");
        }
        result
    }
}

unsafe extern "system" fn create_compute_pipelines(
    device: vk::Device,
    cache: vk::PipelineCache,
    count: u32,
    infos: *const vk::ComputePipelineCreateInfo,
    allocator: *const vk::AllocationCallbacks,
    pipelines: *mut vk::Pipeline,
) -> vk::Result {
    unsafe {
        let create =
            function!(next_device_function(device, c"vkCreateComputePipelines"), vk::PFN_vkCreateComputePipelines);
        let mut infos = slice::from_raw_parts(infos, count as usize).to_vec();
        for info in &mut infos {
            info.flags |= vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
        }
        let result = create(device, cache, count, infos.as_ptr(), allocator, pipelines);
        if result != vk::Result::SUCCESS {
            return result;
        }
        for &pipeline in slice::from_raw_parts(pipelines, count as usize) {
            let _ = write_down(device, pipeline);
        }
        result
    }
}

/// Calls a function that fills a list: first for its length, then for what is in it.
fn filled<T: Clone + Default>(mut call: impl FnMut(&mut u32, *mut T) -> vk::Result) -> Vec<T> {
    let mut count = 0;
    let _ = call(&mut count, ptr::null_mut());
    let mut list = vec![T::default(); count as usize];
    let _ = call(&mut count, list.as_mut_ptr());
    list
}

fn text(name: &[c_char]) -> String {
    unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned()
}

unsafe fn write_down(device: vk::Device, pipeline: vk::Pipeline) -> vk::Result {
    let Some(out) = env::var_os("GPU_STATIC_OUT").map(PathBuf::from) else { return vk::Result::SUCCESS };
    // Before the first name, wgpu makes pipelines of its own.
    let Ok(name) = fs::read_to_string(out.join("name")) else { return vk::Result::SUCCESS };
    let next = |name| unsafe { next_device_function(device, name) };
    let (properties, statistics, representations) = unsafe {
        (
            function!(next(c"vkGetPipelineExecutablePropertiesKHR"), vk::PFN_vkGetPipelineExecutablePropertiesKHR),
            function!(next(c"vkGetPipelineExecutableStatisticsKHR"), vk::PFN_vkGetPipelineExecutableStatisticsKHR),
            function!(
                next(c"vkGetPipelineExecutableInternalRepresentationsKHR"),
                vk::PFN_vkGetPipelineExecutableInternalRepresentationsKHR
            ),
        )
    };
    // A compute pipeline is one executable.
    let of = vk::PipelineExecutableInfoKHR { pipeline, executable_index: 0, ..Default::default() };
    let of_pipeline = vk::PipelineInfoKHR { pipeline, ..Default::default() };
    let mut lines = String::new();
    for vk::PipelineExecutablePropertiesKHR { subgroup_size, .. } in
        filled(|count, list| unsafe { properties(device, &of_pipeline, count, list) })
    {
        let _ = writeln!(lines, "Lanes\t{subgroup_size}");
    }
    for statistic in filled(|count, list| unsafe { statistics(device, &of, count, list) }) {
        let vk::PipelineExecutableStatisticKHR { format, value, .. } = statistic;
        let value = match format {
            vk::PipelineExecutableStatisticFormatKHR::BOOL32 => unsafe { value.b32 }.to_string(),
            vk::PipelineExecutableStatisticFormatKHR::INT64 => unsafe { value.i64 }.to_string(),
            vk::PipelineExecutableStatisticFormatKHR::UINT64 => unsafe { value.u64 }.to_string(),
            _ => unsafe { value.f64 }.to_string(),
        };
        let _ = writeln!(lines, "{}\t{value}", text(&statistic.name));
    }
    let mut found: Vec<vk::PipelineExecutableInternalRepresentationKHR> =
        filled(|count, list| unsafe { representations(device, &of, count, list) });
    let mut room: Vec<Vec<u8>> = found.iter().map(|one| vec![0; one.data_size]).collect();
    for (one, room) in found.iter_mut().zip(&mut room) {
        one.p_data = room.as_mut_ptr().cast();
    }
    let mut count = found.len() as u32;
    let _ = unsafe { representations(device, &of, &mut count, found.as_mut_ptr()) };
    let written = found.iter().zip(&room).try_for_each(|(one, room)| {
        let kind: String = text(&one.name).chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let end = room.iter().position(|&byte| byte == 0).unwrap_or(room.len());
        fs::write(out.join(format!("{name}.{kind}.txt")), &room[..end])
    });
    if let Err(error) = written.and_then(|()| fs::write(out.join(format!("{name}.stats")), lines)) {
        eprintln!("gpu_static_layer: {}: {error}", out.display());
    }
    vk::Result::SUCCESS
}

// Loaders before interface version 2 look for these by name.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn vkGetInstanceProcAddr(
    instance: vk::Instance,
    name: *const c_char,
) -> vk::PFN_vkVoidFunction {
    unsafe { get_instance_proc_addr(instance, name) }
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn vkGetDeviceProcAddr(device: vk::Device, name: *const c_char) -> vk::PFN_vkVoidFunction {
    unsafe { get_device_proc_addr(device, name) }
}
