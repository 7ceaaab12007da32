//! Hyper-parameters of a run, so that runs can be compared by them.

use super::proto::Message;

/// The value of a hyper-parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum HParam {
    Number(f64),
    Text(String),
    Flag(bool),
}

impl HParam {
    /// google.protobuf.Value
    fn message(&self) -> Message {
        match self {
            HParam::Number(number) => Message::new().double(2, *number),
            HParam::Text(text) => Message::new().text(3, text),
            // Written even when false: which field is there says what kind of value it is.
            HParam::Flag(flag) => Message::new().flag(4, *flag),
        }
    }

    fn kind(&self) -> i64 {
        match self {
            HParam::Text(_) => 1,
            HParam::Flag(_) => 2,
            HParam::Number(_) => 3,
        }
    }
}

impl From<&str> for HParam {
    fn from(text: &str) -> HParam {
        HParam::Text(text.into())
    }
}

impl From<String> for HParam {
    fn from(text: String) -> HParam {
        HParam::Text(text)
    }
}

impl From<bool> for HParam {
    fn from(flag: bool) -> HParam {
        HParam::Flag(flag)
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl From<$number> for HParam {
            fn from(number: $number) -> HParam {
                HParam::Number(number as f64)
            }
        }
    )*};
}

numbers!(f64 f32 i32 i64 u32 u64 usize);

/// The hyper-parameters of one training, by name: `HParams::new().with("learning_rate", 0.1).with("optimizer", "sgd")`.
#[derive(Clone, Debug, Default)]
pub struct HParams {
    values: Vec<(String, HParam)>,
    group: Option<String>,
}

impl HParams {
    /// None yet.
    pub fn new() -> HParams {
        HParams::default()
    }

    /// With one more; a name that is there already gets the new value.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<HParam>) -> HParams {
        let name = name.into();
        self.values.retain(|(known, _)| *known != name);
        self.values.push((name, value.into()));
        self
    }

    /// Sessions of one group are shown as one: the same settings, run several times.
    pub fn group(mut self, name: impl Into<String>) -> HParams {
        self.group = Some(name.into());
        self
    }

    /// HParamsPluginData with a SessionStartInfo.
    pub(super) fn session_start(&self, time: f64) -> Message {
        let info = self
            .values
            .iter()
            .fold(Message::new(), |info, (name, value)| info.entry(1, name, &value.message()));
        let info = match &self.group {
            Some(group) => info.text(4, group),
            None => info,
        };
        Message::new().message(3, &info.double(5, time))
    }
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    Success,
    Failure,
}

/// HParamsPluginData with a SessionEndInfo.
pub(super) fn session_end(status: SessionStatus, time: f64) -> Message {
    let number = match status {
        SessionStatus::Success => 1,
        SessionStatus::Failure => 2,
    };
    Message::new().message(4, &Message::new().integer(1, number).double(2, time))
}

/// What several trainings vary and are judged by; written once, to the directory above their runs.
///
/// Without one TensorBoard finds out by itself; with one it shows only what is declared.
#[derive(Clone, Debug, Default)]
pub struct Experiment {
    hparams: Vec<(String, Vec<HParam>)>,
    metrics: Vec<(String, String)>,
    description: String,
}

impl Experiment {
    pub fn new() -> Experiment {
        Experiment::default()
    }

    /// Markdown.
    pub fn description(mut self, text: impl Into<String>) -> Experiment {
        self.description = text.into();
        self
    }

    /// A hyper-parameter with the values that it takes, all of one kind.
    pub fn hparam<V: Into<HParam>>(
        mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Experiment {
        self.hparams.push((name.into(), values.into_iter().map(Into::into).collect()));
        self
    }

    /// A scalar that trainings are judged by: its tag, and the run below the session's that holds it (`train`,
    /// `validation`; empty for the session's own).
    pub fn metric(mut self, run: impl Into<String>, tag: impl Into<String>) -> Experiment {
        self.metrics.push((run.into(), tag.into()));
        self
    }

    /// HParamsPluginData with an Experiment.
    pub(super) fn message(&self, time: f64) -> Message {
        let mut experiment = Message::new();
        if !self.description.is_empty() {
            experiment = experiment.text(1, &self.description);
        }
        experiment = experiment.double(3, time);
        for (name, values) in &self.hparams {
            let kind = values.first().map_or(3, HParam::kind);
            let list = Message::new().messages(1, values.iter().map(HParam::message));
            let info = Message::new().text(1, name).integer(4, kind);
            let info = if values.is_empty() { info } else { info.message(5, &list) };
            experiment = experiment.message(4, &info);
        }
        for (run, tag) in &self.metrics {
            let name = Message::new().text(1, run).text(2, tag);
            experiment = experiment.message(5, &Message::new().message(1, &name));
        }
        Message::new().message(2, &experiment)
    }
}
