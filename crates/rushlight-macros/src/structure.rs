//! The expansion of `#[derive(Structure)]`.

use crate::engine::Options;
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Member};

pub(crate) fn expand(item: TokenStream) -> TokenStream {
    syn::parse2::<DeriveInput>(item).and_then(write).unwrap_or_else(Error::into_compile_error)
}

fn write(input: DeriveInput) -> syn::Result<TokenStream> {
    let engine = options(&input)?.engine();
    let (flatten, rebuild) = match &input.data {
        Data::Struct(data) => {
            let arm = Arm::of(&engine, &quote!(Self), &data.fields);
            let Arm { pattern, flatten, rebuild } = arm;
            (quote!(let #pattern = self; #flatten), quote!(let #pattern = self; #rebuild))
        }
        Data::Enum(data) if data.variants.is_empty() => (quote!(match *self {}), quote!(match *self {})),
        Data::Enum(data) => {
            let mut flatten_arms = TokenStream::new();
            let mut rebuild_arms = TokenStream::new();
            for variant in &data.variants {
                let ident = &variant.ident;
                let name = ident.to_string();
                let Arm { pattern, flatten, rebuild } =
                    Arm::of(&engine, &quote!(Self::#ident), &variant.fields);
                let key = quote!(#engine::Key::Text(::std::borrow::Cow::Borrowed(#name)));
                flatten_arms.extend(quote!(#pattern => { flat.key(#key); #flatten }));
                rebuild_arms.extend(quote!(#pattern => { #rebuild }));
            }
            (quote!(match self { #flatten_arms }), quote!(match self { #rebuild_arms }))
        }
        Data::Union(data) => {
            return Err(Error::new(data.union_token.span, "a union cannot be taken apart into its fields"));
        }
    };
    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(syn::parse_quote!(#engine::Structure));
    }
    let (parameters, arguments, conditions) = generics.split_for_impl();
    let name = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        impl #parameters #engine::Structure for #name #arguments #conditions {
            #[allow(unused_variables)]
            fn flatten(&self, flat: &mut #engine::Flat) {
                #flatten
            }

            #[allow(unused_variables)]
            fn rebuild(
                &self,
                tensors: &mut dyn ::core::iter::Iterator<Item = #engine::Tensor>,
            ) -> Self {
                #rebuild
            }
        }
    })
}

/// `#[structure(crate = path)]`.
fn options(input: &DeriveInput) -> syn::Result<Options> {
    match input.attrs.iter().find(|attribute| attribute.path().is_ident("structure")) {
        Some(attribute) => attribute.parse_args(),
        None => Ok(Options::default()),
    }
}

/// The code for a struct or for one variant of an enum.
struct Arm {
    pattern: TokenStream,
    flatten: TokenStream,
    rebuild: TokenStream,
}

impl Arm {
    fn of(engine: &TokenStream, constructor: &TokenStream, fields: &Fields) -> Arm {
        let mut bindings = TokenStream::new();
        let mut flatten = TokenStream::new();
        let mut rebuilt = TokenStream::new();
        for (index, field) in fields.iter().enumerate() {
            let member = match &field.ident {
                Some(ident) => Member::Named(ident.clone()),
                None => Member::from(index),
            };
            let name = member.to_token_stream().to_string();
            let name = name.strip_prefix("r#").unwrap_or(&name);
            // Compile errors about the type then point at the field.
            let place = Span::call_site().located_at(field.ty.span());
            let binding = format_ident!("part{index}", span = place);
            bindings.extend(quote!(#member: #binding,));
            flatten.extend(quote_spanned!(place=> flat.field(#name, #binding);));
            rebuilt.extend(
                quote_spanned!(place=> #member: #engine::Structure::rebuild(#binding, &mut *tensors),),
            );
        }
        Arm {
            pattern: quote!(#constructor { #bindings }),
            flatten,
            rebuild: quote!(#constructor { #rebuilt }),
        }
    }
}
