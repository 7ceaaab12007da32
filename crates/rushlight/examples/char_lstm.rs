//! A language model of characters: an LSTM reads a text and learns which character comes next; then it writes on its own.
//!
//! `cargo run --release --example char_lstm -- text.txt` reads a file; without one it reads itself.

use rushlight::prelude::*;

const STEPS: usize = 40;

fn main() -> Result<()> {
    random::set_seed(1);
    let text = match std::env::args().nth(1) {
        Some(path) => std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")),
        None => include_str!("char_lstm.rs").to_string(),
    };
    let mut alphabet: Vec<char> = text.chars().collect();
    alphabet.sort();
    alphabet.dedup();
    let number =
        |letter: char| alphabet.binary_search(&letter).expect("the alphabet holds every letter") as i32;
    let numbers: Vec<i32> = text.chars().map(number).collect();
    println!("{} characters, {} different ones", numbers.len(), alphabet.len());

    // Each example: some characters, and the same shifted by one.
    let starts: Vec<usize> = (0..numbers.len().saturating_sub(STEPS)).step_by(3).collect();
    let count = starts.len();
    let window = numbers.clone();
    let data = Dataset::from_fn(count, move |example, _epoch| {
        let from = starts[example];
        Ok(Batch::new(
            Tensor::from(&window[from..from + STEPS]),
            Tensor::from(&window[from + 1..=from + STEPS]),
        ))
    });
    let data = data.shuffle(1).batch(32).drop_remainder();

    let letters = Input::new([STEPS]).dtype(DType::I32).named("letters");
    let logits = letters
        .apply(Embedding::new(alphabet.len(), 24))
        .apply(LSTM::new(96).return_sequences(true))
        .apply(Dense::new(alphabet.len()));
    let mut model = Model::new(&letters, &logits)?.named("writer");
    model.compile(
        Adam::new(0.01).clipnorm(1.0),
        SparseCategoricalCrossentropy::from_logits(),
        [SparseCategoricalAccuracy::new()],
    );
    println!("{}", model.summary());
    let history = model.fit(&data, Fit::epochs(4))?;
    let guess = (alphabet.len() as f64).ln();
    println!("nats a character: {:.2}; by guessing {guess:.2}", history.last("loss").unwrap_or(f64::NAN));

    // Always the most likely character next, from the first ones of the text on.
    let mut written: Vec<i32> = numbers[..STEPS].to_vec();
    for _ in 0..120 {
        let seen = Tensor::from(&written[written.len() - STEPS..]).expand_dims(0);
        let likely = model.predict(&seen)?.argmax(-1).cast(DType::I32).to_vec::<i32>()?;
        written.push(likely[STEPS - 1]);
    }
    let letters = written[STEPS..].iter().map(|&number| alphabet[number as usize]);
    println!("it goes on:\n{}", letters.collect::<String>());
    Ok(())
}
