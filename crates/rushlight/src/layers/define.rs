//! How built-in layers are written: one list of settings makes the struct, its builder and its config.

use crate::config::Config;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::{Layer, Weight};
use crate::regularizers::Regularizer;
use rushlight_core::{Result, Tensor};

/// A layer that can be made from its config; what the registry of layers needs to know of a class.
pub trait FromConfig: Layer + Sized {
    /// The layer that [`Layer::config`] describes, without weights.
    ///
    /// # Errors
    /// If a setting is missing or makes no sense.
    fn from_config(config: &Config) -> Result<Self>;
}

/// A weight with what users choose for it: first values, cost and constraint.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    weight: Weight,
    pub(crate) initializer: Initializer,
    pub(crate) regularizer: Option<Regularizer>,
    pub(crate) constraint: Option<Constraint>,
}

impl Parameter {
    pub(crate) fn new(initializer: Initializer) -> Parameter {
        Parameter { weight: Weight::new(), initializer, regularizer: None, constraint: None }
    }

    /// The parameter of a layer that is made from its config.
    pub(crate) fn restored(
        config: &Config,
        [initializer, regularizer, constraint]: [&str; 3],
        default: Initializer,
    ) -> Result<Parameter> {
        Ok(Parameter {
            weight: Weight::new(),
            initializer: config.setting_or::<Option<Initializer>>(initializer, || None)?.unwrap_or(default),
            regularizer: config.setting_or(regularizer, || None)?,
            constraint: config.setting_or(constraint, || None)?,
        })
    }

    /// As [`Weight::make`].
    #[track_caller]
    pub(crate) fn make(&self, name: &str, dims: &[usize]) -> Result<()> {
        self.make_with(name, dims, &self.initializer)
    }

    /// As [`Parameter::make`], with other first values.
    #[track_caller]
    pub(crate) fn make_with(&self, name: &str, dims: &[usize], initializer: &Initializer) -> Result<()> {
        let (regularizer, constraint) = (self.regularizer.as_ref(), self.constraint.as_ref());
        self.weight.make_parameter(name, dims, initializer, regularizer, constraint)
    }

    #[track_caller]
    pub(crate) fn read(&self) -> Tensor {
        self.weight.read()
    }
}

/// The key of a setting: Keras's name where it differs from ours.
macro_rules! setting_key {
    ($name:ident) => {
        stringify!($name)
    };
    ($name:ident $key:literal) => {
        $key
    };
}

/// The type of a setting: `?` ones may be missing.
macro_rules! setting_type {
    (? $type:ty) => { Option<$type> };
    ($sep:tt $type:ty) => { $type };
}

/// The type of a builder's argument: `:` takes the type itself, `=>` and `?` whatever becomes one.
macro_rules! setting_argument {
    (: $type:ty) => { $type };
    ($sep:tt $type:ty) => { impl Into<$type> };
}

macro_rules! setting_value {
    (: $value:ident) => {
        $value
    };
    (=> $value:ident) => {
        $value.into()
    };
    (? $value:ident) => {
        Some($value.into())
    };
}

/// The doc of a layer, then
///
/// ```text
/// Name = class;
/// new(required: Type, required => TypeThatIsConvertedInto as "keras_key");
/// settings { /// doc
///     setting: Type as "keras_key" = default;
///     what_may_be_missing ? Type = None; }
/// parameters { kernel = GlorotUniform, kernel_initializer kernel_regularizer kernel_constraint; }
/// weights { slots }
/// fields { not_in_the_config: Type = first; }
/// fixed { "keras_key": TypeWithOneValue; }
/// call { flag_that_keras_takes_as_an_argument_of_the_call; }
/// ```
///
/// makes the struct with its state, `new`, a builder's method for each setting, `settings()` for its config, and
/// [`FromConfig`]. The layer itself is `impl Layer for Name { basics!(); … }`.
macro_rules! layer {
    (
        $(#[$doc:meta])*
        $Name:ident $(<$N:ident>)? = $class:expr;
        $(#[$new_doc:meta])*
        new($($required:ident $required_sep:tt $Required:ty $(as $required_key:literal)?),* $(,)?);
        $(settings {$(
            $(#[$setting_doc:meta])*
            $setting:ident $sep:tt $Setting:ty $(as $key:literal)? = $default:expr;
        )*})?
        $(parameters {$(
            $parameter:ident = $initial:ident, $initializer:ident $regularizer:ident $constraint:ident;
        )*})?
        $(weights { $($weight:ident),* $(,)? })?
        $(fields { $($field:ident: $Field:ty = $first:expr;)* })?
        $(fixed { $($fixed_key:literal: $Fixed:ty;)* })?
        $(call { $($(#[$flag_doc:meta])* $flag:ident;)* })?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $Name $(<const $N: usize>)? {
            state: $crate::layers::LayerState,
            $($required: $Required,)*
            $($($setting: $crate::layers::define::setting_type!($sep $Setting),)*)?
            $($($parameter: $crate::layers::define::Parameter,)*)?
            $($($weight: $crate::layers::Weight,)*)?
            $($($field: $Field,)*)?
            $($($flag: bool,)*)?
        }

        impl $(<const $N: usize>)? $Name $(<$N>)? {
            $(#[$new_doc])*
            #[track_caller]
            pub fn new(
                $($required: $crate::layers::define::setting_argument!($required_sep $Required)),*
            ) -> Self {
                $Name {
                    state: $crate::layers::LayerState::new($class),
                    $($required: $crate::layers::define::setting_value!($required_sep $required),)*
                    $($($setting: $default,)*)?
                    $($($parameter: $crate::layers::define::Parameter::new(
                        $crate::initializers::Initializer::$initial
                    ),)*)?
                    $($($weight: $crate::layers::Weight::new(),)*)?
                    $($($field: $first,)*)?
                    $($($flag: false,)*)?
                }
            }

            $($(
                $(#[$flag_doc])*
                pub fn $flag(mut self, $flag: bool) -> Self {
                    self.$flag = $flag;
                    self
                }
            )*)?

            $($(
                $(#[$setting_doc])*
                pub fn $setting(
                    mut self,
                    $setting: $crate::layers::define::setting_argument!($sep $Setting)
                ) -> Self {
                    self.$setting = $crate::layers::define::setting_value!($sep $setting);
                    self
                }
            )*)?

            $($(
                #[doc = concat!("The first values of the weight `", stringify!($parameter), "`.")]
                pub fn $initializer(mut self, initializer: $crate::initializers::Initializer) -> Self {
                    self.$parameter.initializer = initializer;
                    self
                }

                #[doc = concat!("What the weight `", stringify!($parameter), "` costs; training adds it to the loss.")]
                pub fn $regularizer(
                    mut self,
                    regularizer: impl Into<Option<$crate::regularizers::Regularizer>>,
                ) -> Self {
                    self.$parameter.regularizer = regularizer.into();
                    self
                }

                #[doc = concat!("What optimizers keep the weight `", stringify!($parameter), "` to.")]
                pub fn $constraint(
                    mut self,
                    constraint: impl Into<Option<$crate::constraints::Constraint>>,
                ) -> Self {
                    self.$parameter.constraint = constraint.into();
                    self
                }
            )*)?

            fn own_generators(&self) -> Vec<rushlight_core::random::Generator> {
                let generators: Vec<Option<&rushlight_core::random::Generator>> = vec![
                    $($crate::layers::Setting::generator(&self.$required),)*
                    $($($crate::layers::Setting::generator(&self.$setting),)*)?
                ];
                generators.into_iter().flatten().cloned().collect()
            }

            fn settings(&self) -> rushlight_core::Result<$crate::config::Config> {
                let config = $crate::config::Config::of(&self.state)?;
                $(let config = config.set(
                    $crate::layers::define::setting_key!($required $($required_key)?), &self.$required
                )?;)*
                $($(let config = config.set(
                    $crate::layers::define::setting_key!($setting $($key)?), &self.$setting
                )?;)*)?
                $($(let config = config
                    .set(stringify!($initializer), &self.$parameter.initializer)?
                    .set(stringify!($regularizer), &self.$parameter.regularizer)?
                    .set(stringify!($constraint), &self.$parameter.constraint)?;
                )*)?
                $($(let config = config.set($fixed_key, &<$Fixed>::default())?;)*)?
                $($(let config = match self.$flag {
                    true => config.set(stringify!($flag), &true)?,
                    false => config,
                };)*)?
                Ok(config)
            }
        }

        impl $(<const $N: usize>)? $crate::layers::FromConfig for $Name $(<$N>)? {
            fn from_config(config: &$crate::config::Config) -> rushlight_core::Result<Self> {
                let state = $crate::layers::LayerState::new($class);
                $crate::layers::config::restore(&state, config)?;
                $($(config.setting_or($fixed_key, <$Fixed>::default)?;)*)?
                Ok($Name {
                    state,
                    $($required: config.setting(
                        $crate::layers::define::setting_key!($required $($required_key)?)
                    )?,)*
                    $($($setting: config.setting_or(
                        $crate::layers::define::setting_key!($setting $($key)?), || $default
                    )?,)*)?
                    $($($parameter: $crate::layers::define::Parameter::restored(
                        config,
                        [stringify!($initializer), stringify!($regularizer), stringify!($constraint)],
                        $crate::initializers::Initializer::$initial,
                    )?,)*)?
                    $($($weight: $crate::layers::Weight::new(),)*)?
                    $($($field: $first,)*)?
                    $($($flag: config.setting_or(stringify!($flag), || false)?,)*)?
                })
            }
        }

        impl $(<const $N: usize>)? rushlight_core::Structure for $Name $(<$N>)? {
            fn flatten(&self, flat: &mut rushlight_core::trace::Flat) {
                rushlight_core::Structure::flatten(&self.state, flat);
            }

            fn rebuild(&self, _tensors: &mut dyn Iterator<Item = rushlight_core::Tensor>) -> Self {
                self.clone()
            }
        }

        $crate::layers::define::layer_default!([$($required)*] $Name $(<$N>)?);
    };
}

/// `Default` for layers that need nothing.
macro_rules! layer_default {
    ([] $Name:ident $(<$N:ident>)?) => {
        impl $(<const $N: usize>)? Default for $Name $(<$N>)? {
            #[track_caller]
            fn default() -> Self {
                Self::new()
            }
        }
    };
    ([$($required:ident)+] $($rest:tt)*) => {};
}

/// The methods of [`Layer`] that are the same for all layers that [`layer!`] makes.
macro_rules! basics {
    () => {
        fn state(&self) -> &$crate::layers::LayerState {
            &self.state
        }

        fn config(&self) -> rushlight_core::Result<$crate::config::Config> {
            self.settings()
        }

        fn generators(&self) -> Vec<rushlight_core::random::Generator> {
            self.own_generators()
        }
    };
    (passes_mask) => {
        $crate::layers::define::basics!();

        fn passes_mask(&self) -> bool {
            true
        }
    };
    (passes_mask, full_precision) => {
        $crate::layers::define::basics!(passes_mask);

        fn precision(&self) -> $crate::layers::Precision {
            $crate::layers::Precision::Full
        }
    };
}

/// The class of a layer over `N` spatial axes.
macro_rules! class_by_rank {
    ($N:ident: $one:literal, $two:literal, $three:literal) => {
        const {
            match $N {
                1 => $one,
                2 => $two,
                3 => $three,
                _ => panic!("there are one to three spatial axes"),
            }
        }
    };
}

pub(crate) use {
    basics, class_by_rank, layer, layer_default, setting_argument, setting_key, setting_type, setting_value,
};
