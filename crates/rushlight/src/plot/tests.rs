use super::*;
use crate::testing::Scratch;

fn curve() -> LearningCurve {
    let points = |of: fn(f64) -> f64| (1..=20).map(move |epoch| (epoch as f64, of(epoch as f64)));
    LearningCurve::new("Small DenseNet on CIFAR-10")
        .subtitle("76,810 parameters, SGD with momentum, batches of 64")
        .series("loss", "train", points(|e| 2.2 / e.powf(0.6)))
        .series("loss", "validation", points(|e| 2.1 / e.powf(0.5) + 0.0015 * (e - 12.0).max(0.0).powi(2)))
        .series("accuracy", "train", points(|e| 0.95 - 0.65 / e.powf(0.7)))
        .series("accuracy", "validation", points(|e| 0.88 - 0.55 / e.powf(0.75) + 0.01 * (e * 1.7).sin()))
}

/// The values of an attribute, wherever it stands.
fn attributes<'a>(svg: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    svg.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn a_picture_holds_a_line_for_each_run_and_marks_the_best() {
    let svg = curve().to_svg();
    // In each panel the line itself, and a sample beside its name.
    assert_eq!(svg.matches("<path class=\"line-0\"").count(), 4);
    assert_eq!(svg.matches("<path class=\"line-1\"").count(), 4);
    assert_eq!(svg.matches("<path class=\"best-1\"").count(), 2);
    for text in
        ["Small DenseNet on CIFAR-10", "76,810 parameters", ">loss<", ">accuracy<", ">validation<", ">epoch<"]
    {
        assert!(svg.contains(text), "{text}");
    }
    assert!(svg.contains("best validation: 0.5468 at epoch 17"), "{svg}");
    assert!(svg.contains(" % at epoch "), "accuracy is told in percent");
    let long = attributes(&svg, "d").into_iter().filter(|path| path.matches('L').count() == 19);
    assert_eq!(long.count(), 4, "a point for each epoch");
}

#[test]
fn everything_lies_on_the_page() {
    let svg = curve().to_svg();
    let inside = |names: &[&str], size: f64| {
        for name in names {
            for value in attributes(&svg, name) {
                let value: f64 = value.parse().unwrap();
                assert!((0.0..=size).contains(&value), "{name} = {value}");
            }
        }
    };
    inside(&["x"], 928.0);
    inside(&["y"], 384.0);
    for path in attributes(&svg, "d") {
        let numbers = path.split(['M', 'L', 'C', ' ']).filter(|number| !number.is_empty());
        for (index, number) in numbers.enumerate() {
            let limit = if index % 2 == 0 { 928.0 } else { 384.0 };
            assert!((0.0..=limit).contains(&number.parse::<f64>().unwrap()), "{path}");
        }
    }
}

#[test]
fn the_best_is_the_lowest_loss_and_the_highest_accuracy() {
    let points = [(1.0, 0.5), (2.0, 0.25), (3.0, 0.75), (4.0, 0.25)];
    let best = |measure: &str, run: &str| {
        let curve = LearningCurve::new("").series(measure, "train", points).series(measure, run, points);
        let (run, point) = curve.panels[0].best().unwrap();
        (run.name.clone(), point)
    };
    assert_eq!(best("loss", "validation"), ("validation".into(), (2.0, 0.25)));
    assert_eq!(best("accuracy", "test"), ("test".into(), (3.0, 0.75)));
    assert_eq!(best("error rate", "other"), ("other".into(), (2.0, 0.25)));
}

#[test]
fn odd_series_are_drawn_too() {
    let points = [(1.0, 1.0), (2.0, f64::NAN), (3.0, 0.5), (4.0, 0.25), (5.0, f64::INFINITY)];
    let svg = LearningCurve::new("a < b & \"c\"\u{7}").series("loss", "train", points).to_svg();
    assert_eq!(svg.matches("<path class=\"dot-0\"").count(), 1, "a value alone");
    assert_eq!(svg.matches("<path class=\"line-0\"").count(), 2, "a line, and its sample");
    assert!(svg.contains("<title>a &lt; b &amp; &quot;c&quot; </title>"), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    for empty in [LearningCurve::new("empty"), LearningCurve::new("none").series("loss", "train", [])] {
        let svg = empty.to_svg();
        assert!(svg.ends_with("</svg>\n") && !svg.contains("best-"), "{svg}");
    }
}

#[test]
fn a_picture_is_saved_whole() {
    let scratch = Scratch::new("plot-save");
    let path = scratch.0.join("docs/curve.svg");
    curve().save(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), curve().to_svg());
    let path = scratch.0.join("docs/curve.png");
    curve().save(&path).unwrap();
    let (size, _) = crate::data::read_picture(&path).unwrap();
    assert_eq!(size, [2 * 384, 2 * 928, 3]);
    let file = scratch.write("file", b"");
    assert!(curve().save(file.join("curve.svg")).is_err());
}
