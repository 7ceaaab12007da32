//! Puts another name in the place of `self`: a keyword cannot be bound anew.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use syn::visit_mut::{self, VisitMut};
use syn::{Block, Item, Macro, Path};

/// The name that stands for `self` in the body; invisible to the user's code.
pub(crate) fn stand_in(place: Span) -> Ident {
    Ident::new("this", Span::mixed_site().located_at(place))
}

/// Replaces `self` in a function's body, except in items inside of it, which have a `self` of their own.
pub(crate) fn replace_self(body: &mut Block) {
    ReplaceSelf.visit_block_mut(body);
}

struct ReplaceSelf;

impl VisitMut for ReplaceSelf {
    fn visit_path_mut(&mut self, path: &mut Path) {
        // `self::name` is the path of a module.
        if path.segments.len() > 1 && path.segments[0].ident == "self" {
            path.segments.iter_mut().skip(1).for_each(|segment| self.visit_path_segment_mut(segment));
        } else {
            visit_mut::visit_path_mut(self, path);
        }
    }

    fn visit_ident_mut(&mut self, ident: &mut Ident) {
        if ident == "self" {
            *ident = stand_in(ident.span());
        }
    }

    fn visit_item_mut(&mut self, _item: &mut Item) {}

    fn visit_macro_mut(&mut self, call: &mut Macro) {
        call.tokens = replace_in_tokens(std::mem::take(&mut call.tokens));
    }
}

/// A macro's arguments are tokens of any form.
fn replace_in_tokens(tokens: TokenStream) -> TokenStream {
    let mut tokens = tokens.into_iter().peekable();
    let mut replaced = TokenStream::new();
    while let Some(token) = tokens.next() {
        let starts_path = matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':'
            && next.spacing() == proc_macro2::Spacing::Joint);
        replaced.extend([match token {
            TokenTree::Ident(ident) if ident == "self" && !starts_path => {
                TokenTree::Ident(stand_in(ident.span()))
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), replace_in_tokens(group.stream()));
                inner.set_span(group.span());
                TokenTree::Group(inner)
            }
            token => token,
        }]);
    }
    replaced
}
