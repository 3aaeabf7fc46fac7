//! Walks the bytes of a message without decoding it.

use paasta_common::id::cut;

use super::{ECHO_CHARS_MAX, MessageRules, Refusal, Rules, What};

/// How deep messages may be in each other.
const DEPTH_MAX: usize = 32;

/// What goes before a value: the number of its field and how it is written.
struct Tag {
    number: u32,
    wire: u8,
}

pub(super) fn check(rules: &Rules, root: usize, bytes: &[u8]) -> Result<(), Refusal> {
    walk(rules, root, bytes, 0)
}

fn walk(rules: &Rules, at: usize, mut bytes: &[u8], depth: usize) -> Result<(), Refusal> {
    let message = &rules.messages[at];
    let malformed = |why| Refusal::Malformed {
        message: message.name.clone(),
        why,
    };
    if depth > DEPTH_MAX {
        return Err(malformed("messages are too deep in each other"));
    }
    let mut counts = vec![0_usize; message.fields.len()];
    while !bytes.is_empty() {
        let tag = tag(&mut bytes).ok_or_else(|| malformed("a tag is cut off"))?;
        let value = value(&mut bytes, tag.wire).map_err(malformed)?;
        let found = message
            .fields
            .iter()
            .position(|field| field.number == tag.number);
        // A field of a newer version is nothing to us, and decoding skips it.
        let Some(place) = found else { continue };
        let field = &message.fields[place];
        counts[place] += items(field.what, tag.wire, value);
        let most = match field.repeated {
            true => field.bound.items,
            false => usize::MAX,
        };
        if counts[place] > most {
            return Err(Refusal::TooMany {
                field: field.full(message),
                limit: most,
                actual: counts[place],
            });
        }
        match field.what {
            What::Text => text(message, place, value)?,
            What::Message(inner) if tag.wire == 2 => walk(rules, inner, value, depth + 1)?,
            What::Message(_) | What::Number => {}
        }
    }
    Ok(())
}

fn text(message: &MessageRules, place: usize, value: &[u8]) -> Result<(), Refusal> {
    let field = &message.fields[place];
    if value.len() <= field.bound.bytes {
        return Ok(());
    }
    let beginning = &value[..value.len().min(ECHO_CHARS_MAX * 4)];
    let beginning = String::from_utf8_lossy(beginning);
    Err(Refusal::TooLong {
        field: field.full(message),
        limit: field.bound.bytes,
        actual: value.len(),
        begins: cut(&beginning).to_owned(),
    })
}

/// How many values are in one: several numbers may be packed, each of which has a last byte.
fn items(what: What, wire: u8, value: &[u8]) -> usize {
    match what {
        What::Number if wire == 2 => value.iter().filter(|byte| **byte < 0x80).count(),
        _ => 1,
    }
}

fn tag(bytes: &mut &[u8]) -> Option<Tag> {
    let key = varint(bytes)?;
    Some(Tag {
        number: u32::try_from(key >> 3).ok()?,
        wire: (key & 7) as u8,
    })
}

/// The value's own bytes.
fn value<'a>(bytes: &mut &'a [u8], wire: u8) -> Result<&'a [u8], &'static str> {
    let cut = "a value is cut off";
    let length = match wire {
        0 => {
            let before = *bytes;
            varint(bytes).ok_or(cut)?;
            return Ok(&before[..before.len() - bytes.len()]);
        }
        1 => 8,
        2 => varint(bytes).ok_or(cut)?,
        5 => 4,
        _ => return Err("a field is written in a way that there is not"),
    };
    let length = usize::try_from(length).map_err(|_| cut)?;
    let (value, rest) = bytes.split_at_checked(length).ok_or(cut)?;
    *bytes = rest;
    Ok(value)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
