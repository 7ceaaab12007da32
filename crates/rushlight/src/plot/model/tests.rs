use super::looks::{ARROW, FRAME, GROUND, WIRE};
use super::*;
use crate::applications;
use crate::plot::scene::{Look, Path as Outline, Piece, Shape};
use crate::prelude::*;
use crate::testing::Scratch;

/// Two inputs, a shared branch inside of a model, an op, and two outputs.
fn two_inputs() -> Model {
    let image = Input::new([8, 8, 3]);
    let pooled = image.apply(Conv2d::new(4, 3).named("look")).relu().apply(GlobalAveragePooling2d::new());
    let eye = Model::new(&image, &pooled).unwrap().named("eye");
    let (left, right) = (Input::new([8, 8, 3]).named("left"), Input::new([8, 8, 3]).named("right"));
    let both = concat(&[&eye.call(&*left), &eye.call(&*right)], -1);
    let near = both.apply(Dense::new(1).named("near"));
    let kind = both.apply(Dense::new(5).named("kind"));
    Model::new([&*left, &*right], [&near, &kind]).unwrap().named("stereo")
}

/// A layer of one's own that calls others.
#[derive(Clone)]
struct Residual {
    state: LayerState,
    conv: Conv2d,
}

impl Layer for Residual {
    fn state(&self) -> &LayerState {
        &self.state
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x + &x.apply(&self.conv)
    }
}

/// Left, top, right and bottom of an outline.
fn bounds(line: &Outline) -> [f64; 4] {
    let mut bounds = [line.start.0, line.start.1, line.start.0, line.start.1];
    for piece in &line.pieces {
        let (Piece::To((x, y)) | Piece::Curve(_, _, (x, y))) = *piece;
        bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x), bounds[3].max(y)];
    }
    bounds
}

fn outlines(scene: &Scene, wanted: Look) -> Vec<&Outline> {
    let outline = |shape| match shape {
        &Shape::Outline { ref path, look, .. } if look.name == wanted.name => Some(path),
        _ => None,
    };
    scene.shapes.iter().filter_map(outline).collect()
}

#[test]
fn pictures_of_models_hold_every_layer_and_cross_nothing() {
    let mut models = vec![two_inputs()];
    models.extend(["small", "densenet-40-12", "resnet-18"].map(|name| applications::by_name(name).unwrap()));
    for model in models {
        for plot in [model.plot(), model.plot().names(false), model.plot().stacked(true).columns(3)] {
            let scene = plot.scene().unwrap();
            let boxes: Vec<[f64; 4]> = outlines(&scene, GROUND).into_iter().map(bounds).collect();
            let texts: Vec<&str> = scene
                .shapes
                .iter()
                .filter_map(|shape| match shape {
                    Shape::Text { text, .. } => Some(text.as_str()),
                    Shape::Outline { .. } => None,
                })
                .collect();
            for row in &model.summary().rows {
                if plot.names && row.class.is_some() {
                    let is_shown = |text: &&str| text.trim() == row.name;
                    assert!(texts.iter().any(is_shown), "{} is missing", row.name);
                }
            }
            for shape in &scene.shapes {
                let (left, right) = match shape {
                    Shape::Outline { path, .. } => (bounds(path)[0], bounds(path)[2]),
                    Shape::Text { x, .. } => (*x, *x),
                };
                assert!(left >= 0.0 && right <= scene.width, "{left} to {right} of {}", scene.width);
            }
            for wire in outlines(&scene, WIRE) {
                // Lines go straight between the ends of their pieces, or bend between two ranks.
                let mut at = wire.start;
                for piece in &wire.pieces {
                    let (Piece::To(to) | Piece::Curve(_, _, to)) = *piece;
                    for step in 0..=10 {
                        let part = f64::from(step) / 10.0;
                        let (x, y) = (at.0 + (to.0 - at.0) * part, at.1 + (to.1 - at.1) * part);
                        let crossed = boxes
                            .iter()
                            .find(|b| b[0] + 0.1 < x && x < b[2] - 0.1 && b[1] + 0.1 < y && y < b[3] - 0.1);
                        assert!(crossed.is_none(), "{}: a line crosses {crossed:?}", model.name());
                    }
                    at = to;
                }
            }
            for arrow in outlines(&scene, ARROW) {
                let tip = arrow.end();
                let frames = outlines(&scene, FRAME).into_iter().map(bounds);
                let hits = boxes
                    .iter()
                    .copied()
                    .chain(frames)
                    .any(|b| (b[1] - tip.1).abs() < 0.01 && b[0] < tip.0 && tip.0 < b[2]);
                assert!(hits, "{}: an arrow ends at {tip:?}, where no box begins", model.name());
            }
        }
    }
}

#[test]
fn models_inside_are_frames_and_may_stay_closed() {
    let model = two_inputs();
    let open = model.plot().scene().unwrap();
    assert_eq!(outlines(&open, FRAME).len(), 2);
    // In each frame a convolution, a ReLU and a pooling; outside two inputs, the concatenation and two dense layers.
    assert_eq!(outlines(&open, GROUND).len(), 2 * 3 + 5);
    let closed = model.plot().nested(false).scene().unwrap();
    assert_eq!((outlines(&closed, FRAME).len(), outlines(&closed, GROUND).len()), (0, 2 + 5));
    let svg = model.plot().to_svg().unwrap();
    assert!(svg.contains("eye (call 2)") && svg.contains("6×6×4 f32"), "{svg}");
    // Frames lie around what is inside.
    let frames: Vec<[f64; 4]> = outlines(&open, FRAME).into_iter().map(bounds).collect();
    let boxes: Vec<[f64; 4]> = outlines(&open, GROUND).into_iter().map(bounds).collect();
    for frame in frames {
        let inside = |b: &&[f64; 4]| frame[0] < b[0] && frame[1] < b[1] && b[2] < frame[2] && b[3] < frame[3];
        assert_eq!(boxes.iter().filter(inside).count(), 3);
    }
}

#[test]
fn layers_of_ones_own_are_opened() {
    let block = || Residual { state: LayerState::new("Residual"), conv: Conv2d::new(2, 3).padding(Same) };
    let layers = Sequential::new().add(block().named("first")).add(block().named("second"));
    let model = Model::from(layers.clone());
    let unknown = model.plot().to_svg().unwrap_err().to_string();
    assert!(unknown.contains("call it once, or build it"), "{unknown}");
    model.call(Tensor::zeros([5, 4, 4, 2], DType::F32)).check().unwrap();
    for model in [model, layers.model([4, 4, 2]).unwrap()] {
        let scene = model.plot().scene().unwrap();
        assert_eq!(outlines(&scene, FRAME).len(), 2);
        assert!(outlines(&scene, GROUND).len() >= 4);
        let mermaid = model.plot().to_mermaid().unwrap();
        assert!(
            mermaid.contains("first") && mermaid.contains("Conv2d") && mermaid.contains("add"),
            "{mermaid}"
        );
        assert!(mermaid.contains("4×4×2 f32"), "{mermaid}");
    }
}

#[test]
fn a_chain_shares_a_box_where_it_is_long_or_asked_for() {
    let model = applications::by_name("densenet-40-12").unwrap();
    let boxes = |plot: ModelPlot| outlines(&plot.scene().unwrap(), GROUND).len();
    let layers = model.summary().rows.len();
    assert_eq!(boxes(model.plot().stacked(false)), layers);
    // The image, the first convolution, and 36 times norm-relu-conv and concatenation; transitions and the end go on in
    // the box of the concatenation above.
    assert_eq!(boxes(model.plot()), 2 + 36 * 2);
    assert_eq!(boxes(model.plot()), boxes(model.plot().stacked(true)));
    let rows = |plot: ModelPlot| {
        let scene = plot.scene().unwrap();
        let is_row =
            |shape: &&Shape| matches!(shape, Shape::Outline { look, .. } if look.name.starts_with("tint-"));
        scene.shapes.iter().filter(is_row).count()
    };
    assert_eq!(rows(model.plot().stacked(true)), layers);
}

#[test]
fn png_files_show_the_page() {
    let model = two_inputs();
    let scene = model.plot().scene().unwrap();
    let file = model.plot().scale(1.0).to_png().unwrap();
    let mut reader = ::png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (scene.width as u32, scene.height as u32));
    let at = |x: f64, y: f64| {
        let start = (y as usize * info.width as usize + x as usize) * 3;
        [pixels[start], pixels[start + 1], pixels[start + 2]]
    };
    // In the middle of each stripe its colour, in the upper right corner of each box no letter but its tint.
    for shape in &scene.shapes {
        if let Shape::Outline { path, look, .. } = shape
            && look.name.starts_with("stripe-")
        {
            let [left, top, right, bottom] = bounds(path);
            let [_, red, green, blue] = look.fill.unwrap()[0].to_be_bytes();
            assert_eq!(at((left + right) / 2.0, (top + bottom) / 2.0), [red, green, blue], "{}", look.name);
        }
    }
    let inked = |b: [f64; 4]| {
        let mut dark = 0;
        for y in b[1] as usize..b[3] as usize {
            for x in b[0] as usize..b[2] as usize {
                dark += usize::from(at(x as f64, y as f64).iter().all(|&channel| channel < 110));
            }
        }
        dark
    };
    assert!(inked([20.0, 20.0, 150.0, 42.0]) > 100, "the title is drawn");
    let large = model.plot().scale(1e4).to_png().unwrap_err().to_string();
    assert!(large.contains("no side may exceed"), "{large}");
    assert!(model.plot().scale(f64::NAN).to_png().is_err());
}

#[test]
fn graphs_as_text_name_every_link() {
    let image = Input::new([4]).named("a \"b\" <c>");
    let hidden = image.apply(Dense::new(3).named("hidden"));
    let model =
        Model::new(&image, &(hidden.apply(Dense::new(3).named("more")) + &hidden)).unwrap().named("m");
    assert_eq!(
        model.plot().to_mermaid().unwrap(),
        "flowchart TB\n\
         n1[\"Input<br/>a #quot;b#quot; #lt;c#gt;<br/>4 f32\"]\n\
         n2[\"Dense<br/>hidden<br/>3 f32\"]\n\
         n3[\"Dense<br/>more<br/>3 f32\"]\n\
         n4[\"add<br/>3 f32\"]\n\
         n1 --> n2\nn2 --> n3\nn3 --> n4\nn2 --> n4\n"
    );
    let dot = model.plot().names(false).to_dot().unwrap();
    assert!(dot.starts_with("digraph model {\nlabel=\"m\";") && dot.ends_with("n2 -> n4;\n}\n"), "{dot}");
    assert!(dot.contains("n2 [label=\"Dense\\n3 f32\"];"), "{dot}");
    let nested = two_inputs().plot().to_dot().unwrap();
    assert_eq!(nested.matches("subgraph cluster_").count(), 2);
    assert_eq!(nested.matches("shape=point").count(), 4);
}

#[test]
fn files_are_written_in_the_format_that_their_ending_names() {
    let scratch = Scratch::new("plot-model");
    let model = two_inputs();
    for (name, start) in [
        ("m.svg", &b"<svg "[..]),
        ("m.PNG", b"\x89PNG"),
        ("m.dot", b"digraph"),
        ("m.gv", b"digraph"),
        ("m.mmd", b"flowchart"),
    ] {
        plot_model(&model, scratch.0.join(name)).unwrap();
        assert!(std::fs::read(scratch.0.join(name)).unwrap().starts_with(start), "{name}");
    }
    let unknown = plot_model(&model, scratch.0.join("m.jpg")).unwrap_err().to_string();
    assert!(unknown.contains("svg, png, dot, gv, mmd or mermaid"), "{unknown}");
    assert!(!scratch.0.join("m.jpg").exists());
}
