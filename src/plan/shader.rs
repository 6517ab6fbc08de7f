//! A kernel's WGSL, put together from its file, the constants of a step and the shared pieces it names.

use std::fmt;

/// A file of `shaders/` and what it needs.
#[derive(Debug)]
pub struct Shader {
    /// The file's stem; also the operation's name and the label in captures.
    pub stem: &'static str,
    /// The file.
    pub text: &'static str,
    /// Files of `shaders/shared/` that are appended: module scope has no order, and line numbers stay the file's.
    pub pieces: &'static [&'static str],
    /// Binding number of the parameters.
    pub params_binding: u32,
    /// The fields of its `Params`.
    pub params: Fields,
    /// Structs that its `Params` holds arrays of, where it is not plain: name and fields, 32 bits each.
    pub tables: &'static [(&'static str, Fields)],
}

/// Name and WGSL type of each field, in order.
pub type Fields = &'static [(&'static str, &'static str)];

/// The text of a shared piece, by stem.
macro_rules! piece {
    ($stem:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/shared/", $stem, ".wgsl"))
    };
}
pub(crate) use piece;

/// The text of a kernel, by stem.
macro_rules! shader {
    ($stem:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $stem, ".wgsl"))
    };
}
pub(crate) use shader;

/// Declares a kernel's `Params`: plain 32-bit fields, so that both languages lay them out alike.
/// With a name: such a struct of another name.
macro_rules! params {
    ($name:ident { $($field:ident: $type:ident),* $(,)? }) => {
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
        pub(super) struct $name {
            $($field: $type),*
        }

        impl $name {
            pub(super) const FIELDS: $crate::plan::Fields = &[$((stringify!($field), stringify!($type))),*];
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
    /// The module's text: constants on the first line, then the file, the shader's pieces and the step's own. Where a
    /// piece names `f16` or matrices, the directives for them come before anything else.
    pub fn source(&self, constants: &[(&'static str, Constant)], extra: &[&'static str]) -> String {
        let mut text = String::new();
        for (word, directive) in [("f16", "enable f16; "), ("coop_mat", "enable wgpu_cooperative_matrix; ")] {
            if extra.iter().any(|piece| piece.contains(word)) {
                text += directive;
            }
        }
        for (name, value) in constants {
            let (wgsl_type, suffix) = match value {
                Constant::U32(_) => ("u32", "u"),
                Constant::F32(_) => ("f32", "f"),
                Constant::Bool(_) => ("bool", ""),
            };
            text += &format!("const {name}: {wgsl_type} = {value}{suffix}; ");
        }
        text.push('\n');
        for part in [self.text].iter().chain(self.pieces).chain(extra) {
            text += part;
            text.push('\n');
        }
        text
    }
}
