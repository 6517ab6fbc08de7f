//! Weight files, sound and unsound. Every file is made here.

use proptest::prelude::*;
use spp_wgpu::weights::{Scope, Weights};
use spp_wgpu::{Error, Shape};

/// A safetensors file: the header's length, the header, the data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn weights(tensors: &[(&str, &[u32])]) -> Weights {
    let tensor = |&(key, dims): &(&str, &[u32])| {
        let len = dims.iter().product::<u32>();
        (key.to_string(), dims.to_vec(), (0..len).map(|i| i as f32).collect())
    };
    Weights::from_tensors(tensors.iter().map(tensor)).unwrap()
}

/// The lists of `Error::Weights`.
fn problems(scope: &Scope) -> [Vec<String>; 3] {
    match scope.finish() {
        Err(Error::Weights { missing, unexpected, misshapen, .. }) => [missing, unexpected, misshapen],
        other => panic!("{other:?}"),
    }
}

const X: &str = r#""x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}"#;

#[test]
fn an_unsound_file_is_refused_with_the_reason() {
    let entry = |key: &str, dtype: &str, shape: &str, from: u64, to: u64| {
        format!(r#""{key}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let two = |a: String, b: String| file(&format!("{{{a},{b}}}"), &[0; 32]);
    let one = |a: String| file(&format!("{{{a}}}"), &[0; 24]);
    let with_length = |length: u64| [&length.to_le_bytes(), &b"{}"[..]].concat();
    // Eight tensors whose sizes add up to 2^64 - 8, and one of 7: their end plus the header's length overflows.
    let most = (1u64 << 61) - 1;
    let mut giants: Vec<_> =
        (0..8).map(|i| entry(&format!("g{i}"), "U8", &format!("[{most}]"), i * most, (i + 1) * most)).collect();
    giants.push(entry("last", "U8", "[7]", 8 * most, 8 * most + 7));

    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "empty"),
        ("under 8 bytes", vec![1, 0, 0], "cut off"),
        ("no header", 0u64.to_le_bytes().to_vec(), "header"),
        ("header past the end", with_length(3), "only 2 follow"),
        ("header of 2^64 - 1", with_length(u64::MAX), "over the limit"),
        ("header of 2^63", with_length(1 << 63), "over the limit"),
        ("header over 16 MiB", file(&" ".repeat((16 << 20) + 1), &[]), "over the limit"),
        ("not UTF-8", [&2u64.to_le_bytes()[..], &[b'{', 0xff]].concat(), "utf-8"),
        ("not JSON", file("{x}", &[]), "header"),
        ("another JSON", file("[1, 2]", &[]), "header"),
        ("deep JSON", file(&"[".repeat(100_000), &[]), "header"),
        ("data cut off", file(&format!("{{{X}}}"), &[0; 20]), "24 bytes of data, the file has 20"),
        ("data left over", file(&format!("{{{X}}}"), &[0; 25]), "24 bytes of data, the file has 25"),
        ("a key twice, the same place", one(format!("{X},{}", entry("x", "F32", "[3,2]", 0, 24))), "twice"),
        ("a key twice, another place", two(X.into(), entry("x", "F32", "[2]", 24, 32)), "header"),
        ("a key twice, a field escaped", one(format!("{X},{}", X.replace("_", "\\u005f"))), "'x' is given twice"),
        ("a key twice, itself escaped", one(format!("{X},{}", X.replace('x', "\\u0078"))), "'x' is given twice"),
        ("a field twice", one(X.replace(r#""shape":[2,3]"#, r#""shape":[2,3],"shape":[6]"#)), "'shape' is given twice"),
        ("metadata twice", file(r#"{"__metadata__":{"a":"1","\u0061":"2"}}"#, &[]), "'a' is given twice"),
        ("unknown type", one(entry("x", "F33", "[6]", 0, 24)), "F33"),
        ("offsets reversed", one(entry("x", "F32", "[6]", 24, 0)), "header"),
        ("offsets overlap", two(entry("x", "F32", "[6]", 0, 24), entry("y", "F32", "[4]", 16, 32)), "header"),
        ("a hole", two(entry("x", "F32", "[2]", 0, 8), entry("y", "F32", "[4]", 16, 32)), "header"),
        ("data begins later", one(entry("x", "F32", "[4]", 8, 24)), "header"),
        ("offsets past the end", one(entry("x", "F32", "[8]", 0, 32)), "32 bytes of data, the file has 24"),
        ("negative offset", one(X.replace("[0,24]", "[-1,24]")), "header"),
        ("negative extent", one(X.replace("[2,3]", "[-2,-3]")), "header"),
        ("shape too small", one(entry("x", "F32", "[5]", 0, 24)), "header"),
        ("type too wide", one(entry("x", "F64", "[2,3]", 0, 24)), "header"),
        ("shape overflows", one(entry("x", "F32", "[4294967296,4294967296,6]", 0, 24)), "header"),
        ("bytes overflow", one(entry("x", "F64", "[4611686018427387904]", 0, 24)), "header"),
        ("sum of sizes overflows", file(&format!("{{{}}}", giants.join(",")), &[0; 16]), "bytes of data"),
        ("metadata is no text", file(r#"{"__metadata__":{"a":1}}"#, &[]), "header"),
    ];
    for (name, bytes, reason) in rows {
        match Weights::from_bytes(bytes) {
            Err(Error::InvalidData { what, reason: text }) => {
                assert_eq!(what, "safetensors", "{name}");
                assert!(text.contains(reason), "{name}: {text}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn unusual_files_are_read() {
    let empty = Weights::from_bytes(file("{}", &[])).unwrap();
    assert_eq!(empty.keys().count(), 0);
    empty.scope("").finish().unwrap();

    // A header of odd length: no float of the data is aligned.
    let header =
        format!(r#" {{"__metadata__":{{"block":"spp","\"data_offsets\"":"[","q":"\"data_offsets\": ["}},{X}}}"#);
    let values = [1.5, -0.0, f32::INFINITY, f32::MIN_POSITIVE / 2.0, 4.0, 5.0];
    for padding in 0..4 {
        let bytes = file(&format!("{header}{}", " ".repeat(padding)), &floats(&values));
        let read = Weights::from_bytes(bytes).unwrap();
        let (dims, got) = read.tensor("x").unwrap();
        assert_eq!(dims, [2, 3]);
        assert_eq!(floats(&got), floats(&values), "to the bit");
        assert_eq!(read.metadata("block"), Some("spp"));
        assert_eq!(read.metadata("x"), None);
    }

    // No element, at an offset that another tensor has, too; and rank 0.
    let header = r#"{"none":{"dtype":"F32","shape":[0,4294967296],"data_offsets":[0,0]},
        "one":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#;
    let read = Weights::from_bytes(file(header, &floats(&[2.5]))).unwrap();
    assert_eq!(read.tensor("one").unwrap(), (vec![], vec![2.5]));
    assert!(read.tensor("none").unwrap_err().to_string().contains("32-bit"));
    assert!(read.tensor("two").unwrap_err().to_string().contains("no such key"));
    let scope = read.scope("");
    scope.bias("none", 1).unwrap();
    assert_eq!(problems(&scope)[1], ["none", "one"]);
}

#[test]
fn float_types_are_converted_and_others_refused() {
    let f16 = |bits: [u16; 4]| bits.iter().flat_map(|b| b.to_le_bytes()).collect::<Vec<_>>();
    let f64s: Vec<u8> = [1.0f64, -2.5, 1e-3, 1e300].iter().flat_map(|v| v.to_le_bytes()).collect();
    let rows: [(&str, Vec<u8>, [f32; 4]); 4] = [
        ("F32", floats(&[1.0, -2.5, 0.001, 3e38]), [1.0, -2.5, 0.001, 3e38]),
        ("F64", f64s, [1.0, -2.5, 0.001, f32::INFINITY]),
        // 0x0001 is the smallest subnormal, 2^-24.
        ("F16", f16([0x3c00, 0xc100, 0x0001, 0x7c00]), [1.0, -2.5, 5.960_464_5e-8, f32::INFINITY]),
        ("BF16", f16([0x3f80, 0xc020, 0x3a83, 0x7f80]), [1.0, -2.5, 0.000_999_450_7, f32::INFINITY]),
    ];
    for (dtype, data, expected) in rows {
        let header = format!(r#"{{"c.bias":{{"dtype":"{dtype}","shape":[4],"data_offsets":[0,{}]}}}}"#, data.len());
        let weights = Weights::from_bytes(file(&header, &data)).unwrap();
        let scope = weights.scope("");
        assert_eq!(scope.bias("c", 4).unwrap(), expected, "{dtype}");
        scope.finish().unwrap();
    }
    let float =
        |dtype| format!("is {dtype}, which is not supported; save it as F32, F16 or BF16: tensor.to(torch.float16)");
    let other = |dtype| format!("is {dtype}, but F32, F64, F16 or BF16 is needed");
    for (dtype, size, reason) in [
        ("I64", 8, other("I64")),
        ("U8", 1, other("U8")),
        ("BOOL", 1, other("BOOL")),
        ("I32", 4, other("I32")),
        ("C64", 8, other("C64")),
        ("F8_E4M3", 1, float("F8_E4M3")),
        ("F8_E5M2", 1, float("F8_E5M2")),
    ] {
        let header = format!(r#"{{"c.bias":{{"dtype":"{dtype}","shape":[4],"data_offsets":[0,{}]}}}}"#, 4 * size);
        let weights = Weights::from_bytes(file(&header, &vec![1; 4 * size])).unwrap();
        let scope = weights.scope("");
        assert_eq!(scope.bias("c", 4).unwrap(), [0.0; 4], "a stand-in");
        assert_eq!(problems(&scope), [vec![], vec![], vec![format!("c.bias {reason}")]]);
        assert!(weights.tensor("c.bias").unwrap_err().to_string().contains(&reason));
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let weights = weights(&[
        ("model.9.cv1.conv.weight", &[8, 16]),
        ("model.9.cv1.bn.weight", &[8]),
        ("model.9.cv1.bn.bias", &[9]),
        ("model.9.cv1.bn.num_batches_tracked", &[]),
        ("model.9.cv3.conv.weight", &[1]),
        ("model.9.spare.weight", &[1]),
        ("model.9.sparest", &[1]),
        ("model.90.cv1.conv.weight", &[1]),
    ]);
    for prefix in ["model.9", "model.9."] {
        let scope = weights.scope(prefix);
        scope.ignore("spare");
        let conv = scope.conv_weight("cv1.conv", Shape::new(8, 16, 1, 1)).unwrap();
        assert_eq!(conv.shape(), Shape::new(8, 16, 1, 1), "a stand-in of the shape that is needed");
        let [gamma, beta, mean, var] = scope.sub("cv1").batch_norm("bn", 8).unwrap();
        assert_eq!(gamma, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!([beta, mean, var], [[0.0; 8], [0.0; 8], [1.0; 8]]);
        assert!(scope.contains("cv3.conv.weight") && !scope.contains("cv4.conv.weight"));
        let Err(Error::Weights { prefix, missing, unexpected, misshapen, nearest }) = scope.finish() else { panic!() };
        assert!(nearest.is_empty(), "something fits");
        assert_eq!(prefix, "model.9.");
        assert_eq!(missing, ["cv1.bn.running_mean", "cv1.bn.running_var"]);
        assert_eq!(unexpected, ["cv3.conv.weight", "sparest"]);
        let sentences =
            ["cv1.bn.bias is [9] but [8] is needed", "cv1.conv.weight is [8, 16] but [8, 16, 1, 1] is needed"];
        assert_eq!(misshapen, sentences);
        // A part of it reports its part.
        let Err(Error::Weights { missing, unexpected, .. }) = scope.sub("cv1.bn").finish() else { panic!() };
        assert_eq!((missing, unexpected), (vec!["running_mean".into(), "running_var".into()], vec![]));
    }
    let text = {
        let scope = weights.scope("model.9.sparest");
        scope.bias("c", 2).unwrap();
        scope.finish().unwrap_err().to_string()
    };
    assert!(
        text.starts_with("weights under 'model.9.sparest.': missing: c.bias; nothing fits; the nearest keys: model.9.")
    );
}

#[test]
fn a_file_of_the_shape_that_is_needed_passes() {
    let weights = weights(&[("c.weight", &[2, 3, 1, 1]), ("c.bias", &[2]), ("fc.weight", &[2, 5]), ("fc.bias", &[2])]);
    let scope = weights.scope("");
    assert_eq!(*scope.conv_weight("c", Shape::new(2, 3, 1, 1)).unwrap().data(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(scope.linear_weight("fc", 2, 5).unwrap().shape(), Shape::new(2, 5, 1, 1));
    assert_eq!(scope.bias("c", 2).unwrap(), [0.0, 1.0]);
    assert_eq!(problems(&scope), [vec![], vec!["fc.bias".to_string()], vec![]]);
    scope.bias("fc", 2).unwrap();
    scope.finish().unwrap();
    // A linear layer's weight is no 1x1 convolution's, nor the other way round.
    let scope = weights.scope("");
    scope.linear_weight("c", 2, 3).unwrap();
    scope.conv_weight("fc", Shape::new(2, 5, 1, 1)).unwrap();
    assert_eq!(problems(&scope)[2].len(), 2);
}

/// Every mixture of up to three of the parts that PyTorch's wrappers add, before the key and within it, in all keys or in
/// some: a prefix fits as it stands in the file, without those parts, and with the parts of another wrapper.
#[test]
fn a_prefix_fits_with_and_without_the_parts_of_wrappers() {
    let parts = ["", "module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."];
    let mixtures = parts.iter().flat_map(|a| parts.iter().flat_map(move |b| parts.map(|c| format!("{a}{b}{c}"))));
    for mixture in mixtures {
        for inner in ["", "_orig_mod.", "module."] {
            let one = format!("{mixture}model.9.{inner}c.bias");
            for other in [format!("{mixture}model.9.d.bias"), "model.9.d.bias".into()] {
                let file = weights(&[(&one, &[2]), (&other, &[3]), (&format!("{mixture}model.90.c.bias"), &[4])]);
                assert!(file.keys().any(|key| key == one), "keys are as they stand in the file");
                for prefix in ["", "module.", &mixture].map(|wrapped| format!("{wrapped}model.9")) {
                    // Only what begins as the prefix does, if anything does.
                    let halves = [&one, &other].map(|key| key.starts_with(&format!("{prefix}.")));
                    if halves[0] != halves[1] {
                        continue;
                    }
                    let scope = file.scope(&prefix);
                    assert!(scope.contains("c.bias") && !scope.contains("e.bias"), "{prefix} in {one}");
                    assert_eq!(scope.bias("c", 2).unwrap(), [0.0, 1.0], "{prefix} in {one}");
                    assert_eq!(problems(&scope), [vec![], vec!["d.bias".to_string()], vec![]], "{prefix} in {one}");
                }
                assert_eq!(file.tensor("model.9.c.bias").unwrap().1, [0.0, 1.0]);
            }
        }
    }
}

#[test]
fn a_key_that_may_mean_several_is_refused() {
    let file =
        weights(&[("module.a.bias", &[2]), ("_orig_mod.a.bias", &[2]), ("b.bias", &[2]), ("module.b.bias", &[3])]);
    let scope = file.scope("");
    scope.bias("a", 2).unwrap();
    scope.bias("b", 2).unwrap();
    let [missing, unexpected, misshapen] = problems(&scope);
    assert_eq!((missing, unexpected), (vec![], vec!["module.b.bias".to_string()]), "b is there as it is asked for");
    assert_eq!(misshapen, ["a.bias may be '_orig_mod.a.bias' or 'module.a.bias'"]);
    assert!(file.tensor("a.bias").unwrap_err().to_string().contains("may be"));
    assert_eq!(file.tensor("b.bias").unwrap().0, [2]);
    let scope = file.scope("module");
    scope.bias("a", 2).unwrap();
    scope.bias("b", 3).unwrap();
    scope.finish().unwrap();
}

#[test]
fn where_nothing_fits_the_nearest_keys_are_listed() {
    let file = weights(&[
        ("module.model.4.cv1.conv.weight", &[1]),
        ("module.model.8.cv1.conv.weight", &[1]),
        ("module.model.8.cv1.bn.bias", &[1]),
        ("module.model.24.m.0.weight", &[1]),
    ]);
    let nearest = |prefix: &str, ask: &[&str]| {
        let scope = file.scope(prefix);
        ask.iter().for_each(|layer| drop(scope.bias(layer, 1).unwrap()));
        match scope.finish() {
            Err(Error::Weights { nearest, .. }) => nearest,
            other => panic!("{other:?}"),
        }
    };
    let spelt_alike = nearest("model.9", &["cv1.bx"]);
    assert_eq!(spelt_alike[0], "module.model.8.cv1.bn.bias");
    assert_eq!(spelt_alike.len(), 4);
    // The place that has most of what is missing comes first.
    assert_eq!(nearest("model.9", &["cv1.bn", "cv2.bn"])[0], "module.model.8.cv1.bn.bias");
    assert!(nearest("model.8", &["cv1.bn", "cv2.bn"]).is_empty(), "something fits");
}

#[test]
fn a_block_under_another_prefix_is_found_there_fused_or_not() {
    let ask = |file: &Weights| {
        let scope = file.scope("model.8");
        scope.conv_weight("c.conv", Shape::new(2, 3, 1, 1)).unwrap();
        scope.batch_norm("c.bn", 2).unwrap();
        scope.finish().unwrap_err().to_string()
    };
    let conv = ("m.9.c.conv.weight", &[2, 3, 1, 1][..]);
    let missing = "missing: c.bn.* (or a bias of its convolution), c.conv.weight; nothing fits";
    let fused = [conv, ("m.9.c.conv.bias", &[2])];
    let whole = [conv].into_iter().chain(
        ["m.9.c.bn.weight", "m.9.c.bn.bias", "m.9.c.bn.running_mean", "m.9.c.bn.running_var"]
            .map(|key| (key, &[2][..])),
    );
    let others =
        [("m.7.c.conv.weight", &[2, 3, 3, 3][..]), ("m.6.c.conv.weight", &[2, 3, 1, 1]), ("m.6.d.weight", &[2])];
    for block in [fused.to_vec(), whole.collect()] {
        let text = ask(&weights(&[&block[..], &others].concat()));
        assert!(text.contains(missing), "{text}");
        assert!(
            text.ends_with("; the nearest keys: the whole block under 'm.9': scope(\"m.9\"), --prefix m.9"),
            "{text}"
        );
        let twice = [&block[..], &[("m.5.c.conv.weight", &[2, 3, 1, 1])]].concat();
        assert!(!ask(&weights(&twice)).contains("whole block"), "either may be meant");
    }
    assert!(!ask(&weights(&others)).contains("whole block"), "other shapes, other keys");
}

#[test]
fn keys_are_renamed_by_whole_parts() {
    let file = || weights(&[("a.conv1.weight", &[1]), ("a.conv10.weight", &[2]), ("conv1.conv1.bias", &[3])]);
    let renamed =
        |from: &str, to: &str| file().renamed(from, to).map(|w| w.keys().map(String::from).collect::<Vec<_>>());
    assert_eq!(renamed("conv1", "cv1").unwrap(), ["a.conv10.weight", "a.cv1.weight", "cv1.cv1.bias"]);
    assert_eq!(renamed("a.conv1", "b").unwrap(), ["a.conv10.weight", "b.weight", "conv1.conv1.bias"]);
    assert_eq!(renamed("a.conv1.", "b.").unwrap(), renamed("a.conv1", "b").unwrap(), "with last dots or without");
    assert_eq!(renamed("a", "").unwrap(), ["conv1.conv1.bias", "conv1.weight", "conv10.weight"]);
    assert_eq!(renamed("weight", "w.x").unwrap(), ["a.conv1.w.x", "a.conv10.w.x", "conv1.conv1.bias"]);
    let twice = file().renamed("a", "module.b").unwrap().renamed("conv1", "cv1").unwrap();
    assert_eq!(twice.tensor("b.cv1.weight").unwrap().0, [1], "wrappers are overlooked here, too");
    for (from, to, reason) in [
        ("conv10", "conv1", "makes two keys equal: 'a.conv1.weight'"),
        ("conv1.conv1.bias", "", "leaves nothing of the key 'conv1.conv1.bias'"),
        ("conv2", "cv2", "no key has these parts; the nearest: "),
        ("onv1", "cv1", "no key has these parts"),
        ("", "cv1", "says no part"),
        (".", "cv1", "says no part"),
    ] {
        let error = renamed(from, to).unwrap_err().to_string();
        assert!(error.contains(&format!("rename '{from}' to '{to}': {reason}")), "{error}");
    }
}

/// A zip archive whose first file has this name.
fn archive(first: &str) -> Vec<u8> {
    [b"PK\x03\x04", &[0; 22][..], &(first.len() as u16).to_le_bytes(), &[0; 2], first.as_bytes(), &[7; 100]].concat()
}

#[test]
fn other_files_are_recognised_and_told_how_to_become_safetensors() {
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    let index = r#"{"metadata": {"total_size": 8}, "weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}"#;
    // The first bytes of what torch.save wrote before it wrote archives, and of protocol 4.
    let old = [b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", &[0; 99][..]].concat();
    let rows: [(&str, Vec<u8>, &[&str]); 16] = [
        (
            "torch.save",
            archive("archive/data.pkl"),
            &["torch.save", "trust its author", "'ema'", "torch.is_tensor(v)", "ultralytics", "\"IN\"", "python -c"],
        ),
        ("an old pickle", old, &["a pickle", "torch.load(sys.argv[1]"]),
        ("a pickle", b"\x80\x04\x95\x10\0\0\0\0\0\0\0}".to_vec(), &["a pickle", "torch.load(sys.argv[1]"]),
        ("a short pickle", b"\x80\x05N.".to_vec(), &["a pickle"]),
        ("an .npz", archive("conv.weight.npy"), &[".npz", "numpy.load(sys.argv[1])", "python -c"]),
        ("LFS", lfs.into(), &["pointer of git LFS", "git lfs pull"]),
        ("a page", b"<!DOCTYPE html><html><body>Not found".to_vec(), &["web page", "/resolve/"]),
        ("a page after spaces", b"\n  <HTML lang=en>".to_vec(), &["web page"]),
        ("a page with a mark", "\u{feff}<!doctype HTML>".into(), &["web page"]),
        (
            "an index",
            index.into(),
            &["whose tensors are in m-1.safetensors, m-2.safetensors,", "os.path.dirname", "python -c"],
        ),
        ("other JSON", br#"{"a": 1, "b": [2, 3, 4]}"#.to_vec(), &[r#"is text, not safetensors; it begins '{"a": 1, "#]),
        ("XML", b"<?xml version=\"1.0\"?>\n<net name=\"spp\">".to_vec(), &["begins '<?xml version=\"1.0\"?>'"]),
        ("ONNX", b"\x08\x07\x12\x07pytorch\x1a\x03".to_vec(), &["ONNX"]),
        ("HDF5", b"\x89HDF\r\n\x1a\n\0\0".to_vec(), &["HDF5"]),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\x02\x03".to_vec(), &["gzip", "gunzip"]),
        ("half an archive", b"PK\x03\x04\0\0\0\0\0\0".to_vec(), &["header"]),
    ];
    for (what, bytes, says) in rows {
        let error = Weights::from_bytes(bytes).unwrap_err().to_string();
        for text in says {
            assert!(error.contains(text), "{what} does not say '{text}': {error}");
        }
    }
    // Sound files may begin so, too: headers of 640 bytes and of 0x3c ones.
    for length in [0x280, 0x580, 0x3c] {
        let header = format!("{{{X}}}");
        let padding = " ".repeat(length.max(header.len()) - header.len());
        Weights::from_bytes(file(&format!("{header}{padding}"), &[0; 24])).unwrap();
    }
    // A damaged one is not taken for a pickle.
    let damaged = file(&format!("{{{X}}}{}", " ".repeat(0x280 - X.len() - 2)), &[0; 20]);
    assert!(Weights::from_bytes(damaged).unwrap_err().to_string().contains("promises 24 bytes"));
}

#[test]
fn sizes_are_checked_before_anything_is_allocated() {
    let (none, seeded) = (weights(&[]), Weights::seeded(1));
    for scope in [none.scope("a"), seeded.scope("a")] {
        let error = scope.conv_weight("c", Shape::new(65536, 65536, 1, 1)).unwrap_err();
        assert!(matches!(&error, Error::TooLarge { op, .. } if op == "a.c.weight"), "{error}");
        assert!(matches!(
            scope.conv_weight("c", Shape::new(u32::MAX, u32::MAX, u32::MAX, 1)),
            Err(Error::TooLarge { .. })
        ));
        assert!(matches!(scope.linear_weight("c", u32::MAX, 1), Err(Error::TooLarge { .. })));
        assert!(matches!(scope.bias("c", u32::MAX), Err(Error::TooLarge { .. })));
        assert!(matches!(scope.conv_weight("c", Shape::new(1, 0, 1, 1)), Err(Error::InvalidParam { .. })));
    }
}

#[test]
fn made_tensors_are_checked() {
    let one = |dims: Vec<u32>, len| Weights::from_tensors([("x".to_string(), dims, vec![0.5; len])]);
    assert_eq!(one(vec![], 1).unwrap().tensor("x").unwrap(), (vec![], vec![0.5]));
    assert!(matches!(one(vec![2, 3], 5), Err(Error::InvalidData { .. })));
    assert!(matches!(one(vec![u32::MAX; 3], 5), Err(Error::InvalidData { .. })));
    let twice = ["x", "x"].map(|key| (key.to_string(), vec![1], vec![1.0]));
    assert!(Weights::from_tensors(twice).unwrap_err().to_string().contains("twice"));
}

#[test]
fn seeded_weights_are_the_same_each_time_and_keep_the_scale() {
    let draw = |seed, layer: &str| {
        Weights::seeded(seed).scope("").conv_weight(layer, Shape::new(64, 32, 3, 3)).unwrap().data().into_owned()
    };
    let values = draw(3, "cv1");
    assert_eq!(values, draw(3, "cv1"));
    assert_ne!(values, draw(4, "cv1"));
    assert_ne!(values, draw(3, "cv2"));
    // Variance 2 / fan_in; 18 432 draws estimate it to 1 %, and 5 % is allowed.
    let fan_in = 32.0 * 9.0;
    let variance = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len() as f64;
    assert!((variance * fan_in / 2.0 - 1.0).abs() < 0.05, "{variance}");

    let seeded = Weights::seeded(3);
    let [gamma, beta, mean, var] = seeded.scope("x").batch_norm("bn", 1000).unwrap();
    for near_one in [gamma, var] {
        assert!(near_one.iter().all(|v| (0.5..=1.5).contains(v)) && near_one[0] != near_one[1]);
    }
    assert_ne!(beta, mean);
    assert!(beta.iter().all(|v| v.abs() < 0.2 * 6.0));
    seeded.scope("x").finish().unwrap();
}

#[test]
fn what_is_not_a_sound_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("empty"), []).unwrap();
    std::fs::write(path("text"), "weights").unwrap();
    std::fs::write(path("yolo.pt"), archive("archive/data.pkl")).unwrap();
    let error = Weights::open(path("yolo.pt")).unwrap_err().to_string();
    let names = ["yolo.pt", "yolo.converted.safetensors"].map(|name| format!("\"{}\"", path(name).display()));
    assert!(error.ends_with(&names.join(" ")), "{error}");
    std::fs::write(path("good"), file(&format!("{{{X}}}"), &[0; 24])).unwrap();
    let rows = [
        ("", "directory"),
        ("missing", "o"),
        ("empty", "empty"),
        ("text", "is text, not safetensors; it begins 'weights'"),
    ];
    for (name, reason) in rows {
        let Err(Error::File { path: named, reason: text }) = Weights::open(path(name)) else { panic!("{name}") };
        assert_eq!(named, path(name));
        assert!(text.contains(reason), "{name}: {text}");
    }
    assert_eq!(Weights::open(path("good")).unwrap().keys().collect::<Vec<_>>(), ["x"]);
    #[cfg(unix)]
    assert!(Weights::open("/dev/zero").unwrap_err().to_string().contains("regular"));
}

proptest! {
    /// Whatever is done to a file: it is read or refused, and so is every tensor in it.
    #[test]
    fn a_damaged_file_causes_no_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..8),
        length in any::<prop::sample::Index>(),
    ) {
        let y = r#""y.weight":{"dtype":"BF16","shape":[2,1,1,1],"data_offsets":[24,28]}"#;
        let z = r#""z.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[28,36]}"#;
        let mut bytes = file(&format!(r#"{{"__metadata__":{{"block":"spp"}},{X},{y},{z}}}"#), &[7; 36]);
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes[at] = b"0129,:[]{}\"\\"[usize::from(byte) % 12],
                _ => { bytes.remove(at); }
            }
        }
        if length.index(4) == 0 {
            bytes.truncate(length.index(bytes.len()));
        } else if length.index(4) == 1 && bytes.len() > 8 {
            // Make the length right again, so that the header itself is read.
            let header = (bytes.len() as u64 - 8).saturating_sub(36);
            bytes[..8].copy_from_slice(&header.to_le_bytes());
        }
        if let Ok(weights) = Weights::from_bytes(bytes) {
            for key in weights.keys() {
                let _ = weights.tensor(key);
            }
            let scope = weights.scope("");
            let _ = scope.bias("x", 6);
            let _ = scope.conv_weight("y", Shape::new(2, 1, 1, 1));
            let _ = scope.finish();
        }
    }
}
