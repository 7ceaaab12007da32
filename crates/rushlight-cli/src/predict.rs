//! `rushlight predict`.

use crate::arguments::{ModeName, PredictOptions};
use crate::failure::Failure;
use crate::files::arrays::{Input, check_shapes, in_order};
use crate::files::images::{Scaling, load};
use crate::files::{check_sources, in_file, inference_model, output, read};
use crate::text::shown;
use rushlight::prelude::*;
use rushlight::run_functions_eagerly;
use rushlight::tensor::display_dims;
use serde_json::json;
use std::io::IsTerminal;
use std::path::Path;

pub(crate) fn run(options: &PredictOptions) -> Result<(), Failure> {
    if options.output.is_none() && options.top.is_none() {
        return Err(Failure::Usage("--output or --top says what to do with the predictions".to_string()));
    }
    output::check_writable(options.output.as_ref(), &["npy", "npz"])?;
    if options.output.as_deref() == Some(Path::new("-")) && (options.json || options.top.is_some()) {
        let rule = "arrays go to standard output with --output -: --top and --json need it as well";
        return Err(Failure::Usage(rule.to_string()));
    }
    let names = options.classes.as_deref();
    check_sources(&[&[&*options.model, &*options.input][..], &Vec::from_iter(names)].concat())?;
    let classes = names.map(class_names).transpose()?;
    let bytes = read(&options.model)?;
    let input = Input::read(&options.input)?;
    let model = inference_model(&options.model, &bytes, &input.shapes())?;
    let (inputs, labels) = inputs(options, &input, &model)?;
    let count = check_shapes(&options.input, &inputs, &model)?;
    let work = || predict(&model, &inputs, count, options.batch_size);
    let outputs = match options.mode {
        ModeName::Graph => work(),
        ModeName::Eager => run_functions_eagerly(work),
    };
    let outputs = outputs.map_err(|error| in_file(&options.model, &error))?;
    // All that can fail comes before the first result is written.
    let said = match options.top {
        Some(top) => ranking(options, &outputs, &labels, classes.as_deref(), top)?,
        None if options.json => {
            let shapes: Result<Vec<Vec<usize>>> =
                outputs.iter().map(|output| output.shape().map(<[usize]>::to_vec)).collect();
            format!("{}\n", json!({ "examples": count, "outputs": shapes? }))
        }
        None => String::new(),
    };
    if let Some(path) = &options.output {
        output::write(path, &output::outputs(path, &outputs)?)?;
    }
    say_part!("{said}");
    Ok(())
}

/// The inputs in the model's order, and what to call each example.
fn inputs(
    options: &PredictOptions,
    input: &Input,
    model: &Model,
) -> Result<(Vec<Tensor>, Vec<String>), Failure> {
    let wanted = model.inputs();
    match input {
        Input::Arrays(arrays) => {
            let names: Vec<String> = wanted.iter().map(|(name, _)| name.clone()).collect();
            let names = if names.is_empty() { vec!["input_0".to_string()] } else { names };
            Ok((in_order(&options.input, arrays, &names, "input")?, Vec::new()))
        }
        Input::Images(files) => {
            let [(_, spec)] = wanted.as_slice() else {
                return Err(Failure::Other("pictures go to models with one input".to_string()));
            };
            let &[_, height, width, channels] = spec.dims.as_slice() else {
                let dims = display_dims(&spec.dims);
                return Err(Failure::Other(format!("the model takes {dims}, which are no pictures")));
            };
            let scaling =
                Scaling { scale: options.scale, mean: options.mean.clone(), deviation: options.std.clone() };
            let images = load(files, [height, width, channels], &scaling)?;
            Ok((vec![images], files.iter().map(|file| shown(&file.path)).collect()))
        }
    }
}

/// The outputs, computed in batches.
pub(crate) fn predict(model: &Model, inputs: &[Tensor], count: usize, batch: usize) -> Result<Vec<Tensor>> {
    let shows = std::io::stderr().is_terminal() && count > batch;
    let mut parts: Vec<Vec<Tensor>> = Vec::new();
    for start in (0..count).step_by(batch).chain((count == 0).then_some(0)) {
        let stop = count.min(start + batch);
        let rows: Vec<Tensor> = inputs.iter().map(|input| input.slice_axis(0, start, stop)).collect();
        for (index, output) in model.predict_many(&rows)?.into_iter().enumerate() {
            if parts.len() <= index {
                parts.push(Vec::new());
            }
            parts[index].push(output);
        }
        if shows {
            eprint!("\r{stop}/{count} examples");
        }
    }
    if shows {
        eprintln!();
    }
    parts.iter().map(|part| concat(&part.iter().collect::<Vec<_>>(), 0).check().cloned()).collect()
}

/// One name a line.
fn class_names(path: &Path) -> Result<Vec<String>, Failure> {
    let text = String::from_utf8(read(path)?);
    let text = text.map_err(|_| Failure::Other(format!("{} is no text", shown(path))))?;
    Ok(text.lines().map(|line| line.trim().to_string()).filter(|line| !line.is_empty()).collect())
}

/// The classes with the highest scores for each example, as text or JSON.
fn ranking(
    options: &PredictOptions,
    outputs: &[Tensor],
    labels: &[String],
    classes: Option<&[String]>,
    top: usize,
) -> Result<String, Failure> {
    let output = &outputs[0];
    let &[count, kinds] = output.shape()? else {
        let dims = display_dims(output.shape()?);
        return Err(Failure::Other(format!("--top ranks outputs of [examples, classes], not {dims}")));
    };
    if let Some(classes) = classes.filter(|classes| classes.len() != kinds) {
        let file = options.classes.clone().unwrap_or_default();
        let given = classes.len();
        return Err(Failure::Other(format!("{}: {given} names for {kinds} classes", shown(&file))));
    }
    let values = output.cast(DType::F64).to_vec::<f64>()?;
    let name = |class: usize| classes.map_or_else(|| class.to_string(), |classes| classes[class].clone());
    let (mut all, mut lines) = (Vec::new(), String::new());
    for example in 0..count {
        let row = &values[example * kinds..(example + 1) * kinds];
        let mut order: Vec<usize> = (0..kinds).collect();
        order.sort_by(|&left, &right| row[right].total_cmp(&row[left]));
        order.truncate(top);
        let label = labels.get(example).cloned().unwrap_or_else(|| example.to_string());
        let ranked = order.iter().map(|&class| format!("{} {:.4}", name(class), row[class]));
        lines.push_str(&format!("{label}: {}\n", ranked.collect::<Vec<_>>().join(", ")));
        let ranked: Vec<_> = order
            .iter()
            .map(|&class| json!({ "class": class, "name": name(class), "score": row[class] }))
            .collect();
        all.push(json!({ "example": label, "top": ranked }));
    }
    Ok(if options.json { format!("{}\n", json!(all)) } else { lines })
}
