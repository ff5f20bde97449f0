//! The general decoder, by an XML library: entities, CDATA, comments, declarations, and error messages.

use quick_xml::events::attributes::{AttrError, Attribute};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::super::error::{Format, WireError};
use super::Parts;

pub(super) fn read(text: &str) -> Result<Parts, WireError> {
    read_element(&mut Reader::from_str(text))
}

/// The same of a text that has nothing behind the element.
pub(super) fn read_whole(text: &str) -> Result<Parts, WireError> {
    let mut reader = Reader::from_str(text);
    let parts = read_element(&mut reader)?;
    loop {
        match reader.read_event().map_err(syntax_error)? {
            Event::Eof => return Ok(parts),
            Event::Comment(_) | Event::PI(_) => {}
            Event::Text(text) if text.xml10_content().trim().is_empty() => {}
            _ => {
                return Err(malformed(
                    "expected the end of the line after the element; send one sample in a line".to_owned(),
                ));
            }
        }
    }
}

fn read_element(reader: &mut Reader<&[u8]>) -> Result<Parts, WireError> {
    let (start, is_empty) = first_element(reader)?;
    let timestamp = timestamp(&start)?;
    let text = if is_empty { String::new() } else { character_data(reader)? };
    Ok(Parts { element: start.name().as_ref().to_owned(), timestamp, text })
}

/// The start tag of the first element, and whether it is the end tag too.
fn first_element<'p>(reader: &mut Reader<&'p [u8]>) -> Result<(BytesStart<'p>, bool), WireError> {
    loop {
        match reader.read_event().map_err(syntax_error)? {
            Event::Start(start) => return named(start).map(|start| (start, false)),
            Event::Empty(start) => return named(start).map(|start| (start, true)),
            Event::Comment(_) | Event::Decl(_) | Event::DocType(_) | Event::PI(_) => {}
            Event::Text(text) if text.xml10_content().trim().is_empty() => {}
            Event::Eof => return Err(malformed("expected an element, found none".to_owned())),
            Event::CData(_) | Event::End(_) | Event::GeneralRef(_) | Event::Text(_) => {
                return Err(malformed("expected an element, found text before it".to_owned()));
            }
        }
    }
}

fn named(start: BytesStart<'_>) -> Result<BytesStart<'_>, WireError> {
    if start.name().as_ref().is_empty() {
        return Err(malformed("expected the name of an element after `<`".to_owned()));
    }
    Ok(start)
}

/// The `timestamp` of an element, after all of its attributes are checked.
fn timestamp(start: &BytesStart<'_>) -> Result<Option<String>, WireError> {
    let mut timestamp = None;
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| attribute_fault(start, error))?;
        if attribute.key.as_ref() == "timestamp" {
            timestamp = Some(value(&attribute)?);
        }
    }
    Ok(timestamp)
}

fn value(attribute: &Attribute<'_>) -> Result<String, WireError> {
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(syntax_error)?;
    Ok(value.into_owned())
}

/// The character data up to the end tag, with its references resolved.
fn character_data(reader: &mut Reader<&[u8]>) -> Result<String, WireError> {
    let mut data = String::new();
    loop {
        match reader.read_event().map_err(syntax_error)? {
            Event::Text(text) => data.push_str(&text.xml10_content()),
            Event::CData(text) => data.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => data.push(character(&reference)?),
            Event::Comment(_) | Event::Decl(_) | Event::DocType(_) | Event::PI(_) => {}
            Event::Start(inner) | Event::Empty(inner) => {
                return Err(WireError::NestedElement { name: inner.name().as_ref().to_owned() });
            }
            Event::End(_) => return Ok(data),
            Event::Eof => return Err(malformed("the element has no end tag".to_owned())),
        }
    }
}

/// A numeric reference or one of the five entities that need no declaration.
fn character(reference: &BytesRef<'_>) -> Result<char, WireError> {
    if let Some(character) = reference.resolve_char_ref().map_err(syntax_error)? {
        return Ok(character);
    }
    let name = reference.xml10_content();
    match &*name {
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "gt" => Ok('>'),
        "lt" => Ok('<'),
        "quot" => Ok('"'),
        _ => Err(malformed(format!("the entity `&{name};` is not declared"))),
    }
}

fn attribute_fault(start: &BytesStart<'_>, error: AttrError) -> WireError {
    // The position counts from the start of the tag's content.
    let AttrError::Duplicated(at, _) = error else {
        return malformed(error.to_string());
    };
    let tag: &str = start;
    let rest = tag.get(at..).unwrap_or_default();
    let name = rest.split(|character: char| character == '=' || character.is_whitespace()).next().unwrap_or_default();
    WireError::Duplicate { name: name.to_owned() }
}

fn syntax_error(error: impl std::fmt::Display) -> WireError {
    malformed(error.to_string())
}

fn malformed(message: String) -> WireError {
    WireError::Malformed { format: Format::Xml, message }
}
