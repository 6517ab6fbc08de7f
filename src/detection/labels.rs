//! What the classes of the common data sets are called, in the order of their detectors, the background not counted.

/// The 80 classes of COCO.
#[rustfmt::skip]
pub const COCO: [&str; 80] = [
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear",
    "hair drier", "toothbrush",
];

/// The 20 classes of PASCAL VOC.
#[rustfmt::skip]
pub const VOC: [&str; 20] = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
];

/// The names in an ONNX file's metadata `names`, a dictionary as Ultralytics' exporter writes it:
/// `{0: 'person', 1: "driver's seat"}`. `None` if it is of another form.
pub fn noted(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (number, value) = rest.split_once(':')?;
        if number.trim().parse() != Ok(names.len()) {
            return None;
        }
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| ['\'', '"'].contains(c))?;
        let (name, after) = value[1..].split_once(quote)?;
        names.push(name.into());
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noted_names_are_read() {
        assert_eq!(noted("{0: 'person', 1: \"driver's seat\"}"), Some(vec!["person".into(), "driver's seat".into()]));
        assert_eq!(noted("{}"), Some(vec![]));
        for text in ["", "{0: 'a'", "{1: 'a'}", "{0: a}", "{0: 'a}", "['a']", "{0: ''é}"] {
            assert_eq!(noted(text), None, "{text}");
        }
    }
}
