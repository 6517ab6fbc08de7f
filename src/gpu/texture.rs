//! Textures as graph inputs and outputs: their formats, and what else they must be.

use wgpu::{
    BindingType, Device, Extent3d, StorageTextureAccess, Texture, TextureDescriptor, TextureDimension, TextureFormat,
    TextureSampleType, TextureUsages, TextureView, TextureViewDescriptor, TextureViewDimension,
};

use crate::ops::Texels;
use crate::plan::Port;

/// The formats that a texture may have; the first is that of textures of our own.
const fn formats(texels: Texels) -> &'static [TextureFormat] {
    match texels {
        Texels::Rgba8 => &[TextureFormat::Rgba8Unorm, TextureFormat::Bgra8Unorm],
        Texels::Rgba8Srgb => &[TextureFormat::Rgba8UnormSrgb, TextureFormat::Bgra8UnormSrgb],
        Texels::Rgba16Float => &[TextureFormat::Rgba16Float],
        Texels::R8 => &[TextureFormat::R8Unorm],
        Texels::Rg8 => &[TextureFormat::Rg8Unorm],
    }
}

/// How kernels bind it.
pub(super) const fn binding_type(texels: Texels, written: bool) -> BindingType {
    let view_dimension = TextureViewDimension::D2Array;
    if written {
        let access = StorageTextureAccess::WriteOnly;
        return BindingType::StorageTexture { access, format: formats(texels)[0], view_dimension };
    }
    let sample_type = TextureSampleType::Float { filterable: false };
    BindingType::Texture { sample_type, view_dimension, multisampled: false }
}

/// Its first mip level, as kernels see it.
pub(super) fn view(texture: &Texture) -> TextureView {
    texture.create_view(&TextureViewDescriptor {
        label: Some("spp"),
        dimension: Some(TextureViewDimension::D2Array),
        mip_level_count: Some(1),
        ..Default::default()
    })
}

/// A layer for each image; a batch of 0 has one, as there is no texture of none.
pub(super) fn extent(port: &Port) -> Extent3d {
    Extent3d { width: port.shape.w, height: port.shape.h, depth_or_array_layers: port.shape.n.max(1) }
}

/// What a program needs of a texture to read it or to write it.
const fn usage(written: bool) -> TextureUsages {
    if written { TextureUsages::STORAGE_BINDING } else { TextureUsages::TEXTURE_BINDING }
}

/// A texture for a program's own runs.
pub(super) fn create(device: &Device, port: &Port, texels: Texels, written: bool) -> Texture {
    device.create_texture(&TextureDescriptor {
        label: Some(&format!("spp/{}", port.name)),
        size: extent(port),
        mip_level_count: 1,
        sample_count: 1,
        dimension: TextureDimension::D2,
        format: formats(texels)[0],
        usage: usage(written) | TextureUsages::COPY_SRC | TextureUsages::COPY_DST,
        view_formats: &[],
    })
}

/// Why a texture cannot be bound to this port, if it cannot.
pub(super) fn problem(texture: &Texture, port: &Port, texels: Texels, written: bool) -> Option<String> {
    // Of two formats of which shaders see the same, they can write the one that they name.
    let formats = if written { &formats(texels)[..1] } else { formats(texels) };
    let (needed, usage) = (extent(port), usage(written));
    let (is, format) = (texture.size(), texture.format());
    if !formats.contains(&format) {
        let names: Vec<String> = formats.iter().map(|format| format!("{format:?}")).collect();
        return Some(format!("its format is {format:?}, but {texels} is {}", names.join(" or ")));
    }
    if texture.dimension() != TextureDimension::D2 {
        return Some(format!("its dimension is {:?}, but a picture is D2", texture.dimension()));
    }
    if texture.sample_count() != 1 {
        return Some(format!("it has {} samples per pixel; resolve it to a texture of one", texture.sample_count()));
    }
    if is != needed {
        let sized = |size: Extent3d| format!("{}x{} of {} layers", size.height, size.width, size.depth_or_array_layers);
        return Some(format!("it is {}, but {} is needed", sized(is), sized(needed)));
    }
    (!texture.usage().contains(usage)).then(|| format!("it lacks the usage {usage:?}"))
}
