//! The expansion of `#[function]`.

use crate::engine::Options;
use crate::receiver::{replace_self, stand_in};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    AttrStyle, Attribute, Error, FnArg, GenericArgument, ItemFn, Pat, PathArguments, ReturnType, Token, Type,
    parenthesized,
};

/// The function with its body recorded, or with a compile error beside the unchanged function.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let function = match syn::parse2::<ItemFn>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#error #item);
        }
    };
    let expanded = syn::parse2::<FunctionOptions>(options).and_then(|options| {
        check_qualifiers(&function)?;
        write(&options, function)
    });
    expanded.unwrap_or_else(|error| {
        let error = error.into_compile_error();
        quote!(#error #item)
    })
}

/// The options `crate = path` and `batch(arguments)`.
#[derive(Default)]
struct FunctionOptions {
    engine: Options,
    /// The arguments whose first axis is open.
    batch: Vec<Ident>,
}

impl Parse for FunctionOptions {
    fn parse(input: ParseStream) -> syn::Result<FunctionOptions> {
        let mut options = FunctionOptions::default();
        while !input.is_empty() {
            if input.peek(Token![crate]) {
                options.engine = Options::parse_path(input)?;
            } else if input.peek(syn::Ident) && input.fork().parse::<Ident>()? == "batch" {
                input.parse::<Ident>()?;
                let names;
                parenthesized!(names in input);
                options.batch.extend(Punctuated::<Ident, Token![,]>::parse_terminated(&names)?);
            } else {
                let rule = "the options are `crate = path`, the path of the crate `rushlight`, and `batch(arguments)`, \
                            whose first axis stays open";
                return Err(input.error(rule));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

fn check_qualifiers(function: &ItemFn) -> syn::Result<()> {
    let signature = &function.sig;
    let mut problems: Vec<Error> = Vec::new();
    let mut refuse = |tokens: &dyn ToTokens, why: &str| problems.push(Error::new(tokens.span(), why));
    if let Some(token) = &signature.asyncness {
        refuse(token, "an async function cannot be recorded: recording runs the body from beginning to end");
    }
    if let Some(token) = &signature.unsafety {
        refuse(
            token,
            "an unsafe function cannot be recorded: the compiled graph could not uphold its conditions",
        );
    }
    if let Some(token) = &signature.constness {
        refuse(token, "a const function cannot be recorded");
    }
    if let Some(token) = &signature.abi {
        refuse(token, "an extern function cannot be recorded");
    }
    if let Some(token) = &signature.variadic {
        refuse(token, "a function with a variable number of arguments cannot be recorded: take a slice");
    }
    match &signature.output {
        ReturnType::Default => refuse(
            &signature.ident,
            "a recorded function returns a tensor, a tuple of tensors or a `Result`: \
             write `-> Result<()>` if it only assigns variables",
        ),
        ReturnType::Type(_, output) => {
            if let Type::ImplTrait(hidden) = &**output {
                refuse(hidden, "a recorded function must name the type of its result");
            }
        }
    }
    combine(problems)
}

fn combine(problems: Vec<Error>) -> syn::Result<()> {
    match problems.into_iter().reduce(|mut all, next| {
        all.combine(next);
        all
    }) {
        Some(all) => Err(all),
        None => Ok(()),
    }
}

/// How an argument is taken.
enum Form {
    /// `&T`
    Reference,
    /// `Option<&T>`
    Optional,
    /// `T`
    Value,
}

/// One parameter, as the two halves of the code that handles it.
struct Parameter {
    /// Takes the argument apart.
    flatten: TokenStream,
    /// Binds what the body calls it.
    bind: TokenStream,
}

fn write(options: &FunctionOptions, mut function: ItemFn) -> syn::Result<TokenStream> {
    let engine = options.engine.engine();
    let open = open_arguments(&options.batch, &function)?;
    let mut problems = Vec::new();
    let mut parameters = Vec::new();
    for (index, input) in function.sig.inputs.iter_mut().enumerate() {
        match parameter(&engine, index, input) {
            Ok(parameter) => parameters.push(parameter),
            Err(error) => problems.push(error),
        }
    }
    combine(problems)?;
    if function.sig.receiver().is_some() {
        replace_self(&mut function.block);
    }
    let attributes = attributes(&function.attrs);
    let ItemFn { vis, sig, block, .. } = &function;
    let statements = &block.stmts;
    let output = match &sig.output {
        ReturnType::Type(_, output) => output,
        ReturnType::Default => unreachable!("checked before"),
    };
    let (flatten, bind): (Vec<_>, Vec<_>) = parameters.iter().map(|p| (&p.flatten, &p.bind)).unzip();
    let name = sig.ident.to_string();
    let name = name.trim_start_matches("r#");
    // Located at the function's name, which explain() shows.
    let made = quote_spanned! {Span::mixed_site().located_at(sig.ident.span())=>
        static RECORDINGS: #engine::Recordings = #engine::Recordings::new(#name).with_open_batch(&[#(#open),*]);
    };
    let inputs =
        if parameters.is_empty() { quote!(_) } else { quote_spanned!(Span::mixed_site()=> mut inputs) };
    let mutable = if parameters.is_empty() { quote!() } else { quote!(mut) };
    // A compile error about the result then points at its type.
    let call = quote_spanned!(Span::mixed_site().located_at(output.span())=> recordings.call_static);
    let body = quote_spanned! {Span::mixed_site()=>
        // In a block of its own, where the body does not see it.
        let recordings = {
            #made
            &RECORDINGS
        };
        let #mutable flat = <#engine::Flat as ::core::default::Default>::default();
        #(#flatten)*
        #call(&flat, move |#inputs: #engine::Inputs| -> #output {
            #(#bind)*
            #(#statements)*
        })
    };
    Ok(quote! {
        #(#attributes)*
        #vis #sig { #body }
    })
}

/// The names of the arguments with an open batch axis, which the function must have.
fn open_arguments(names: &[Ident], function: &ItemFn) -> syn::Result<Vec<String>> {
    let mut known = Vec::new();
    for input in &function.sig.inputs {
        match input {
            FnArg::Receiver(_) => known.push("self".to_string()),
            FnArg::Typed(typed) => {
                if let Pat::Ident(pattern) = &*typed.pat {
                    known.push(pattern.ident.to_string());
                }
            }
        }
    }
    let mut open = Vec::new();
    for name in names {
        if !known.contains(&name.to_string()) {
            return Err(Error::new(name.span(), "the function has no argument of this name"));
        }
        open.push(name.to_string().trim_start_matches("r#").to_string());
    }
    Ok(open)
}

/// The function's attributes; those written inside its body are put before it.
fn attributes(attributes: &[Attribute]) -> Vec<Attribute> {
    let mut kept = attributes.to_vec();
    kept.iter_mut().for_each(|attribute| attribute.style = AttrStyle::Outer);
    if !kept.iter().any(|attribute| attribute.path().is_ident("track_caller")) {
        kept.push(syn::parse_quote!(#[track_caller]));
    }
    kept
}

/// Handles one parameter; a pattern is moved from the signature into the body.
fn parameter(engine: &TokenStream, index: usize, input: &mut FnArg) -> syn::Result<Parameter> {
    match input {
        FnArg::Receiver(receiver) => {
            let form = form_of(&receiver.ty)?;
            let this = stand_in(receiver.self_token.span);
            // `mut self` and `mut this` alike; `self` itself stays as it is in the signature.
            let mutability = receiver.mutability.filter(|_| receiver.reference.is_none());
            if receiver.reference.is_none() {
                receiver.mutability = None;
            }
            let original = receiver.self_token.to_token_stream();
            let target = quote!(#mutability #this);
            Ok(handle(engine, index, "self", form, &receiver.ty, original, target))
        }
        FnArg::Typed(typed) => {
            let form = form_of(&typed.ty)?;
            let target = typed.pat.to_token_stream();
            let (name, outer) = match &*typed.pat {
                Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
                    (pattern.ident.to_string(), pattern.ident.clone())
                }
                pattern => {
                    let place = Span::mixed_site().located_at(pattern.span());
                    (pattern.to_token_stream().to_string(), format_ident!("argument{index}", span = place))
                }
            };
            *typed.pat = syn::parse_quote!(#outer);
            Ok(handle(engine, index, &name, form, &typed.ty, outer.to_token_stream(), target))
        }
    }
}

fn handle(
    engine: &TokenStream,
    index: usize,
    name: &str,
    form: Form,
    ty: &Type,
    original: TokenStream,
    target: TokenStream,
) -> Parameter {
    // Compile errors about the type then point at the parameter.
    let place = Span::mixed_site().located_at(ty.span());
    let held = Ident::new(&format!("held{index}"), place);
    let name = name.strip_prefix("r#").unwrap_or(name);
    let (flatten, bind) = match form {
        Form::Reference => (
            quote_spanned!(place=> #engine::Referent::flatten_referent(#original, flat.argument(#name));),
            quote_spanned! {place=>
                let #held = inputs.borrowed(#original);
                let #target = &*#held;
            },
        ),
        Form::Optional => (
            quote_spanned!(place=> #engine::OptionalReferent::flatten_option(#original, flat.argument(#name));),
            quote_spanned! {place=>
                let #held = inputs.optional(#original);
                let #target = #held.as_deref();
            },
        ),
        Form::Value => (
            quote_spanned!(place=> #engine::Structure::flatten(&#original, flat.argument(#name));),
            quote_spanned!(place=> let #target = inputs.owned(#original);),
        ),
    };
    Parameter { flatten, bind }
}

fn form_of(ty: &Type) -> syn::Result<Form> {
    match ty {
        Type::Reference(reference) if reference.mutability.is_some() => Err(mutable(ty)),
        Type::Reference(_) => Ok(Form::Reference),
        Type::Paren(inner) => form_of(&inner.elem),
        Type::Group(inner) => form_of(&inner.elem),
        Type::Path(path) => match option_of(path) {
            Some(Type::Reference(reference)) if reference.mutability.is_some() => Err(mutable(ty)),
            Some(Type::Reference(_)) => Ok(Form::Optional),
            _ => Ok(Form::Value),
        },
        _ => Ok(Form::Value),
    }
}

fn mutable(ty: &Type) -> Error {
    Error::new(
        ty.span(),
        "a recorded function cannot change its arguments: return the new value, or keep the state in a `Variable`",
    )
}

/// The `T` of `Option<T>`.
fn option_of(path: &syn::TypePath) -> Option<&Type> {
    let last = path.path.segments.last().filter(|segment| segment.ident == "Option")?;
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Type(inner) => Some(inner),
            _ => None,
        },
        _ => None,
    }
}
