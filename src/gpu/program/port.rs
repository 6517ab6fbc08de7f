//! The program's own buffers and textures for graph inputs and outputs, and the host's tensors, `f32` in NCHW, in them.

use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::vec::HalfFloatVecExt;

use wgpu::{CommandEncoder, TexelCopyBufferInfo, TexelCopyBufferLayout};

use super::bind::Bound;
use super::build::create;
use crate::error::Result;
use crate::gpu::{Gpu, texture};
use crate::plan::{Element, Order, Port};
use crate::tensor::{Shape, Tensor};

/// What a graph input or output is in.
#[derive(Debug)]
pub(in crate::gpu) enum Held {
    /// From an offset on.
    Buffer(wgpu::Buffer, u64),
    Texture(wgpu::Texture),
}

impl Held {
    pub(super) fn new(gpu: &Gpu, port: &Port, written: bool) -> Result<Self> {
        match port.texels {
            None => create(gpu, &port.name, port.bytes()).map(|buffer| Self::Buffer(buffer, 0)),
            Some(texels) => gpu.scoped(|device| texture::create(device, port, texels, written)).map(Self::Texture),
        }
    }

    pub(super) fn of(bound: &Bound) -> Self {
        match bound {
            Bound::Buffer(binding) => Self::Buffer(binding.buffer.clone(), binding.offset),
            Bound::Texture(texture) => Self::Texture((*texture).clone()),
        }
    }

    pub(super) fn bound(&self) -> Bound<'_> {
        match self {
            Self::Buffer(buffer, _) => buffer.into(),
            Self::Texture(texture) => texture.into(),
        }
    }

    /// Writes these bytes, which are those of all values.
    pub(super) fn write(&self, gpu: &Gpu, port: &Port, bytes: &[u8]) {
        match self {
            Self::Buffer(buffer, offset) => gpu.queue().write_buffer(buffer, *offset, bytes),
            // wgpu has no texture of no layers, so the one layer of an empty batch is not the port's.
            Self::Texture(_) if port.shape.is_empty() => {}
            Self::Texture(texture) => {
                let layout = layout(port, port.row_bytes(), 0);
                gpu.queue().write_texture(texture.as_image_copy(), bytes, layout, texture::extent(port));
            }
        }
    }

    /// Copies all to `staging`.
    pub(super) fn read(&self, encoder: &mut CommandEncoder, port: &Port, staging: &wgpu::Buffer, offset: u64) {
        match self {
            Self::Buffer(buffer, begin) => {
                encoder.copy_buffer_to_buffer(buffer, *begin, staging, offset, port.bytes());
            }
            // Its one layer is no image's, and has no room.
            Self::Texture(_) if port.shape.is_empty() => {}
            Self::Texture(texture) => {
                let layout = layout(port, port.staged_row_bytes(), offset);
                let to = TexelCopyBufferInfo { buffer: staging, layout };
                encoder.copy_texture_to_buffer(texture.as_image_copy(), to, texture::extent(port));
            }
        }
    }
}

fn layout(port: &Port, row_bytes: u32, offset: u64) -> TexelCopyBufferLayout {
    TexelCopyBufferLayout { offset, bytes_per_row: Some(row_bytes), rows_per_image: Some(port.shape.h) }
}

/// The values of what was read: see [`Port::staged_bytes`].
pub(super) fn unstaged(port: &Port, bytes: &[u8]) -> Result<Tensor> {
    if port.texels.is_none() {
        return unpacked(port, &bytes[..port.bytes() as usize]);
    }
    let rows = bytes.chunks(port.staged_row_bytes() as usize);
    let dense: Vec<u8> = rows.flat_map(|row| &row[..(port.row_bytes() as usize).min(row.len())]).copied().collect();
    unpacked(port, &dense)
}

/// The bytes of a port's buffer, whole words, for these values.
pub(super) fn packed(port: &Port, values: &[f32]) -> Vec<u8> {
    let ([c, pixels], full) = (extents(port.shape), full(port));
    let turned;
    let values = match port.order {
        Order::Nchw => values,
        Order::Nhwc | Order::NhwcDense => {
            turned = self::turned(values, c, pixels);
            &turned
        }
    };
    let mut bytes = match port.element {
        Element::F32 | Element::U32 => bytemuck::cast_slice(values).to_vec(),
        Element::F16 => bytemuck::cast_slice(Vec::<f16>::from_f32_slice(values).reinterpret_cast()).to_vec(),
        // The cast saturates at 0 and 255, and turns NaN into 0.
        Element::U8 => values.iter().map(|value| (value * full).round_ties_even() as u8).collect(),
    };
    bytes.resize(port.bytes() as usize, 0);
    bytes
}

/// The values of a port's buffer.
pub(super) fn unpacked(port: &Port, bytes: &[u8]) -> Result<Tensor> {
    let ([c, pixels], full) = (extents(port.shape), full(port));
    let len = port.shape.len() as usize;
    let values = match port.element {
        Element::F32 | Element::U32 => bytemuck::pod_collect_to_vec(bytes),
        Element::F16 => {
            let halves: Vec<u16> = bytemuck::pod_collect_to_vec(bytes);
            let values: &[f16] = halves.reinterpret_cast();
            values[..len].to_f32_vec()
        }
        Element::U8 => bytes[..len].iter().map(|&byte| f32::from(byte) / full).collect(),
    };
    let values = match port.order {
        Order::Nchw => values,
        Order::Nhwc | Order::NhwcDense => turned(&values, pixels, c),
    };
    Tensor::new(port.shape, values)
}

/// What a byte's value is multiplied by: in textures, 255 means 1.
fn full(port: &Port) -> f32 {
    if port.texels.is_some() { 255.0 } else { 1.0 }
}

/// Channels and pixels of an image.
fn extents(shape: Shape) -> [usize; 2] {
    [shape.c as usize, shape.h as usize * shape.w as usize]
}

/// Each image, so many rows of so many columns, with columns as rows.
fn turned(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let image = |image: &[f32]| -> Vec<f32> {
        (0..columns).flat_map(|column| image[column..].iter().step_by(columns).copied()).collect()
    };
    values.chunks(rows * columns).flat_map(image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{BufferId, PortForm};

    fn port(PortForm { element, order }: PortForm) -> Port {
        Port { name: "x".into(), shape: Shape::new(2, 3, 1, 2), element, order, texels: None, buffer: BufferId(0) }
    }

    #[test]
    fn what_a_port_holds_is_unpacked_again() {
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        for form in [PortForm::NCHW_F32, PortForm::NCHW_F16, PortForm::NCHW_U8, PortForm::NHWC_F32, PortForm::NHWC_U8] {
            let port = port(form);
            let bytes = packed(&port, &values);
            assert_eq!(bytes.len() as u64, port.bytes());
            assert_eq!(unpacked(&port, &bytes).unwrap().data(), values, "{form:?}");
        }
        // Pixels of three channels, in two images.
        assert_eq!(packed(&port(PortForm::NHWC_U8), &values), [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
    }

    #[test]
    fn bytes_are_rounded_and_end_at_0_and_255() {
        let values = [0.5, 1.5, 2.500_001, -3.0, 254.5, 255.6, 1e9, f32::NAN, f32::NEG_INFINITY, -0.0, 0.2, 9.0];
        assert_eq!(packed(&port(PortForm::NCHW_U8), &values), [0, 2, 3, 0, 254, 255, 255, 0, 0, 0, 0, 9]);
    }
}
