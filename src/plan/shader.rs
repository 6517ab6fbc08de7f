//! A kernel's WGSL, assembled from its file, the constants of a step and the shared pieces it names.

use std::collections::BTreeSet;
use std::fmt;

/// A file of `shaders/` and what it needs.
#[derive(Debug)]
pub struct Shader {
    /// The file's path below `shaders/`, joined by `_`; also the entry point's name and the label in captures.
    pub stem: &'static str,
    /// The file.
    pub text: &'static str,
    /// What the file itself needs beyond WGSL's core.
    pub extensions: &'static [Extension],
    /// Appended to each of its modules: order does not matter at module scope, and line numbers stay the file's.
    pub pieces: &'static [&'static Piece],
    /// Binding number of the parameters.
    pub params_binding: u32,
    /// The fields of its `Params`.
    pub params: Fields,
    /// Structs that its `Params` holds arrays of, if it is not plain: name and fields, 32 bits each.
    pub tables: &'static [(&'static str, Fields)],
}

/// A file of `shaders/shared/`, appended to the shaders that name it.
#[derive(Debug)]
pub struct Piece {
    /// The file's stem.
    pub stem: &'static str,
    /// The file.
    pub text: &'static str,
    /// What it needs beyond WGSL's core.
    pub extensions: &'static [Extension],
}

/// A part of WGSL that must be requested: from the device by a feature, and most from the language by a directive.
/// Plans do without what a device lacks. What that costs was measured on Mesa's llvmpipe 22.3.6 and 26.2.6, on two
/// cores of a shared machine, as the median of 11 runs of a published block that took turns with those on a device that
/// has everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extension {
    /// Half precision: `SHADER_F16`, for plans in `f16`. Without it, shaders pack two values into a word, and compute
    /// in `f32` as they do with it: the same on llvmpipe (sppcspc_v7: 146 to 148 ms, 115 to 121 ms), and no matrices of
    /// `f16`.
    F16,
    /// Matrix products of a whole subgroup: `EXPERIMENTAL_COOPERATIVE_MATRIX`, where
    /// [`GpuOptions::matrices`](crate::GpuOptions::matrices) asks for them. Without it, cards multiply in registers,
    /// not on tensor cores.
    CooperativeMatrix,
    /// Values that lanes pass to each other: `SUBGROUP`. Without it, convolutions on software adapters take three times
    /// as long (sppf_v5l: 62 to 209 ms, 61 to 167 ms; sppcspc_v7: 172 to 641 ms, 144 to 439 ms), and cards have no
    /// matrices; they use it for nothing else.
    Subgroups,
    /// 64-bit integers: `SHADER_INT64`. Without it, convolutions on software adapters read half as much at once
    /// (sppf_v5l: 62 to 75 ms, 61 to 63 ms; sppcspc_v7: 172 to 214 ms, 144 to 153 ms). Cards do not use it.
    Int64,
}

impl Extension {
    /// Its name in WGSL's `enable`; `None` if wgpu's WGSL has it without.
    pub const fn directive(self) -> Option<&'static str> {
        match self {
            Self::F16 => Some("f16"),
            Self::CooperativeMatrix => Some("wgpu_cooperative_matrix"),
            Self::Subgroups | Self::Int64 => None,
        }
    }

    /// The feature that wgpu's `Features` calls so.
    pub const fn feature(self) -> &'static str {
        match self {
            Self::F16 => "SHADER_F16",
            Self::CooperativeMatrix => "EXPERIMENTAL_COOPERATIVE_MATRIX",
            Self::Subgroups => "SUBGROUP",
            Self::Int64 => "SHADER_INT64",
        }
    }
}

/// Name and WGSL type of each field, in order.
pub type Fields = &'static [(&'static str, &'static str)];

/// A shared piece by its stem, and the extensions it needs.
macro_rules! piece {
    ($stem:literal $(, $extension:ident)*) => {{
        static PIECE: $crate::plan::Piece = $crate::plan::Piece {
            stem: $stem,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/shared/", $stem, ".wgsl")),
            extensions: &[$($crate::plan::Extension::$extension),*],
        };
        &PIECE
    }};
}
pub(crate) use piece;

/// The text of a kernel, by its path.
macro_rules! shader {
    ($stem:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $stem, ".wgsl"))
    };
}
pub(crate) use shader;

/// Declares a kernel's `Params`: plain 32-bit fields, so that both languages lay them out alike.
/// Given a name: such a struct of that name.
macro_rules! params {
    ($name:ident { $($field:ident: $type:ident),* $(,)? }) => {
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
        pub(crate) struct $name {
            $($field: $type),*
        }

        impl $name {
            pub(crate) const FIELDS: $crate::plan::Fields = &[$((stringify!($field), stringify!($type))),*];
        }

        const _: () = assert!(size_of::<$name>() == 4 * $name::FIELDS.len());
    };
    ($($field:ident: $type:ident),* $(,)?) => {
        $crate::plan::params! { Params { $($field: $type),* } }
    };
}
pub(crate) use params;

/// A value known when the shader is compiled: an attribute or a tile size.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the variants are WGSL's types")]
pub enum Constant {
    U32(u32),
    F32(f32),
    Bool(bool),
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U32(v) => write!(f, "{v}"),
            Self::F32(v) => write!(f, "{v:?}"),
            Self::Bool(v) => write!(f, "{v}"),
        }
    }
}

impl Shader {
    /// The module's text: the extensions of all its parts and the constants on the first line, then the file and the
    /// pieces.
    pub fn source(&self, constants: &[(&'static str, Constant)], pieces: &[&'static Piece]) -> String {
        let extensions: BTreeSet<_> =
            pieces.iter().flat_map(|piece| piece.extensions).chain(self.extensions).copied().collect();
        let directives = extensions.into_iter().filter_map(Extension::directive);
        let mut text: String = directives.map(|name| format!("enable {name}; ")).collect();
        for (name, value) in constants {
            let (wgsl_type, suffix) = match value {
                Constant::U32(_) => ("u32", "u"),
                Constant::F32(_) => ("f32", "f"),
                Constant::Bool(_) => ("bool", ""),
            };
            text += &format!("const {name}: {wgsl_type} = {value}{suffix}; ");
        }
        text.push('\n');
        for part in [self.text].into_iter().chain(pieces.iter().map(|piece| piece.text)) {
            text += part;
            text.push('\n');
        }
        text
    }
}
