//! Where the code that macros write finds the engine.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::parse::{Parse, ParseStream};
use syn::{Path, Token};

/// The option `crate = path`.
#[derive(Default)]
pub(crate) struct Options {
    krate: Option<Path>,
}

impl Parse for Options {
    fn parse(input: ParseStream) -> syn::Result<Options> {
        if input.is_empty() {
            return Ok(Options::default());
        }
        if !input.peek(Token![crate]) {
            return Err(input.error("the only option is `crate = path`, the path of the crate `rushlight`"));
        }
        let options = Options::parse_path(input)?;
        if !input.is_empty() {
            return Err(input.error("nothing is expected after the path"));
        }
        Ok(options)
    }
}

impl Options {
    /// `crate = path`, whatever comes behind.
    pub(crate) fn parse_path(input: ParseStream) -> syn::Result<Options> {
        input.parse::<Token![crate]>()?;
        input.parse::<Token![=]>()?;
        Ok(Options { krate: Some(Path::parse_mod_style(input)?) })
    }

    /// The path of the module that the macros' code refers to.
    pub(crate) fn engine(&self) -> TokenStream {
        let here = Span::mixed_site();
        match &self.krate {
            Some(path) => quote_spanned!(here=> #path::__private),
            None => quote_spanned!(here=> ::rushlight::__private),
        }
    }
}
